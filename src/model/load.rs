//! A load, killed and run again until it ends.

use std::io::{self, Read};

use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use super::left_out::LeftOut;
use super::load_check::LoadCheck;
use super::schedule::{Change, Schedule, What};
use super::text::{Shape, Text};
use super::world::World;
use crate::error::Error;
use crate::loader::{LoadReport, Loader, Source};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) shape: Shape,
    pub(super) batch_bytes: u16,
    pub(super) kind: Kind,
    pub(super) channels: u8,
    pub(super) pipelined: bool,
    pub(super) discard: bool,
    pub(super) commit_timeout_s: u16,
    /// So many rows may be rejected or left out.
    pub(super) max_errors: u8,
    /// Between two runs.
    pub(super) pause_s: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    File,
    Reader,
    /// Values of an iterator.
    Rows,
}

/// What is loaded by the next run.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) text: Text,
    pub(super) kind: Kind,
    pub(super) channels: u8,
    sources: u8,
    file: NamedTempFile,
}

impl Load {
    pub(super) fn random(random: &mut fastrand::Rng) -> Load {
        let channels = if random.u8(..) < 20 { random.u8(2..4) } else { 1 };
        let kind = match random.u8(0..4) {
            0..2 => Kind::File,
            2 => Kind::Reader,
            _ => Kind::Rows,
        };
        let shape = match (channels, kind) {
            (1, Kind::Rows) => Shape { blank_lines: 0, ..shape(random) },
            (1, _) => shape(random),
            (_, Kind::Rows) => Shape { rows: random.u16(900..2600), blank_lines: 0, ..shape(random) },
            _ => Shape { blank_lines: random.u16(150..500), ..shape(random) },
        };
        let many_rows = shape.rows > 100;
        Load {
            batch_bytes: if many_rows { random.u16(8_000..40_000) } else { random.u16(1..300) },
            shape,
            kind,
            channels,
            pipelined: random.u8(..) < 10,
            discard: random.u8(..) < 60,
            commit_timeout_s: random.choice([2, 60, 120]).unwrap_or(120),
            max_errors: random.choice([0, 0, 0, 1, 5, 50, 250]).unwrap_or(0),
            pause_s: random.choice([0, 0, 5, 300]).unwrap_or(0),
        }
    }

    pub(super) fn run(&self, schedule: &Schedule) -> Result<(), String> {
        let world = World::new(schedule);
        let mut loading = Loading {
            text: self.shape.text(0),
            kind: self.kind,
            channels: self.channels,
            sources: 0,
            file: NamedTempFile::new().map_err(|error| error.to_string())?,
        };
        let last = schedule.last_changed_run();
        for run in 0..last + MAX_RUNS {
            if run == last + CALM_RUN {
                world.lock().calm();
            }
            schedule.changes_before(run).for_each(|change| self.change(&mut loading, change, &world));
            let has_ended = self.run_once(&world, &mut loading, run)?;
            if has_ended && run >= last {
                return Ok(());
            }
            world.clock.pass(std::time::Duration::from_secs(self.pause_s.into()));
        }
        Err(format!("the load has not ended after {} runs", last + MAX_RUNS))
    }

    fn change(&self, loading: &mut Loading, change: &Change, world: &World) {
        loading.sources += 1;
        loading.text = self.shape.changed(&loading.text, change, loading.sources);
        match (change, loading.kind) {
            (Change::Channels(channels), _) => loading.channels = *channels,
            (Change::OtherKind, Kind::File) => loading.kind = Kind::Reader,
            (Change::OtherKind, Kind::Reader) => loading.kind = Kind::File,
            (Change::ThirtyDays, _) => world.lock().service.delete_all(),
            _ => {}
        }
    }

    /// Whether running it again will change nothing.
    fn run_once(&self, world: &World, loading: &mut Loading, run: u8) -> Result<bool, String> {
        std::fs::write(loading.file.path(), loading.text.bytes()).map_err(|error| error.to_string())?;
        let pipe = world.start_process();
        world.lock().file = (loading.kind == Kind::File).then(|| loading.file.path().to_path_buf());
        let check = LoadCheck::new(loading, self.max_errors);
        let (mut oddities, mut left_out) = (Vec::new(), LeftOut::default());
        let stop = world.lock().stop.clone();
        let mut loader = Loader::new(&pipe, "load")
            .stop_handle(&stop)
            .batch_bytes(self.batch_bytes.into())
            .commit_timeout(std::time::Duration::from_secs(self.commit_timeout_s.into()))
            .channels(loading.channels.into())
            .max_errors(self.max_errors.into())
            .on_bad_row(|row| left_out.take(row, &check, &world.lock()))
            .on_progress(|report| oddities.extend(check.progress(report, &world.lock()).err()));
        if self.discard {
            loader = loader.discard_uncommitted();
        }
        if self.pipelined {
            loader = loader.pipelined();
        }
        let outcome = loading.source().and_then(|source| loader.load(source));
        let report = loader.report().clone();
        drop(loader);
        let state = world.lock();
        oddities.extend(state.oddities.first().cloned());
        let judged = match oddities.into_iter().next() {
            Some(oddity) => Err(oddity),
            None => left_out.judge(&outcome, &report).and_then(|()| check.judge(&outcome, &report, &state)),
        };
        let ended = judged.map_err(|oddity| described(&oddity, run, &outcome, &report, &state.struck))?;
        drop(state);
        let mut state = world.lock();
        state.appends.clear();
        std::mem::take(&mut state.grown).into_iter().for_each(|row| loading.text.push_line(row));
        Ok(ended)
    }

    pub(super) fn simpler(&self) -> Vec<Load> {
        let shapes = [
            Shape { rows: self.shape.rows / 2, ..self.shape.clone() },
            Shape { rows: self.shape.rows.saturating_sub(1), ..self.shape.clone() },
            Shape { blank_lines: if self.channels > 1 { 150 } else { 0 }, ..self.shape.clone() },
            Shape { bad_every: 0, ..self.shape.clone() },
            Shape { unfit_every: 0, ..self.shape.clone() },
            Shape { is_unterminated: false, ..self.shape.clone() },
        ];
        let mut simpler: Vec<_> = shapes.into_iter().map(|shape| Load { shape, ..self.clone() }).collect();
        simpler.extend([
            Load { channels: 1, shape: Shape { blank_lines: 0, ..self.shape.clone() }, ..self.clone() },
            Load { channels: self.channels.min(2), ..self.clone() },
            Load { pipelined: false, ..self.clone() },
            Load { discard: false, ..self.clone() },
            Load { kind: Kind::File, ..self.clone() },
            Load { batch_bytes: self.batch_bytes.saturating_mul(2), ..self.clone() },
            Load { batch_bytes: 1, ..self.clone() },
            Load { commit_timeout_s: 120, ..self.clone() },
            Load { max_errors: 0, ..self.clone() },
            Load { pause_s: 0, ..self.clone() },
        ]);
        simpler.retain(|load| load != self);
        simpler
    }
}

impl Loading {
    fn source(&self) -> Result<Source<'static>, Error> {
        let bytes = self.text.bytes();
        match self.kind {
            Kind::File => Source::file(self.file.path()),
            Kind::Reader => Ok(Source::reader("the text", Sips { bytes, at: 0 })),
            Kind::Rows => {
                let rows = self.text.rows().into_iter().map(|(_, row)| RawValue::from_string(row.to_string()));
                Ok(Source::rows(rows.map(|row| row.expect("a row of the model is JSON")).collect::<Vec<_>>()))
            }
        }
    }
}

/// Gives a text in pieces that end anywhere.
struct Sips {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Sips {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.bytes.len() - self.at).min(buffer.len()).min(1 + self.at % 97);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn shape(random: &mut fastrand::Rng) -> Shape {
    Shape {
        rows: random.u16(0..30),
        blank_lines: random.choice([0, 0, 1, 2]).unwrap_or(0),
        bad_every: random.choice([0, 0, 0, 0, 1, 3, 7]).unwrap_or(0),
        unfit_every: random.choice([0, 0, 0, 0, 1, 2, 5, 700]).unwrap_or(0),
        is_unterminated: random.bool(),
    }
}

fn described(
    oddity: &str,
    run: u8,
    outcome: &Result<LoadReport, Error>,
    report: &LoadReport,
    struck: &[What],
) -> String {
    format!("run {run}: {oddity}\n  outcome: {outcome:?}\n  report: {report:?}\n  struck in this run: {struck:?}")
}

/// Each run gets further, unless it discards what was about to be committed; from this one on nothing goes wrong.
const CALM_RUN: u8 = 10;

/// The first calm one may still meet what was left in flight.
const MAX_RUNS: u8 = CALM_RUN + 4;
