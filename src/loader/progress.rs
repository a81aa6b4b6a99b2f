use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::LoadReport;
use super::resume_point::ResumePoint;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::pipe::Pipe;
use crate::session::Counters;
use crate::snowflake::status::ChannelStatus;

/// Owns the report of a load, keeps it up to date and calls back with it.
pub(super) struct Progress<'p> {
    pipe: Pipe,
    baseline: Baseline,
    report: LoadReport,
    on_progress: &'p mut dyn FnMut(&LoadReport),
    /// Set when the progress callback has panicked: then no more rows are sent.
    stop: Option<&'p AtomicBool>,
    /// Rows left out so far, by all channels.
    bad_rows: Option<&'p AtomicU64>,
}

/// Clock and counters at the beginning of a load. The counters are the client's, so their growth is what counts.
#[derive(Clone, Copy)]
pub(super) struct Baseline {
    at: Moment,
    counters: Counters,
}

impl Baseline {
    pub(super) fn now(pipe: &Pipe) -> Baseline {
        Baseline { at: pipe.clock().now(), counters: pipe.counters() }
    }
}

impl<'p> Progress<'p> {
    pub(super) fn new(pipe: &Pipe, baseline: Baseline, on_progress: &'p mut dyn FnMut(&LoadReport)) -> Progress<'p> {
        Progress {
            pipe: pipe.clone(),
            baseline,
            report: LoadReport::default(),
            on_progress,
            stop: None,
            bad_rows: None,
        }
    }

    pub(super) fn baseline(&self) -> Baseline {
        self.baseline
    }

    pub(super) fn into_report(self) -> LoadReport {
        self.report
    }

    pub(super) fn stopped_by(self, stop: &'p AtomicBool) -> Progress<'p> {
        Progress { stop: Some(stop), ..self }
    }

    pub(super) fn counting(self, bad_rows: &'p AtomicU64) -> Progress<'p> {
        Progress { bad_rows: Some(bad_rows), ..self }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.pipe.stop().is_stopped() || self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// The channel goes on after so many rows of this source. Rows of it that were rejected are among them.
    pub(super) fn resumed(&mut self, skipped: u64, at_open: &ChannelStatus) {
        self.report.skipped = skipped;
        self.report.rows_rejected_before =
            if at_open.committed_offset().is_some() { at_open.rows_rejected() } else { 0 };
    }

    /// Reports what one channel has sent and committed.
    pub(super) fn update(&mut self, delivery: &Delivery) {
        let totals = delivery.totals();
        self.report.rows = self.report.skipped + delivery.committed_rows();
        self.report.rows_sent = totals.rows;
        self.report.bytes_sent = totals.bytes;
        self.report.batches = totals.batches;
        self.report.committed_offset = delivery.committed_offset().cloned();
        self.report.position =
            ResumePoint::after(delivery.committed_offset()).map(ResumePoint::position).filter(|p| *p > 0);
        self.report.rows_rejected = totals.rejected;
        self.report.reopens = delivery.reopens();
        self.report.commit_lag = delivery.commit_lag();
        self.call_back();
    }

    /// Reports the sum of what several channels have reported.
    pub(super) fn update_sum(&mut self, reports: &[LoadReport]) {
        self.report = match reports {
            [only] => only.clone(),
            _ => reports.iter().fold(LoadReport::default(), added),
        };
        self.call_back();
    }

    fn call_back(&mut self) {
        let counters = self.pipe.counters();
        self.report.retries = counters.retries - self.baseline.counters.retries;
        self.report.renewals = counters.renewals - self.baseline.counters.renewals;
        self.report.elapsed = self.pipe.clock().now().since(self.baseline.at);
        self.report.bad_rows = self.bad_rows.map_or(0, |rows| rows.load(Ordering::Relaxed));
        (self.on_progress)(&self.report);
    }
}

fn added(sum: LoadReport, one: &LoadReport) -> LoadReport {
    LoadReport {
        rows: sum.rows + one.rows,
        skipped: sum.skipped + one.skipped,
        rows_sent: sum.rows_sent + one.rows_sent,
        bytes_sent: sum.bytes_sent + one.bytes_sent,
        batches: sum.batches + one.batches,
        // Each channel has an offset of its own.
        committed_offset: None,
        position: None,
        rows_rejected: sum.rows_rejected + one.rows_rejected,
        rows_rejected_before: sum.rows_rejected_before + one.rows_rejected_before,
        reopens: sum.reopens + one.reopens,
        commit_lag: sum.commit_lag.max(one.commit_lag),
        ..sum
    }
}
