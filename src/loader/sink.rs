use super::Report;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::error::Error;
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor, Payload, for_each_payload};
use crate::session::Counters;

/// Where batches go: compressed, delivered, told.
pub(super) struct Sink<'r> {
    pub(super) delivery: Delivery,
    /// Bodies must be kept until they are committed.
    retains: bool,
    /// Why what came next could not be kept, and so nothing after it may be sent: it cannot be read again.
    failed: Option<Error>,
    compressor: Compressor,
    payload: Payload,
    progress: Progress<'r>,
}

/// How things stood before the load began.
#[derive(Clone, Copy)]
pub(super) struct Before {
    at: Moment,
    counters: Counters,
}

/// Keeps the report true and tells of it.
struct Progress<'r> {
    pipe: Pipe,
    before: Before,
    report: &'r mut Report,
    on_progress: &'r mut dyn FnMut(&Report),
}

impl<'r> Sink<'r> {
    pub(super) fn new(
        delivery: Delivery,
        retains: bool,
        before: Before,
        report: &'r mut Report,
        on_progress: &'r mut dyn FnMut(&Report),
    ) -> Sink<'r> {
        let pipe = delivery.channel().pipe().clone();
        let progress = Progress { pipe, before, report, on_progress };
        let (compressor, payload) = Default::default();
        let mut sink = Sink { delivery, retains, failed: None, compressor, payload, progress };
        sink.tell();
        sink
    }

    pub(super) fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        if self.retains {
            // All pieces are made before the first is sent: after a loss of the channel none can be made again.
            self.keep(batch);
            self.send_kept()?;
            return self.failed.clone().map_or(Ok(()), Err);
        }
        let Sink { delivery, compressor, payload, progress, .. } = self;
        for_each_payload(batch, compressor, payload, |payload| {
            delivery.send(payload)?;
            progress.tell(delivery);
            Ok(())
        })
    }

    /// Makes bodies of a batch that cannot be read again, to be sent later; nothing more after a failure.
    pub(super) fn keep(&mut self, batch: &Batch) {
        if self.failed.is_some() {
            return;
        }
        let Sink { delivery, compressor, payload, .. } = self;
        let kept = for_each_payload(batch, compressor, payload, |payload| {
            delivery.enqueue(std::mem::take(payload));
            Ok(())
        });
        self.failed = kept.err();
    }

    /// Why a source that cannot be read again has come to its end.
    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(super) fn send_kept(&mut self) -> Result<(), Error> {
        self.delivery.send_queue(|delivery| self.progress.tell(delivery))
    }

    pub(super) fn wait_for_commits(&mut self) -> Result<(), Error> {
        self.delivery.wait_until(Delivery::is_done, |delivery| self.progress.tell(delivery))
    }

    pub(super) fn retains(&self) -> bool {
        self.retains
    }

    pub(super) fn tell(&mut self) {
        self.progress.tell(&self.delivery);
    }
}

impl Before {
    pub(super) fn now(pipe: &Pipe) -> Before {
        Before { at: pipe.clock().now(), counters: pipe.counters() }
    }

    /// What the whole client has done since.
    pub(super) fn tell(&self, pipe: &Pipe, report: &mut Report) {
        let counters = pipe.counters();
        report.retries = counters.retries - self.counters.retries;
        report.renewals = counters.renewals - self.counters.renewals;
        report.elapsed = pipe.clock().now().since(self.at);
    }
}

impl Progress<'_> {
    fn tell(&mut self, delivery: &Delivery) {
        let totals = delivery.totals();
        let report = &mut *self.report;
        report.rows = report.skipped + delivery.landed_rows();
        report.rows_sent = totals.rows;
        report.bytes_sent = totals.bytes;
        report.batches = totals.batches;
        report.committed_offset = delivery.landed().cloned();
        report.rows_rejected = totals.rejected;
        report.reopens = totals.reopens;
        report.commit_lag = delivery.commit_lag();
        self.before.tell(&self.pipe, report);
        (self.on_progress)(report);
    }
}
