//! Everything goes wrong, again and again: what landed is compared with what was to land.
//!
//! `CHAOS_SEED` repeats a run. The long form: `cargo test --release --test it chaos -- --ignored --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, LoadReport, Loader, Pipe, Source};

use crate::support::{batch, builder_of, landed, row, rows};

const CHANNELS: u32 = 4;
const BLOCK: u64 = 1000;

#[test]
fn a_storm_of_faults_changes_nothing_in_what_lands() {
    storm(file, 20_000, 100, 5_000);
}

#[test]
fn a_storm_of_faults_changes_nothing_in_what_lands_from_a_reader() {
    storm(reader, 20_000, 100, 5_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_faults_changes_nothing_in_what_lands() {
    storm(file, 1_000_000, 2_000, 15_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_faults_changes_nothing_in_what_lands_from_a_reader() {
    storm(reader, 1_000_000, 2_000, 15_000);
}

#[test]
fn elastic_rows_survive_a_storm_at_least_once() {
    let mut chaos = Chaos::new(u64::MAX);
    let service = Emulator::start().unwrap();
    let elastic = pipe(&service).elastic();
    for part in 0..60u64 {
        chaos.strike(&service, &ELASTIC);
        let batch = batch(part * 50 + 1..=part * 50 + 50);
        while let Err(error) = elastic.append(&batch) {
            // Whoever needs every row at least once sends again whatever the outcome.
            assert!(error.is_retryable() || error.kind() == ErrorKind::Unconfirmed, "{error}");
        }
    }
    let expected: BTreeSet<_> = (1..=3000).map(row).collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while landed(&service).lines().map(String::from).collect::<BTreeSet<_>>() != expected {
        assert!(std::time::Instant::now() < deadline, "rows are missing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

type OpenSource = fn(&Path) -> Source<'static>;

fn file(path: &Path) -> Source<'static> {
    Source::file(path).unwrap()
}

/// The same text, which can be read once.
fn reader(path: &Path) -> Source<'static> {
    Source::reader("text", std::fs::File::open(path).unwrap())
}

fn storm(source: OpenSource, count: u64, faults: u64, batch_bytes: usize) {
    let chaos = Mutex::new(Chaos::new(faults));
    let service = Emulator::builder().commit_delay(Duration::from_millis(5)).start().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rows(1..=count).as_bytes()).unwrap();
    let pipe = pipe(&service);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Commits are withheld for a moment, not for ever.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                service.hold_commits(false);
            }
        });
        load_until_done(&pipe, &service, &chaos, &|| source(file.path()), batch_bytes, count);
        is_over.store(true, Ordering::Relaxed);
    });
    let chaos = chaos.into_inner().unwrap();
    println!("{} faults of {} kinds", chaos.struck.values().sum::<u64>(), chaos.struck.len());
    assert!(chaos.struck.len() >= 15, "{:?}", chaos.struck);
    assert!(chaos.struck.values().sum::<u64>() >= faults, "{:?}", chaos.struck);
    check_landed(&landed(&service), count);
}

fn load_until_done(
    pipe: &Pipe,
    service: &Emulator,
    chaos: &Mutex<Chaos>,
    source: &dyn Fn() -> Source<'static>,
    batch_bytes: usize,
    count: u64,
) {
    for run in 1..100 {
        let strike = |_: &LoadReport| chaos.lock().unwrap().strike(service, &NAMED);
        let loader = Loader::new(pipe, "c").batch_bytes(batch_bytes).channels(CHANNELS).on_progress(strike);
        // Each run may be finished by one of the other kind.
        let mut loader = if run % 2 == 1 { loader.pipelined() } else { loader };
        match loader.load(source()) {
            Ok(report) => {
                assert_eq!(report.rows, count);
                println!("{run} runs");
                return;
            }
            // A clear error, after which the same load is simply run again.
            Err(error) => println!("run {run} ended: {error}"),
        }
    }
    panic!("no run came to its end");
}

/// Each row once, and in order among those of its channel.
fn check_landed(landed: &str, count: u64) {
    let mut last = BTreeMap::<u64, u64>::new();
    let mut missing: BTreeSet<_> = (1..=count).collect();
    for line in landed.lines() {
        let id = line.strip_prefix("{\"ID\":").and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
        assert_eq!(line, row(id));
        assert!(missing.remove(&id), "row {id} landed twice");
        let before = last.insert((id - 1) / BLOCK % u64::from(CHANNELS), id);
        assert!(before < Some(id), "row {id} landed after {before:?}");
    }
    assert!(missing.is_empty(), "{} rows are missing, the first {:?}", missing.len(), missing.first());
}

fn pipe(service: &Emulator) -> Pipe {
    builder_of(service).retry_pause(Duration::from_millis(5)).build().unwrap().table("DEMO", "PUBLIC", "EVENTS")
}

/// Picks faults by a seed and counts them.
struct Chaos {
    random: fastrand::Rng,
    left: u64,
    struck: BTreeMap<&'static str, u64>,
    is_skewed: bool,
}

type Kind = (&'static str, fn(&Emulator, &mut Chaos));

impl Chaos {
    fn new(faults: u64) -> Chaos {
        let seed =
            std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        println!("CHAOS_SEED={seed}");
        Chaos { random: fastrand::Rng::with_seed(seed), left: faults, struck: BTreeMap::new(), is_skewed: false }
    }

    fn strike(&mut self, service: &Emulator, kinds: &[Kind]) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let (name, act) = kinds[self.random.usize(..kinds.len())];
        act(service, self);
        *self.struck.entry(name).or_default() += 1;
    }
}

fn code(endpoint: Endpoint, status: u16, code: &str) -> Fault {
    Fault::status(endpoint, status).body(format!("{{\"code\":\"{code}\",\"message\":\"injected\"}}"))
}

const NAMED: [Kind; 28] = [
    ("commits withheld", |s, _| s.hold_commits(true)),
    ("append 500", |s, _| s.inject(Fault::status(Endpoint::Append, 500))),
    ("append 502", |s, _| s.inject(Fault::status(Endpoint::Append, 502))),
    ("append 503", |s, _| s.inject(Fault::status(Endpoint::Append, 503).times(2))),
    ("append 408", |s, _| s.inject(Fault::status(Endpoint::Append, 408))),
    ("append 429", |s, _| s.inject(Fault::status(Endpoint::Append, 429))),
    ("append 401", |s, _| s.inject(Fault::status(Endpoint::Append, 401))),
    ("append 403 expired", |s, _| s.inject(code(Endpoint::Append, 403, "390318"))),
    ("append 404 of a proxy", |s, _| s.inject(Fault::status(Endpoint::Append, 404).body("<html>"))),
    ("append 409", |s, _| s.inject(Fault::status(Endpoint::Append, 409))),
    ("append 410", |s, _| s.inject(Fault::status(Endpoint::Append, 410))),
    ("append stale", |s, _| s.inject(code(Endpoint::Append, 400, "STALE_CONTINUATION_TOKEN_SEQUENCER"))),
    ("append unreadable success", |s, _| s.inject(Fault::truncate(Endpoint::Append))),
    ("append dropped", |s, _| s.inject(Fault::drop_connection(Endpoint::Append))),
    ("append reply lost", |s, _| s.inject(Fault::lose_reply(Endpoint::Append))),
    ("append delayed", |s, _| s.inject(Fault::delay(Endpoint::Append, Duration::from_millis(20)))),
    ("open in progress", |s, _| s.inject(code(Endpoint::Open, 409, "ERR_OPEN_CHANNEL_IN_PROGRESS"))),
    ("open dropped", |s, _| s.inject(Fault::drop_connection(Endpoint::Open))),
    ("open reply lost", |s, _| s.inject(Fault::lose_reply(Endpoint::Open))),
    ("status 503", |s, _| s.inject(Fault::status(Endpoint::Status, 503))),
    ("status truncated", |s, _| s.inject(Fault::truncate(Endpoint::Status))),
    ("status dropped", |s, _| s.inject(Fault::drop_connection(Endpoint::Status))),
    ("token 503", |s, _| s.inject(Fault::status(Endpoint::Token, 503))),
    ("token reply lost", |s, _| s.inject(Fault::lose_reply(Endpoint::Token))),
    ("host name 503", |s, _| s.inject(Fault::status(Endpoint::Hostname, 503))),
    ("tokens revoked", |s, _| s.revoke_scoped_tokens()),
    ("channel stolen", |s, chaos| {
        let channel = format!("c-{}-of-{CHANNELS}", chaos.random.u32(1..=CHANNELS));
        s.steal_channel("DEMO.PUBLIC.\"EVENTS-STREAMING\"", &channel);
    }),
    ("clock stepped", |s, chaos| {
        chaos.is_skewed = !chaos.is_skewed;
        s.set_clock_offset(if chaos.is_skewed { 600 } else { 0 });
    }),
];

const ELASTIC: [Kind; 8] = [
    ("503", |s, _| s.inject(Fault::status(Endpoint::Elastic, 503).times(2))),
    ("429", |s, _| s.inject(Fault::status(Endpoint::Elastic, 429))),
    ("401", |s, _| s.inject(Fault::status(Endpoint::Elastic, 401))),
    ("dropped", |s, _| s.inject(Fault::drop_connection(Endpoint::Elastic))),
    ("reply lost", |s, _| s.inject(Fault::lose_reply(Endpoint::Elastic))),
    ("truncated", |s, _| s.inject(Fault::truncate(Endpoint::Elastic))),
    ("tokens revoked", |s, _| s.revoke_scoped_tokens()),
    ("nothing", |_, _| ()),
];
