mod builder;
mod pace;
mod polls;
mod recovery;

use std::time::Duration;

use ::http::HeaderValue;

pub use self::builder::ChannelBuilder;
use self::pace::Pace;
pub(crate) use self::polls::Polls;
pub use self::recovery::Recovery;
use crate::error::{Error, ErrorKind, clean};
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor, Payload, for_each_payload};
use crate::rows::{Ledger, OffsetToken};
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
/// its next append. [`Loader`](crate::Loader) does all of this for a file or any other source of rows.
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
#[derive(Debug)]
pub struct Channel {
    pipe: Pipe,
    /// How to open it again.
    builder: ChannelBuilder,
    name: String,
    link: Link,
    /// What the service said when it was opened.
    status_at_open: ChannelStatus,
    ledger: Ledger,
    /// The last token, if any, of an append whose outcome is unknown.
    in_doubt: Option<Option<OffsetToken>>,
    /// Rows given to [`append`](Channel::append), and those of them that were sent, whatever became of them.
    rows_given: u64,
    rows_sent: u64,
    pace: Pace,
    /// Rejected rows already told, so that each is told once.
    rejected_told: u64,
    compressor: Compressor,
    payload: Payload,
}

/// What the next append needs, or why there cannot be one.
#[derive(Debug)]
enum Link {
    Up { continuation: String, sticky: Option<HeaderValue> },
    Down(Error),
}

impl Channel {
    fn new(pipe: Pipe, builder: ChannelBuilder, opened: Opened) -> Channel {
        let Opened { continuation, status } = opened;
        Channel {
            // The service's own spelling, which later questions for the status must use.
            name: status.channel_name().unwrap_or(builder.name()).to_string(),
            pipe,
            builder,
            link: Link::Up { continuation, sticky: None },
            ledger: Ledger::new(status.committed_offset()),
            in_doubt: None,
            rows_given: 0,
            rows_sent: 0,
            pace: Pace::default(),
            rejected_told: status.rows_rejected(),
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

    /// The channel's name as the service spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset token up to which rows are known to be committed: at opening, or by the last wait or status.
    ///
    /// `None` for a channel that has never committed a token. Resume after it.
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.ledger.committed()
    }

    /// The offset token that was last accepted, committed or not.
    pub fn sent_offset(&self) -> Option<&OffsetToken> {
        self.ledger.last_sent()
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
    /// of which some requests were accepted, this handle appends no more: reopen it and resume after the committed offset. [`Rejected`](ErrorKind::Rejected) is said of a row too long for any
    /// request. Otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn append(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut compressor = std::mem::take(&mut self.compressor);
        let mut payload = std::mem::take(&mut self.payload);
        let mut accepted = 0;
        let result = for_each_payload(batch, &mut compressor, &mut payload, |payload| {
            self.append_payload(payload)?;
            accepted += payload.rows;
            Ok(())
        });
        (self.compressor, self.payload) = (compressor, payload);
        if accepted > 0 && result.is_err() {
            // Appending the same batch again would double its first rows.
            self.link = Link::Down(self.accepted_in_part(accepted, batch.rows()));
        }
        // A batch of which nothing was sent through a link that still stands is only its caller's.
        if result.is_ok() || self.check_link().is_err() {
            self.rows_given += batch.rows() as u64;
        }
        result
    }

    /// An error if this handle can append no more.
    pub(crate) fn check_link(&self) -> Result<(), Error> {
        match &self.link {
            Link::Up { .. } => Ok(()),
            Link::Down(error) => Err(error.clone()),
        }
    }

    /// The last tokens of what was appended and is not known to be committed.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = &OffsetToken> {
        self.ledger.pending().chain(self.in_doubt.iter().flatten())
    }

    /// Appends no more, for this reason.
    pub(crate) fn take_down(&mut self, reason: Error) {
        self.link = Link::Down(reason);
    }

    /// Appends one ready request body.
    pub(crate) fn append_payload(&mut self, payload: &Payload) -> Result<(), Error> {
        let (continuation, sticky) = match &self.link {
            Link::Up { continuation, sticky } => (continuation, sticky.as_ref()),
            Link::Down(error) => return Err(error.clone()),
        };
        let (session, pipe, clock) = (self.pipe.session(), self.pipe.name(), self.pipe.clock());
        clock.sleep(self.pace.wait(clock.now()));
        self.pace.begin(clock.now());
        match api::append_rows(session, pipe, &self.name, continuation, sticky, payload) {
            Ok(appended) => {
                self.pace.end(appended.was_throttled);
                self.link = Link::Up { continuation: appended.continuation, sticky: appended.sticky };
                self.ledger.sent(payload.last.clone());
                self.rows_sent += payload.rows as u64;
                Ok(())
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Channel | ErrorKind::Unconfirmed) {
                    self.link = Link::Down(self.lost(&error));
                    self.in_doubt = Some(payload.last.clone());
                    self.rows_sent += payload.rows as u64;
                }
                Err(error)
            }
        }
    }

    /// Asks the service how the channel stands, and takes note of what is committed.
    ///
    /// # Blocking
    ///
    /// One request; repeated on trouble until the client's retry budget ends.
    ///
    /// # Errors
    ///
    /// [`Channel`](ErrorKind::Channel) when the service knows no such channel; otherwise those of every request.
    pub fn status(&mut self) -> Result<ChannelStatus, Error> {
        self.fetch_status(None)
    }

    /// Waits until the row with this offset token, and so every row appended before it, is committed.
    ///
    /// The token is the last one of a batch appended through this handle, or the one the channel had committed when it was
    /// opened: the service tells the ends of requests only, so waiting for a row in the middle of one ends in a timeout.
    /// The first look is immediate; later ones follow after tens of milliseconds, growing to seconds.
    ///
    /// # Blocking
    ///
    /// Until the commit, at most `timeout`.
    ///
    /// # Errors
    ///
    /// - [`Rejected`](ErrorKind::Rejected): all is committed, but rows since the last wait could not be stored. Each
    ///   rejected row is told once.
    /// - [`Channel`](ErrorKind::Channel): the channel must be reopened, so no commit will come.
    /// - [`Timeout`](ErrorKind::Timeout): not yet; nothing is lost, wait again.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn wait_for_commit(&mut self, offset: impl Into<OffsetToken>, timeout: Duration) -> Result<(), Error> {
        let offset = offset.into();
        let attempted = self.attempted(&format!("see offset {offset} committed on"));
        self.wait_until(&attempted, timeout, |ledger| ledger.has_committed(&offset))
    }

    /// Waits until the committed offset token satisfies a condition of the caller's, who alone knows their order.
    ///
    /// # Blocking
    ///
    /// Until the condition holds, at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`wait_for_commit`](Channel::wait_for_commit).
    pub fn wait_for_commit_where(
        &mut self,
        condition: impl Fn(Option<&OffsetToken>) -> bool,
        timeout: Duration,
    ) -> Result<(), Error> {
        let attempted = self.attempted("see the awaited offset committed on");
        self.wait_until(&attempted, timeout, |ledger| condition(ledger.committed()))
    }

    /// Opens the channel again, after a loss or a doubt: what was sent and not committed is awaited, then the committed offset is fresh.
    ///
    /// # Blocking
    ///
    /// As [`ChannelBuilder::open`], with the same settings; an expected offset is not compared again.
    ///
    /// # Errors
    ///
    /// Those of [`ChannelBuilder::open`].
    pub fn reopen(&mut self) -> Result<(), Error> {
        let rejected_told = self.rejected_told;
        *self = self.builder.clone().open()?;
        self.pipe.session().counters().add_reopen();
        // Rows that were rejected unseen while the channel was lost are still to be told; a smaller count is a new start.
        self.rejected_told = rejected_told.min(self.rejected_told);
        Ok(())
    }

    /// Lets go of the channel without any request: its committed offset stays with the service, as does what was appended.
    ///
    /// Dropping the value does the same; this says it aloud. To delete the channel use
    /// [`Pipe::drop_channel`](crate::Pipe::drop_channel).
    pub fn close(self) {}

    fn wait_until(
        &mut self,
        attempted: &str,
        timeout: Duration,
        is_committed: impl Fn(&Ledger) -> bool,
    ) -> Result<(), Error> {
        let clock = self.pipe.clock();
        let deadline = clock.now().after(timeout);
        let mut polls = Polls::default();
        loop {
            let left = self.pipe.clock().now().until(deadline);
            let status = self.fetch_status(Some(left.max(MIN_TIMEOUT)))?;
            if is_committed(&self.ledger) {
                return self.tell_rejected(&status).map_err(|error| error.attempting(attempted));
            }
            self.check_usable(&status).map_err(|error| error.attempting(attempted))?;
            let clock = self.pipe.clock();
            let left = clock.now().until(deadline);
            if left.is_zero() {
                return Err(self.still_waiting(timeout).attempting(attempted));
            }
            clock.sleep(polls.next().min(left));
        }
    }

    pub(crate) fn fetch_status(&mut self, timeout: Option<Duration>) -> Result<ChannelStatus, Error> {
        let names = [self.name.as_str()];
        let mut statuses = api::channel_statuses(self.pipe.session(), self.pipe.name(), &names, timeout)?;
        let status = statuses.remove(&self.name).or_else(|| {
            // The key is the name as asked, or as the service spells it.
            statuses.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.name)).map(|(_, status)| status)
        });
        let Some(status) = status else {
            return Err(Error::new(ErrorKind::Channel, "the service knows no such channel")
                .attempting(self.attempted("ask for the status of"))
                .advise("reopen it: it was dropped, or unused for thirty days"));
        };
        self.ledger.observe(status.committed_offset());
        Ok(status)
    }

    /// Rows rejected since this was last asked; a smaller count than before is a new beginning.
    pub(crate) fn take_rejected(&mut self, status: &ChannelStatus) -> u64 {
        let rejected = status.rows_rejected().saturating_sub(self.rejected_told);
        self.rejected_told = status.rows_rejected();
        rejected
    }

    fn tell_rejected(&mut self, status: &ChannelStatus) -> Result<(), Error> {
        match self.take_rejected(status) {
            0 => Ok(()),
            rejected => Err(rows_rejected(rejected, status)),
        }
    }

    pub(crate) fn check_usable(&self, status: &ChannelStatus) -> Result<(), Error> {
        if status.is_usable() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Channel, "the channel has become unusable")
            .attempting(self.attempted("go on with"))
            .with_code(Some(clean(status.code())))
            .advise("mend the cause, reopen the channel and resume after its committed offset"))
    }

    fn still_waiting(&self, timeout: Duration) -> Error {
        let so_far = match self.ledger.committed() {
            Some(offset) => format!("committed so far is offset {offset}"),
            None => "nothing is committed so far".into(),
        };
        Error::new(ErrorKind::Timeout, format!("not within {timeout:?}; {so_far}"))
            .advise("wait again: what was accepted is not lost")
    }

    fn accepted_in_part(&self, accepted: usize, rows: usize) -> Error {
        Error::new(ErrorKind::Channel, format!("of an earlier batch only {accepted} of {rows} rows were accepted"))
            .attempting(self.attempted("append to"))
            .advise("reopen the channel and resume after its committed offset")
    }

    /// What later appends on a lost handle are told.
    fn lost(&self, cause: &Error) -> Error {
        Error::new(ErrorKind::Channel, "an earlier append left the channel in doubt")
            .attempting(self.attempted("append to"))
            .with_code(cause.code().map(str::to_string))
            .advise("reopen the channel and resume after its committed offset")
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} channel {} of pipe {}", self.name, self.pipe.name())
    }
}

/// What there is to say of rows that the service took and could not store.
pub(crate) fn rows_rejected(rejected: u64, status: &ChannelStatus) -> Error {
    let near = status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
    let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
    let rows = if rejected == 1 { "1 row was".to_string() } else { format!("{rejected} rows were") };
    let happened = format!("all is committed, but {rows} rejected, the last{near}: {reason}");
    Error::new(ErrorKind::Rejected, happened).advise("correct these rows; repeating them as they are will not help")
}

/// Even a wait without time left asks once, and that question needs time for its response.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
