use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Error;
use crate::http::{Origin, Sender};

/// Makes a sender for another server than the service's; that server has a clock of its own.
pub(crate) type Connect = dyn Fn(&Origin) -> Result<Sender, Error> + Send + Sync;

/// One sender for each origin of an authorization server: its issuer and its token endpoint may be different machines, each
/// with a way through the proxy, and a clock, of its own.
pub(crate) struct Connections {
    connect: Arc<Connect>,
    made: Mutex<Vec<(Origin, Arc<Sender>)>>,
}

impl Connections {
    pub(crate) fn new(connect: Arc<Connect>) -> Connections {
        Connections { connect, made: Mutex::default() }
    }

    /// Sends nothing.
    pub(crate) fn toward(&self, origin: &Origin) -> Result<Arc<Sender>, Error> {
        let known = self.known(origin);
        if let Some(sender) = known {
            return Ok(sender);
        }
        let sender = Arc::new((self.connect)(origin)?);
        self.made.lock().push((origin.clone(), Arc::clone(&sender)));
        // Of two threads that made one at the same time, both use the first.
        Ok(self.known(origin).unwrap_or(sender))
    }

    fn known(&self, origin: &Origin) -> Option<Arc<Sender>> {
        self.made.lock().iter().find(|(made, _)| made == origin).map(|(_, sender)| Arc::clone(sender))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<_> = self.made.lock().iter().map(|(origin, _)| origin.clone()).collect();
        f.debug_tuple("Connections").field(&origins).finish()
    }
}
