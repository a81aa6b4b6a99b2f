mod builder;
mod in_flight;
mod pace;
mod recovery;
mod wait;

use std::time::Duration;

use ::http::HeaderValue;

pub use self::builder::ChannelBuilder;
pub(crate) use self::in_flight::{InFlight, Uncommitted};
use self::pace::Pace;
pub use self::recovery::Recovery;
pub(crate) use self::wait::Wait;
use crate::error::{Error, ErrorKind, clean};
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
    /// The settings it was opened with.
    builder: ChannelBuilder,
    name: String,
    link: Link,
    /// The response to the open request.
    status_at_open: ChannelStatus,
    in_flight: InFlight,
    /// A batch was given to [`append`](Channel::append) of which some rows were never sent.
    has_unsent_rows: bool,
    pace: Pace,
    /// Rejected rows that the caller knows of: each is reported once.
    rejected_reported: u64,
    reopens: u64,
    compressor: Compressor,
    payload: Payload,
}

/// What the next append has to send along, or why there can be none.
#[derive(Debug)]
enum Link {
    Up { continuation: String, sticky: Option<HeaderValue> },
    Down(Error),
}

impl Channel {
    fn new(pipe: Pipe, builder: ChannelBuilder, opened: Opened) -> Channel {
        let Opened { continuation, status } = opened;
        Channel {
            // The service's own spelling, which status requests must use.
            name: status.channel_name().unwrap_or(builder.name()).to_string(),
            pipe,
            builder,
            link: Link::Up { continuation, sticky: None },
            in_flight: InFlight::after(status.committed_offset()),
            has_unsent_rows: false,
            pace: Pace::default(),
            rejected_reported: status.rows_rejected(),
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

    /// The channel's name as the service spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset token up to which rows are known to be committed: at opening, or by the last wait or status.
    ///
    /// `None` for a channel that has never committed a token. Resume after it.
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
    /// of which some requests were accepted, this handle appends no more: reopen it and resume after the committed offset. [`Rejected`](ErrorKind::Rejected) is said of a row too long for any
    /// request. Otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn append(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut compressor = std::mem::take(&mut self.compressor);
        let mut payload = std::mem::take(&mut self.payload);
        let (was_up, mut accepted) = (self.check_link().is_ok(), 0);
        let mut append_each = || {
            let mut payloads = Payloads::of(batch);
            while payloads.next(&mut compressor, &mut payload)? {
                self.append_payload(&payload)?;
                accepted += payload.rows;
            }
            Ok(())
        };
        let result = append_each();
        (self.compressor, self.payload) = (compressor, payload);
        if result.is_ok() {
            return result;
        }
        // Doubt that was there before concerns rows of another batch.
        let in_doubt = if was_up { self.in_flight.rows_in_doubt() } else { 0 };
        if accepted > 0 {
            // Appending the same batch again would double its first rows.
            self.take_down(self.accepted_in_part(accepted, batch.rows()));
        }
        // On a link that still stands the caller can append the batch again, so none of it is missing.
        self.has_unsent_rows |= self.check_link().is_err() && accepted + in_doubt < batch.rows();
        result
    }

    /// An error if this handle can append no more.
    pub(crate) fn check_link(&self) -> Result<(), Error> {
        match &self.link {
            Link::Up { .. } => Ok(()),
            Link::Down(error) => Err(error.clone()),
        }
    }

    /// Appends no more, for this reason.
    pub(crate) fn take_down(&mut self, reason: Error) {
        self.link = Link::Down(reason);
    }

    /// Appends one request body. It is in flight afterwards, unless it was certainly not applied.
    pub(crate) fn append_payload(&mut self, payload: &Payload) -> Result<(), Error> {
        let (continuation, sticky) = match &self.link {
            Link::Up { continuation, sticky } => (continuation, sticky.as_ref()),
            Link::Down(error) => return Err(error.clone()),
        };
        let (session, pipe, clock) = (self.pipe.session(), self.pipe.name(), self.pipe.clock());
        clock.sleep(self.pace.wait(clock.now()));
        let began = clock.now();
        self.pace.begin(began);
        match api::append_rows(session, pipe, &self.name, continuation, sticky, payload) {
            Ok(appended) => {
                self.pace.end(appended.was_throttled);
                self.link = Link::Up { continuation: appended.continuation, sticky: appended.sticky };
                self.in_flight.push(payload, began);
                Ok(())
            }
            Err(error) => {
                if needs_reopening(&error) {
                    self.link = Link::Down(self.lost(&error));
                    self.in_flight.push_in_doubt(payload, began);
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
        let attempted = self.attempted(&format!("confirm the commit of offset {offset} on"));
        self.wait_until(&attempted, timeout, |in_flight| in_flight.has_committed(&offset))
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
        let attempted = self.attempted("confirm the commit of the awaited offset on");
        self.wait_until(&attempted, timeout, |in_flight| condition(in_flight.reported()))
    }

    /// Opens the channel again, after an error of kind `Channel` or `Unconfirmed`. Rows that were sent and are not committed
    /// are awaited first, so the committed offset is final.
    ///
    /// # Blocking
    ///
    /// As [`ChannelBuilder::open`], with the same settings; an expected offset is not compared again.
    ///
    /// # Errors
    ///
    /// Those of [`ChannelBuilder::open`].
    pub fn reopen(&mut self) -> Result<(), Error> {
        let opened = self.builder.clone().open()?;
        self.take_over(opened);
        Ok(())
    }

    fn take_over(&mut self, opened: Channel) {
        self.pipe.session().counters().add_reopen();
        // Rows that were rejected while the channel was lost are not reported yet; a smaller count is a new start.
        let rejected_reported = self.rejected_reported.min(opened.rejected_reported);
        *self = Channel { rejected_reported, reopens: self.reopens + 1, ..opened };
    }

    /// Releases the handle without sending a request; same as dropping it. The service keeps the committed offset and the
    /// rows that were appended. To delete the channel use [`Pipe::drop_channel`](crate::Pipe::drop_channel).
    pub fn close(self) {}

    fn wait_until(
        &mut self,
        attempted: &str,
        timeout: Duration,
        is_committed: impl Fn(&InFlight) -> bool,
    ) -> Result<(), Error> {
        let mut wait = Wait::new(self.pipe.clock(), timeout);
        loop {
            let status = self.fetch_status(Some(wait.request_timeout(self.pipe.clock())))?;
            if is_committed(&self.in_flight) {
                return self.report_rejected(&status).map_err(|error| error.attempting(attempted));
            }
            self.check_usable(&status).map_err(|error| error.attempting(attempted))?;
            if !wait.pause(self.pipe.clock()) {
                return Err(self.still_waiting(timeout).attempting(attempted));
            }
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
        self.in_flight.observe(status.committed_offset().as_ref(), self.pipe.clock().now());
        Ok(status)
    }

    /// Rows rejected since the last call; a smaller count than before is a new beginning.
    pub(crate) fn take_rejected(&mut self, status: &ChannelStatus) -> u64 {
        let rejected = status.rows_rejected().saturating_sub(self.rejected_reported);
        self.rejected_reported = status.rows_rejected();
        rejected
    }

    fn report_rejected(&mut self, status: &ChannelStatus) -> Result<(), Error> {
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
        let so_far = match self.in_flight.reported() {
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

    /// What later appends on this handle return.
    fn lost(&self, cause: &Error) -> Error {
        Error::new(ErrorKind::Channel, "the outcome of an earlier append is unknown")
            .attempting(self.attempted("append to"))
            .with_code(cause.code().map(str::to_string))
            .advise("reopen the channel and resume after its committed offset")
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} channel {} of pipe {}", self.name, self.pipe.name())
    }
}

/// The error for rows that the service accepted and could not store.
pub(crate) fn rows_rejected(rejected: u64, status: &ChannelStatus) -> Error {
    let near = status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
    let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
    let rows = if rejected == 1 { "1 row was".to_string() } else { format!("{rejected} rows were") };
    let happened = format!("all is committed, but {rows} rejected, the last{near}: {reason}");
    Error::new(ErrorKind::Rejected, happened).advise("correct these rows; repeating them as they are will not help")
}

/// Whether only reopening the channel shows what was applied. After any other error it is as it was.
pub(crate) fn needs_reopening(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Channel | ErrorKind::Unconfirmed)
}
