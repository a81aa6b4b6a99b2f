//! What a token of Hii Retail costs: `cargo bench --bench hiiretail --features hiiretail`.
//!
//! The limit of a login is what cannot be saved: a connection and two round trips over it (discovery, token) to the same
//! service in another process. It is measured in turns with the client, so that other work on the machine hits both alike.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use snowpipe_emulator::HiiRetail;
use snowpipe_streaming::hiiretail::{Iam, Ocms};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == SERVE) {
        return serve();
    }
    let service = Service::start()?;
    let (mut logins, mut trips, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (iam, time) = timed(|| service.log_in());
        iam?;
        logins.push(time);
        let (done, time) = timed(|| service.log_in_by_hand());
        done?;
        trips.push(time);
        figures.push(logins[round].div_duration_f64(trips[round]));
    }
    figures.sort_by(f64::total_cmp);
    println!("a client built and logged in       {:>8} us", median(&mut logins).as_micros());
    println!("a connection and two round trips   {:>8} us", median(&mut trips).as_micros());
    println!("figure, median of the rounds       {:>8.2}x", figures[ROUNDS / 2]);
    let iam = service.log_in()?;
    for threads in [1, 2, 8] {
        read(&iam, threads);
    }
    share(64)
}

/// The kept token against the two clocks that must be read for it; wall time over all reads of all threads.
fn read(iam: &Iam, threads: usize) {
    let (mut tokens, mut clocks) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        tokens.push(in_threads(threads, READS, || drop(black_box(iam.token()))));
        clocks.push(in_threads(threads, READS, || {
            black_box((Instant::now(), SystemTime::now()));
        }));
    }
    let nanoseconds = |times: &mut [Duration]| median(times).as_secs_f64() * 1e9 / READS as f64;
    let (token, clock) = (nanoseconds(&mut tokens), nanoseconds(&mut clocks));
    println!("kept token, {threads} threads              {token:>8.0} ns, {clock:.0} ns of them two clocks");
}

/// One login for many threads that begin together.
fn share(threads: usize) -> Result<()> {
    let service = HiiRetail::start()?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let iam = client(service.url(), service.tenant(), service.client_id(), &service.client_secret())?;
        times.push(in_threads(threads, threads, || drop(black_box(iam.token()))));
    }
    let logins = service.token_requests();
    println!(
        "first token of {threads} threads at once  {:>8} us, {logins} logins in 21 rounds",
        median(&mut times).as_micros()
    );
    Ok(())
}

/// Time for so many calls shared among so many threads, begun together.
fn in_threads(threads: usize, calls: usize, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..calls / threads {
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

/// The emulator in a process of its own, which ends when this one drops it.
struct Service {
    url: String,
    tenant: String,
    id: String,
    secret: String,
    process: Child,
}

impl Service {
    fn start() -> Result<Service> {
        let mut process =
            Command::new(std::env::current_exe()?).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let settings: Value = serde_json::from_str(&line)?;
        let text = |name: &str| settings[name].as_str().unwrap_or_default().to_owned();
        Ok(Service { url: text("url"), tenant: text("tenant"), id: text("id"), secret: text("secret"), process })
    }

    fn log_in(&self) -> Result<Iam> {
        let iam = client(&self.url, &self.tenant, &self.id, &self.secret)?;
        iam.token()?;
        Ok(iam)
    }

    /// The same requests with nothing around them. OCMS's ids and secrets need no encoding.
    fn log_in_by_hand(&self) -> Result<()> {
        let mut connection = TcpStream::connect(self.url.trim_start_matches("http://"))?;
        connection.set_nodelay(true)?;
        send(&mut connection, "GET /.well-known/openid-configuration", "")?;
        let form = format!(
            "grant_type=client_credentials&audience=https%3A%2F%2Fhiiretail.com&client_id={}&client_secret={}",
            self.id, self.secret
        );
        let token: Value = serde_json::from_str(&send(&mut connection, "POST /oauth2/token", &form)?)?;
        token["access_token"].as_str().map(drop).ok_or_else(|| "no token".into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(url: &str, tenant: &str, id: &str, secret: &str) -> Result<Iam> {
    Ok(Iam::builder(tenant, Ocms::new(id, secret).issuer(url)).api_url(url).build()?)
}

fn serve() -> Result<()> {
    let service = HiiRetail::start()?;
    let (url, tenant, id) = (service.url(), service.tenant(), service.client_id());
    println!("{}", json!({"url": url, "tenant": tenant, "id": id, "secret": service.client_secret()}));
    std::io::stdout().flush()?;
    // Until the other process is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The body of the response, which is a success.
fn send(connection: &mut TcpStream, act: &str, form: &str) -> Result<String> {
    let kind = if form.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
    let head = format!("{act} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{kind}");
    connection.write_all(format!("{head}Content-Length: {}\r\n\r\n{form}", form.len()).as_bytes())?;
    let mut response = BufReader::new(connection);
    let (mut status, mut length) = (String::new(), 0);
    response.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        response.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    response.read_exact(&mut body)?;
    let body = String::from_utf8(body)?;
    if status.contains(" 200 ") { Ok(body) } else { Err(format!("{act}: {status}{body}").into()) }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const SERVE: &str = "--serve";
const ROUNDS: usize = 301;
const READS: usize = 800_000;
