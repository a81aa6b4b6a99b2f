//! A schedule: what program runs, by which of the allowed rules the service behaves, and what goes wrong when.

use super::programs::Program;

/// Everything that a run depends on. Any part can be taken away, and what is left is a schedule again.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) program: Program,
    pub(super) rules: Rules,
    pub(super) events: Vec<Event>,
}

/// What the documentation leaves to the service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    /// From an append to its commit.
    pub(super) commit_ms: u32,
    /// Every request takes so long.
    pub(super) latency_ms: u32,
    /// The retry budget of the client.
    pub(super) budget_s: u16,
    /// What a repeated append gets that was applied before: a stale token, or the earlier response again.
    pub(super) repeat_is_stale: bool,
    /// Names of channels are spelt in upper case.
    pub(super) upper_case: bool,
    /// Not only the response to an open has `created_on_ms`.
    pub(super) status_has_created: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Just before the request of this number, counted for each of several channels from zero over all runs.
    At { channel: u8, request: u16, what: What },
    /// Before the run of this number.
    Before { run: u8, change: Change },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// So many requests in a row that it can strike.
    Fault(Fault, u8),
    /// Another program opens the channel. What is in flight is discarded, or was awaited by it.
    Steal {
        discard: bool,
    },
    /// Another program opens the channel and appends a row of its own, with an offset token of its own or without.
    SecondWriter {
        marked: bool,
    },
    /// Another program deletes the channel.
    Drop,
    StepWall(i32),
    Pass(u32),
    /// Appends from now on are committed so much later.
    Slow(u32),
    /// The process ends here; this request is still applied, or not.
    Kill {
        applied: bool,
    },
    /// Another program appends rows to the file.
    Grow(u8),
    /// A person stops the load; a program of another kind has no handle.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    NoConnection,
    CutSending,
    CutSendingApplied,
    LoseReply,
    /// No response within the time that the client waits.
    Silence,
    SilenceApplied,
    Garbled,
    Throttle,
    Busy,
    BusyApplied,
    Unauthorized,
    Conflict,
    HtmlNotFound,
    Gone,
    StalePipe,
    MustReopen,
    OpenInProgress,
    /// A status as it was so many commits ago.
    Lag(u8),
    /// A status response without the channel.
    Absent,
    /// A status code that asks for a reopening.
    Unusable,
}

/// What a person does between two runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Runs it again although nothing has changed.
    Again,
    OtherSource,
    /// Back to the source of the first run.
    FirstSource,
    /// The source has so many more rows.
    Longer(u8),
    /// The source has lost rows at its end.
    Shorter(u8),
    /// A row has changed.
    Edited(u16),
    Channels(u8),
    /// The same text, as a file or as a reader.
    OtherKind,
    /// The service forgets idle channels, and with them what they had committed.
    ThirtyDays,
}

impl Fault {
    /// Whether the request is carried out all the same.
    pub(super) fn is_applied(self) -> bool {
        use Fault::*;
        matches!(
            self,
            CutSendingApplied | LoseReply | SilenceApplied | Garbled | BusyApplied | Lag(_) | Absent | Unusable
        )
    }
}

impl Schedule {
    pub(super) fn random(seed: u64) -> Schedule {
        let mut random = fastrand::Rng::with_seed(seed);
        let program = Program::random(&mut random);
        let rules = Rules::random(&mut random);
        let count = if random.u8(..) < 20 { 0 } else { random.usize(1..12) };
        let mut events: Vec<_> = (0..count).map(|_| event(&mut random, &program)).collect();
        // Another number is recognised by the first two channels, so only one of them may be deleted.
        if events.iter().any(|event| matches!(event, Event::Before { change: Change::Channels(_), .. })) {
            let mut drops = 0;
            events.retain(|event| {
                drops += u32::from(matches!(event, Event::At { what: What::Drop, .. }));
                drops < 2 || !matches!(event, Event::At { what: What::Drop, .. })
            });
        }
        Schedule { program, rules, events }
    }

    pub(super) fn changes_before(&self, run: u8) -> impl Iterator<Item = &Change> {
        self.events.iter().filter_map(move |event| match event {
            Event::Before { run: at, change } if *at == run => Some(change),
            _ => None,
        })
    }

    /// The run that the last change comes before.
    pub(super) fn last_changed_run(&self) -> u8 {
        let runs = self.events.iter().map(|event| if let Event::Before { run, .. } = event { *run } else { 0 });
        runs.max().unwrap_or(0)
    }
}

impl Rules {
    fn random(random: &mut fastrand::Rng) -> Rules {
        Rules {
            commit_ms: random.choice([0, 0, 0, 30, 30, 400, 400, 3_000, 3_000, 20_000, 70_000]).unwrap_or(0),
            latency_ms: random.choice([0, 0, 20, 600]).unwrap_or(0),
            budget_s: random.choice([1, 20, 120]).unwrap_or(120),
            repeat_is_stale: random.bool(),
            upper_case: random.bool(),
            status_has_created: random.bool(),
        }
    }

    pub(super) const PLAIN: Rules = Rules {
        commit_ms: 0,
        latency_ms: 0,
        budget_s: 120,
        repeat_is_stale: true,
        upper_case: false,
        status_has_created: true,
    };
}

fn event(random: &mut fastrand::Rng, program: &Program) -> Event {
    if program.is_load() && random.u8(..) < 40 {
        return Event::Before { run: random.u8(1..4), change: change(random) };
    }
    let channel = random.u8(0..program.channels().max(1));
    let latest = if random.u8(..) < 60 { 80 } else { 15 };
    let request = random.u16(0..latest);
    Event::At { channel, request, what: what(random) }
}

fn what(random: &mut fastrand::Rng) -> What {
    match random.u8(0..100) {
        0..62 => What::Fault(fault(random), random.choice([1, 1, 1, 1, 2, 3, 6, 30]).unwrap_or(1)),
        62..70 => What::Kill { applied: random.bool() },
        70..76 => What::Steal { discard: random.bool() },
        76..79 => What::SecondWriter { marked: random.bool() },
        79..82 => What::Drop,
        82..86 => What::StepWall(random.choice([-7200, -30, 45, 100_000]).unwrap_or(0)),
        86..91 => What::Pass(random.choice([10, 1_500, 60_000, 200_000]).unwrap_or(0)),
        91..95 => What::Slow(random.choice([10, 1_000, 10_000, 150_000]).unwrap_or(0)),
        95..98 => What::Grow(random.u8(1..4)),
        _ => What::Stop,
    }
}

fn fault(random: &mut fastrand::Rng) -> Fault {
    use Fault::*;
    let faults = [
        NoConnection,
        CutSending,
        CutSendingApplied,
        LoseReply,
        Silence,
        SilenceApplied,
        Garbled,
        Throttle,
        Busy,
        BusyApplied,
        BusyApplied,
        Unauthorized,
        Conflict,
        HtmlNotFound,
        Gone,
        StalePipe,
        MustReopen,
        OpenInProgress,
        Lag(random.u8(1..4)),
        Lag(random.u8(1..4)),
        Absent,
        Unusable,
    ];
    random.choice(faults).unwrap_or(Busy)
}

fn change(random: &mut fastrand::Rng) -> Change {
    use Change::*;
    let changes = [
        Again,
        Again,
        OtherSource,
        FirstSource,
        Longer(random.u8(1..5)),
        Shorter(random.u8(1..5)),
        Edited(random.u16(0..40)),
        Channels(random.u8(1..4)),
        OtherKind,
        ThirtyDays,
    ];
    random.choice(changes).unwrap_or(Again)
}
