mod builder;
mod commits;
mod in_flight;
mod missing;
mod pace;
mod recovery;
mod rejections;
mod wait;

use std::fmt;

use ::http::HeaderValue;

pub use self::builder::ChannelBuilder;
pub(crate) use self::builder::is_unknown_pipe;
pub(crate) use self::commits::rows_rejected;
pub(crate) use self::in_flight::{InFlight, Uncommitted};
use self::missing::Missing;
use self::pace::Pace;
pub use self::recovery::Recovery;
use self::rejections::Rejections;
pub(crate) use self::wait::Wait;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor, OffsetToken, Payload, Payloads};
use crate::snowflake::api::{self, Opened};
use crate::snowflake::status::ChannelStatus;

/// An open channel: appends rows in order, each exactly once, and knows how far they are committed.
///
/// # Guarantee
///
/// A row is stored once if its writer resumes after [`committed_offset`](Channel::committed_offset) whenever the channel
/// is opened, and gives rows offset tokens ([`Batch::mark`]) from which it can resume. An accepted append is *received*;
/// only [`wait_for_commit`](Channel::wait_for_commit) proves that it is stored.
///
/// One channel has one writer. Opening it again, here or anywhere, takes it away from the one before, which learns it with
/// its next append. A channel that is deleted and created again under a handle is noticed, too, by its time of creation: if
/// the handle had rows in flight or committed, it appends no more and says so with [`Conflict`](ErrorKind::Conflict).
/// [`Loader`](crate::Loader) does all of this for a file or any other source of rows.
///
/// # Threads
///
/// One append at a time, in order, so appending takes `&mut self`. Open several channels to append in parallel; they share
/// the client's connections and tokens.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
/// use snowpipe_streaming::Batch;
///
/// let mut channel = pipe.channel("loader-1").open()?;
/// let done = channel.committed_offset().and_then(|token| token.as_u64()).unwrap_or(0);
///
/// let mut batch = Batch::new();
/// for id in done + 1..=1000 {
///     batch.push(&serde_json::json!({ "ID": id }))?;
///     batch.mark(id);
/// }
/// channel.append(&batch)?;
/// channel.wait_for_commit(1000, Duration::from_secs(60))?;
/// channel.close();
/// # Ok(())
/// # }
/// ```
pub struct Channel {
    pipe: Pipe,
    /// The settings it was opened with.
    builder: ChannelBuilder,
    /// As the service spells it, which status lists go by.
    name: String,
    link: Link,
    /// The response to the open request.
    status_at_open: ChannelStatus,
    /// Differs if the channel was deleted and created again.
    created_on_ms: Option<u64>,
    in_flight: InFlight,
    /// What [`append`](Channel::append) could not send, and what a recovery found to be lost.
    missing: Missing,
    /// Why a recovery could not say whether rows that were in flight are stored.
    unproven: Option<Error>,
    /// Rows that the channel had when it was opened last.
    rows_at_open: u64,
    /// Rows that have come in between the last two openings.
    rows_since: u64,
    pace: Pace,
    rejections: Rejections,
    reopens: u64,
    compressor: Compressor,
    payload: Payload,
}

/// What the next append has to send along, or why there can be none.
#[derive(Debug)]
enum Link {
    Up {
        continuation: String,
        sticky: Option<HeaderValue>,
    },
    /// Reopening may help.
    Down(Error),
    /// Reopening cannot help, and would take the channel away from another writer.
    Ended(Error),
}

impl Channel {
    fn new(pipe: Pipe, builder: ChannelBuilder, opened: Opened) -> Channel {
        let Opened { continuation, status } = opened;
        Channel {
            name: status.channel_name().unwrap_or(builder.name()).to_string(),
            pipe,
            builder,
            link: Link::Up { continuation, sticky: None },
            in_flight: InFlight::after(status.committed_offset()),
            created_on_ms: status.created_on_ms(),
            missing: Missing::default(),
            unproven: None,
            rows_at_open: status.rows_received(),
            rows_since: 0,
            pace: Pace::default(),
            rejections: Rejections::since(status.clone()),
            reopens: 0,
            status_at_open: status,
            compressor: Compressor::default(),
            payload: Payload::default(),
        }
    }

    pub(crate) fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    pub(crate) fn status_at_open(&self) -> &ChannelStatus {
        &self.status_at_open
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    pub(crate) fn in_flight_mut(&mut self) -> &mut InFlight {
        &mut self.in_flight
    }

    /// How often the channel was opened after the first time.
    pub(crate) fn reopens(&self) -> u64 {
        self.reopens
    }

    /// The name that the channel was opened by, quotes included: in paths it means this channel and no other.
    pub(crate) fn given_name(&self) -> &str {
        self.builder.name()
    }

    /// The channel's name as the service spells it, which [`Pipe::statuses`](crate::Pipe::statuses) takes.
    ///
    /// Of a name in double quotes it lacks the quotes. Do not open or drop a channel by it: without quotes, `Load` means
    /// `LOAD`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset token up to which rows are known to be committed: at opening, or by the last wait or status.
    ///
    /// `None` for a channel that has never committed a token. Resume after it. A status that lags does not move it back.
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.in_flight.reported()
    }

    /// The offset token that was last accepted, committed or not.
    pub fn sent_offset(&self) -> Option<&OffsetToken> {
        self.in_flight.last_accepted()
    }

    /// Appends the rows, in as many requests as they need; an empty batch sends nothing.
    ///
    /// The service accepts four million bytes a request after compression, ten requests and about 20 MB before compression
    /// a second: fill batches rather than appending row by row.
    ///
    /// # Blocking
    ///
    /// Until the service has received the rows; on trouble the same request is repeated until the client's retry budget
    /// ends.
    ///
    /// # Errors
    ///
    /// After [`Unconfirmed`](ErrorKind::Unconfirmed), after [`Channel`](ErrorKind::Channel), and after any error of a batch
    /// of which some requests were accepted, this handle appends no more: [`recover`](Channel::recover) it, or reopen it and
    /// resume after the committed offset. [`Conflict`](ErrorKind::Conflict) once it is known that the channel belongs to
    /// another writer, or was deleted and created again. [`Row`](ErrorKind::Row) for a row too long for any request.
    /// Otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn append(&mut self, batch: &Batch) -> Result<(), Error> {
        let was_up = self.check_link().is_ok();
        let (accepted, result) = self.append_payloads(batch);
        // Doubt that was there before concerns rows of another batch.
        let in_doubt = if was_up { self.in_flight.rows_in_doubt() } else { 0 };
        let sent = accepted + in_doubt;
        self.missing.settle(batch, sent);
        let Err(error) = result else { return Ok(()) };
        if accepted > 0 {
            self.take_down(self.accepted_in_part(accepted, batch.rows()));
        }
        // A batch with a row that fits in no request can never be appended as it is.
        if sent < batch.rows() && (sent > 0 || error.kind() != ErrorKind::Row) {
            self.missing.note(batch, sent, self.in_flight.requests());
        }
        Err(if accepted > 0 { part_accepted(error) } else { error })
    }

    /// The number of accepted rows, and why not all of them.
    fn append_payloads(&mut self, batch: &Batch) -> (usize, Result<(), Error>) {
        let mut compressor = std::mem::take(&mut self.compressor);
        let mut payload = std::mem::take(&mut self.payload);
        let (mut payloads, mut accepted) = (Payloads::of(batch), 0);
        let result = loop {
            match payloads.next(&mut compressor, &mut payload) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            match self.append_payload(&payload) {
                Ok(()) => accepted += payload.rows,
                Err(error) if is_too_long(&error) && payloads.halve() => {}
                Err(error) => break Err(error),
            }
        };
        (self.compressor, self.payload) = (compressor, payload);
        (accepted, result)
    }

    /// An error if this handle can append no more.
    pub(crate) fn check_link(&self) -> Result<(), Error> {
        match &self.link {
            Link::Up { .. } => Ok(()),
            Link::Down(error) | Link::Ended(error) => Err(error.clone()),
        }
    }

    /// Whether a batch was accepted in part, and the rest of it not appended since.
    pub(crate) fn has_gap(&self) -> bool {
        self.missing.is_begun()
    }

    /// Appends no more, for this reason.
    pub(crate) fn take_down(&mut self, reason: Error) {
        if !matches!(self.link, Link::Ended(_)) {
            self.link = Link::Down(reason);
        }
    }

    /// Appends one request body. It is in flight afterwards, unless it was certainly not applied.
    pub(crate) fn append_payload(&mut self, payload: &Payload) -> Result<(), Error> {
        let (continuation, sticky) = match &self.link {
            Link::Up { continuation, sticky } => (continuation, sticky.as_ref()),
            Link::Down(error) | Link::Ended(error) => return Err(error.clone()),
        };
        let (session, pipe, clock) = (self.pipe.session(), self.pipe.name(), self.pipe.clock());
        clock.sleep(self.pace.wait(clock.now()));
        let began = clock.now();
        self.pace.begin(began);
        // Not the service's spelling: without its quotes, a quoted name would be another one in a path.
        match api::append_rows(session, pipe, self.builder.path_name(), continuation, sticky, payload) {
            Ok(appended) => {
                self.pace.end(appended.was_throttled);
                self.link = Link::Up { continuation: appended.continuation, sticky: appended.sticky };
                self.in_flight.push(payload, began);
                Ok(())
            }
            Err(error) => {
                if needs_reopening(&error) {
                    self.link = Link::Down(self.lost(&error));
                }
                if is_in_doubt(&error) {
                    self.in_flight.push_in_doubt(payload, began);
                }
                Err(error)
            }
        }
    }

    /// Releases the handle without sending a request; same as dropping it. The service keeps the committed offset and the
    /// rows that were appended. To delete the channel use [`Pipe::drop_channel`](crate::Pipe::drop_channel).
    pub fn close(self) {}

    fn accepted_in_part(&self, accepted: usize, rows: usize) -> Error {
        Error::new(ErrorKind::Channel, format!("of an earlier batch only {accepted} of {rows} rows were accepted"))
            .attempting(self.attempted("append to"))
            .advise(RESUME)
    }

    /// What later appends on this handle return.
    fn lost(&self, cause: &Error) -> Error {
        Error::new(ErrorKind::Channel, "an earlier append left the state of the channel unknown")
            .attempting(self.attempted("append to"))
            .with_code(cause.code().map(str::to_string))
            .advise(RESUME)
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} channel {} of pipe {}", self.given_name(), self.pipe.name())
    }
}

/// A proxy may take less than the service does. After a doubtful attempt the rows may be stored all the same.
pub(crate) fn is_too_long(error: &Error) -> bool {
    error.status() == Some(413) && !needs_reopening(error)
}

/// Whether only reopening the channel shows what was applied. After any other error it is as it was.
pub(crate) fn needs_reopening(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Channel | ErrorKind::Unconfirmed)
}

/// Whether an append that failed in this way may have been applied, so that its rows are in flight. A refusal of its only
/// attempt shows that they are not; a stale token may have become so by the very append that it refuses.
pub(crate) fn is_in_doubt(error: &Error) -> bool {
    let is_stale = error.code().is_some_and(|code| code.starts_with("STALE_"));
    let is_refusal = error.status().is_some_and(|status| (400..500).contains(&status));
    needs_reopening(error)
        && (error.kind() == ErrorKind::Unconfirmed || error.attempts() > 1 || is_stale || !is_refusal)
}

/// Appending the same batch again would double its first rows.
fn part_accepted(error: Error) -> Error {
    if error.is_retryable() { error.not_retryable().advise(RESUME) } else { error }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("pipe", &self.pipe)
            .field("name", &self.name)
            .field("committed_offset", &self.committed_offset())
            .field("sent_offset", &self.sent_offset())
            .finish_non_exhaustive()
    }
}

const RESUME: &str = "reopen the channel and resume after its committed offset";
