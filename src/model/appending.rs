//! A program that appends batches of its own through a channel, as the documentation of `Channel` says.

use std::time::Duration;

use super::load_check::check_kind;
use super::schedule::Schedule;
use super::stream::{Stream, is_intrusion, is_theft};
use super::world::World;
use crate::channel::{Channel, needs_reopening};
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::Batch;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Appending {
    pub(super) stream: Stream,
    pub(super) batch_rows: u16,
    pub(super) marks: Marks,
    /// After so many batches.
    pub(super) wait_every: u8,
    pub(super) wait_s: u16,
    pub(super) recovery: Way,
    pub(super) discard: bool,
}

/// Which rows have offset tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Marks {
    All,
    /// The last one of each batch.
    Last,
    /// The last one of every third batch, and of all.
    Third,
}

/// How it goes on after an append that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Reopens the channel and resumes after its committed offset.
    Reopen,
    /// Recovers and resumes after the committed offset.
    Resume,
    /// Recovers and appends the rest of the batch.
    Rest,
}

/// One process.
struct Steps<'s> {
    appending: &'s Appending,
    world: &'s World,
    channel: Channel,
    /// The first row that was not appended.
    next: u16,
    /// The last row that was appended with an offset token.
    marked: u16,
    batches: u8,
    reported: u64,
}

/// The outcome of one step, short of an oddity.
enum Step {
    Done,
    /// The process ends.
    Failed(Error),
}

impl Appending {
    pub(super) fn random(random: &mut fastrand::Rng) -> Appending {
        Appending {
            stream: Stream::random(random),
            batch_rows: random.u16(1..9),
            marks: random.choice([Marks::All, Marks::Last, Marks::Third]).unwrap_or(Marks::All),
            wait_every: random.choice([0, 1, 2, 5]).unwrap_or(0),
            wait_s: random.choice([20, 60, 120]).unwrap_or(60),
            recovery: random.choice([Way::Reopen, Way::Resume, Way::Rest]).unwrap_or(Way::Rest),
            discard: random.u8(..) < 60,
        }
    }

    pub(super) fn run(&self, schedule: &Schedule) -> Result<(), String> {
        let world = World::new(schedule);
        for process in 0..MAX_PROCESSES {
            if process == CALM_PROCESS {
                world.lock().calm();
            }
            let ended = self.live(&world).map_err(|oddity| {
                let state = world.lock();
                format!("process {process}: {oddity}\n  struck in it: {:?}", state.struck)
            })?;
            if ended {
                return Ok(());
            }
        }
        Err(format!("not all is committed after {MAX_PROCESSES} processes"))
    }

    /// Whether all is committed, or the channel is another program's.
    fn live(&self, world: &World) -> Result<bool, String> {
        let pipe = world.start_process();
        let channel = match self.open(&pipe) {
            Ok(channel) => channel,
            Err(error) => return self.failed(world, &error),
        };
        let Some(next) = self.next(&channel) else {
            let shared = self.stream.is_shared(&world.lock());
            return if shared { Ok(true) } else { Err("the offset at open is none of ours".into()) };
        };
        let step = Steps { appending: self, world, channel, next, marked: next - 1, batches: 0, reported: 0 }.run()?;
        let state = world.lock();
        state.oddities.first().map_or(Ok(()), |oddity| Err(oddity.clone()))?;
        self.stream.check_stored(&state)?;
        drop(state);
        match step {
            Step::Done => Ok(true),
            // What was sent without an offset token is nothing that a new process could know of.
            Step::Failed(_) if self.marks == Marks::Third => Ok(true),
            Step::Failed(error) => self.failed(world, &error),
        }
    }

    fn open(&self, pipe: &Pipe) -> Result<Channel, Error> {
        let builder = pipe.channel(Stream::CHANNEL);
        let builder = if self.discard { builder.discard_uncommitted() } else { builder };
        builder.open()
    }

    fn next(&self, channel: &Channel) -> Option<u16> {
        self.stream.after(channel.committed_offset().map(|offset| offset.to_string()).as_deref())
    }

    fn failed(&self, world: &World, error: &Error) -> Result<bool, String> {
        let state = world.lock();
        let may_conflict = self.stream.is_shared(&state) || state.has_struck(is_intrusion);
        check_kind(error, may_conflict, &state).map_err(|oddity| format!("{oddity}: {error:?}"))?;
        self.stream.check_stored(&state)?;
        if state.is_undisturbed() && error.kind() != ErrorKind::Timeout && !may_conflict {
            return Err(format!("nothing was in the way of {error:?}"));
        }
        Ok(false)
    }

    pub(super) fn simpler(&self) -> Vec<Appending> {
        let streams = self.stream.simpler().into_iter();
        let mut simpler: Vec<_> = streams.map(|stream| Appending { stream, ..self.clone() }).collect();
        simpler.extend([
            Appending { wait_every: 0, ..self.clone() },
            Appending { wait_s: 120, ..self.clone() },
            Appending { batch_rows: 1, ..self.clone() },
            Appending { batch_rows: self.batch_rows * 2, ..self.clone() },
            Appending { marks: Marks::All, ..self.clone() },
            Appending { marks: Marks::Last, ..self.clone() },
            Appending { recovery: Way::Resume, ..self.clone() },
            Appending { discard: false, ..self.clone() },
        ]);
        simpler.retain(|appending| appending != self && appending.batch_rows < 70);
        simpler
    }
}

impl Steps<'_> {
    fn run(mut self) -> Result<Step, String> {
        for _ in 0..MAX_STEPS {
            let is_last = self.next > self.appending.stream.count;
            let is_waiting_time =
                self.appending.wait_every > 0 && self.batches.is_multiple_of(self.appending.wait_every);
            let step = if is_last || is_waiting_time { self.wait()? } else { Step::Done };
            match step {
                Step::Failed(error) => return Ok(Step::Failed(error)),
                Step::Done if is_last && self.next > self.appending.stream.count => return Ok(Step::Done),
                Step::Done => {}
            }
            if let Step::Failed(error) = self.append()? {
                return Ok(Step::Failed(error));
            }
            self.batches = self.batches.wrapping_add(1);
        }
        self.exhausted("steps")
    }

    /// Without an end a process is killed; a healthy service gives no reason for that.
    fn exhausted(&self, what: &str) -> Result<Step, String> {
        if self.world.lock().is_undisturbed() {
            return Err(format!("too many {what}"));
        }
        Ok(Step::Failed(Error::new(ErrorKind::Timeout, format!("too many {what}"))))
    }

    fn append(&mut self) -> Result<Step, String> {
        let stream = &self.appending.stream;
        let end = (self.next + self.appending.batch_rows).min(stream.count + 1);
        let mut batch = Batch::new();
        for number in self.next..end {
            batch.push_json(stream.row(number).as_bytes()).map_err(|error| error.to_string())?;
            if self.appending.marks == Marks::All || number + 1 == end && self.marks_batch(end) {
                batch.mark(stream.token(number));
            }
        }
        let marked = if self.marks_batch(end) { end - 1 } else { self.marked };
        for _ in 0..MAX_CALLS {
            let result = self.channel.append(&batch);
            stream.check_stored(&self.world.lock())?;
            match result {
                Ok(()) => {
                    (self.next, self.marked) = (end, marked);
                    return Ok(Step::Done);
                }
                Err(error) if needs_reopening(&error) => return self.recover(Some((&batch, end, marked))),
                Err(error) if error.is_retryable() => {}
                Err(error) => return Ok(Step::Failed(error)),
            }
        }
        self.exhausted("appends of the same batch")
    }

    fn marks_batch(&self, end: u16) -> bool {
        self.appending.marks != Marks::Third || self.batches % 3 == 2 || end > self.appending.stream.count
    }

    /// After a failed append, which would have ended before one row and marked another, or after a loss that was noticed
    /// while waiting.
    fn recover(&mut self, failed: Option<(&Batch, u16, u16)>) -> Result<Step, String> {
        for call in 0..MAX_CALLS {
            let result = match self.appending.recovery {
                Way::Reopen if self.appending.marks != Marks::Third => self.channel.reopen().map(|()| None),
                _ => self.channel.recover().map(Some),
            };
            match result {
                Ok(Some(recovery)) if recovery.is_complete() => {
                    let (_, end, marked) = failed.unwrap_or((&Batch::new(), self.next, self.marked));
                    (self.next, self.marked) = (end, marked);
                    let state = self.world.lock();
                    self.appending.stream.check_committed(end - 1, &state)?;
                    return Ok(Step::Done);
                }
                Ok(recovery) => {
                    if let (Way::Rest, Some(recovery), Some((batch, end, _))) =
                        (self.appending.recovery, recovery, failed)
                        && let Ok(rest) = recovery.rest_of(batch)
                    {
                        self.next = end - rest.rows() as u16;
                        return Ok(Step::Done);
                    }
                    return self.resume();
                }
                Err(error) if call + 1 < MAX_CALLS && (error.is_retryable() || needs_reopening(&error)) => {}
                Err(error) => return Ok(Step::Failed(error)),
            }
        }
        Ok(Step::Done)
    }

    /// Goes on after the committed offset.
    fn resume(&mut self) -> Result<Step, String> {
        let Some(next) = self.appending.next(&self.channel) else {
            let is_shared = self.appending.stream.is_shared(&self.world.lock());
            let reason = "the channel is another program's";
            let error = Error::new(ErrorKind::Conflict, reason);
            return if is_shared { Ok(Step::Failed(error)) } else { Err(reason.into()) };
        };
        (self.next, self.marked) = (next, next - 1);
        Ok(Step::Done)
    }

    /// Waits for the commit of all that was appended.
    fn wait(&mut self) -> Result<Step, String> {
        if self.marked == 0 {
            return Ok(Step::Done);
        }
        let stream = &self.appending.stream;
        for call in 0..MAX_CALLS {
            let timeout = Duration::from_secs(self.appending.wait_s.into());
            let rejected = match self.channel.wait_for_commit(stream.token(self.marked), timeout) {
                Ok(()) => 0,
                Err(error) if error.kind() == ErrorKind::NotStored => error.rows_rejected(),
                Err(error) if needs_reopening(&error) => return self.recover(None),
                Err(error) if error.is_retryable() => {
                    // What another opener has discarded is never committed, and only reopening shows that.
                    if call > 2 && self.world.lock().has_struck(is_theft) {
                        return self.recover(None);
                    }
                    continue;
                }
                Err(error) => return Ok(Step::Failed(error)),
            };
            self.reported += rejected;
            let state = self.world.lock();
            stream.check_committed(self.marked, &state)?;
            let expected = stream.rejected(&state);
            // Rows without an offset token may be committed already and not yet counted.
            let is_early = self.appending.marks == Marks::Third && self.reported < expected;
            if self.reported != expected && !is_early && !state.may_miscount() {
                return Err(format!("{expected} rows were rejected, and {} are reported", self.reported));
            }
            return Ok(Step::Done);
        }
        self.exhausted("waits for the same offset")
    }
}

/// Each process gets further, unless it discards what was about to be committed; from this one on nothing goes wrong.
const CALM_PROCESS: u8 = 10;

/// The first calm one may still meet what was left in flight.
const MAX_PROCESSES: u8 = CALM_PROCESS + 4;

/// Each waits for at least twenty seconds, or meets a fault.
const MAX_CALLS: u16 = 40;

/// Far more than there are rows.
const MAX_STEPS: u16 = 100;
