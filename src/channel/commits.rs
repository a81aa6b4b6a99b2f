//! What the service reports of an open channel: which rows are committed, how many were rejected, whether it is usable.

use std::time::Duration;

use super::{Channel, InFlight, Wait};
use crate::error::{Error, ErrorKind, clean};
use crate::rows::OffsetToken;
use crate::snowflake::api;
use crate::snowflake::status::ChannelStatus;

impl Channel {
    /// Asks the service for the channel's status and takes note of what is committed.
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
    /// opened: the service reports the ends of requests only, so waiting for a row in the middle of one ends in a timeout.
    /// The first look is immediate; later ones follow after tens of milliseconds, growing to seconds.
    ///
    /// # Blocking
    ///
    /// Until the commit, at most `timeout`.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](ErrorKind::NotStored): all is committed, but rows since the last wait could not be stored. Each
    ///   rejected row is reported once.
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
            .attempting(self.attempted("continue with"))
            .with_code(Some(clean(status.code())))
            .advise("fix the cause, reopen the channel and resume after its committed offset"))
    }

    fn still_waiting(&self, timeout: Duration) -> Error {
        let so_far = match self.in_flight.reported() {
            Some(offset) => format!("committed so far is offset {offset}"),
            None => "nothing is committed so far".into(),
        };
        Error::new(ErrorKind::Timeout, format!("it was not committed within {timeout:?}; {so_far}"))
            .advise("wait again: what was accepted is not lost")
    }
}

/// The error for rows that the service accepted and could not store.
pub(crate) fn rows_rejected(rejected: u64, status: &ChannelStatus) -> Error {
    let near = status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
    let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
    let rows = if rejected == 1 { "1 row was".to_string() } else { format!("{rejected} rows were") };
    let happened = format!("all is committed, but {rows} rejected, the last{near}: {reason}");
    Error::new(ErrorKind::NotStored, happened)
        .with_rows_rejected(rejected)
        .advise("correct these rows; repeating them as they are will not help")
}
