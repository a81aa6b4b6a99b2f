//! A writer that is fed row by row, crashes, and resumes after the committed offset.

use std::time::Duration;

use super::load_check::{check_kind, check_offset};
use super::schedule::Schedule;
use super::stream::{Stream, is_intrusion, is_theft};
use super::world::{State, World};
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::Batch;
use crate::writer::Writer;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Writing {
    pub(super) stream: Stream,
    pub(super) max_bytes: u16,
    pub(super) max_age_ms: u16,
    /// Between two rows.
    pub(super) pause_ms: u16,
    /// After so many rows each; never at zero.
    pub(super) flush_every: u8,
    pub(super) tick_every: u8,
    pub(super) commit_every: u8,
    pub(super) ask_every: u8,
    /// The most that a writer keeps compressed.
    pub(super) retained: u32,
    pub(super) commit_timeout_s: u16,
    pub(super) discard: bool,
    /// So many rows are appended before the channel becomes a writer.
    pub(super) rows_before: u8,
    /// They have an offset token.
    pub(super) marks_before: bool,
}

/// How the life of one process ends.
enum End {
    AllCommitted,
    /// A call failed in a way after which the program starts anew.
    Broken,
    /// The channel is another program's.
    Conflict,
    /// What is stored cannot be known.
    Unknown,
}

/// One process.
struct Feed<'f> {
    writing: &'f Writing,
    world: &'f World,
    writer: Writer,
    /// The row to write next.
    next: u16,
    reported: u64,
    /// The first row of this process.
    first: u16,
    errors: u16,
}

impl Writing {
    pub(super) fn random(random: &mut fastrand::Rng) -> Writing {
        let mut every = || random.choice([0, 0, 1, 2, 5, 11]).unwrap_or(0);
        let (flush_every, tick_every, commit_every, ask_every) = (every(), every(), every(), every());
        Writing {
            stream: Stream::random(random),
            max_bytes: random.u16(1..300),
            max_age_ms: random.choice([0, 100, 1000, 60_000]).unwrap_or(1000),
            pause_ms: random.choice([0, 0, 50, 700]).unwrap_or(0),
            flush_every,
            tick_every,
            commit_every,
            ask_every,
            retained: random.choice([32_000_000, 32_000_000, 2_000, 6_000]).unwrap_or(2_000),
            commit_timeout_s: random.choice([20, 60, 120]).unwrap_or(60),
            discard: random.u8(..) < 60,
            rows_before: random.choice([0, 0, 0, 1, 4]).unwrap_or(0),
            marks_before: random.bool(),
        }
    }

    pub(super) fn run(&self, schedule: &Schedule) -> Result<(), String> {
        let world = World::new(schedule);
        for process in 0..MAX_PROCESSES {
            if process == CALM_PROCESS {
                world.lock().calm();
            }
            let end = self.live(&world).map_err(|oddity| {
                let state = world.lock();
                format!("process {process}: {oddity}\n  struck in it: {:?}", state.struck)
            })?;
            match end {
                End::AllCommitted | End::Conflict | End::Unknown => return Ok(()),
                End::Broken => {}
            }
        }
        Err(format!("not all is committed after {MAX_PROCESSES} processes"))
    }

    fn live(&self, world: &World) -> Result<End, String> {
        let pipe = world.start_process();
        let (writer, next) = match self.open(&pipe) {
            Ok((Some(writer), next)) => (writer, next),
            Ok((None, _)) => {
                let shared = self.stream.is_shared(&world.lock());
                return if shared { Ok(End::Conflict) } else { Err("the offset at open is none of ours".into()) };
            }
            Err(error) => return self.broken(world, &error),
        };
        let mut feed = Feed { writing: self, world, writer, next, reported: 0, first: next, errors: 0 };
        let mut end = feed.write_all();
        if let Ok(None) = end {
            end = feed.commit_all();
        }
        let state = world.lock();
        state.oddities.first().map_or(Ok(()), |oddity| Err(oddity.clone()))?;
        self.stream.check_stored(&state)?;
        drop(state);
        match end? {
            Some(error) => {
                feed.check_uncommitted().map_err(|oddity| format!("{oddity}, after {error:?}"))?;
                self.broken(world, &error)
            }
            None => Ok(End::AllCommitted),
        }
    }

    /// The writer and its first row; no writer where the committed offset is no row's.
    fn open(&self, pipe: &Pipe) -> Result<(Option<Writer>, u16), Error> {
        let builder = pipe.channel(Stream::CHANNEL);
        let builder = if self.discard { builder.discard_uncommitted() } else { builder };
        let mut channel = builder.open()?;
        let next = self.stream.after(channel.committed_offset().map(|offset| offset.to_string()).as_deref());
        let Some(next) = next else { return Ok((None, 0)) };
        let first = (next + u16::from(self.rows_before)).min(self.stream.count + 1);
        let mut before = Batch::new();
        for number in next..first {
            before.push_json(self.stream.row(number).as_bytes())?;
            if self.marks_before && number + 1 == first {
                before.mark(self.stream.token(number));
            }
        }
        channel.append(&before)?;
        let writer = channel.into_writer().max_bytes(self.max_bytes.into()).retaining_at_most(self.retained as usize);
        Ok((Some(writer.max_age(Duration::from_millis(self.max_age_ms.into()))), first))
    }

    fn broken(&self, world: &World, error: &Error) -> Result<End, String> {
        let state = world.lock();
        let may_conflict = self.may_conflict(&state);
        check_kind(error, may_conflict, &state).map_err(|oddity| format!("{oddity}: {error:?}"))?;
        self.stream.check_stored(&state)?;
        // What was sent without an offset token is nothing that a new process could know of.
        let is_unknown = self.rows_before > 0 && !self.marks_before;
        let has_reason = error.kind() == ErrorKind::Timeout || may_conflict || is_unknown;
        if state.is_undisturbed() && !has_reason {
            return Err(format!("nothing was in the way of {error:?}"));
        }
        Ok(if is_unknown { End::Unknown } else { End::Broken })
    }

    /// A writer cannot send again what was appended before it began.
    fn may_conflict(&self, state: &State) -> bool {
        self.stream.is_shared(state)
            || state.has_struck(is_intrusion)
            || self.rows_before > 0 && state.has_struck(is_theft)
    }

    pub(super) fn simpler(&self) -> Vec<Writing> {
        let streams = self.stream.simpler().into_iter();
        let mut simpler: Vec<_> = streams.map(|stream| Writing { stream, ..self.clone() }).collect();
        simpler.extend([
            Writing { flush_every: 0, ..self.clone() },
            Writing { tick_every: 0, ..self.clone() },
            Writing { commit_every: 0, ..self.clone() },
            Writing { ask_every: 0, ..self.clone() },
            Writing { retained: 32_000_000, ..self.clone() },
            Writing { pause_ms: 0, ..self.clone() },
            Writing { max_age_ms: 1000, ..self.clone() },
            Writing { max_bytes: 1, ..self.clone() },
            Writing { max_bytes: 300, ..self.clone() },
            Writing { discard: false, ..self.clone() },
            Writing { rows_before: 0, ..self.clone() },
            Writing { marks_before: true, ..self.clone() },
            Writing { commit_timeout_s: 120, ..self.clone() },
        ]);
        simpler.retain(|writing| writing != self);
        simpler
    }
}

impl Feed<'_> {
    /// The error after which the process ends, or none.
    fn write_all(&mut self) -> Result<Option<Error>, String> {
        while self.next <= self.writing.stream.count {
            let (row, token) = (self.writing.stream.row(self.next), self.writing.stream.token(self.next));
            let written = self.writer.write_json(row.as_bytes(), token);
            self.next += u16::from(is_taken(&written)?);
            if let Some(error) = self.seen(written)? {
                return Ok(Some(error));
            }
            self.world.clock.pass(Duration::from_millis(self.writing.pause_ms.into()));
            let is_time = |every: u8| every > 0 && self.next.is_multiple_of(every.into());
            let (tick, flush) = (is_time(self.writing.tick_every), is_time(self.writing.flush_every));
            let (commit, ask) = (is_time(self.writing.commit_every), is_time(self.writing.ask_every));
            let ticked = if tick { self.writer.tick() } else { Ok(()) };
            let flushed = if flush { self.writer.flush() } else { Ok(()) };
            for result in [ticked, flushed] {
                if let Some(error) = self.seen(result)? {
                    return Ok(Some(error));
                }
            }
            if ask && let Some(error) = self.ask()? {
                return Ok(Some(error));
            }
            if commit && let Some(error) = self.commit()? {
                return Ok(Some(error));
            }
        }
        Ok(None)
    }

    fn commit_all(&mut self) -> Result<Option<Error>, String> {
        for _ in 0..MAX_CALLS {
            let error = self.commit()?;
            if error.is_some() || self.is_committed() {
                return Ok(error);
            }
        }
        if self.world.lock().is_undisturbed() {
            return Err(format!("{MAX_CALLS} calls of commit have committed no more"));
        }
        Ok(Some(Error::new(ErrorKind::Timeout, "too many calls of commit")))
    }

    fn is_committed(&self) -> bool {
        let last = self.writing.stream.token(self.next - 1);
        self.next == 1 || self.writer.committed_offset().is_some_and(|offset| offset.as_str() == last)
    }

    fn commit(&mut self) -> Result<Option<Error>, String> {
        let result = self.writer.commit(Duration::from_secs(self.writing.commit_timeout_s.into()));
        let is_committed = result.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::NotStored);
        if let Some(error) = self.seen(result)? {
            return Ok(Some(error));
        }
        if is_committed {
            let state = self.world.lock();
            self.writing.stream.check_committed(self.next - 1, &state)?;
            let expected = self.writing.stream.rejected(&state);
            if self.reported != expected && !state.may_miscount() {
                return Err(format!("{expected} rows were rejected, and {} are reported", self.reported));
            }
        }
        Ok(None)
    }

    fn ask(&mut self) -> Result<Option<Error>, String> {
        let asked = self.writer.try_commit();
        if let Ok(true) = asked {
            self.writing.stream.check_committed(self.next - 1, &self.world.lock())?;
        }
        self.seen(asked.map(drop))
    }

    /// What is counted adds up, and takes no more memory than is said.
    fn check_report(&self) -> Result<(), String> {
        let report = self.writer.report();
        let placed = report.rows_buffered + report.rows_uncommitted + report.rows_committed;
        if report.rows_written != placed || report.rows_written != u64::from(self.next - self.first) {
            return Err(format!("rows {} to {} were taken: {report:?}", self.first, self.next - 1));
        }
        if report.memory > self.writing.retained as usize + usize::from(self.writing.max_bytes) + LONGEST_ROW {
            return Err(format!("{} bytes are too many: {report:?}", report.memory));
        }
        Ok(())
    }

    /// The error if the writer can do no more.
    fn seen(&mut self, result: Result<(), Error>) -> Result<Option<Error>, String> {
        self.check_report()?;
        let state = self.world.lock();
        let stream = &self.writing.stream;
        stream.check_stored(&state)?;
        if let Some(offset) = self.writer.committed_offset() {
            let after = stream.after(Some(&offset.as_str()));
            stream.check_committed(after.map_or(0, |after| after - 1), &state)?;
        }
        let Err(error) = result else { return Ok(None) };
        check_offset(&error, &state)?;
        self.errors += 1;
        match error.kind() {
            ErrorKind::Row => Err(format!("a row was left out: {error:?}")),
            ErrorKind::NotStored => {
                self.reported += error.rows_rejected();
                Ok(None)
            }
            ErrorKind::Conflict | ErrorKind::Unconfirmed => Ok(Some(error)),
            _ if self.errors > MAX_ERRORS || state.was_killed() => Ok(Some(error)),
            _ => {
                let may_conflict = self.writing.may_conflict(&state);
                check_kind(&error, may_conflict, &state).map_err(|oddity| format!("{oddity}: {error:?}"))?;
                Ok(None)
            }
        }
    }

    /// What is not known to be committed comes out of a writer that has ended.
    fn check_uncommitted(self) -> Result<(), String> {
        let committed = self.writer.committed_offset().map(|offset| offset.to_string());
        let after = self.writing.stream.after(committed.as_deref()).unwrap_or(self.first).max(self.first);
        let rows: usize = match self.writer.into_uncommitted() {
            Ok(batch) => batch.rows(),
            Err(error) => return Err(format!("no way to get the rows out: {error:?}")),
        };
        let expected = usize::from(self.next - after);
        if rows == expected {
            return Ok(());
        }
        Err(format!("{rows} rows come out as uncommitted, of {expected} after {committed:?}"))
    }
}

/// Whether the writer has the row, as the error alone says.
pub(super) fn is_taken(written: &Result<(), Error>) -> Result<bool, String> {
    let Err(error) = written else { return Ok(true) };
    let is_at_end = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unconfirmed | ErrorKind::Row);
    match (error.is_row_kept(), error.is_retryable()) {
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        (false, false) if is_at_end => Ok(false),
        _ => Err(format!("nothing says what became of the row: {error:?}")),
    }
}

/// With its token, which may be a text.
const LONGEST_ROW: usize = 120;

/// Each process gets further, unless it discards what was about to be committed; from this one on nothing goes wrong.
const CALM_PROCESS: u8 = 10;

/// The first calm one may still meet what was left in flight.
const MAX_PROCESSES: u8 = CALM_PROCESS + 4;

/// Each waits for at least twenty seconds.
const MAX_CALLS: u16 = 40;

/// Enough to see that a writer goes on after an error.
const MAX_ERRORS: u16 = 30;
