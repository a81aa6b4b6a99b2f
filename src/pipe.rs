use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::clock::{Clock, StoppableClock};
use crate::error::{Error, one_line};
use crate::session::{Counters, Session};
use crate::snowflake::api::{self, PipeName};
use crate::snowflake::status::ChannelStatus;
use crate::stop::{Stop, StopHandle};

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
    /// Its sleeps end as the session's calls do.
    clock: StoppableClock,
    name: Arc<PipeName>,
}

impl Pipe {
    pub(crate) fn new(session: Arc<Session>, clock: Arc<dyn Clock>, name: PipeName) -> Pipe {
        Pipe { session, clock: StoppableClock::new(clock), name: Arc::new(name) }
    }

    /// The same pipe, with calls that the handle can stop: its own, and those of everything that is made from it, channels,
    /// writers and loads. A handle that it had before has no effect on the result.
    ///
    /// After a stop no request starts, not even for a token. Every pause ends within a second: between attempts, between looks
    /// at a commit, before a reopening, and while another thread fetches the token. A request in progress is finished, which
    /// takes the client's response timeout at most, and not repeated. The call then ends with
    /// [`Stopped`](crate::ErrorKind::Stopped), or with [`Unconfirmed`](crate::ErrorKind::Unconfirmed) if its request was sent
    /// and no response says whether it was applied. What was committed stays committed, and a [`Writer`](crate::Writer) keeps
    /// its rows for [`into_uncommitted`](crate::Writer::into_uncommitted).
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::StopHandle;
    ///
    /// let handle = StopHandle::new();
    /// let channel = pipe.stopped_by(&handle).channel("loader-1").open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stopped_by(&self, handle: &StopHandle) -> Pipe {
        self.with_stop(Stop::by(handle))
    }

    /// The same pipe, whose calls this handle can stop, too.
    pub(crate) fn also_stopped_by(&self, handle: &StopHandle) -> Pipe {
        self.with_stop(self.stop().or_by(handle))
    }

    /// The same pipe, with calls that nothing can stop.
    pub(crate) fn unstoppable(&self) -> Pipe {
        self.with_stop(Stop::default())
    }

    fn with_stop(&self, stop: Stop) -> Pipe {
        let session = Arc::new(self.session.stopped_by(stop.clone()));
        Pipe { session, clock: self.clock.stopped_by(stop), name: self.name.clone() }
    }

    /// What stops its calls.
    pub(crate) fn stop(&self) -> &Stop {
        self.session.stop()
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
        &self.clock
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
