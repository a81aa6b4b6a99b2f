//! Random programs against a model of the service: what holds for examples is to hold for every order of events.
//!
//! specs/delivery.md, "Model", has the rules and how to repeat a schedule.

mod appending;
mod left_out;
mod load;
mod load_check;
mod programs;
mod regressions;
mod request;
mod schedule;
mod service;
mod shrink;
mod stream;
mod text;
mod weeks;
mod world;
mod writing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use self::schedule::Schedule;

/// What every `cargo test` runs.
const SHORT: u64 = 2_000;

/// The long form: `cargo test --lib model:: -- --ignored`.
const LONG: u64 = 100_000;

#[test]
fn every_row_lands_once_and_in_order_or_the_error_says_why() {
    run_many(SHORT);
}

#[test]
#[ignore = "takes minutes"]
fn the_same_in_a_hundred_thousand_schedules() {
    run_many(LONG);
}

fn run_many(count: u64) {
    if let Some(seed) = variable("MODEL_SEED") {
        return check(seed);
    }
    let first = fastrand::u64(..1 << 48);
    let count = variable("MODEL_SCHEDULES").unwrap_or(count);
    println!("schedules from MODEL_SEED={first}");
    let began = Instant::now();
    (first..first + count).for_each(check);
    println!("{count} schedules in {:?}", began.elapsed());
}

/// Panics with the schedule of this seed in its shortest form if it fails.
fn check(seed: u64) {
    let schedule = Schedule::random(seed);
    if let Err(oddity) = run(&schedule) {
        let (shortest, still) = shrink::shrunk(schedule, oddity.clone());
        panic!("MODEL_SEED={seed}: {oddity}\n\nin its shortest form: {shortest:#?}\n{still}");
    }
}

fn run(schedule: &Schedule) -> Result<(), String> {
    // The pauses between retries are random.
    fastrand::seed(7);
    let result = catch_unwind(AssertUnwindSafe(|| schedule.program.run(schedule)));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of no text")))
    })
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
