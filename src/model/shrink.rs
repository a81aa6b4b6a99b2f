//! Takes away from a failing schedule what it does not need to fail.

use std::time::{Duration, Instant};

use super::schedule::{Event, Rules, Schedule, What};

/// The shortest schedule found that still fails, and how.
pub(super) fn shrunk(mut schedule: Schedule, mut oddity: String) -> (Schedule, String) {
    let began = Instant::now();
    'shorter: loop {
        for candidate in candidates(&schedule) {
            if began.elapsed() > LONGEST {
                return (schedule, oddity);
            }
            if let Some(still) = fails(&candidate) {
                (schedule, oddity) = (candidate, still);
                continue 'shorter;
            }
        }
        return (schedule, oddity);
    }
}

fn fails(schedule: &Schedule) -> Option<String> {
    let attempts = if schedule.program.has_threads(schedule) { 5 } else { 1 };
    (0..attempts).find_map(|_| super::run(schedule).err())
}

fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let Schedule { program, rules, events } = schedule;
    let mut found = Vec::new();
    let mut length = events.len();
    while length > 0 {
        for start in (0..events.len()).step_by(length) {
            let mut events = events.clone();
            events.drain(start..(start + length).min(events.len()));
            found.push(Schedule { events, ..schedule.clone() });
        }
        length /= 2;
    }
    let programs = program.simpler().into_iter();
    found.extend(programs.map(|program| Schedule { program, ..schedule.clone() }));
    let rules = simpler_rules(rules).into_iter();
    found.extend(rules.map(|rules| Schedule { rules, ..schedule.clone() }));
    for (index, event) in events.iter().enumerate() {
        for simpler in simpler_events(event) {
            let mut events = events.clone();
            events[index] = simpler;
            found.push(Schedule { events, ..schedule.clone() });
        }
    }
    found
}

fn simpler_rules(rules: &Rules) -> Vec<Rules> {
    let plain = Rules::PLAIN;
    let mut simpler = vec![
        Rules { commit_ms: plain.commit_ms, ..rules.clone() },
        Rules { latency_ms: plain.latency_ms, ..rules.clone() },
        Rules { budget_s: plain.budget_s, ..rules.clone() },
        Rules { repeat_is_stale: plain.repeat_is_stale, ..rules.clone() },
        Rules { upper_case: plain.upper_case, ..rules.clone() },
        Rules { status_has_created: plain.status_has_created, ..rules.clone() },
    ];
    simpler.retain(|simpler| simpler != rules);
    simpler
}

fn simpler_events(event: &Event) -> Vec<Event> {
    match event {
        Event::At { channel, request, what } => {
            let mut simpler = Vec::new();
            if let What::Fault(fault, times @ 2..) = what {
                let fewer = [1, times / 2, times - 1].map(|times| What::Fault(*fault, times));
                simpler.extend(fewer.map(|what| Event::At { channel: *channel, request: *request, what }));
            }
            let earlier = [request / 2, request.saturating_sub(1)].into_iter().filter(|earlier| earlier != request);
            simpler.extend(earlier.map(|request| Event::At { channel: *channel, request, what: what.clone() }));
            simpler
        }
        Event::Before { run, change } if *run > 1 => vec![Event::Before { run: run - 1, change: change.clone() }],
        Event::Before { .. } => Vec::new(),
    }
}

/// Enough for tens of thousands of attempts, and for some hundred of a load that never ends.
const LONGEST: Duration = Duration::from_secs(20);
