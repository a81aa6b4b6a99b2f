use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use snowpipe_streaming::{Counters, Error, ErrorKind, LoadReport};

use super::options::Options;
use crate::{Result, sample};

/// The end of a load: how far it came and what it took.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    rows: u64,
    skipped: u64,
    rows_sent: u64,
    batches: u64,
    bytes_sent: u64,
    committed_offset: Option<String>,
    position: Option<u64>,
    rows_rejected: u64,
    rows_rejected_before: u64,
    bad_rows: u64,
    retries: u64,
    renewals: u64,
    reopens: u64,
    seconds: f64,
    rows_per_second: f64,
    commit_lag_seconds: f64,
    file: Option<String>,
    /// Unknown where none was named.
    table: Option<String>,
    pipe: Option<String>,
    /// Unknown before the source was looked at; none without one.
    pub channel: Option<String>,
    channels: u32,
    error: Option<Failure>,
    /// Before that there is nothing to tell a person.
    #[serde(skip)]
    has_begun: bool,
    /// Rows went through no channel: what became of them is not known, and a rerun sends them again.
    #[serde(skip)]
    is_elastic: bool,
    /// Under another name a file has another channel.
    #[serde(skip)]
    is_named_for_file: bool,
}

#[derive(Debug, Serialize)]
struct Failure {
    kind: &'static str,
    message: String,
    code: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    retryable: bool,
    position: Option<u64>,
}

impl Summary {
    /// Before the load.
    pub fn of_options(options: &Options) -> Summary {
        Summary {
            file: options.input.argument().map(str::to_owned),
            table: options.table.as_ref().map(|table| table.join(".")),
            pipe: options.pipe_name(),
            channel: options.channel.clone().filter(|_| !options.elastic),
            channels: if options.elastic { 0 } else { options.channels },
            is_elastic: options.elastic,
            is_named_for_file: options.channel.is_none() && !options.elastic,
            ..Summary::default()
        }
    }

    /// After a load of the sample, at the options' defaults otherwise.
    pub fn of_load(channel: &str, report: &LoadReport) -> Summary {
        let mut summary = Summary::of_options(&Options { table: Some(sample::table()), ..Options::default() });
        summary.channel = Some(channel.into());
        summary.add_load(report);
        summary
    }

    /// Committed is what the service is done with, be it stored or rejected.
    pub fn rows_stored(&self) -> u64 {
        self.rows.saturating_sub(self.rows_rejected + self.rows_rejected_before)
    }

    /// The source has no rows.
    pub fn nothing_to_load(&mut self) {
        self.has_begun = true;
    }

    pub fn add_load(&mut self, report: &LoadReport) {
        // What was never begun is reported with nothing in it.
        self.has_begun = *report != LoadReport::default();
        self.rows = report.rows;
        self.skipped = report.skipped;
        self.rows_sent = report.rows_sent;
        self.batches = report.batches;
        self.bytes_sent = report.bytes_sent;
        self.committed_offset = report.committed_offset.as_ref().map(ToString::to_string);
        self.position = report.position;
        self.rows_rejected = report.rows_rejected;
        self.rows_rejected_before = report.rows_rejected_before;
        self.bad_rows = report.bad_rows;
        self.retries = report.retries;
        self.renewals = report.renewals;
        self.reopens = report.reopens;
        self.seconds = report.elapsed.as_secs_f64();
        self.rows_per_second = rate(report.rows - report.skipped, report.elapsed);
        self.commit_lag_seconds = report.commit_lag.as_secs_f64();
    }

    /// `counters` are those of a client that did nothing else.
    pub fn add_elastic(&mut self, batches: u64, counters: Counters, elapsed: Duration) {
        self.has_begun = true;
        self.rows = counters.rows;
        self.rows_sent = counters.rows;
        self.batches = batches;
        self.bytes_sent = counters.bytes;
        self.seconds = elapsed.as_secs_f64();
        self.rows_per_second = rate(counters.rows, elapsed);
    }

    /// Those of a client that did nothing else. They include what it took to open the channel, also in vain.
    pub fn add_requests(&mut self, counters: Counters) {
        self.retries = counters.retries;
        self.renewals = counters.renewals;
    }

    /// Returns the message, which says what to do next.
    pub fn fail(&mut self, error: &Error) -> String {
        let is_doubled = self.is_elastic && self.rows_sent > 0;
        let message = match self.advice(error) {
            Some(advice) => format!("{error}; {advice}"),
            None => error.to_string(),
        };
        self.error = Some(Failure {
            kind: error.kind().as_str(),
            message: message.clone(),
            code: error.code().map(str::to_owned),
            status: error.status(),
            request_id: error.request_id().map(str::to_owned),
            retryable: error.is_retryable() && !is_doubled,
            position: error.position(),
        });
        message
    }

    /// What only the program knows of a failure.
    fn advice(&self, error: &Error) -> Option<String> {
        if self.is_elastic && self.rows_sent > 0 {
            let sent = match self.rows_sent {
                1 => "the first row is sent".into(),
                rows => format!("the first {rows} rows are sent"),
            };
            return Some(format!("{sent}: loading the file again would double what is sent"));
        }
        let (kind, mut advice) = (error.kind(), Vec::new());
        // The library says it itself of some failures.
        if crate::exit_code(kind) == 7 && !self.is_elastic && !error.to_string().contains(RUN_AGAIN) {
            advice.push(format!("{RUN_AGAIN}: it resumes after what is committed"));
        }
        if kind == ErrorKind::Timeout && !self.is_elastic {
            advice.push("--commit-timeout waits longer".into());
        }
        let channel = self.channel.as_ref().filter(|_| self.is_named_for_file && is_to_go_on(kind));
        advice.extend(channel.map(|channel| format!("to go on under another file name: --channel {channel}")));
        (!advice.is_empty()).then(|| advice.join("; "))
    }

    pub fn print(&self, as_json: bool) -> Result<ExitCode> {
        if as_json {
            return crate::print(format_args!("{}\n", serde_json::json!(self)));
        }
        if !self.has_begun {
            return Ok(ExitCode::SUCCESS);
        }
        let channel = self.channel.iter().map(|channel| format!("channel {channel}\n")).collect::<String>();
        crate::print(self.text() + &channel)
    }

    /// The figures, for a person.
    pub fn text(&self) -> String {
        let requests = crate::counted(self.batches, "request", "requests");
        let retries = crate::counted(self.retries, "retry", "retries");
        let renewals = crate::counted(self.renewals, "renewal", "renewals");
        let speed = format!("{:.2} s, {:.0} rows/s", self.seconds, self.rows_per_second);
        if self.is_elastic {
            let sent = crate::counted(self.rows_sent, "row", "rows");
            return format!(
                "{sent} sent, {requests}\n{speed}\n\
                 rejected rows are only in the table's error table; {retries}, {renewals}\n"
            );
        }
        let Summary { rows_rejected_before, bad_rows, .. } = self;
        let stored_before = self.skipped.saturating_sub(*rows_rejected_before);
        let stored = crate::counted(self.rows_stored(), "row", "rows");
        let rejected = crate::counted(self.rows_rejected, "row", "rows");
        let reopens = crate::counted(self.reopens, "reopen", "reopens");
        let offset = self.committed_offset.as_deref().unwrap_or("none");
        format!(
            "{stored} stored ({stored_before} of them before), offset {offset}, {requests}\n{speed}\n\
             {rejected} rejected, {rows_rejected_before} in earlier runs, {bad_rows} left out, {retries}, {renewals}, {reopens}\n"
        )
    }
}

/// What is left is loaded by running the load again, later or with a corrected file.
fn is_to_go_on(kind: ErrorKind) -> bool {
    matches!(crate::exit_code(kind), 4 | 7)
}

fn rate(rows: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { rows as f64 / seconds } else { 0.0 }
}

const RUN_AGAIN: &str = "run it again";
