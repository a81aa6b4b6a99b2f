//! Registered clients, each in a state that decides whether it gets tokens.

use std::fmt;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The state of a registered client. Only an [`Authorized`](Self::Authorized) one gets tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClientState {
    /// Registered, and nobody has authorized it yet.
    Pending,
    /// It gets tokens.
    Authorized,
    /// It gets no more tokens. Those that it has stay good until they expire.
    Revoked,
}

/// One registered client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) tenant: String,
    pub(crate) state: ClientState,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// All of them, of every tenant.
#[derive(Debug)]
pub(crate) struct Clients(Mutex<Vec<Client>>);

impl Clients {
    pub(crate) fn with(client: Client) -> Self {
        Self(Mutex::new(vec![client]))
    }

    /// `false` when there is one of that id.
    pub(crate) fn add(&self, client: Client) -> bool {
        let mut all = self.0.lock();
        let is_new = all.iter().all(|known| known.id != client.id);
        if is_new {
            all.push(client);
        }
        is_new
    }

    pub(crate) fn find(&self, id: &str) -> Option<Client> {
        self.0.lock().iter().find(|client| client.id == id).cloned()
    }

    /// Changes a client; `false` when there is none of that id.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Client)) -> bool {
        self.0.lock().iter_mut().find(|client| client.id == id).map(change).is_some()
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.lock().retain(|client| client.id != id);
    }
}

/// 64 hexadecimal digits.
pub(crate) fn new_secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
