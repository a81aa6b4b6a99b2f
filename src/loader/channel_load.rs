use super::batch_reader::{BatchReader, ReadOutcome};
use super::pipeline::{self, ReadAhead, ReadyRows};
use super::progress::Progress;
use super::resume_point::{ResumePoint, not_an_offset, plain_offset};
use super::{LoadReport, Settings};
use crate::channel::{Channel, needs_reopening};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressed, Compressor, Payload, Payloads};
use crate::snowflake::status::ChannelStatus;
use crate::stop::stopped;

/// One load through one channel, from the opened channel to the last commit: read, compress, send, wait, recover.
pub(super) struct ChannelLoad<'s, 'p> {
    reader: BatchReader<'s>,
    sender: BatchSender<'p>,
    batch_bytes: usize,
    pipelined: bool,
    pipe: Pipe,
}

/// A channel and a source that agree: the source has the row that the channel has committed last.
pub(super) struct Resumed<'s> {
    channel: Channel,
    reader: BatchReader<'s>,
    /// Rows up to that one.
    skipped: u64,
}

impl<'s> Resumed<'s> {
    /// Takes the source to the first row that the channel has not committed, and compares those before it.
    pub(super) fn compare(
        settings: &Settings,
        channel: Channel,
        mut reader: BatchReader<'s>,
    ) -> Result<Resumed<'s>, Error> {
        match settings.resume_point(&channel).and_then(|point| reader.skip_to(point)) {
            Ok(skipped) => Ok(Resumed { channel, reader, skipped }),
            Err(error) => Err(not_resumed(error, &channel, reader.name())),
        }
    }
}

/// Names the channel, the source, and what the channel has committed.
pub(super) fn not_resumed(error: Error, channel: &Channel, source: &str) -> Error {
    let attempted = format!("resume channel {} of pipe {} with {source}", channel.given_name(), channel.pipe().name());
    let error = error.attempting(attempted);
    match channel.committed_offset() {
        Some(offset) => error.with_committed_offset(offset.to_string()),
        None => error,
    }
}

/// Why no more rows are sent.
enum SourceEnd {
    Exhausted,
    /// The source failed, or its next row fits in no request.
    Failed(Error),
}

impl<'s, 'p> ChannelLoad<'s, 'p> {
    pub(super) fn new(settings: &Settings, resumed: Resumed<'s>, mut progress: Progress<'p>) -> ChannelLoad<'s, 'p> {
        let Resumed { channel, reader, skipped } = resumed;
        progress.resumed(skipped, channel.status_at_open());
        let delivery = Delivery::new(channel, settings.commit_timeout).retaining_at_most(settings.retained_bytes);
        let mut sender = BatchSender::new(delivery, !reader.can_rewind(), progress);
        sender.update_progress();
        let (batch_bytes, pipelined, pipe) = (settings.batch_bytes, settings.pipelined, settings.pipe.clone());
        ChannelLoad { reader, sender, batch_bytes, pipelined, pipe }
    }

    /// The whole load: sends what the source gives and waits until it is committed. Whenever the channel is lost, reopens it
    /// and goes on after what is committed. Returns the channel's last status once everything is committed.
    pub(super) fn run(mut self) -> (LoadReport, Result<ChannelStatus, Error>) {
        let completed = loop {
            let sent = self.sender.send_retained().and_then(|()| self.send_rest());
            // After a stop nothing is sent, but what was sent may have been committed.
            let sent = sent.or_else(|error| self.unless_stopped(error).map(SourceEnd::Failed));
            let committed = sent.and_then(|end| self.sender.wait_for_commits().map(|()| end));
            self.sender.update_progress();
            match committed {
                Ok(SourceEnd::Exhausted) => {
                    let checked = self.reader.check_unchanged(self.committed());
                    break checked.map(|()| self.sender.delivery.last_status().clone());
                }
                Ok(SourceEnd::Failed(error)) => break Err(error),
                Err(error) => match self.recover(error) {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
            }
        };
        let completed = completed.map_err(|error| self.unless_stopped(error).unwrap_or_else(|error| error));
        (self.sender.progress.into_report(), completed)
    }

    /// Reads, compresses and sends, batch by batch, up to the end of the source.
    fn send_rest(&mut self) -> Result<SourceEnd, Error> {
        if let Some(error) = &self.sender.failure {
            return Ok(SourceEnd::Failed(error.clone()));
        }
        if self.pipelined {
            return self.send_pipelined();
        }
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let outcome = self.reader.read_batch(&mut batch, self.batch_bytes, self.pipe.clock());
            if let Some(stopped) = self.sender.stopped_before(&outcome) {
                return Ok(SourceEnd::Failed(stopped));
            }
            let sent = self.sender.send(&batch)?;
            if let Some(end) = end_of(sent, outcome) {
                return Ok(end);
            }
            if let Some(point) = ResumePoint::after(self.sender.delivery.committed_offset()) {
                self.reader.forget_before(point.position());
            }
        }
    }

    /// The same of a file, with reading on a second thread.
    fn send_pipelined(&mut self) -> Result<SourceEnd, Error> {
        let max_bytes = self.batch_bytes.min(pipeline::MAX_BATCH_BYTES);
        let (reader, sender, clock) = (&mut self.reader, &mut self.sender, self.pipe.clock());
        pipeline::read_ahead(|batch| reader.read_batch(batch, max_bytes, clock), |ahead| sender.send_each(ahead))
    }

    /// A stop in place of an error after which a load goes on, or can be run again.
    fn unless_stopped(&self, error: Error) -> Result<Error, Error> {
        if !self.pipe.stop().is_stopped() || !(error.is_retryable() || needs_reopening(&error)) {
            return Err(error);
        }
        Ok(match error.kind() {
            ErrorKind::Stopped => error,
            _ => error.into_kind(ErrorKind::Stopped, "it was stopped; the last failure"),
        })
    }

    fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.sender.delivery.recover(error)?;
        self.sender.update_progress();
        let committed = self.committed();
        self.reader.rewind_to(committed)
    }

    /// The channel compares every offset that is reported, so this one was found at the opening or sent since.
    fn committed(&self) -> ResumePoint {
        ResumePoint::after(self.sender.delivery.committed_offset()).unwrap_or(ResumePoint::START)
    }
}

/// Compresses and sends batches and updates the report.
struct BatchSender<'p> {
    delivery: Delivery,
    /// The source cannot be read again, so bodies are kept until they are committed.
    retains: bool,
    /// Why a retained batch is incomplete: nothing may be sent after it.
    failure: Option<Error>,
    compressor: Compressor,
    payload: Payload,
    progress: Progress<'p>,
}

/// What was sent of a batch.
enum SendOutcome {
    All,
    /// The rows before one that fits in no request.
    UpTo(Error),
}

impl<'p> BatchSender<'p> {
    fn new(delivery: Delivery, retains: bool, progress: Progress<'p>) -> BatchSender<'p> {
        let (compressor, payload) = Default::default();
        BatchSender { delivery, retains, failure: None, compressor, payload, progress }
    }

    fn send(&mut self, batch: &Batch) -> Result<SendOutcome, Error> {
        if self.retains {
            // All bodies are made before the first is sent: if the channel is lost then, the batch is gone.
            let compressed = Compressed::of(batch, &mut self.compressor);
            return self.send_compressed(compressed);
        }
        let mut payloads = Payloads::of(batch);
        loop {
            match payloads.next(&mut self.compressor, &mut self.payload) {
                Ok(true) => self.delivery.send(&self.payload)?,
                Ok(false) => return Ok(SendOutcome::All),
                Err(error) => return Ok(SendOutcome::UpTo(error)),
            }
            self.update_progress();
        }
    }

    fn send_compressed(&mut self, compressed: Compressed) -> Result<SendOutcome, Error> {
        if self.retains {
            self.retain(compressed);
            self.send_retained()?;
            return Ok(self.failure.clone().map_or(SendOutcome::All, SendOutcome::UpTo));
        }
        for body in &compressed.bodies {
            self.delivery.send(body)?;
            self.update_progress();
        }
        Ok(compressed.failure.map_or(SendOutcome::All, SendOutcome::UpTo))
    }

    fn send_each(&mut self, ahead: &mut ReadAhead<'_>) -> Result<SourceEnd, Error> {
        while let Some(ready) = ahead.next() {
            if let Some(stopped) = self.stopped_before(&ready.outcome) {
                return Ok(SourceEnd::Failed(stopped));
            }
            let sent = match ready.rows {
                ReadyRows::Compressed(compressed) => self.send_compressed(compressed)?,
                ReadyRows::Plain(batch) => {
                    let sent = self.send(&batch)?;
                    ahead.give_back(batch);
                    sent
                }
            };
            if let Some(end) = end_of(sent, ready.outcome) {
                return Ok(end);
            }
        }
        Ok(SourceEnd::Exhausted)
    }

    /// No more rows are sent after a stop. If there are none, the load may be complete all the same.
    fn stopped_before(&self, next: &ReadOutcome) -> Option<Error> {
        let has_ended = matches!(next, ReadOutcome::End);
        (self.progress.is_stopped() && !has_ended).then(|| stopped("it was stopped"))
    }

    fn retain(&mut self, compressed: Compressed) {
        if self.failure.is_none() {
            compressed.bodies.into_iter().for_each(|body| self.delivery.enqueue(body));
            self.failure = compressed.failure;
        }
    }

    fn send_retained(&mut self) -> Result<(), Error> {
        self.delivery.send_queue(|delivery| self.progress.update(delivery))
    }

    fn wait_for_commits(&mut self) -> Result<(), Error> {
        let waited = self.delivery.wait_until(Delivery::is_done, |delivery| self.progress.update(delivery));
        let stopped = match waited {
            Err(error) if error.kind() == ErrorKind::Stopped => error,
            waited => return waited,
        };
        match self.delivery.look_after_stop() {
            // Running the load again would store its rows again.
            Err(error) if error.kind() == ErrorKind::Conflict => Err(error),
            _ if self.delivery.is_done() => Ok(()),
            _ => Err(stopped),
        }
    }

    fn update_progress(&mut self) {
        self.progress.update(&self.delivery);
    }
}

fn end_of(sent: SendOutcome, outcome: ReadOutcome) -> Option<SourceEnd> {
    match (sent, outcome) {
        (SendOutcome::UpTo(error), _) | (SendOutcome::All, ReadOutcome::Failed(error)) => {
            Some(SourceEnd::Failed(error))
        }
        (SendOutcome::All, ReadOutcome::End) => Some(SourceEnd::Exhausted),
        (SendOutcome::All, ReadOutcome::Rows) => None,
    }
}

impl Settings {
    /// Where a load goes on in its source, if the committed offset can be one of it at all.
    pub(super) fn resume_point(&self, channel: &Channel) -> Result<ResumePoint, Error> {
        let point = match channel.committed_offset() {
            None => ResumePoint::START,
            Some(token) => ResumePoint::of(token).ok_or_else(|| not_an_offset(token))?,
        };
        if point.is_plain() && !self.accept_plain_offsets {
            return Err(plain_offset(point));
        }
        if channel.status_at_open().has_rows_without_offset() {
            return Err(rows_without_offset(channel));
        }
        Ok(point)
    }
}

/// Sending the source would double what is there, if it is this source at all.
fn rows_without_offset(channel: &Channel) -> Error {
    let rows = channel.status_at_open().rows_inserted();
    let happened = format!("the channel has stored {rows} rows but no offset, so nothing shows which rows they are");
    Error::new(ErrorKind::Conflict, happened)
        .advise("give this source a channel name of its own; compare the table with the source before that")
}
