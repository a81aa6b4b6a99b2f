//! Our side of benches/official_sdk/run.sh, which starts it: `rows|file PROFILE CHANNEL FILE MODE`.
//!
//! `rows`: what FILE holds are values in memory before the clock starts. `file`: FILE as it is. MODE is `one` or
//! `two` threads, or `trusted` or `trusted-two` for a file whose lines are not parsed. With
//! `--sink CERTIFICATE KEY` it is the service that both sides load into.

#[allow(dead_code)] // That it can be started is what the other bench needs.
#[path = "../throughput/sink.rs"]
mod sink;

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use snowpipe_streaming::{ClientBuilder, Loader, Profile, Source};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Row {
    id: u64,
    device: String,
    site: String,
    taken: String,
    temperature: f64,
    humidity: f64,
    healthy: bool,
    errors: i64,
    digest: String,
    note: Option<String>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == sink::ARGUMENT) {
        return sink::serve(&arguments[1..]);
    }
    let [what, profile, channel, file, mode] = &arguments[..] else {
        println!("benches/official_sdk/run.sh starts this");
        return;
    };
    let rows: Vec<Row> = if what == "rows" { read_rows(file) } else { Vec::new() };
    let (began, used, resident) = (Instant::now(), cpu_seconds(), memory("VmRSS:"));
    let profile = Profile::from_file(profile).expect("a profile");
    let client = ClientBuilder::from_profile(&profile).and_then(|builder| builder.build()).expect("a sound profile");
    let pipe = client.table("DB", "PUBLIC", "EVENTS");
    let mut loader = Loader::new(&pipe, channel);
    if mode.ends_with("two") {
        loader = loader.pipelined();
    }
    let source = match what.as_str() {
        "rows" => Source::rows(&rows),
        _ if mode.starts_with("trusted") => Source::file(file).expect("the file to load").trusted(),
        _ => Source::file(file).expect("the file to load"),
    };
    let report = loader.load(source).expect("the sink takes everything");
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - used);
    let peak = memory("VmHWM:") - resident;
    println!("RESULT {}", serde_json::json!({ "rows": report.rows, "seconds": seconds, "cpu": cpu, "growth": peak }));
}

fn read_rows(file: &str) -> Vec<Row> {
    // Line by line, so that the peak of the memory is not that of the text.
    let lines = BufReader::new(fs::File::open(file).expect("the rows")).lines();
    lines.map(|line| serde_json::from_str(&line.expect("text")).expect("a row")).collect()
}

/// Of the whole process, threads that have ended included; Linux counts in hundredths of a second here.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// In bytes.
fn memory(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0
}
