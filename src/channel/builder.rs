use std::time::Duration;

use super::commits::status_of;
use super::{Channel, Wait};
use crate::error::{Error, ErrorKind, clean, one_line};
use crate::pipe::Pipe;
use crate::rows::{OffsetToken, offset_or_none};
use crate::snowflake::api::{self, Opened};
use crate::snowflake::status::ChannelStatus;

/// Opens a channel; made by [`Pipe::channel`].
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
///
/// let channel = pipe.channel("loader-1").expect_offset("4711").open_timeout(Duration::from_secs(30)).open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChannelBuilder {
    pipe: Pipe,
    name: String,
    /// The name in paths, where the service ignores the case of one that is not quoted.
    path_name: String,
    open_timeout: Duration,
    discard_uncommitted: bool,
    expected: Expected,
    /// Of the open request, where the caller waits for something else.
    request_timeout: Option<Duration>,
}

/// What the channel must have committed when it is opened.
#[derive(Clone, Debug)]
enum Expected {
    Anything,
    /// Nothing (`None`), or this offset.
    Only(Option<OffsetToken>),
}

impl Pipe {
    /// Prepares to open the named channel: ordered, exactly once, one writer at a time.
    ///
    /// Names should be the same in every run, so that a run resumes where the one before it ended.
    pub fn channel(&self, name: impl Into<String>) -> ChannelBuilder {
        ChannelBuilder::new(self.clone(), name.into())
    }
}

impl ChannelBuilder {
    fn new(pipe: Pipe, name: String) -> ChannelBuilder {
        ChannelBuilder {
            pipe,
            path_name: name.clone(),
            name,
            open_timeout: OPEN_TIMEOUT,
            discard_uncommitted: false,
            expected: Expected::Anything,
            request_timeout: None,
        }
    }

    /// How long to wait for rows of an earlier writer to be committed, or for another open to end; default two minutes.
    pub fn open_timeout(mut self, timeout: Duration) -> ChannelBuilder {
        self.open_timeout = timeout;
        self
    }

    /// Throws away rows that an earlier writer sent and that are not committed, instead of waiting for them.
    ///
    /// Safe for a writer that sends them again, which one that resumes after the committed offset does. It concerns this
    /// opening only: what the handle itself sends is awaited when it is [reopened](Channel::reopen).
    pub fn discard_uncommitted(mut self) -> ChannelBuilder {
        self.discard_uncommitted = true;
        self
    }

    /// Status lists go by the spelling that a channel was made with: this one is found by a look for upper case.
    pub(crate) fn made_in_upper_case(mut self) -> ChannelBuilder {
        self.path_name = api::upper_case(&self.name);
        self
    }

    pub(super) fn open_timeout_at_most(mut self, timeout: Duration) -> ChannelBuilder {
        self.open_timeout = self.open_timeout.min(timeout);
        self
    }

    /// Opens it only if no rows are still to be committed, without waiting for them.
    pub(super) fn only_if_settled(mut self) -> ChannelBuilder {
        (self.open_timeout, self.discard_uncommitted) = (Duration::ZERO, false);
        self.request_timeout = Some(SETTLED_TIMEOUT);
        self
    }

    /// Refuses the channel unless this is its committed offset: a name used before for something else is noticed.
    ///
    /// The channel's status is asked for first, under the name as given, in upper and in lower case (a
    /// quoted one as given and without its quotes), and another offset is refused
    /// without taking the channel away from a writer that has it open; a channel that does not exist has none. So it is again
    /// before each further attempt, while rows on their way keep the channel from being opened, and what is then opened is
    /// compared once more.
    ///
    /// No status shows whether the expected row is still on its way, from a process that ended without waiting for it. So
    /// another offset is refused only when it has not changed for ten seconds, or when the
    /// [`open_timeout`](ChannelBuilder::open_timeout) ends: with a timeout of zero, at once.
    pub fn expect_offset(mut self, offset: impl Into<OffsetToken>) -> ChannelBuilder {
        self.expected = Expected::Only(Some(offset.into()));
        self
    }

    /// Refuses the channel unless nothing was ever committed on it, with or without an offset token. Compares as
    /// [`expect_offset`](ChannelBuilder::expect_offset) does, but refuses a channel that was used at once.
    pub fn expect_unused(mut self) -> ChannelBuilder {
        self.expected = Expected::Only(None);
        self
    }

    /// Creates the channel, or takes it over from the writer that had it open.
    ///
    /// # Blocking
    ///
    /// One request when the channel is idle, and one before it if an offset is expected. While rows of an earlier writer are
    /// not committed it waits for them, at most [`open_timeout`](ChannelBuilder::open_timeout). For an expected offset that
    /// has not come it waits at most as long, too.
    ///
    /// # Errors
    ///
    /// - [`Config`](ErrorKind::Config): the name cannot be a channel's; nothing was sent.
    /// - [`Timeout`](ErrorKind::Timeout): rows of an earlier writer are still not committed.
    /// - [`Refused`](ErrorKind::Refused): the pipe does not exist for this role or takes no rows.
    /// - [`Conflict`](ErrorKind::Conflict): the committed offset is not the expected one.
    /// - [`Protocol`](ErrorKind::Protocol): a response does not say which offset is committed.
    /// - [`Channel`](ErrorKind::Channel): the service refused several opens in a row as if the channel were lost.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn open(self) -> Result<Channel, Error> {
        self.check_name()?;
        self.wait_for_expected()?;
        let opened = self.open_when_free()?;
        self.check_expected(&opened.status)?;
        // Both concern what others did before. What this handle sends must not be discarded when it is reopened.
        let reopening =
            ChannelBuilder { expected: Expected::Anything, discard_uncommitted: false, request_timeout: None, ..self };
        Ok(Channel::new(reopening.pipe.clone(), reopening, opened))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path_name(&self) -> &str {
        &self.path_name
    }

    fn open_when_free(&self) -> Result<Opened, Error> {
        let clock = self.pipe.clock();
        let mut wait = Wait::new(clock, self.open_timeout);
        let mut losses = 0;
        loop {
            let (session, pipe) = (self.pipe.session(), self.pipe.name());
            let waits_for_rows = !self.discard_uncommitted;
            let opened = api::open_channel(session, pipe, &self.path_name, waits_for_rows, self.request_timeout);
            let error = match opened.and_then(|opened| self.check_usable(opened)) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let is_busy = is_busy(&error);
            losses += u32::from(!is_busy);
            if !is_busy && (losses > MAX_LOSSES || !is_lost(&error)) {
                return Err(error);
            }
            log::debug!("channel {} cannot be opened yet: {error}", one_line(&self.name));
            if !wait.pause(clock) {
                return Err(if is_busy { self.still_busy(&error) } else { error });
            }
            if is_busy {
                // The rows on their way may be those of a writer that has only begun.
                self.check_before_open()?;
            }
        }
    }

    fn still_busy(&self, error: &Error) -> Error {
        let happened = format!("it is still busy after {:?}", self.open_timeout);
        Error::new(ErrorKind::Timeout, happened)
            .attempting(self.attempted())
            .with_code(error.code().map(str::to_string))
            .advise("wait longer with open_timeout, or discard the rows in flight with discard_uncommitted")
    }

    /// A response of 200 may carry a channel that loses every row.
    fn check_usable(&self, opened: Opened) -> Result<Opened, Error> {
        if opened.status.is_usable() {
            return Ok(opened);
        }
        Err(Error::new(ErrorKind::Refused, "the service opened it in an unusable state")
            .attempting(self.attempted())
            .with_code(Some(clean(opened.status.code())))
            .advise("check that the pipe and its table exist, and the grants of the role"))
    }

    /// Looks again while the expected offset has not come: rows of a writer that has ended may still be on their way.
    fn wait_for_expected(&self) -> Result<(), Error> {
        if let Expected::Anything = self.expected {
            return Ok(());
        }
        let clock = self.pipe.clock();
        let (mut wait, mut quiet) = (Wait::new(clock, self.open_timeout), clock.now().deadline(MAX_QUIET));
        let mut newest = None;
        loop {
            let found = self.look()?;
            let Err(error) = self.check_found(found.as_ref()) else { return Ok(()) };
            let Some(status) = found.filter(|_| self.can_still_come(&error)) else { return Err(error) };
            if status.committed_offset() != newest {
                newest = status.committed_offset();
                quiet = clock.now().deadline(MAX_QUIET);
            }
            if quiet.left(clock.now()).is_zero() || !wait.pause(clock) {
                return Err(error);
            }
        }
    }

    fn can_still_come(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Conflict && matches!(self.expected, Expected::Only(Some(_)))
    }

    /// An open takes the channel away from its writer: what can be refused is refused before.
    fn check_before_open(&self) -> Result<(), Error> {
        match self.expected {
            Expected::Anything => Ok(()),
            Expected::Only(_) => self.check_found(self.look()?.as_ref()),
        }
    }

    /// The channel's status, if it exists.
    fn look(&self) -> Result<Option<ChannelStatus>, Error> {
        let names = api::listed_names(&self.name);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        match api::channel_statuses(self.pipe.session(), self.pipe.name(), &names, None) {
            Ok(statuses) => Ok(status_of(&self.name, statuses)),
            // The first open creates a table's default pipe.
            Err(error) if is_unknown_pipe(&error) => Ok(None),
            Err(error) => Err(error.attempting(self.attempted())),
        }
    }

    fn check_found(&self, found: Option<&ChannelStatus>) -> Result<(), Error> {
        let Some(status) = found else { return self.check_expected(&ChannelStatus::default()) };
        if status.names_committed_offset() || status.has_rows_without_offset() {
            return self.check_expected(status);
        }
        Err(Error::new(ErrorKind::Protocol, "its status does not say which offset is committed")
            .attempting(self.attempted())
            .advise("try again; if it stays so, open it without expecting an offset"))
    }

    fn check_expected(&self, status: &ChannelStatus) -> Result<(), Error> {
        let Expected::Only(expected) = &self.expected else { return Ok(()) };
        let committed = status.committed_offset();
        let happened = match expected {
            None if status.has_rows_without_offset() => "it has rows, but no offset token".to_string(),
            _ if committed == *expected => return Ok(()),
            _ => {
                let [found, expected] = [&committed, expected].map(|offset| offset_or_none(offset.as_ref()));
                format!("its committed offset is {found}, not {expected}")
            }
        };
        Err(Error::new(ErrorKind::Conflict, happened)
            .attempting(self.attempted())
            .advise("use another channel name, or resume from the committed offset"))
    }

    pub(crate) fn check_name(&self) -> Result<(), Error> {
        api::check_channel_name(&self.name)?;
        if !api::listed_names(&self.name).iter().any(|listed| listed == "ELASTIC") {
            return Ok(());
        }
        let happened = format!("{:?} is the service's own channel, which Pipe::elastic appends to", self.name);
        Err(Error::new(ErrorKind::Config, happened).advise("choose another channel name"))
    }

    fn attempted(&self) -> String {
        format!("open channel {} of pipe {}", self.name, self.pipe.name())
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error.code(), Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA" | "ERR_OPEN_CHANNEL_IN_PROGRESS"))
}

/// "Reopen the channel" is said to an open, too, by a server that has not heard of a change yet.
fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::Channel || error.code().is_some_and(|code| code.starts_with("ERR_CHANNEL_"))
}

pub(crate) fn is_unknown_pipe(error: &Error) -> bool {
    error.code().is_some_and(|code| code.starts_with("ERR_PIPE_DOES_NOT_EXIST"))
}

/// Rows are committed within a few seconds, so an offset that has not moved for longer is not going to be another.
const MAX_QUIET: Duration = Duration::from_secs(10);

/// A wait for commits that has ended already is prolonged by this at most.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(5);

/// With the growing pauses between them about a second: longer than a reopening elsewhere takes to be known.
const MAX_LOSSES: u32 = 8;

/// The official SDK waits as long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
