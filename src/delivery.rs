//! Gets request bodies committed on a channel and recovers when it is lost: shared by the loader and the writer.

mod failures;
mod recovery;
mod retained;
mod setbacks;

use std::time::Duration;

pub(crate) use self::recovery::Effort;
use self::retained::BodyQueue;
use self::setbacks::Setbacks;
use crate::channel::{Channel, Wait, is_in_doubt, is_too_long};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::rows::{Compressor, OffsetToken, Payload};
use crate::snowflake::status::ChannelStatus;

/// A channel, the bodies that wait to be sent through it, and what has been sent so far.
#[derive(Debug)]
pub(crate) struct Delivery {
    channel: Channel,
    /// Bodies that wait to be sent, or to be sent again.
    queue: BodyQueue,
    max_retained: usize,
    commit_timeout: Duration,
    effort: Effort,
    last_look: Moment,
    /// When a request was last sent, committed or asked after by reopening the channel.
    last_news: Moment,
    last_status: ChannelStatus,
    totals: Totals,
    /// Rows of all bodies that were ever taken over.
    enqueued_rows: u64,
    /// Of the channel, before it was taken over.
    earlier_reopens: u64,
    compressor: Compressor,
    setbacks: Setbacks,
    /// The committed requests when a reopening was last announced: an outage is announced once.
    announced: Option<u64>,
    /// Why the channel has to be reopened, if that failed before.
    unresolved: Option<Error>,
    /// Why nothing is sent any more.
    ended: Option<Error>,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Requests that were accepted or may have been applied, and their rows and bytes.
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
        // Rows whose rejection the channel has seen and not reported yet.
        let last_status = channel.status_at_open().clone();
        let has_gap = channel.has_gap();
        let totals = Totals { rejected: channel.take_rejected(&last_status), ..Totals::default() };
        let now = channel.pipe().clock().now();
        let mut delivery = Delivery {
            queue: BodyQueue::default(),
            max_retained: Delivery::RETAINED_BYTES,
            commit_timeout,
            effort: Effort::Waiting,
            last_look: now,
            last_news: now,
            last_status,
            totals,
            enqueued_rows: 0,
            earlier_reopens: channel.reopens(),
            compressor: Compressor::default(),
            setbacks: Setbacks::default(),
            announced: None,
            unresolved: None,
            ended: None,
            channel,
        };
        if has_gap {
            delivery.end(delivery.begun_before());
        }
        delivery
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

    /// Whether nothing waits to be sent, and nothing is in flight of whose commit the service will tell.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && !self.channel.in_flight().has_marked()
    }

    /// Rows of bodies that were taken over and are not known to be committed.
    pub(crate) fn uncommitted_rows(&self) -> u64 {
        self.enqueued_rows.saturating_sub(self.committed_rows())
    }

    /// Why nothing is sent any more, if that is so.
    pub(crate) fn check_ended(&self) -> Result<(), Error> {
        match (&self.ended, self.channel.check_link()) {
            (Some(error), _) => Err(error.clone()),
            (None, Err(error)) if error.kind() == ErrorKind::Conflict => Err(error),
            _ => Ok(()),
        }
    }

    /// An error if rows were appended before, without an offset token, that nothing sent since then proves to be stored.
    pub(crate) fn check_proven(&self) -> Result<(), Error> {
        if self.channel.in_flight().is_empty() { Ok(()) } else { Err(self.unproven()) }
    }

    /// Sends a body whose rows the caller can read again; after a loss of the channel it has to.
    pub(crate) fn send(&mut self, payload: &Payload) -> Result<(), Error> {
        let sent = self.channel.append_payload(payload);
        self.note_sent(payload, sent.as_ref().err());
        if let Some(halves) = self.halves_if_too_long(payload, &sent)? {
            return halves.iter().try_for_each(|half| self.send(half));
        }
        sent.map_err(|error| too_long(error, payload))?;
        self.look_if_due()
    }

    fn halves_if_too_long(
        &mut self,
        payload: &Payload,
        sent: &Result<(), Error>,
    ) -> Result<Option<[Payload; 2]>, Error> {
        match sent {
            Err(error) if is_too_long(error) => payload.halves(&mut self.compressor),
            _ => Ok(None),
        }
    }

    /// Takes over a body whose rows cannot be read again.
    pub(crate) fn enqueue(&mut self, mut payload: Payload) {
        payload.shrink_to_fit();
        self.enqueued_rows += payload.rows as u64;
        self.queue.push_back(payload);
    }

    /// Sends the queue; while too much is retained, waits for commits.
    pub(crate) fn send_queue(&mut self, mut on_look: impl FnMut(&Delivery)) -> Result<(), Error> {
        self.check_ended()?;
        // After a recovery that failed, nothing in flight will be committed: it must be recovered first.
        self.channel.check_link()?;
        while !self.queue.is_empty() {
            self.wait_until(Delivery::has_room, &mut on_look)?;
            self.send_next()?;
            on_look(self);
        }
        Ok(())
    }

    /// Sends the queue although the channel is lost meanwhile.
    pub(crate) fn deliver(&mut self) -> Result<(), Error> {
        loop {
            match self.send_queue(|_| {}) {
                Ok(()) => return Ok(()),
                Err(error) => self.recover(error)?,
            }
        }
    }

    /// Sends what an earlier call could not, and looks at the channel now and then. Where no commit has come for as long as
    /// the commit timeout, it asks whether what is in flight is lost.
    pub(crate) fn keep_going(&mut self) -> Result<(), Error> {
        self.deliver()?;
        let looked = self.look_if_due();
        self.go_on_after(looked)
    }

    /// Looks once at what is in flight; the same where no commit has come.
    pub(crate) fn look_once(&mut self) -> Result<(), Error> {
        let looked = if self.channel.in_flight().is_empty() { Ok(()) } else { self.look(None) };
        self.go_on_after(looked)
    }

    fn go_on_after(&mut self, looked: Result<(), Error>) -> Result<(), Error> {
        match looked.and_then(|()| self.check_progress()) {
            Ok(()) => Ok(()),
            Err(error) => self.recover(error).and_then(|()| self.deliver()),
        }
    }

    fn send_next(&mut self) -> Result<(), Error> {
        self.channel.check_link()?;
        let Some(payload) = self.queue.pop_front() else { return Ok(()) };
        let sent = self.channel.append_payload(&payload);
        self.note_sent(&payload, sent.as_ref().err());
        if let Ok(Some(halves)) = self.halves_if_too_long(&payload, &sent) {
            halves.into_iter().rev().for_each(|half| self.queue.push_front(half));
            return Ok(());
        }
        match &sent {
            // Only a body that may have been applied is in flight after an error; any other waits for the next attempt.
            Err(error) if !is_in_doubt(error) => {
                let error = too_long(error.clone(), &payload);
                self.queue.push_front(payload);
                return Err(error);
            }
            _ => self.channel.in_flight_mut().retain(payload),
        }
        sent?;
        self.look_if_due()
    }

    /// Waits for commits until the condition holds, or none has come for as long as the commit timeout.
    pub(crate) fn wait_until(
        &mut self,
        is_done: impl Fn(&Delivery) -> bool,
        mut on_look: impl FnMut(&Delivery),
    ) -> Result<(), Error> {
        let mut wait = Wait::new(self.channel.pipe().clock(), self.commit_timeout);
        while !is_done(self) {
            let committed_requests = self.committed_requests();
            self.look(Some(wait.request_timeout(self.channel.pipe().clock())))?;
            on_look(self);
            if is_done(self) {
                return Ok(());
            }
            if self.committed_requests() > committed_requests {
                wait.extend(self.channel.pipe().clock(), self.commit_timeout);
            }
            if !wait.pause(self.channel.pipe().clock()) {
                return Err(self.commit_overdue());
            }
        }
        Ok(())
    }

    /// Takes out, in order, all bodies that are not known to be committed. Nothing can be sent afterwards that follows them.
    pub(crate) fn take_uncommitted(&mut self) -> Vec<Payload> {
        let mut bodies: Vec<_> = self.channel.in_flight_mut().abandon().into_bodies().collect();
        bodies.extend(self.queue.take());
        self.enqueued_rows = self.committed_rows();
        bodies
    }

    /// When the service last said what is committed, or the delivery began.
    pub(crate) fn last_look(&self) -> Moment {
        self.last_look
    }

    /// What the service reported last.
    pub(crate) fn last_status(&self) -> &ChannelStatus {
        &self.last_status
    }

    /// Looks at the channel now and then, so that commits, a loss and rejected rows are noticed early.
    fn look_if_due(&mut self) -> Result<(), Error> {
        let since_last_look = self.channel.pipe().clock().now().since(self.last_look);
        if self.channel.in_flight().is_empty() || since_last_look < LOOK_EVERY { Ok(()) } else { self.look(None) }
    }

    fn check_progress(&self) -> Result<(), Error> {
        let silence = self.channel.pipe().clock().now().since(self.last_news);
        if self.is_done() || silence < self.commit_timeout { Ok(()) } else { Err(self.commit_overdue()) }
    }

    fn note_sent(&mut self, payload: &Payload, error: Option<&Error>) {
        self.last_news = self.channel.pipe().clock().now();
        if error.is_some_and(|error| !may_be_applied(error)) {
            return;
        }
        self.totals.batches += 1;
        self.totals.rows += payload.rows as u64;
        self.totals.bytes += payload.plain_bytes as u64;
    }

    /// Asks for the channel's status: what is committed, what was rejected, whether the channel is still usable.
    fn look(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let committed_requests = self.committed_requests();
        let status = self.channel.fetch_status(timeout)?;
        self.note_rejected(status);
        self.last_look = self.channel.pipe().clock().now();
        if self.committed_requests() > committed_requests {
            self.last_news = self.last_look;
        }
        self.note_commit_lag();
        self.channel.check_usable(&self.last_status)
    }

    /// The one look that is made after a stop: it takes half a second at most.
    pub(crate) fn look_after_stop(&mut self) -> Result<(), Error> {
        let status = self.channel.fetch_status_after_stop(LAST_LOOK)?;
        self.note_rejected(status);
        self.note_commit_lag();
        Ok(())
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

    fn committed_requests(&self) -> u64 {
        self.channel.in_flight().committed_requests()
    }
}

/// What is refused as too long although it cannot be halved is a single row.
fn too_long(error: Error, payload: &Payload) -> Error {
    if !is_too_long(&error) {
        return error;
    }
    let error = error.advise("shorten the row or leave it out, or raise the limit of the proxy that refuses it");
    match payload.last.as_ref().and_then(OffsetToken::position) {
        Some(position) => error.with_position(position),
        None => error,
    }
}

/// Only the first attempt of a request is certainly not applied when the service refuses it.
fn may_be_applied(error: &Error) -> bool {
    error.kind() == ErrorKind::Unconfirmed || error.kind() == ErrorKind::Channel && error.attempts() > 1
}

/// Often enough to notice a lost channel, seldom enough to leave the service's ten requests a second to the rows.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Enough for a response of a service that is there; whoever stops a program does not want to wait for one that is not.
const LAST_LOOK: Duration = Duration::from_millis(500);
