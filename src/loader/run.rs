use super::feed::Feed;
use super::source::Source;
use super::{Loader, Report};
use crate::channel::Channel;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor, Payload, for_each_payload};
use crate::session::Counters;

/// One load through one channel, from the first opening of the channel to the last commit.
pub(super) struct Run<'r, 's> {
    feed: Feed<'s>,
    delivery: Delivery,
    batch_bytes: usize,
    compressor: Compressor,
    payload: Payload,
    progress: Progress<'r>,
}

/// Keeps the report true and tells of it.
struct Progress<'r> {
    pipe: Pipe,
    began: Moment,
    counters_before: Counters,
    report: &'r mut Report,
    on_progress: &'r mut dyn FnMut(&Report),
}

impl<'r, 's> Run<'r, 's> {
    /// Opens the channel and takes the source to where the channel stands.
    pub(super) fn start(
        loader: &Loader<'_>,
        source: Source<'s>,
        report: &'r mut Report,
        on_progress: &'r mut dyn FnMut(&Report),
    ) -> Result<Run<'r, 's>, Error> {
        let (began, counters_before) = (loader.pipe.clock().now(), loader.pipe.counters());
        let mut feed = Feed::new(source);
        let channel = loader.open_channel()?;
        let resuming = format!("resume channel {} with {}", channel.name(), feed.name());
        let landed = committed_position(&channel).map_err(|error| error.attempting(&*resuming))?;
        report.skipped = feed.skip_to(landed).map_err(|error| error.attempting(&*resuming))?;
        let pipe = loader.pipe.clone();
        let mut run = Run {
            feed,
            delivery: Delivery::new(channel, loader.commit_timeout),
            batch_bytes: loader.batch_bytes,
            compressor: Compressor::default(),
            payload: Payload::default(),
            progress: Progress { pipe, began, counters_before, report, on_progress },
        };
        run.progress.tell(&run.delivery);
        Ok(run)
    }

    /// Sends and waits; whenever the channel is lost, opens it again and goes on from what is committed.
    pub(super) fn complete(mut self) -> Result<(), Error> {
        loop {
            let result = self.pass();
            self.progress.tell(&self.delivery);
            let error = match result {
                Ok(None) => return self.check_rejected(),
                Ok(Some(source_failure)) => return Err(source_failure),
                Err(error) => error,
            };
            self.delivery.recover(error)?;
            self.progress.tell(&self.delivery);
            self.feed.go_back_to(committed_position(self.delivery.channel())?)?;
        }
    }

    /// All that the source can give, committed; what it could not give is handed back as its error.
    fn pass(&mut self) -> Result<Option<Error>, Error> {
        let source_failure = self.send_all()?;
        self.delivery.wait_until(Delivery::is_done, |delivery| self.progress.tell(delivery))?;
        Ok(source_failure)
    }

    fn send_all(&mut self) -> Result<Option<Error>, Error> {
        self.delivery.send_queue(|delivery| self.progress.tell(delivery))?;
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let filled = self.feed.fill(&mut batch, self.batch_bytes);
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
            self.forget_landed();
        }
    }

    fn send_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let Run { feed, delivery, compressor, payload, progress, .. } = self;
        if feed.can_go_back() {
            return for_each_payload(batch, compressor, payload, |payload| {
                delivery.send(payload)?;
                progress.tell(delivery);
                Ok(())
            });
        }
        // All pieces are made before the first is sent: after a loss of the channel none can be made again.
        let made = for_each_payload(batch, compressor, payload, |payload| {
            delivery.enqueue(std::mem::take(payload));
            Ok(())
        });
        delivery.send_queue(|delivery| progress.tell(delivery)).and(made)
    }

    fn check_rejected(&self) -> Result<(), Error> {
        match self.delivery.totals().rejected {
            0 => Ok(()),
            rejected => Err(self.delivery.rejected(rejected)),
        }
    }

    fn forget_landed(&mut self) {
        if let Some(landed) = self.delivery.landed().and_then(|token| token.as_u64()) {
            self.feed.forget_before(landed);
        }
    }
}

impl Progress<'_> {
    fn tell(&mut self, delivery: &Delivery) {
        let (counters, totals) = (self.pipe.counters(), delivery.totals());
        let report = &mut *self.report;
        report.rows = report.skipped + delivery.landed_rows();
        report.rows_sent = totals.rows;
        report.bytes_sent = totals.bytes;
        report.batches = totals.batches;
        report.committed_offset = delivery.landed().cloned();
        report.rows_rejected = totals.rejected;
        report.retries = counters.retries - self.counters_before.retries;
        report.renewals = counters.renewals - self.counters_before.renewals;
        report.reopens = totals.reopens;
        report.commit_lag = delivery.commit_lag();
        report.elapsed = self.pipe.clock().now().since(self.began);
        (self.on_progress)(report);
    }
}

/// Zero for a channel that has committed nothing; positions begin with one.
fn committed_position(channel: &Channel) -> Result<u64, Error> {
    let Some(token) = channel.committed_offset() else { return Ok(0) };
    match token.as_u64() {
        Some(position) if position > 0 => Ok(position),
        _ => Err(foreign(token)),
    }
}

pub(super) fn foreign(token: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Rejected, format!("its committed offset {token} is not the place of a row of it"))
        .advise("the channel was used for something else: give this load a channel name of its own")
}

/// Refused on our side: no answer was involved, and the rows before it are sent.
fn is_bad_row(error: &Error) -> bool {
    error.kind() == ErrorKind::Rejected && error.status().is_none()
}
