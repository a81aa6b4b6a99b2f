//! What the service reports of an open channel: which rows are committed, how many were rejected, whether it is usable.

use std::collections::HashMap;
use std::time::Duration;

use super::{Channel, InFlight, Link, Wait};
use crate::error::{Error, ErrorKind, clean};
use crate::pipe::Pipe;
use crate::rows::{OffsetToken, offset_or_none};
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
    /// - [`Channel`](ErrorKind::Channel): the service knows no such channel, though it was asked several times.
    /// - [`Conflict`](ErrorKind::Conflict): the channel was deleted and created again; the handle appends no more.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    pub fn status(&mut self) -> Result<ChannelStatus, Error> {
        self.fetch_status(None)
    }

    /// Waits until the row with this offset token, and so every row appended before it, is committed.
    ///
    /// The token is the last one of a batch appended through this handle, or the one the channel had committed when it was
    /// opened: the service reports the ends of requests only, so waiting for a row in the middle of one ends in a timeout.
    /// Of what was committed the handle knows the last 16,384 requests, also those from before a
    /// [`reopen`](Channel::reopen). The first look is immediate; later ones follow after tens of milliseconds, growing to
    /// seconds.
    ///
    /// # Blocking
    ///
    /// Until the commit, at most `timeout` and about a second more: the last look is given time for its response.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](ErrorKind::NotStored): all is committed, but rows since the last wait could not be stored. Each
    ///   rejected row is reported once, by the first wait that learns of it.
    /// - [`Channel`](ErrorKind::Channel): the channel must be reopened, so no commit will come.
    /// - [`Conflict`](ErrorKind::Conflict): the channel was deleted and created again; the handle appends no more.
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
    /// Until the condition holds, at most `timeout` and about a second more.
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
                return self.report_rejected().map_err(|error| error.attempting(attempted));
            }
            self.check_usable(&status).map_err(|error| error.attempting(attempted))?;
            if !wait.pause(self.pipe.clock()) {
                // Of a handle that has lost its channel no commit may ever come.
                self.check_link()?;
                return Err(self.still_waiting(timeout).attempting(attempted));
            }
        }
    }

    pub(crate) fn fetch_status(&mut self, timeout: Option<Duration>) -> Result<ChannelStatus, Error> {
        let status = self.look_for_status(timeout)?;
        self.note_status(status)
    }

    /// One look that a stop of the channel's calls does not prevent.
    pub(crate) fn fetch_status_after_stop(&mut self, timeout: Duration) -> Result<ChannelStatus, Error> {
        let found = self.look_once(&self.pipe.unstoppable(), Some(timeout))?;
        self.note_status(found.ok_or_else(|| self.is_unknown(1))?)
    }

    fn note_status(&mut self, status: ChannelStatus) -> Result<ChannelStatus, Error> {
        self.check_creation(&status)?;
        let offset = status.committed_offset();
        // An offset from before the opening comes from a status that lags, one of another writer with rows of its own.
        let has_grown = status.rows_received() > self.rows_at_open;
        if has_grown || offset.as_ref().is_some_and(|offset| self.in_flight.knows(offset)) {
            self.in_flight.observe(offset.as_ref(), self.pipe.clock().now());
        }
        self.rejections.note(&status);
        Ok(status)
    }

    /// A response that lacks the channel may come from a server that has not heard of it yet: looks again a few times.
    fn look_for_status(&self, timeout: Option<Duration>) -> Result<ChannelStatus, Error> {
        let clock = self.pipe.clock();
        let mut wait = Wait::new(clock, timeout.unwrap_or(MAX_ABSENCE));
        let mut looks = 1;
        loop {
            let limit = timeout.map(|_| wait.request_timeout(clock));
            if let Some(status) = self.look_once(&self.pipe, limit)? {
                return Ok(status);
            }
            if looks == MAX_LOOKS || !wait.pause(clock) {
                return Err(self.is_unknown(looks));
            }
            looks += 1;
        }
    }

    /// The channel's status, if the response has it.
    fn look_once(&self, pipe: &Pipe, timeout: Option<Duration>) -> Result<Option<ChannelStatus>, Error> {
        let mut statuses = api::channel_statuses(pipe.session(), pipe.name(), &[&self.name], timeout)?;
        Ok(statuses.remove(&self.name).or_else(|| status_of(self.builder.name(), statuses)))
    }

    fn is_unknown(&self, looks: u32) -> Error {
        Error::new(ErrorKind::Channel, "the service knows no such channel")
            .attempting(self.attempted("ask for the status of"))
            .with_attempts(looks)
            .advise("reopen it: it was dropped, or unused for thirty days")
    }

    /// A channel that was deleted and created again has forgotten what was in flight: rows may be stored of which its offset
    /// says nothing.
    pub(super) fn check_creation(&mut self, status: &ChannelStatus) -> Result<(), Error> {
        let (Some(known), Some(found)) = (self.created_on_ms, status.created_on_ms()) else { return Ok(()) };
        if known == found {
            return Ok(());
        }
        if self.in_flight.is_empty() && self.in_flight.committed().is_none() {
            self.created_on_ms = Some(found);
            self.rejections.reopen(status);
            self.rows_at_open = status.rows_received();
            return Ok(());
        }
        let error = self.created_again();
        self.link = Link::Ended(error.clone());
        Err(error)
    }

    fn created_again(&self) -> Error {
        let (rows, committed) = (self.in_flight.rows(), self.in_flight.committed());
        let after = committed.map_or("from its beginning".to_string(), |offset| format!("after offset {offset}"));
        let happened = match rows {
            0 => format!(
                "the channel was deleted and created again; it had committed offset {}",
                offset_or_none(committed)
            ),
            1 => format!("the channel was deleted and created again; the 1 row sent {after} may or may not be stored"),
            _ => format!(
                "the channel was deleted and created again; the {rows} rows sent {after} may or may not be stored"
            ),
        };
        let error = Error::new(ErrorKind::Conflict, happened)
            .attempting(self.attempted("continue with"))
            .advise("compare the table with the source: the same load, run again, would store all of its rows again");
        match committed {
            Some(offset) => error.with_committed_offset(offset.to_string()),
            None => error,
        }
    }

    /// Rejected rows that were not reported yet. A status that lags takes none back.
    pub(crate) fn take_rejected(&mut self, status: &ChannelStatus) -> u64 {
        self.rejections.note(status);
        self.rejections.take()
    }

    /// The status that has the reason for the row that was rejected last.
    pub(crate) fn status_of_rejections(&self) -> &ChannelStatus {
        self.rejections.status()
    }

    fn report_rejected(&mut self) -> Result<(), Error> {
        match self.rejections.take() {
            0 => Ok(()),
            rejected => Err(rows_rejected(rejected, self.rejections.status())),
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
            .advise("wait again; if it never comes, recover shows whether another writer has discarded it")
    }
}

/// The key is the name as asked, or as the service spells it: between quotes its case counts.
pub(super) fn status_of(name: &str, mut statuses: HashMap<String, ChannelStatus>) -> Option<ChannelStatus> {
    let listed = api::listed_names(name).iter().find_map(|listed| statuses.remove(listed));
    if listed.is_some() || api::is_quoted(name) {
        return listed;
    }
    statuses.into_iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(name)).map(|(_, status)| status)
}

/// The error for rows that the service accepted and could not store.
pub(crate) fn rows_rejected(rejected: u64, status: &ChannelStatus) -> Error {
    let near = status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
    let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
    let rows = if rejected == 1 { "1 row was".to_string() } else { format!("{rejected} rows were") };
    let happened = format!("all is committed, but {rows} rejected, the last{near}: {reason}");
    Error::new(ErrorKind::NotStored, happened)
        .with_rows_rejected(rejected)
        .advise("load the corrected rows from a source of their own, and leave this one as it is")
}

/// With the pauses between them half a second: time for a restarted server to hear of its channels.
const MAX_LOOKS: u32 = 7;

/// More than all looks and their pauses take.
const MAX_ABSENCE: Duration = Duration::from_secs(10);
