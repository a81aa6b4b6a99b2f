//! A loader killed at any moment and run again: every row lands once.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Client, Credentials, Loader, PrivateKey, Source};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights.ndjson");
const KILLS: u32 = 20;

#[test]
fn a_loader_killed_at_random_moments_lands_every_row_once() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let expected = std::fs::read(FILE).unwrap();
    let service = Emulator::builder().commit_delay(Duration::from_millis(20)).start().unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), service.private_key_pem().unwrap()).unwrap();

    let mut killed_under_way = 0;
    for round in 0..KILLS {
        let table = format!("FLIGHTS_{round}");
        inject(&service, &mut random);
        let mut victim = Loading::start(&service, key.path(), &table);
        // By progress rather than by time, so that a slow machine is struck under way too.
        let landed_first = random.usize(0..expected.len() * 9 / 10);
        victim.run_until(|| service.rows(&format!("DEMO.PUBLIC.{table}")).len() >= landed_first);
        killed_under_way += u32::from(victim.kill());
        let landed = service.rows(&format!("DEMO.PUBLIC.{table}"));
        assert!(expected.starts_with(&landed), "round {round}: what landed is not the beginning of the file");

        // What struck nothing yet would meet the next one: a token that is refused twice in a row ends a load.
        service.clear_faults();
        inject(&service, &mut random);
        Loading::start(&service, key.path(), &table).finish();
        assert!(
            service.rows(&format!("DEMO.PUBLIC.{table}")) == expected,
            "round {round}: the rows differ from the file"
        );
    }
    assert!(killed_under_way > KILLS / 2, "only {killed_under_way} loads were killed under way");
}

/// Not a test: what the killed process does.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn load_until_killed() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let key = PrivateKey::from_file(variable("CRASH_KEY")).unwrap();
    let client = Client::builder(variable("CRASH_ACCOUNT"), Credentials::key_pair(variable("CRASH_USER"), key))
        .url(variable("CRASH_URL"))
        .build()
        .unwrap();
    let pipe = client.table("DEMO", "PUBLIC", variable("CRASH_TABLE"));
    Loader::new(&pipe, "load-1").batch_bytes(60_000).load(Source::file(FILE).unwrap()).unwrap();
}

fn inject(service: &Emulator, random: &mut fastrand::Rng) {
    let endpoint = random.choice([Endpoint::Append, Endpoint::Append, Endpoint::Open, Endpoint::Status]).unwrap();
    let fault = match random.u32(0..4) {
        0 => Fault::status(endpoint, 503),
        1 => Fault::drop_connection(endpoint),
        2 => Fault::lose_reply(endpoint),
        _ => Fault::status(Endpoint::Append, 401),
    };
    service.inject(fault.times(1));
}

struct Loading {
    process: Child,
}

impl Loading {
    fn start(service: &Emulator, key: &std::path::Path, table: &str) -> Loading {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::load_until_killed", "--ignored", "--nocapture"])
            .env("CRASH_URL", service.url())
            .env("CRASH_ACCOUNT", service.account())
            .env("CRASH_USER", service.user())
            .env("CRASH_KEY", key)
            .env("CRASH_TABLE", table)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Loading { process }
    }

    /// Until then, or until the process has ended by itself.
    fn run_until(&mut self, is_time: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.process.try_wait().unwrap().is_none() && !is_time() {
            assert!(Instant::now() < deadline, "the load makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the process was still running.
    fn kill(mut self) -> bool {
        let is_running = self.process.try_wait().unwrap().is_none();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        is_running
    }

    fn finish(mut self) {
        assert!(self.process.wait().unwrap().success(), "the load that resumes failed");
    }
}
