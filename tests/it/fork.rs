//! A client on both sides of a real fork: each process goes its own way, and neither gets in the other's.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Channel, Client, Credentials};

use crate::support::{batch, rows};

const APPENDS: u64 = 50;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_client_that_was_used_before_a_fork_loads_on_both_sides_of_it() {
    // Over TLS a second process cannot go on with the first one's connection unnoticed: its records are not in turn.
    let service = Emulator::builder().tls().commit_delay(Duration::ZERO).start().unwrap();
    Forking::start(&service, "fork::load_on_both_sides").end();
    let landed = |table: &str| String::from_utf8(service.rows(table)).unwrap();
    assert_eq!(landed("DEMO.PUBLIC.PARENT"), rows(1..=1 + APPENDS));
    assert_eq!(landed("DEMO.PUBLIC.CHILD"), rows(1..=APPENDS));
}

/// Not a test: what the process does that forks.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn load_on_both_sides() {
    let client = client();
    let mut channel = client.table("DEMO", "PUBLIC", "PARENT").channel("c").open().unwrap();
    channel.append(&batch(1..=1)).unwrap();
    let child = fork_off(|| {
        let mut channel = client.table("DEMO", "PUBLIC", "CHILD").channel("c").open().unwrap();
        append_all(&mut channel, 1..=APPENDS);
        assert_eq!(client.counters().retries, 0, "in the child");
    });
    append_all(&mut channel, 2..=1 + APPENDS);
    assert_eq!(client.counters().retries, 0, "in the parent");
    assert_eq!(end_of(child), 0);
}

#[test]
fn a_token_that_the_parent_fetches_during_the_fork_is_not_waited_for() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::delay(Endpoint::Token, Duration::MAX));
    let mut forking = Forking::start(&service, "fork::fetch_on_both_sides");
    let asks_for_token = || service.requests().iter().any(|seen| seen.path == "/oauth/token");
    forking.wait_for(|_| asks_for_token().then_some(()));
    forking.go_on();
    forking.end();
    let tokens = service.requests().into_iter().filter(|seen| seen.path == "/oauth/token").count();
    assert_eq!(tokens, 2, "each process asks for its own");
}

/// Not a test either.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn fetch_on_both_sides() {
    let client = client();
    let fetching = client.clone();
    std::thread::spawn(move || fetching.token());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let child = fork_off(|| drop(client.token().unwrap()));
    assert_eq!(end_of(child), 0);
    // The parent's own fetch goes on until the service ends.
    std::process::exit(0);
}

fn client() -> Client {
    let variable = |name: &str| std::env::var(name).unwrap();
    let credentials = Credentials::programmatic_access_token(variable("FORK_TOKEN"));
    let builder = Client::builder(variable("FORK_ACCOUNT"), credentials).url(variable("FORK_URL"));
    let builder = match std::env::var("FORK_ROOTS") {
        Ok(roots) => builder.extra_roots(roots),
        Err(_) => builder,
    };
    builder.build().unwrap()
}

fn append_all(channel: &mut Channel, ids: std::ops::RangeInclusive<u64>) {
    let last = *ids.end();
    for id in ids {
        channel.append(&batch(id..=id)).unwrap();
    }
    channel.wait_for_commit(last, SOON).unwrap();
}

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// Does the work in a copy of this process.
fn fork_off(work: impl FnOnce()) -> i32 {
    // SAFETY: the copy has this thread alone. The others wait, for a response or for this test, and hold no lock that the
    // work could need.
    let process = unsafe { fork() };
    assert!(process >= 0, "{}", std::io::Error::last_os_error());
    if process > 0 {
        return process;
    }
    let end = std::panic::catch_unwind(AssertUnwindSafe(work));
    // SAFETY: it may be called at any time. Whatever else ends a process would do so to what belongs to the parent, too.
    unsafe { _exit(i32::from(end.is_err())) }
}

fn end_of(process: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the status is alive for the call, and nobody else waits for the process.
    let ended = unsafe { waitpid(process, &raw mut status, 0) };
    assert_eq!(ended, process, "{}", std::io::Error::last_os_error());
    status
}

struct Forking {
    process: Child,
}

impl Forking {
    fn start(service: &Emulator, body: &str) -> Forking {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", body, "--ignored", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::null());
        command.env("FORK_URL", service.url()).env("FORK_ACCOUNT", service.account());
        command.env("FORK_TOKEN", service.programmatic_access_token());
        if let Some(roots) = service.ca_pem() {
            command.env("FORK_ROOTS", roots);
        }
        Forking { process: command.spawn().unwrap() }
    }

    fn go_on(&mut self) {
        self.process.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    /// Until there is something, which must not take long.
    fn wait_for<T>(&mut self, mut look: impl FnMut(&mut Child) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = look(&mut self.process) {
                return found;
            }
            if Instant::now() > deadline {
                self.process.kill().unwrap();
                panic!("the process hangs");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(mut self) {
        let status = self.wait_for(|process| process.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}
