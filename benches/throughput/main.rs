//! What a load costs, beside what no load can do without: `cargo bench --bench throughput`.
//!
//! Figure and limit take turns in one run, so that other work on the machine hits both alike, and medians are compared. The
//! service is a sink in another process. `LONG=1` adds ten million rows. Names of cases as arguments choose among them.

mod data;
mod limit;
mod sink;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data::{Noise, Reading, Repeated, file_of_flights};
use sink::Sink;
use snowpipe_streaming::{Client, Credentials, Loader, Pipe, Source};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some(sink::ARGUMENT) => return sink::serve(&arguments[1..]),
        Some(MEMORY_ARGUMENT) => return load_in_child(&arguments[1..]),
        _ => {}
    }
    let chosen = |case: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == case);
    let sink = Sink::start(&[]);
    let pipe = pipe(&sink.url);
    println!("{:<46}{:>14}{:>14}{:>9}  target", "", "measured", "limit", "ratio");
    if chosen("file") {
        file(&pipe);
    }
    if chosen("rows") {
        rows(&pipe);
    }
    if chosen("constant") {
        constant(&pipe);
    }
    if chosen("memory") {
        memory(&sink.url);
    }
}

/// A file, from its opening to the last commit, against checking its lines and compressing them; on two threads; and trusted,
/// against checking no more than where its lines end.
fn file(pipe: &Pipe) {
    let file = file_of_flights(FILE_BYTES);
    let text = fs::read(file.path()).expect("the file just written");
    let megabytes = text.len() as f64 / 1e6;
    let (mut one, mut two, mut limit) = (Times::default(), Times::default(), Times::default());
    let (mut trusted, mut trusted_limit) = (Times::default(), Times::default());
    let source = || Source::file(file.path()).expect("the file just written");
    for _ in 0..ROUNDS {
        limit.take(|| limit::check_and_compress(&text));
        one.take(|| load(Loader::new(pipe, fresh_name()), source()));
        two.take(|| load(Loader::new(pipe, fresh_name()).pipelined(), source()));
        trusted_limit.take(|| limit::frame_and_compress(&text));
        trusted.take(|| load(Loader::new(pipe, fresh_name()), source().trusted()));
    }
    let per_second = |time: Duration| format!("{:.0} MB/s", megabytes / time.as_secs_f64());
    compare("file, to the last commit", &one, &limit, per_second, 0.8);
    compare("file, on two threads, against one", &two, &one, per_second, 1.5);
    compare("trusted file, to the last commit", &trusted, &trusted_limit, per_second, 0.8);
}

/// Values of a program's own type against writing and compressing them.
fn rows(pipe: &Pipe) {
    let readings: Vec<Reading> = (0..KEPT_ROWS).map(Reading::number).collect();
    let million = || readings.iter().cycle().take(1_000_000);
    let (mut loads, mut limit) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        limit.take(|| limit::serialise_and_compress(million()));
        loads.take(|| load(Loader::new(pipe, fresh_name()), Source::rows(million())));
    }
    let per_second = |time: Duration| format!("{:.0} krows/s", 1e3 / time.as_secs_f64());
    compare("values, to the last commit, on two threads", &loads, &limit, per_second, 1.4);
}

/// The cost of a row in a long load against its cost in a short one, both without what every load costs.
fn constant(pipe: &Pipe) {
    let readings: Vec<Reading> = (0..KEPT_ROWS).map(Reading::number).collect();
    let load_rows = |count| load(Loader::new(pipe, fresh_name()), Source::rows(readings.iter().cycle().take(count)));
    let lengths: &[usize] = if std::env::var_os("LONG").is_some() { &[1_000_000, 10_000_000] } else { &[1_000_000] };
    for &length in lengths {
        let (mut long, mut short, mut none) = (Times::default(), Times::default(), Times::default());
        for _ in 0..ROUNDS {
            none.take(|| load_rows(1));
            for _ in 0..20 {
                short.take(|| load_rows(SHORT_LOAD));
            }
            long.take(|| load_rows(length));
        }
        let (long, short, none) = (long.median().wall, short.median().wall, none.median().wall);
        let long = (long - none).as_nanos() as f64 / length as f64;
        let short = short.saturating_sub(none).as_nanos() as f64 / SHORT_LOAD as f64;
        let name = format!("a row of {length} against one of {SHORT_LOAD}");
        show(&name, format!("{long:.0} ns"), format!("{short:.0} ns"), long / short, Target::AtMost(1.25));
    }
}

/// The most memory that the process of a load had resident.
fn memory(url: &str) {
    let kinds =
        [("flights", "flights"), ("noise", "rows that hardly shrink"), ("tiny", "tiny rows"), ("values", "values")];
    for (kind, what) in kinds {
        for megabytes in [100, 1000] {
            let peak = peak_of_child(url, kind, megabytes);
            let name = format!("memory, {megabytes} MB of {what}");
            show(&name, format!("{peak:.1} MB"), format!("{MOST_MEMORY} MB"), peak / MOST_MEMORY, Target::AtMost(1.0));
        }
    }
}

fn peak_of_child(url: &str, kind: &str, megabytes: usize) -> f64 {
    let program = std::env::current_exe().expect("our own path");
    let output = Command::new(program)
        .args([MEMORY_ARGUMENT, url, kind, &megabytes.to_string()])
        .output()
        .expect("this program starts again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn load_in_child(arguments: &[String]) {
    let [url, kind, megabytes] = arguments else { panic!("three arguments") };
    let bytes = megabytes.parse::<usize>().expect("a number") * 1_000_000;
    let pipe = pipe(url);
    let loader = Loader::new(&pipe, format!("{kind}-{megabytes}-{}", std::process::id()));
    let source = match kind.as_str() {
        "flights" => Source::reader("flights", Repeated::flights(bytes)),
        "tiny" => Source::reader("tiny rows", Repeated::tiny(bytes)),
        "noise" => Source::reader("noise", Noise::of(bytes)),
        _ => Source::rows((0..bytes as u64 / BYTES_A_READING).map(Reading::number)),
    };
    load(loader, source);
    println!("{}", peak_megabytes());
}

fn load(mut loader: Loader<'_>, source: Source<'_>) {
    let report = loader.load(source).expect("the sink takes everything");
    assert_eq!((report.rows, report.retries, report.reopens), (report.rows_sent, 0, 0));
}

fn pipe(url: &str) -> Pipe {
    let credentials = Credentials::programmatic_access_token("a-token");
    let client = Client::builder("myorg-account", credentials).url(url).build().expect("a sound client");
    client.table("DB", "PUBLIC", "EVENTS")
}

/// Every load is one of its own.
fn fresh_name() -> String {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    format!("load-{}", LOADS.fetch_add(1, Ordering::Relaxed))
}

/// Time that passed, and time in which this thread ran: only the latter is free of what else the machine does.
#[derive(Clone, Copy)]
struct Time {
    wall: Duration,
    own: Duration,
}

#[derive(Default)]
struct Times(Vec<Time>);

impl Times {
    fn take(&mut self, work: impl FnOnce()) {
        let (began, ran) = (Instant::now(), time_run());
        work();
        self.0.push(Time { wall: began.elapsed(), own: time_run() - ran });
    }

    fn median(&self) -> Time {
        let middle = |of: fn(&Time) -> Duration| {
            let mut times: Vec<_> = self.0.iter().map(of).collect();
            times.sort();
            times[times.len() / 2]
        };
        Time { wall: middle(|time| time.wall), own: middle(|time| time.own) }
    }
}

fn compare(name: &str, figure: &Times, limit: &Times, say: impl Fn(Duration) -> String, target: f64) {
    let (figure, limit) = (figure.median(), limit.median());
    let ratio = |figure: Duration, limit: Duration| limit.as_secs_f64() / figure.as_secs_f64();
    show(name, say(figure.wall), say(limit.wall), ratio(figure.wall, limit.wall), Target::AtLeast(target));
    if !figure.own.is_zero() {
        println!(
            "{:<46}{:>14}{:>14}{:>9.2}",
            "  this thread's own time",
            say(figure.own),
            say(limit.own),
            ratio(figure.own, limit.own)
        );
    }
}

enum Target {
    AtLeast(f64),
    AtMost(f64),
}

fn show(name: &str, figure: String, limit: String, ratio: f64, target: Target) {
    let (sign, target, is_met) = match target {
        Target::AtLeast(target) => ("≥", target, ratio >= target),
        Target::AtMost(target) => ("≤", target, ratio <= target),
    };
    let verdict = if is_met { "" } else { "  MISSED" };
    println!("{name:<46}{figure:>14}{limit:>14}{ratio:>9.2}  {sign} {target}{verdict}");
}

/// How long this thread has run; zero where the system does not tell.
fn time_run() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

fn peak_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("this case needs Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024.0 / 1e6
}

const MEMORY_ARGUMENT: &str = "--memory";
const ROUNDS: usize = 7;
const FILE_BYTES: usize = 100_000_000;
const SHORT_LOAD: usize = 10_000;

/// So many are made beforehand and loaded over and over; together they are longer than the compressor's window.
const KEPT_ROWS: u64 = 20_000;
const BYTES_A_READING: u64 = 200;

/// In megabytes, as the requirement says it.
const MOST_MEMORY: f64 = 96.0;
