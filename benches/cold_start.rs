//! What it takes from nothing to an open channel: `cargo bench --bench cold_start`.
//!
//! The limit is what cannot be saved: a connection, three round trips over it (ingest host, scoped token, channel) to the
//! same service in another process, and one signature. It is measured in turns with the client, so that other work on the
//! machine hits both alike; the figure is the median over the rounds of what each round gives.

mod backend;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use snowpipe_emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, PrivateKey};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == SERVE) {
        return serve();
    }
    let service = Service::start()?;
    let sign = backend::signer(KEY.as_ref());
    let (mut cold, mut trips, mut signed, mut read) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut figures = Vec::new();
    for round in 0..ROUNDS {
        let (key, time) = timed(|| PrivateKey::from_file(KEY));
        read.push(time);
        let credentials = Credentials::key_pair(&service.user, key?);
        let jwt = credentials.mint_jwt(&service.account)?;
        let (done, time) = timed(|| service.open_by_client(credentials));
        done?;
        cold.push(time);
        let (done, time) = timed(|| service.open_by_hand(jwt.expose()));
        done?;
        trips.push(time);
        signed.push(timed(|| sign(&[b'x'; 400])).1);
        figures.push(cold[round].div_duration_f64(trips[round] + signed[round]));
    }
    let [cold, trips, signed, read] = [cold, trips, signed, read].map(median);
    figures.sort_by(f64::total_cmp);
    println!("cold start, {} bit ({}): build, discover, exchange, open", PrivateKey::MIN_BITS, backend::NAME);
    println!("  measured                      {:>7} us", cold.as_micros());
    println!("  three round trips             {:>7} us", trips.as_micros());
    println!("  one signature                 {:>7} us", signed.as_micros());
    println!("  figure, median of the rounds  {:>7.2}x, allowed 1.2x", figures[ROUNDS / 2]);
    println!("  beside it, reading the key    {:>7} us", read.as_micros());
    Ok(())
}

/// The emulator in a process of its own, which ends when this one drops it.
struct Service {
    url: String,
    account: String,
    user: String,
    process: Child,
}

impl Service {
    fn start() -> Result<Service> {
        let mut process =
            Command::new(std::env::current_exe()?).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)?;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        Ok(Service { url: text("url"), account: text("account"), user: text("user"), process })
    }

    fn open_by_client(&self, credentials: Credentials) -> Result<()> {
        let client = Client::builder(&self.account, credentials).url(&self.url).build()?;
        client.table("DEMO", "PUBLIC", "EVENTS").channel("cold").open()?;
        Ok(())
    }

    /// The same requests with nothing around them.
    fn open_by_hand(&self, jwt: &str) -> Result<()> {
        let mut connection = TcpStream::connect(self.url.trim_start_matches("http://"))?;
        connection.set_nodelay(true)?;
        let login =
            [("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT"), ("Authorization", &format!("Bearer {jwt}"))];
        let host = send(&mut connection, "GET /v2/streaming/hostname", &login, "")?;
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope={}", host.trim());
        let mut with_form = login.to_vec();
        with_form.push(("Content-Type", "application/x-www-form-urlencoded"));
        let token = send(&mut connection, "POST /oauth/token", &with_form, &form)?;
        let bearer = format!("Bearer {}", token.trim());
        let scoped = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        let path = "PUT /v2/streaming/databases/DEMO/schemas/PUBLIC/pipes/EVENTS-STREAMING/channels/cold";
        send(&mut connection, path, &scoped, r#"{"fail_on_uncommitted_rows":true}"#)?;
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve() -> Result<()> {
    let emulator = Emulator::builder().private_key_pem(std::fs::read_to_string(KEY)?).start()?;
    println!("{}", json!({"url": emulator.url(), "account": emulator.account(), "user": emulator.user()}));
    std::io::stdout().flush()?;
    // Until the other process is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The body of the response, which is a success.
fn send(connection: &mut TcpStream, act: &str, headers: &[(&str, &str)], body: &str) -> Result<String> {
    let mut request = format!("{act} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    connection.write_all(request.as_bytes())?;
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const SERVE: &str = "--serve";
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8");
const ROUNDS: usize = 301;
