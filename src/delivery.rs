//! Gets ready request bodies committed on a channel, whatever happens to the channel: what the loader and the writer share.

mod in_flight;

use std::collections::VecDeque;
use std::time::Duration;

use self::in_flight::InFlight;
use crate::channel::{Channel, Polls, rows_rejected};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::rows::OffsetToken;
use crate::rows::Payload;
use crate::snowflake::status::ChannelStatus;

/// A channel, and what is on its way through it.
#[derive(Debug)]
pub(crate) struct Delivery {
    channel: Channel,
    in_flight: InFlight,
    /// Bodies that wait to be sent, or to be sent again.
    queue: VecDeque<Payload>,
    max_retained: usize,
    commit_timeout: Duration,
    last_look: Moment,
    last_status: ChannelStatus,
    totals: Totals,
    landed_at_open: u64,
    fruitless_reopens: u32,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) rejected: u64,
    pub(crate) reopens: u64,
}

impl Delivery {
    /// The most that is kept of what was sent and is not committed.
    pub(crate) const RETAINED_BYTES: usize = 32_000_000;

    pub(crate) fn new(channel: Channel, commit_timeout: Duration) -> Delivery {
        let now = channel.pipe().clock().now();
        let mut in_flight = InFlight::after(channel.committed_offset().cloned());
        channel.outstanding().for_each(|token| in_flight.precede(token, now));
        Delivery {
            in_flight,
            queue: VecDeque::new(),
            max_retained: Delivery::RETAINED_BYTES,
            commit_timeout,
            last_look: now,
            last_status: ChannelStatus::default(),
            totals: Totals::default(),
            landed_at_open: 0,
            fruitless_reopens: 0,
            channel,
        }
    }

    /// Keeps so much of what was sent and is not committed; a longer body goes alone.
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

    /// The token up to which everything is committed.
    pub(crate) fn landed(&self) -> Option<&OffsetToken> {
        self.in_flight.landed()
    }

    /// Rows sent here that are committed.
    pub(crate) fn landed_rows(&self) -> u64 {
        self.in_flight.landed_rows()
    }

    /// From sending to noticing the commit, of what was committed last.
    pub(crate) fn commit_lag(&self) -> Duration {
        self.in_flight.lag()
    }

    /// Whether nothing waits and nothing is under way.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Sends a body whose rows the caller can make again; after a loss it has to.
    pub(crate) fn send(&mut self, payload: &Payload) -> Result<(), Error> {
        // In in_flight even if the append fails: it may have been applied.
        self.in_flight.push(payload, self.channel.pipe().clock().now());
        self.channel.append_payload(payload)?;
        self.note_sent(payload.rows, payload.plain_bytes)
    }

    /// Takes over a body that nobody can make again.
    pub(crate) fn enqueue(&mut self, mut payload: Payload) {
        payload.wire.shrink_to_fit();
        self.queue.push_back(payload);
    }

    /// Sends what waits; while too much is kept for sending again, waits for commits.
    pub(crate) fn send_queue(&mut self, mut on_look: impl FnMut(&Delivery)) -> Result<(), Error> {
        // An earlier recovery may have failed: what is under way then will not land by itself.
        self.channel.check_link()?;
        while !self.queue.is_empty() {
            self.wait_until(Delivery::has_room, &mut on_look)?;
            let Some(payload) = self.queue.pop_front() else { break };
            let (rows, bytes, now) = (payload.rows, payload.plain_bytes, self.now());
            if let Err(error) = self.channel.append_payload(self.in_flight.push_retained(payload, now)) {
                self.take_back_unless_in_doubt(&error);
                return Err(error);
            }
            self.note_sent(rows, bytes)?;
            on_look(self);
        }
        Ok(())
    }

    /// Waits for commits until the condition holds, as long as the commit timeout allows.
    pub(crate) fn wait_until(
        &mut self,
        is_done: impl Fn(&Delivery) -> bool,
        mut on_look: impl FnMut(&Delivery),
    ) -> Result<(), Error> {
        let deadline = self.now().after(self.commit_timeout);
        let mut polls = Polls::default();
        while !is_done(self) {
            let left = self.now().until(deadline);
            self.look(Some(left.max(MIN_TIMEOUT)))?;
            on_look(self);
            if is_done(self) {
                break;
            }
            let left = self.now().until(deadline);
            if left.is_zero() {
                return Err(self.commit_overdue());
            }
            self.channel.pipe().clock().sleep(polls.next().min(left));
        }
        Ok(())
    }

    /// After a loss or a doubt: reopens the channel, believes what the service has, queues again what is missing.
    ///
    /// Tells the cause when it is of another kind, or when reopening has brought no progress several times.
    pub(crate) fn recover(&mut self, cause: Error) -> Result<(), Error> {
        if !is_lost(&cause) {
            return Err(cause);
        }
        log::info!("channel {} is to be reopened: {cause}", self.channel.name());
        let is_fruitful = self.in_flight.landed_requests() > self.landed_at_open;
        let fruitless_reopens = if is_fruitful { 0 } else { self.fruitless_reopens + 1 };
        if fruitless_reopens > MAX_FRUITLESS_REOPENS {
            return Err(self.given_up(&cause));
        }
        if fruitless_reopens > 1 {
            self.channel.pipe().clock().sleep(FIRST_PAUSE * 2u32.pow(fruitless_reopens - 2));
        }
        self.channel.reopen()?;
        // Counted only now: a service out of reach is no sign of a second writer.
        self.fruitless_reopens = fruitless_reopens;
        self.totals.reopens += 1;
        if !self.in_flight.explains(self.channel.committed_offset()) {
            return Err(self.ended(self.foreign()));
        }
        self.landed_at_open = self.in_flight.landed_requests();
        self.note_landed();
        if self.in_flight.awaits_preceding() {
            return Err(self.ended(self.preceding_lost()));
        }
        // If everything landed, nobody looks again.
        self.note_rejected(self.channel.status_at_open().clone());
        for body in self.in_flight.take_back().rev() {
            self.queue.push_front(body);
        }
        Ok(())
    }

    /// Rows are lost that cannot be sent again, so none may be sent after them.
    fn ended(&mut self, reason: Error) -> Error {
        self.channel.take_down(reason.clone());
        reason
    }

    /// Whether the body that is next can be kept too.
    fn has_room(&self) -> bool {
        let next = self.queue.front().map_or(0, |payload| payload.wire.len());
        self.in_flight.is_empty() || self.in_flight.retained_bytes() + next <= self.max_retained
    }

    /// What was certainly not applied is not under way: it waits for the next try.
    fn take_back_unless_in_doubt(&mut self, error: &Error) {
        if is_lost(error) {
            return;
        }
        if let Some(body) = self.in_flight.take_back_newest() {
            self.queue.push_front(body);
        }
    }

    /// What there is to say of so many rejected rows.
    pub(crate) fn rejected(&self, rows: u64) -> Error {
        rows_rejected(rows, &self.last_status)
    }

    /// Looks after the channel now and then while sending, so that a loss and rejected rows are noticed early.
    fn note_sent(&mut self, rows: usize, bytes: usize) -> Result<(), Error> {
        self.totals.batches += 1;
        self.totals.rows += rows as u64;
        self.totals.bytes += bytes as u64;
        if self.now().since(self.last_look) < LOOK_EVERY { Ok(()) } else { self.look(None) }
    }

    /// Asks how the channel stands: what landed, what was rejected, whether it is still ours.
    fn look(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let status = self.channel.fetch_status(timeout)?;
        self.note_rejected(status);
        self.last_look = self.now();
        self.note_landed();
        self.channel.check_usable(&self.last_status)
    }

    fn note_rejected(&mut self, status: ChannelStatus) {
        self.totals.rejected += self.channel.take_rejected(&status);
        self.last_status = status;
    }

    fn note_landed(&mut self) {
        let now = self.now();
        if let Some(committed) = self.channel.committed_offset() {
            self.in_flight.land(committed, now);
            self.channel.pipe().session().counters().note_commit_lag(self.in_flight.lag());
        }
    }

    fn now(&self) -> Moment {
        self.channel.pipe().clock().now()
    }

    fn commit_overdue(&self) -> Error {
        let happened = match self.in_flight.landed() {
            Some(landed) => format!("no commit within {:?} beyond offset {landed}", self.commit_timeout),
            None => format!("no commit within {:?}", self.commit_timeout),
        };
        Error::new(ErrorKind::Timeout, happened)
            .attempting(format!("see all rows committed on channel {}", self.channel.name()))
            .advise("run it again: it resumes after what is committed")
    }

    fn foreign(&self) -> Error {
        let told = |token: Option<&OffsetToken>| token.map_or("none".to_string(), OffsetToken::to_string);
        let (found, known) = (told(self.channel.committed_offset()), told(self.in_flight.landed()));
        let happened = format!("its committed offset is {found} where {known} or one sent since was expected");
        Error::new(ErrorKind::Rejected, happened)
            .attempting(format!("resume channel {}", self.channel.name()))
            .advise("look for a second writer that uses the same channel name")
    }

    fn preceding_lost(&self) -> Error {
        Error::new(ErrorKind::Rejected, "rows that were appended before the writer began were lost with the channel")
            .attempting(format!("resume channel {}", self.channel.name()))
            .advise("open the channel again and resume after its committed offset")
    }

    fn given_up(&self, cause: &Error) -> Error {
        let happened =
            format!("reopening it {MAX_FRUITLESS_REOPENS} times brought no progress; the last cause: {cause}");
        Error::new(ErrorKind::Channel, happened)
            .attempting(format!("deliver rows through channel {}", self.channel.name()))
            .with_code(cause.code().map(str::to_string))
            .advise("look for a second writer that uses the same channel name")
    }
}

/// Only the service knows what it has; otherwise the channel is as it was.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Channel | ErrorKind::Unconfirmed)
}

/// Often enough to notice a lost channel, seldom enough to leave the request rate to the rows.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const MAX_FRUITLESS_REOPENS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Even a wait without time left asks once, and that question needs time for its response.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
