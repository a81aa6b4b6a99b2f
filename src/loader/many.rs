use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::run::Run;
use super::share::Share;
use super::sink::Before;
use super::source::Source;
use super::{Report, Settings};
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// One run a channel, each on a thread of its own with the file opened once more; all end before this returns.
///
/// A channel that fails does not stop the others: what they commit need not be sent by the next run. Rows that could not be
/// stored are handed back only when every channel came to its end: all else is committed then.
pub(super) fn load(
    settings: &Settings,
    channels: u64,
    source: &Source<'_>,
    before: Before,
    report: &mut Report,
    on_progress: &mut dyn FnMut(&Report),
) -> Result<Option<Error>, Error> {
    let (path, push_line) = (path_of(source, channels)?, source.push_line);
    // Another number of channels is told by this one, so it must be there before any other takes rows.
    settings.of(Share::first(channels), channels).open_channel()?.close();
    thread::scope(|scope| {
        let (sender, reports) = channel();
        let runs: Vec<_> = Share::all(channels)
            .enumerate()
            .map(|(index, share)| {
                let (settings, sender) = (settings.of(share, channels), sender.clone());
                scope.spawn(move || {
                    let mut tell = |report: &Report| drop(sender.send((index, report.clone())));
                    let mut report = Report::default();
                    let source = Source { push_line, ..Source::file(path)? };
                    Run::start(&settings, source, before, &mut report, &mut tell)?.complete()
                })
            })
            .collect();
        drop(sender);
        gather(&reports, runs.len(), before, settings, report, on_progress);
        let ends: Vec<_> =
            runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        let rejected: Vec<_> = ends.into_iter().collect::<Result<_, _>>()?;
        Ok(rejected.into_iter().flatten().next())
    })
}

/// Several channels read one source at the same time, each at its own pace.
pub(super) fn path_of<'s>(source: &'s Source<'_>, channels: u64) -> Result<&'s Path, Error> {
    source.path.as_deref().ok_or_else(|| {
        let happened = format!("{} cannot be read by {channels} channels at once", source.name);
        Error::new(ErrorKind::Config, happened).advise("load a file, or through one channel")
    })
}

impl Settings {
    fn of(&self, share: Share, channels: u64) -> Settings {
        let together = (2 * Batch::FULL_BYTES) / channels as usize;
        Settings { share, batch_bytes: self.batch_bytes.min(together), ..self.clone() }
    }
}

/// Adds up the channels' reports as they come, until the last channel has ended.
fn gather(
    reports: &Receiver<(usize, Report)>,
    channels: usize,
    before: Before,
    settings: &Settings,
    report: &mut Report,
    on_progress: &mut dyn FnMut(&Report),
) {
    let mut latest = vec![Report::default(); channels];
    for (index, of_channel) in reports {
        latest[index] = of_channel;
        *report = latest.iter().fold(Report::default(), joined);
        before.tell(&settings.pipe, report);
        on_progress(report);
    }
}

fn joined(sum: Report, one: &Report) -> Report {
    Report {
        rows: sum.rows + one.rows,
        skipped: sum.skipped + one.skipped,
        rows_sent: sum.rows_sent + one.rows_sent,
        bytes_sent: sum.bytes_sent + one.bytes_sent,
        batches: sum.batches + one.batches,
        committed_offset: None,
        rows_rejected: sum.rows_rejected + one.rows_rejected,
        retries: 0,
        renewals: 0,
        reopens: sum.reopens + one.reopens,
        commit_lag: sum.commit_lag.max(one.commit_lag),
        elapsed: sum.elapsed,
    }
}
