//! The programs that are run against the model, and what a run of each must leave behind.

use super::appending::Appending;
use super::load::{Kind, Load};
use super::schedule::Schedule;
use super::writing::Writing;

#[derive(Clone, Debug)]
pub(super) enum Program {
    Load(Load),
    Write(Writing),
    Append(Appending),
}

impl Program {
    pub(super) fn random(random: &mut fastrand::Rng) -> Program {
        match random.u8(0..10) {
            0..6 => Program::Load(Load::random(random)),
            6..8 => Program::Write(Writing::random(random)),
            _ => Program::Append(Appending::random(random)),
        }
    }

    pub(super) fn is_load(&self) -> bool {
        matches!(self, Program::Load(_))
    }

    pub(super) fn channels(&self) -> u8 {
        if let Program::Load(load) = self { load.channels } else { 1 }
    }

    /// Several threads run, so that the same schedule may go another way.
    pub(super) fn has_threads(&self, schedule: &Schedule) -> bool {
        let Program::Load(load) = self else { return false };
        let more = |event: &super::schedule::Event| {
            use super::schedule::{Change, Event};
            matches!(event, Event::Before { change: Change::Channels(2..) | Change::OtherKind, .. })
        };
        load.pipelined || load.channels > 1 || load.kind != Kind::File || schedule.events.iter().any(more)
    }

    /// Or what went wrong.
    pub(super) fn run(&self, schedule: &Schedule) -> Result<(), String> {
        match self {
            Program::Load(load) => load.run(schedule),
            Program::Write(writing) => writing.run(schedule),
            Program::Append(appending) => appending.run(schedule),
        }
    }

    /// The same with less in it.
    pub(super) fn simpler(&self) -> Vec<Program> {
        match self {
            Program::Load(load) => load.simpler().into_iter().map(Program::Load).collect(),
            Program::Write(writing) => writing.simpler().into_iter().map(Program::Write).collect(),
            Program::Append(appending) => appending.simpler().into_iter().map(Program::Append).collect(),
        }
    }
}
