use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::dealer::deal;
use super::hand::{Closing, Hand};
use super::run::Run;
use super::share::Share;
use super::sink::Before;
use super::source::{PushLine, Source};
use super::{LoadReport, Loader, Settings};
use crate::error::Error;
use crate::rows::Batch;

/// One load through several channels: a run for each, on a thread of its own.
///
/// A channel that fails does not stop the others: what they commit need not be sent by the next run. Rows that could not be
/// stored are handed back only when every channel came to its end: all else is committed then.
pub(super) struct Many<'m> {
    pub(super) settings: &'m Settings,
    pub(super) channels: u64,
    pub(super) before: Before,
    pub(super) report: &'m mut LoadReport,
    pub(super) on_progress: &'m mut dyn FnMut(&LoadReport),
}

impl Many<'_> {
    /// All threads end before this returns.
    pub(super) fn load(self, source: Source<'_>) -> Result<Option<Error>, Error> {
        // Another number of channels is told by this one, so it must be there before any other takes rows.
        Settings { share: Share::first(self.channels), ..self.settings.clone() }.open_channel()?.close();
        match &source.path {
            Some(path) => self.load_file(path, source.push_line),
            None => self.load_dealt(source),
        }
    }

    /// Each run reads the whole file and picks its share.
    fn load_file(self, path: &Path, push_line: PushLine) -> Result<Option<Error>, Error> {
        let batches = if self.settings.pipelined { 2 * self.channels } else { self.channels };
        let settings = self.settings.sharing(self.channels, batches);
        let open = |_| Ok(Source { push_line, ..Source::file(path)? });
        let sources = (0..self.channels).map(open).collect::<Result<_, Error>>()?;
        self.run_each(&settings, sources, &[])
    }

    /// One more thread reads the source and deals its rows to the runs.
    fn load_dealt(self, source: Source<'_>) -> Result<Option<Error>, Error> {
        // One batch is dealt while the other is sent, so the dealing thread is all the reading ahead there is.
        let settings = Settings { pipelined: false, ..self.settings.sharing(self.channels, 2 * self.channels) };
        let hands: Vec<_> = (0..self.channels).map(|_| Hand::new(settings.batch_bytes)).collect();
        let sources = hands.iter().map(|hand| Source::dealt(&source.name, hand)).collect();
        thread::scope(|scope| {
            let dealing = scope.spawn(|| deal(source, &hands));
            let ran = self.run_each(&settings, sources, &hands);
            dealing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            ran
        })
    }

    fn run_each(self, settings: &Settings, sources: Vec<Source<'_>>, hands: &[Hand]) -> Result<Option<Error>, Error> {
        let (channels, before) = (sources.len(), self.before);
        thread::scope(|scope| {
            // Should the callback panic, no run waits for more.
            let _closing = Closing(hands);
            let (sender, reports) = channel();
            let runs: Vec<_> = sources
                .into_iter()
                .zip(Share::all(channels as u64))
                .enumerate()
                .map(|(index, (source, share))| {
                    let (settings, sender) = (Settings { share, ..settings.clone() }, sender.clone());
                    scope.spawn(move || {
                        let mut tell = |report: &LoadReport| drop(sender.send((index, report.clone())));
                        let mut report = LoadReport::default();
                        Run::start(&settings, source, before, &mut report, &mut tell)?.complete()
                    })
                })
                .collect();
            drop(sender);
            self.gather(&reports);
            let ends: Vec<_> = runs
                .into_iter()
                .map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            let rejected: Vec<_> = ends.into_iter().collect::<Result<_, _>>()?;
            Ok(rejected.into_iter().flatten().next())
        })
    }

    /// Adds up the channels' reports as they come, until the last channel has ended.
    fn gather(self, reports: &Receiver<(usize, LoadReport)>) {
        let mut latest = vec![LoadReport::default(); self.channels as usize];
        for (index, of_channel) in reports {
            latest[index] = of_channel;
            *self.report = latest.iter().fold(LoadReport::default(), joined);
            self.before.tell(&self.settings.pipe, self.report);
            (self.on_progress)(self.report);
        }
    }
}

impl Settings {
    /// For one of so many channels, which hold so many batches together.
    fn sharing(&self, channels: u64, batches: u64) -> Settings {
        let together = 2 * Batch::FULL_BYTES;
        Settings {
            batch_bytes: self.batch_bytes.min(together / batches as usize),
            retained_bytes: Loader::RETAINED_BYTES / channels as usize,
            ..self.clone()
        }
    }
}

fn joined(sum: LoadReport, one: &LoadReport) -> LoadReport {
    LoadReport {
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
