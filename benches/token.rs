//! What a token costs: `cargo bench --bench token`, and again with `--features aws-lc`.
//!
//! Every figure stands beside the physical limit that was measured in the same run, in turns with it, so that other work on
//! the machine hits both alike. Medians; a busy machine is told by the spread between two runs.

mod backend;

use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, PrivateKey};

fn main() {
    println!("{:<44}{:>12}{:>12}{:>9}{:>9}", "", "measured", "limit", "figure", "allowed");
    for file in ["plain.p8", "plain-3072.p8", "plain-4096.p8"] {
        mint(file);
    }
    let service = Emulator::start().expect("a free port");
    let key = PrivateKey::from_pem(service.private_key_pem().expect("the emulator makes a key")).expect("a good key");
    let credentials = Credentials::key_pair(service.user(), key);
    let client = Client::builder(service.account(), credentials).url(service.url()).build().expect("a sound client");
    client.token().expect("a token");
    for (threads, allowed) in [(1, 50.0), (2, 350.0), (8, 350.0)] {
        read(&client, threads, allowed);
    }
}

/// A JWT against the bare blinded signature by the same backend.
fn mint(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(file);
    let key = PrivateKey::from_file(&path).expect("a good key");
    let bits = key.bits();
    let credentials = Credentials::key_pair("LOADER", key);
    let bare = backend::signer(&path);
    let message = [b'x'; 400];
    let (mut minted, mut signed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        minted.push(timed(|| credentials.mint_jwt("myorg-account123").expect("a JWT")));
        signed.push(timed(|| bare(&message)));
    }
    let (minted, signed) = (median(&mut minted), median(&mut signed));
    let ratio = minted.as_secs_f64() / signed.as_secs_f64();
    let name = format!("mint, {bits} bit ({})", backend::NAME);
    println!("{name:<44}{:>9} us{:>9} us{ratio:>8.2}x{:>8.1}x", minted.as_micros(), signed.as_micros(), 1.1);
}

/// The kept token against the two clocks that must be read for it; wall time over all reads of all threads.
fn read(client: &Client, threads: usize, allowed: f64) {
    let (mut tokens, mut clocks) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        tokens.push(in_threads(threads, || drop(black_box(client.token()))));
        clocks.push(in_threads(threads, || {
            black_box((Instant::now(), SystemTime::now()));
        }));
    }
    let (token, clock) = (median(&mut tokens), median(&mut clocks));
    let (token, clock) = (token.as_secs_f64() * 1e9 / READS as f64, clock.as_secs_f64() * 1e9 / READS as f64);
    let name = format!("kept token, {threads} threads (limit: two clocks)");
    println!("{name:<44}{token:>9.0} ns{clock:>9.0} ns{:>6.0} ns{allowed:>6.0} ns", token - clock);
}

/// Time for [`READS`] calls shared among so many threads, begun together.
fn in_threads(threads: usize, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..READS / threads {
                    work();
                }
                barrier.wait();
            });
        }
        barrier.wait();
        let begin = Instant::now();
        barrier.wait();
        begin.elapsed()
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    black_box(work());
    begin.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const ROUNDS: usize = 101;
const READS: usize = 800_000;
