use std::collections::VecDeque;
use std::time::Duration;

use super::Loader;
use super::feed::Feed;
use super::flight::Flight;
use super::source::Source;
use crate::channel::{Channel, Polls, rows_rejected};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, Compressor, Payload, for_each_payload};
use crate::session::Counters;
use crate::status::ChannelStatus;

/// One load, from the first opening of the channel to the last commit.
pub(super) struct Run<'l, 'p, 's> {
    loader: &'l mut Loader<'p>,
    feed: Feed<'s>,
    channel: Channel,
    /// Bodies ready to be sent, of a source that cannot be read again.
    queue: VecDeque<Payload>,
    flight: Flight,
    compressor: Compressor,
    /// The one body of a source that can be read again.
    payload: Payload,
    began: Moment,
    last_look: Moment,
    last_status: ChannelStatus,
    counters_before: Counters,
    /// What was committed when the channel was last opened.
    landed_at_open: u64,
    fruitless_reopens: u32,
}

impl<'l, 'p, 's> Run<'l, 'p, 's> {
    /// Opens the channel and takes the source to where the channel stands.
    pub(super) fn start(loader: &'l mut Loader<'p>, source: Source<'s>) -> Result<Run<'l, 'p, 's>, Error> {
        let began = loader.pipe.clock().now();
        let counters_before = loader.pipe.counters();
        let mut feed = Feed::new(source);
        let channel = open(loader)?;
        let landed = committed_position(&channel, &feed)?;
        let skipped = feed.skip_to(landed).map_err(|error| error.attempting(resuming(&channel, &feed)))?;
        loader.report.skipped = skipped;
        let mut run = Run {
            loader,
            feed,
            channel,
            queue: VecDeque::new(),
            flight: Flight::after(landed, skipped),
            compressor: Compressor::default(),
            payload: Payload::default(),
            began,
            last_look: began,
            last_status: ChannelStatus::default(),
            counters_before,
            landed_at_open: landed,
            fruitless_reopens: 0,
        };
        run.tell();
        Ok(run)
    }

    /// Sends and waits; whenever the channel is lost, opens it again and goes on from what is committed.
    pub(super) fn complete(mut self) -> Result<(), Error> {
        loop {
            let error = match self.pass() {
                Ok(source_failure) => return self.finish(source_failure),
                Err(error) => error,
            };
            self.tell();
            if !matches!(error.kind(), ErrorKind::Channel | ErrorKind::Unconfirmed) {
                return Err(error);
            }
            self.resume(error)?;
        }
    }

    /// All that the source can give, committed; what it could not give is handed back as its error.
    fn pass(&mut self) -> Result<Option<Error>, Error> {
        let source_failure = self.send_all()?;
        self.wait_until(Flight::is_empty)?;
        Ok(source_failure)
    }

    fn send_all(&mut self) -> Result<Option<Error>, Error> {
        self.send_queue()?;
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let filled = self.feed.fill(&mut batch, self.loader.batch_bytes);
            match self.send_batch(&batch) {
                Err(error) if is_bad_row(&error) => return Ok(Some(error)),
                sent => sent?,
            }
            if let Err(error) = filled {
                return Ok(Some(error));
            }
            if batch.is_empty() {
                return Ok(None);
            }
        }
    }

    fn send_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut compressor = std::mem::take(&mut self.compressor);
        let mut payload = std::mem::take(&mut self.payload);
        let sent = if self.feed.can_go_back() {
            for_each_payload(batch, &mut compressor, &mut payload, |payload| self.send(payload))
        } else {
            // All pieces are made before the first is sent: after a loss of the channel none can be made again.
            let queue = &mut self.queue;
            let made = for_each_payload(batch, &mut compressor, &mut payload, |payload| {
                payload.wire.shrink_to_fit();
                queue.push_back(std::mem::take(payload));
                Ok(())
            });
            self.send_queue().and(made)
        };
        (self.compressor, self.payload) = (compressor, payload);
        sent
    }

    fn send(&mut self, payload: &Payload) -> Result<(), Error> {
        // In flight even if the append fails: it may have been applied.
        self.flight.push(payload);
        self.channel.append_payload(payload)?;
        self.note_sent(payload.rows, payload.plain_bytes)
    }

    fn send_queue(&mut self) -> Result<(), Error> {
        while !self.queue.is_empty() {
            self.wait_until(|flight| flight.retained_bytes() < RETAINED_BYTES)?;
            let Some(payload) = self.queue.pop_front() else { break };
            let (rows, bytes) = (payload.rows, payload.plain_bytes);
            self.channel.append_payload(self.flight.push_retained(payload))?;
            self.note_sent(rows, bytes)?;
        }
        Ok(())
    }

    fn note_sent(&mut self, rows: usize, bytes: usize) -> Result<(), Error> {
        let report = &mut self.loader.report;
        report.batches += 1;
        report.rows_sent += rows as u64;
        report.bytes_sent += bytes as u64;
        self.tell();
        if self.now().since(self.last_look) < LOOK_EVERY { Ok(()) } else { self.look(None) }
    }

    fn wait_until(&mut self, is_done: impl Fn(&Flight) -> bool) -> Result<(), Error> {
        let deadline = self.now().after(self.loader.commit_timeout);
        let mut polls = Polls::default();
        while !is_done(&self.flight) {
            let left = self.now().until(deadline);
            if left.is_zero() {
                return Err(self.commit_overdue());
            }
            self.look(Some(left.max(SHORTEST_PATIENCE)))?;
            if !is_done(&self.flight) {
                self.loader.pipe.clock().sleep(polls.next().min(left));
            }
        }
        Ok(())
    }

    /// Asks how the channel stands: what landed, what was rejected, whether it is still ours.
    fn look(&mut self, patience: Option<Duration>) -> Result<(), Error> {
        let status = self.channel.fetch_status(patience)?;
        self.loader.report.rows_rejected += self.channel.take_rejected(&status);
        self.last_look = self.now();
        self.last_status = status;
        self.note_landed();
        self.channel.check_usable(&self.last_status)
    }

    fn note_landed(&mut self) {
        if let Some(committed) = self.channel.committed_offset().and_then(|token| token.as_u64()) {
            self.flight.land(committed);
            self.feed.forget_before(self.flight.landed());
        }
        self.tell();
    }

    /// The channel is in doubt or lost: only the service knows what it has.
    fn resume(&mut self, cause: Error) -> Result<(), Error> {
        log::info!("channel {} is to be reopened: {cause}", self.channel.name());
        let fruitful = self.flight.landed() > self.landed_at_open;
        self.fruitless_reopens = if fruitful { 0 } else { self.fruitless_reopens + 1 };
        if self.fruitless_reopens > MAX_FRUITLESS_REOPENS {
            return Err(self.given_up(cause));
        }
        if self.fruitless_reopens > 1 {
            self.loader.pipe.clock().sleep(FIRST_PAUSE * 2u32.pow(self.fruitless_reopens - 2));
        }
        self.channel.reopen()?;
        self.loader.report.reopens += 1;
        let landed = committed_position(&self.channel, &self.feed)?;
        if !self.flight.explains(landed) {
            return Err(foreign(landed).attempting(resuming(&self.channel, &self.feed)));
        }
        self.landed_at_open = self.flight.landed();
        self.note_landed();
        self.go_back_to(landed)
    }

    fn go_back_to(&mut self, landed: u64) -> Result<(), Error> {
        let bodies = self.flight.take_back();
        for body in bodies.into_iter().rev() {
            self.queue.push_front(body);
        }
        self.feed.go_back_to(landed)
    }

    fn finish(mut self, source_failure: Option<Error>) -> Result<(), Error> {
        self.tell();
        if let Some(error) = source_failure {
            return Err(error);
        }
        match self.loader.report.rows_rejected {
            0 => Ok(()),
            rejected => Err(rows_rejected(rejected, &self.last_status)),
        }
    }

    fn tell(&mut self) {
        let counters = self.loader.pipe.counters();
        let elapsed = self.now().since(self.began);
        let report = &mut self.loader.report;
        report.rows = self.flight.landed_rows();
        report.committed_offset = self.channel.committed_offset().cloned();
        report.retries = counters.retries - self.counters_before.retries;
        report.renewals = counters.renewals - self.counters_before.renewals;
        report.elapsed = elapsed;
        if let Some(callback) = &mut self.loader.on_progress {
            callback(report);
        }
    }

    fn now(&self) -> Moment {
        self.loader.pipe.clock().now()
    }

    fn commit_overdue(&self) -> Error {
        let waited = self.loader.commit_timeout;
        let landed = self.flight.landed();
        Error::new(ErrorKind::Timeout, format!("no commit within {waited:?} beyond offset {landed}"))
            .attempting(format!("see all rows committed on channel {}", self.channel.name()))
            .advise("run it again: it resumes after what is committed")
    }

    fn given_up(&self, cause: Error) -> Error {
        let happened =
            format!("reopening it {MAX_FRUITLESS_REOPENS} times brought no progress; the last cause: {cause}");
        Error::new(ErrorKind::Channel, happened)
            .attempting(format!("load into channel {}", self.channel.name()))
            .with_code(cause.code().map(str::to_string))
            .advise("look for a second writer that uses the same channel name")
    }
}

fn open(loader: &Loader<'_>) -> Result<Channel, Error> {
    let mut builder = loader.pipe.channel(&*loader.channel);
    if let Some(timeout) = loader.open_timeout {
        builder = builder.open_timeout(timeout);
    }
    if loader.discard_uncommitted {
        builder = builder.discard_uncommitted();
    }
    builder.open()
}

/// Zero for a channel that has committed nothing; positions begin with one.
fn committed_position(channel: &Channel, feed: &Feed<'_>) -> Result<u64, Error> {
    let Some(token) = channel.committed_offset() else { return Ok(0) };
    match token.as_u64() {
        Some(position) if position > 0 => Ok(position),
        _ => Err(foreign(token).attempting(resuming(channel, feed))),
    }
}

fn foreign(token: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Rejected, format!("its committed offset {token} is nothing that this load can have sent"))
        .advise("the channel was used for something else: give this load a channel name of its own")
}

fn resuming(channel: &Channel, feed: &Feed<'_>) -> String {
    format!("resume channel {} with {}", channel.name(), feed.name())
}

/// Refused on our side: no answer was involved, and the rows before it are sent.
fn is_bad_row(error: &Error) -> bool {
    error.kind() == ErrorKind::Rejected && error.status().is_none()
}

/// The most that is kept of what was sent from a source that cannot be read again.
pub(super) const RETAINED_BYTES: usize = 32_000_000;

/// Often enough to notice a lost channel, seldom enough to leave the request rate to the rows.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const MAX_FRUITLESS_REOPENS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Even a wait without time left asks once, and that question needs time for its answer.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
