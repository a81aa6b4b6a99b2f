use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, one_line};
use crate::session::{Counters, Session};
use crate::snowflake::api::{self, PipeName};
use crate::snowflake::status::ChannelStatus;

/// A target of rows: a pipe of a table, by name.
///
/// Made by [`Client::table`](crate::Client::table) for a table's default pipe or by
/// [`Client::pipe`](crate::Client::pipe) for a named one; making it sends nothing. Clones are cheap and share the
/// client's connections and tokens; any number of threads may use one.
///
/// ```no_run
/// # fn example(client: &snowpipe_streaming::Client) -> Result<(), snowpipe_streaming::Error> {
/// let pipe = client.table("DB", "PUBLIC", "EVENTS");
/// let channel = pipe.channel("loader-1").open()?;
/// println!("resume after {:?}", channel.committed_offset());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pipe {
    session: Arc<Session>,
    clock: Arc<dyn Clock>,
    name: Arc<PipeName>,
}

impl Pipe {
    pub(crate) fn new(session: Arc<Session>, clock: Arc<dyn Clock>, name: PipeName) -> Pipe {
        Pipe { session, clock, name: Arc::new(name) }
    }

    /// The full name, as it was given: `DB.SCHEMA.PIPE`.
    pub fn full_name(&self) -> String {
        self.name.to_string()
    }

    /// The status of several channels in one request; those that do not exist are left out.
    ///
    /// The names must be spelt as the service spells them, in their case and without quotes:
    /// [`Channel::name`](crate::Channel::name).
    ///
    /// # Blocking
    ///
    /// One request; repeated on trouble until the client's retry budget ends.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a name that cannot be a channel's; otherwise those of every request: see
    /// [`Client`](crate::Client#errors).
    pub fn statuses(&self, channels: &[&str]) -> Result<HashMap<String, ChannelStatus>, Error> {
        if channels.is_empty() {
            return Ok(HashMap::new());
        }
        api::channel_statuses(&self.session, &self.name, channels, None)
    }

    /// Deletes a channel **and its committed offset**: what was sent and is not yet committed is lost, and the next open
    /// starts from nothing. Closing a channel needs no request at all; see [`Channel::close`](crate::Channel::close).
    ///
    /// Takes the name that the channel was opened by. The case of one in double quotes counts (`"\"Load\""`), that of any
    /// other does not.
    ///
    /// # Blocking
    ///
    /// One request; repeated on trouble until the client's retry budget ends.
    ///
    /// # Errors
    ///
    /// - [`Config`](crate::ErrorKind::Config): the name cannot be a channel's; nothing was sent.
    /// - [`Channel`](crate::ErrorKind::Channel): there is no such channel, and there was none before.
    /// - [`Unconfirmed`](crate::ErrorKind::Unconfirmed): it may have been deleted; [`statuses`](Pipe::statuses) shows it.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn drop_channel(&self, name: &str) -> Result<(), Error> {
        api::drop_channel(&self.session, &self.name, name)
    }

    /// What the client has done so far, over all its pipes.
    pub fn counters(&self) -> Counters {
        self.session.counters().snapshot()
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn name(&self) -> &PipeName {
        &self.name
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Without the session, whose tokens and settings would fill a page.
impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipe({})", one_line(&self.name.to_string()))
    }
}
