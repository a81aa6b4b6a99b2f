use super::LoadReport;
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

/// The bodies of a batch, and why what is left of it has none.
pub(super) struct Packed {
    bodies: Vec<Payload>,
    failure: Option<Error>,
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
    report: &'r mut LoadReport,
    on_progress: &'r mut dyn FnMut(&LoadReport),
}

impl<'r> Sink<'r> {
    pub(super) fn new(
        delivery: Delivery,
        retains: bool,
        before: Before,
        report: &'r mut LoadReport,
        on_progress: &'r mut dyn FnMut(&LoadReport),
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
            return self.send_all_kept();
        }
        let Sink { delivery, compressor, payload, progress, .. } = self;
        for_each_payload(batch, compressor, payload, |payload| {
            delivery.send(payload)?;
            progress.tell(delivery);
            Ok(())
        })
    }

    /// As [`send`](Sink::send), of a batch that was compressed elsewhere.
    pub(super) fn send_packed(&mut self, packed: Packed) -> Result<(), Error> {
        if self.retains {
            self.keep_packed(packed);
            return self.send_all_kept();
        }
        for body in &packed.bodies {
            self.delivery.send(body)?;
            self.tell();
        }
        packed.failure.map_or(Ok(()), Err)
    }

    /// Makes bodies of a batch that cannot be read again, to be sent later; nothing more after a failure.
    pub(super) fn keep(&mut self, batch: &Batch) {
        let packed = Packed::of(batch, &mut self.compressor);
        self.keep_packed(packed);
    }

    pub(super) fn keep_packed(&mut self, packed: Packed) {
        if self.failed.is_some() {
            return;
        }
        packed.bodies.into_iter().for_each(|body| self.delivery.enqueue(body));
        self.failed = packed.failure;
    }

    /// Why a source that cannot be read again has come to its end.
    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(super) fn send_kept(&mut self) -> Result<(), Error> {
        self.delivery.send_queue(|delivery| self.progress.tell(delivery))
    }

    fn send_all_kept(&mut self) -> Result<(), Error> {
        self.send_kept()?;
        self.failed.clone().map_or(Ok(()), Err)
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

impl Packed {
    pub(super) fn of(batch: &Batch, compressor: &mut Compressor) -> Packed {
        let (mut bodies, mut payload) = (Vec::new(), Payload::default());
        let packed = for_each_payload(batch, compressor, &mut payload, |payload| {
            bodies.push(std::mem::take(payload));
            Ok(())
        });
        Packed { bodies, failure: packed.err() }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.failure.is_none()
    }
}

impl Before {
    pub(super) fn now(pipe: &Pipe) -> Before {
        Before { at: pipe.clock().now(), counters: pipe.counters() }
    }

    /// What the whole client has done since.
    pub(super) fn tell(&self, pipe: &Pipe, report: &mut LoadReport) {
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
