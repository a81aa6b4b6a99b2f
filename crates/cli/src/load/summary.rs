use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use snowpipe_streaming::{Counters, LoadReport};

use crate::Result;

/// The last line: how far it came and what it took.
#[derive(Debug, Serialize)]
pub struct Summary {
    rows: u64,
    skipped: u64,
    batches: u64,
    committed_offset: Option<String>,
    rows_rejected: u64,
    retries: u64,
    renewals: u64,
    reopens: u64,
    seconds: f64,
    rows_per_second: f64,
}

impl Summary {
    pub fn of_load(report: &LoadReport) -> Summary {
        Summary {
            rows: report.rows,
            skipped: report.skipped,
            batches: report.batches,
            committed_offset: report.committed_offset.as_ref().map(ToString::to_string),
            rows_rejected: report.rows_rejected,
            retries: report.retries,
            renewals: report.renewals,
            reopens: report.reopens,
            seconds: report.elapsed.as_secs_f64(),
            rows_per_second: rate(report.rows - report.skipped, report.elapsed),
        }
    }

    pub fn of_elastic(rows: u64, batches: u64, counters: Counters, elapsed: Duration) -> Summary {
        Summary {
            rows,
            skipped: 0,
            batches,
            committed_offset: None,
            rows_rejected: 0,
            retries: counters.retries,
            renewals: counters.renewals,
            reopens: 0,
            seconds: elapsed.as_secs_f64(),
            rows_per_second: rate(rows, elapsed),
        }
    }

    pub fn print(&self, as_json: bool) -> Result<ExitCode> {
        if as_json {
            return crate::print(format_args!("{}\n", serde_json::json!(self)));
        }
        let Summary { rows, skipped, batches, seconds, rows_per_second, .. } = self;
        let offset = self.committed_offset.as_deref().unwrap_or("none");
        let requests = requests(*batches);
        crate::print(format_args!(
            "{rows} rows committed ({skipped} of them before), offset {offset}, {requests}\n\
             {seconds:.2} s, {rows_per_second:.0} rows/s\n\
             {} rows rejected, {} retries, {} renewals, {} reopens\n",
            self.rows_rejected, self.retries, self.renewals, self.reopens
        ))
    }
}

fn requests(batches: u64) -> String {
    if batches == 1 { "1 request".into() } else { format!("{batches} requests") }
}

fn rate(rows: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { rows as f64 / seconds } else { 0.0 }
}
