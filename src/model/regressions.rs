//! Schedules that once failed, in their shortest form.

use super::load::{Kind, Load};
use super::programs::Program;
use super::schedule::{Change, Event, Fault, Rules, Schedule, What};
use super::stream::Stream;
use super::text::Shape;
use super::writing::Writing;

#[test]
fn rejected_rows_are_counted_once_although_a_status_lags() {
    let events = [(3, What::Kill { applied: false }), (5, What::Fault(Fault::Lag(2), 1))];
    let shape = Shape { rows: 10, blank_lines: 0, bad_every: 1, unfit_every: 0, is_unterminated: false };
    holds(Program::Load(Load { shape, batch_bytes: 247, ..LOAD }), Rules::PLAIN, events);
}

#[test]
fn a_channel_that_is_deleted_under_a_load_gets_no_row_twice() {
    let shape = Shape { rows: 5, blank_lines: 0, bad_every: 0, unfit_every: 0, is_unterminated: false };
    for request in 2..12 {
        let program = Program::Load(Load { shape: shape.clone(), batch_bytes: 1, ..LOAD });
        holds(program, Rules { commit_ms: 30, ..Rules::PLAIN }, [(request, What::Drop)]);
    }
}

#[test]
fn a_writer_sends_again_what_another_opener_has_discarded() {
    let rules = Rules { commit_ms: 70_000, ..Rules::PLAIN };
    holds(Program::Write(WRITING), rules, [(10, What::Steal { discard: true })]);
}

#[test]
fn rows_come_out_of_a_writer_that_has_lost_rows_from_before_it() {
    let writing = Writing { stream: Stream { count: 5, ..WRITING.stream }, rows_before: 4, ..WRITING };
    for marks_before in [true, false] {
        let program = Program::Write(Writing { marks_before, ..writing.clone() });
        let rules = Rules { commit_ms: 3_000, ..Rules::PLAIN };
        holds(program.clone(), rules, [(2, What::Steal { discard: true })]);
        holds(program, Rules::PLAIN, [(2, What::SecondWriter { marked: false })]);
    }
}

#[test]
fn another_number_of_channels_is_noticed_although_the_first_channel_was_deleted() {
    let shape = Shape { rows: 4, blank_lines: 342, bad_every: 0, unfit_every: 0, is_unterminated: false };
    let at = |request, what| Event::At { channel: 0, request, what };
    let schedule = Schedule {
        program: Program::Load(Load { shape, batch_bytes: 1, channels: 2, pause_s: 300, ..LOAD }),
        rules: Rules { commit_ms: 30, budget_s: 1, upper_case: true, ..Rules::PLAIN },
        events: vec![
            at(6, What::Drop),
            at(4, What::Fault(Fault::CutSending, 30)),
            Event::Before { run: 3, change: Change::Channels(3) },
        ],
    };
    super::run(&schedule).unwrap();
}

fn holds<const N: usize>(program: Program, rules: Rules, events: [(u16, What); N]) {
    let events = events.map(|(request, what)| Event::At { channel: 0, request, what });
    let schedule = Schedule { program, rules, events: events.into() };
    if let Err(oddity) = super::run(&schedule) {
        panic!("{schedule:?}\n{oddity}");
    }
}

const LOAD: Load = Load {
    shape: Shape { rows: 1, blank_lines: 0, bad_every: 0, unfit_every: 0, is_unterminated: false },
    batch_bytes: 100,
    kind: Kind::File,
    channels: 1,
    pipelined: false,
    discard: false,
    commit_timeout_s: 120,
    max_errors: 0,
    pause_s: 0,
};

const WRITING: Writing = Writing {
    stream: Stream { count: 1, bad_every: 0, has_text_tokens: false },
    max_bytes: 300,
    max_age_ms: 1000,
    pause_ms: 0,
    flush_every: 0,
    tick_every: 0,
    commit_every: 0,
    ask_every: 0,
    retained: 32_000_000,
    commit_timeout_s: 120,
    discard: false,
    rows_before: 0,
    marks_before: true,
};
