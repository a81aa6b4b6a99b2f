//! Gets request bodies committed on a channel and recovers when it is lost: shared by the loader and the writer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::channel::{Channel, Wait, needs_reopening, rows_rejected};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::rows::{OffsetToken, Payload};
use crate::snowflake::status::ChannelStatus;

/// A channel, the bodies that wait to be sent through it, and what has been sent so far.
#[derive(Debug)]
pub(crate) struct Delivery {
    channel: Channel,
    /// Bodies that wait to be sent, or to be sent again.
    queue: VecDeque<Payload>,
    max_retained: usize,
    commit_timeout: Duration,
    last_look: Moment,
    last_status: ChannelStatus,
    totals: Totals,
    /// Of the channel, before it was taken over.
    earlier_reopens: u64,
    committed_requests_at_reopen: u64,
    fruitless_reopens: u32,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) rejected: u64,
}

impl Delivery {
    /// Limit of what is retained of sent and uncommitted bodies: eight full requests.
    pub(crate) const RETAINED_BYTES: usize = 32_000_000;

    /// Takes the channel over. What was appended through it before is waited for, too, but cannot be sent again.
    pub(crate) fn new(mut channel: Channel, commit_timeout: Duration) -> Delivery {
        channel.in_flight_mut().inherit();
        Delivery {
            queue: VecDeque::new(),
            max_retained: Delivery::RETAINED_BYTES,
            commit_timeout,
            last_look: channel.pipe().clock().now(),
            last_status: channel.status_at_open().clone(),
            totals: Totals::default(),
            earlier_reopens: channel.reopens(),
            committed_requests_at_reopen: 0,
            fruitless_reopens: 0,
            channel,
        }
    }

    /// Limits the bytes of retained bodies; a longer body is retained alone.
    pub(crate) fn retaining_at_most(mut self, bytes: usize) -> Delivery {
        self.max_retained = bytes;
        self
    }

    pub(crate) fn set_commit_timeout(&mut self, timeout: Duration) {
        self.commit_timeout = timeout;
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// How often the channel was reopened here.
    pub(crate) fn reopens(&self) -> u64 {
        self.channel.reopens() - self.earlier_reopens
    }

    /// The offset up to which everything is committed.
    pub(crate) fn committed_offset(&self) -> Option<&OffsetToken> {
        self.channel.in_flight().committed()
    }

    /// Rows sent here that are committed.
    pub(crate) fn committed_rows(&self) -> u64 {
        self.channel.in_flight().committed_rows()
    }

    /// From sending to seeing the commit, of the request committed last.
    pub(crate) fn commit_lag(&self) -> Duration {
        self.channel.in_flight().commit_lag()
    }

    /// Whether nothing waits to be sent and nothing is in flight.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.channel.in_flight().is_empty()
    }

    /// Sends a body whose rows the caller can read again; after a loss of the channel it has to.
    pub(crate) fn send(&mut self, payload: &Payload) -> Result<(), Error> {
        self.channel.append_payload(payload)?;
        self.note_sent(payload.rows, payload.plain_bytes)
    }

    /// Takes over a body whose rows cannot be read again.
    pub(crate) fn enqueue(&mut self, mut payload: Payload) {
        payload.wire.shrink_to_fit();
        self.queue.push_back(payload);
    }

    /// Sends the queue; while too much is retained, waits for commits.
    pub(crate) fn send_queue(&mut self, mut on_look: impl FnMut(&Delivery)) -> Result<(), Error> {
        // After a recovery that failed, nothing in flight will be committed: it must be recovered first.
        self.channel.check_link()?;
        while !self.queue.is_empty() {
            self.wait_until(Delivery::has_room, &mut on_look)?;
            self.send_next()?;
            on_look(self);
        }
        Ok(())
    }

    fn send_next(&mut self) -> Result<(), Error> {
        self.channel.check_link()?;
        let Some(payload) = self.queue.pop_front() else { return Ok(()) };
        let (rows, bytes) = (payload.rows, payload.plain_bytes);
        match self.channel.append_payload(&payload) {
            Ok(()) => self.channel.in_flight_mut().retain(payload),
            Err(error) => {
                self.requeue_if_not_applied(payload, &error);
                return Err(error);
            }
        }
        self.note_sent(rows, bytes)
    }

    /// Only a body that may have been applied is in flight after an error; any other waits for the next attempt.
    fn requeue_if_not_applied(&mut self, payload: Payload, error: &Error) {
        if needs_reopening(error) {
            self.channel.in_flight_mut().retain(payload);
        } else {
            self.queue.push_front(payload);
        }
    }

    /// Waits for commits until the condition holds or the commit timeout is over.
    pub(crate) fn wait_until(
        &mut self,
        is_done: impl Fn(&Delivery) -> bool,
        mut on_look: impl FnMut(&Delivery),
    ) -> Result<(), Error> {
        let mut wait = Wait::new(self.channel.pipe().clock(), self.commit_timeout);
        while !is_done(self) {
            self.look(Some(wait.request_timeout(self.channel.pipe().clock())))?;
            on_look(self);
            if is_done(self) {
                return Ok(());
            }
            if !wait.pause(self.channel.pipe().clock()) {
                return Err(self.commit_overdue());
            }
        }
        Ok(())
    }

    /// Reopens the channel after `Channel` or `Unconfirmed`, takes its committed offset as authoritative and requeues the
    /// bodies behind it.
    ///
    /// Returns the cause if it is of another kind. Gives up after several reopens without progress.
    pub(crate) fn recover(&mut self, cause: Error) -> Result<(), Error> {
        if !needs_reopening(&cause) {
            return Err(cause);
        }
        log::info!("reopening channel {}: {cause}", self.channel.name());
        let committed_requests = self.channel.in_flight().committed_requests();
        let is_fruitful = committed_requests > self.committed_requests_at_reopen;
        let fruitless_reopens = if is_fruitful { 0 } else { self.fruitless_reopens + 1 };
        if fruitless_reopens > MAX_FRUITLESS_REOPENS {
            return Err(self.no_progress(&cause));
        }
        if fruitless_reopens > 1 {
            self.channel.pipe().clock().sleep(FIRST_PAUSE * 2u32.pow(fruitless_reopens - 2));
        }
        let uncommitted = self.channel.reconcile()?;
        // Counted only after success: a service out of reach is no sign of a second writer.
        self.fruitless_reopens = fruitless_reopens;
        self.committed_requests_at_reopen = committed_requests;
        self.note_commit_lag();
        if uncommitted.has_inherited() {
            // Rows are lost that cannot be sent again, so none may be sent after them.
            let error = self.inherited_lost();
            self.channel.take_down(error.clone());
            return Err(error);
        }
        // If everything is committed there is no further look that would see these.
        self.note_rejected(self.channel.status_at_open().clone());
        for body in uncommitted.into_bodies().rev() {
            self.queue.push_front(body);
        }
        Ok(())
    }

    /// Whether the next body can be retained, too.
    fn has_room(&self) -> bool {
        let in_flight = self.channel.in_flight();
        let next = self.queue.front().map_or(0, |payload| payload.wire.len());
        in_flight.is_empty() || in_flight.retained_bytes() + next <= self.max_retained
    }

    /// What the service reported last.
    pub(crate) fn last_status(&self) -> &ChannelStatus {
        &self.last_status
    }

    /// The error for this many rejected rows.
    pub(crate) fn rejected(&self, rows: u64) -> Error {
        rows_rejected(rows, &self.last_status)
    }

    /// Looks at the channel now and then while sending, so that a loss and rejected rows are noticed early.
    fn note_sent(&mut self, rows: usize, bytes: usize) -> Result<(), Error> {
        self.totals.batches += 1;
        self.totals.rows += rows as u64;
        self.totals.bytes += bytes as u64;
        let since_last_look = self.channel.pipe().clock().now().since(self.last_look);
        if since_last_look < LOOK_EVERY { Ok(()) } else { self.look(None) }
    }

    /// Asks for the channel's status: what is committed, what was rejected, whether the channel is still usable.
    fn look(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let status = self.channel.fetch_status(timeout)?;
        self.note_rejected(status);
        self.last_look = self.channel.pipe().clock().now();
        self.note_commit_lag();
        self.channel.check_usable(&self.last_status)
    }

    fn note_rejected(&mut self, status: ChannelStatus) {
        self.totals.rejected += self.channel.take_rejected(&status);
        self.last_status = status;
    }

    fn note_commit_lag(&self) {
        if self.committed_offset().is_some() {
            self.channel.pipe().session().counters().note_commit_lag(self.commit_lag());
        }
    }

    fn commit_overdue(&self) -> Error {
        let happened = match self.committed_offset() {
            _ if !self.channel.in_flight().has_marked() => {
                "rows appended before the writer began have no offset token, so nothing shows that they are stored"
                    .into()
            }
            Some(offset) => format!("no commit within {:?} beyond offset {offset}", self.commit_timeout),
            None => format!("no commit within {:?}", self.commit_timeout),
        };
        Error::new(ErrorKind::Timeout, happened)
            .attempting(format!("confirm the commit of all rows on channel {}", self.channel.name()))
            .advise("run it again: it resumes after what is committed")
    }

    fn inherited_lost(&self) -> Error {
        Error::new(ErrorKind::Conflict, "rows that were appended before the writer began were lost with the channel")
            .attempting(format!("resume channel {}", self.channel.name()))
            .advise("open the channel again and resume after its committed offset")
    }

    fn no_progress(&self, cause: &Error) -> Error {
        let happened =
            format!("reopening it {MAX_FRUITLESS_REOPENS} times brought no progress; the last cause: {cause}");
        Error::new(ErrorKind::Channel, happened)
            .attempting(format!("deliver rows through channel {}", self.channel.name()))
            .with_code(cause.code().map(str::to_string))
            .advise("look for a second writer that uses the same channel name")
    }
}

/// Often enough to notice a lost channel, seldom enough to leave the service's ten requests a second to the rows.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A few can follow each other by chance; a second writer causes them without end.
const MAX_FRUITLESS_REOPENS: u32 = 5;

/// Doubled with each reopen that brings no progress, so that all of them together take about eight seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
