//! Keys and tokens that are replaced while a client works: no call is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use snowpipe_emulator::Emulator;
use snowpipe_streaming::{
    CheckOutcome, CheckStep, Client, ClientCredentials, ClientSecret, Credentials, Error, ErrorKind, PrivateKey, Secret,
};

use crate::support::{Scripted, batch, landed, reaching, row};

const THREADS: usize = 8;
const ROTATIONS: usize = 100;

/// A key, as its user and as the service know it.
struct Pair {
    private: String,
    public: String,
    fingerprint: String,
}

/// A file that another process replaces, in one step.
struct Rotated {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// Ends the threads, also when the test fails.
struct Stop<'f>(&'f AtomicBool);

/// A call of a thread, as it ended.
type Report = (usize, Result<(), Error>);

impl Pair {
    fn fixture(name: &str) -> Pair {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
        let private = fs::read_to_string(keys.join(name)).unwrap();
        let key = RsaPrivateKey::from_pkcs8_pem(&private).unwrap();
        let public = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let fingerprint = PrivateKey::from_pem(&private).unwrap().fingerprint().to_owned();
        Pair { private, public, fingerprint }
    }

    fn pairs() -> [Pair; 2] {
        ["plain.p8", "plain-3072.p8"].map(Pair::fixture)
    }
}

impl Rotated {
    fn new(content: &str) -> Rotated {
        let folder = tempfile::tempdir().unwrap();
        let file = Rotated { path: folder.path().join("secret"), _folder: folder };
        file.replace(content);
        file
    }

    fn replace(&self, content: &str) {
        let draft = self.path.with_extension("new");
        fs::write(&draft, content).unwrap();
        fs::rename(draft, &self.path).unwrap();
    }
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn service() -> Emulator {
    Emulator::builder().commit_delay(Duration::ZERO).start().unwrap()
}

fn client_of_file(service: &Emulator, file: &Rotated) -> Client {
    let key = PrivateKey::from_file(&file.path).unwrap();
    reaching(service, Credentials::key_pair(service.user(), key)).build().unwrap()
}

/// Eight threads append and ask for statuses, while a hundred times `rotate` replaces a file, then makes the service refuse
/// what it contained. Each time, every thread gets through.
fn work_through_rotations(service: &Emulator, client: &Client, rotate: impl Fn(usize)) {
    let stop = AtomicBool::new(false);
    let (reports, calls) = channel();
    let appended: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (reports, stop) = (reports.clone(), &stop);
                scope.spawn(move || work(client, thread, &reports, stop))
            })
            .collect();
        let stop = Stop(&stop);
        await_calls(&calls);
        for round in 1..=ROTATIONS {
            rotate(round);
            service.revoke_scoped_tokens();
            await_calls(&calls);
        }
        drop(stop);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!(appended > (ROTATIONS * THREADS / 2) as u64, "{appended}");
    assert_eq!(landed(service).lines().count() as u64, appended, "every row once");
    let refused =
        |path: &str| service.requests().iter().filter(|seen| seen.path == path && seen.status == Some(401)).count();
    assert_eq!(refused("/v2/streaming/hostname"), ROTATIONS, "one refused login each time");
    let exchanges = service.requests().iter().filter(|seen| seen.path == "/oauth/token").count();
    assert_eq!(exchanges, ROTATIONS + 1);
}

fn work(client: &Client, thread: usize, reports: &Sender<Report>, stop: &AtomicBool) -> u64 {
    let pipe = client.table("DEMO", "PUBLIC", "EVENTS");
    let mut channel = pipe.channel(format!("c{thread}")).open().unwrap();
    let mut appended = 0;
    while !stop.load(Ordering::Relaxed) {
        let result = match appended < 10_000 && fastrand::bool() {
            true => channel.append(&batch([appended + 1])).map(|()| appended += 1),
            false => channel.status().map(drop),
        };
        // The test may have failed meanwhile.
        let _ = reports.send((thread, result));
    }
    channel.wait_for_commit(appended, Duration::from_secs(20)).unwrap();
    appended
}

/// Waits until each thread has made a whole call, which began after this.
fn await_calls(calls: &Receiver<Report>) {
    while let Ok((_, result)) = calls.try_recv() {
        result.unwrap();
    }
    let mut made = [0; THREADS];
    while made.iter().any(|made| *made < 2) {
        let (thread, result) = calls.recv_timeout(Duration::from_secs(60)).unwrap();
        result.unwrap();
        made[thread] += 1;
    }
}

#[test]
fn a_hundred_rotations_of_a_key_file_lose_no_call() {
    let pairs = Pair::pairs();
    let service = service();
    service.replace_public_keys(&[&pairs[0].public]).unwrap();
    let file = Rotated::new(&pairs[0].private);
    let client = client_of_file(&service, &file);
    work_through_rotations(&service, &client, |round| {
        let [old, new] = [&pairs[(round + 1) % 2], &pairs[round % 2]];
        service.replace_public_keys(&[&old.public, &new.public]).unwrap();
        file.replace(&new.private);
        service.replace_public_keys(&[&new.public]).unwrap();
    });
}

#[test]
fn a_hundred_rotations_of_a_programmatic_access_token_lose_no_call() {
    let service = service();
    service.replace_programmatic_access_token("token-0");
    let file = Rotated::new("token-0\n");
    let credentials = Credentials::programmatic_access_token_file(&file.path);
    let client = reaching(&service, credentials).build().unwrap();
    work_through_rotations(&service, &client, |round| {
        file.replace(&format!("token-{round}\n"));
        service.replace_programmatic_access_token(format!("token-{round}"));
    });
}

#[test]
fn a_hundred_rotations_of_a_file_with_a_jwt_lose_no_call() {
    let pairs = Pair::pairs();
    let service = service();
    let minted = |pair: &Pair| {
        let key = PrivateKey::from_pem(&pair.private).unwrap();
        Credentials::key_pair(service.user(), key).mint_jwt(service.account()).unwrap()
    };
    service.replace_public_keys(&[&pairs[0].public]).unwrap();
    let file = Rotated::new(minted(&pairs[0]).expose());
    let client = reaching(&service, Credentials::jwt_file(&file.path)).build().unwrap();
    work_through_rotations(&service, &client, |round| {
        file.replace(minted(&pairs[round % 2]).expose());
        service.replace_public_keys(&[&pairs[round % 2].public]).unwrap();
    });
}

#[test]
fn an_encrypted_key_is_replaced_by_one_with_the_same_passphrase() {
    let [first, _] = Pair::pairs();
    let sealed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/aes256-sha256.p8");
    let service = service();
    let file = Rotated::new(&Pair::fixture("plain-3072.p8").private);
    let key = PrivateKey::from_encrypted_file(&file.path, &Secret::new("open sesame")).unwrap();
    let client = reaching(&service, Credentials::key_pair(service.user(), key)).build().unwrap();
    file.replace(&fs::read_to_string(sealed).unwrap());
    service.replace_public_keys(&[&first.public]).unwrap();
    client.token().unwrap();
}

#[test]
fn the_diagnosis_names_the_key_in_use() {
    let [first, second] = Pair::pairs();
    let service = service();
    service.replace_public_keys(&[&first.public]).unwrap();
    let file = Rotated::new(&first.private);
    let client = client_of_file(&service, &file);
    client.token().unwrap();
    service.replace_public_keys(&[]).unwrap();
    file.replace(&second.private);
    let error = client.refresh().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("390144")));
    assert!(error.to_string().contains(&second.fingerprint), "{error}");
    assert!(!error.to_string().contains(&first.fingerprint), "{error}");
    let CheckOutcome::Passed(found) = client.check().outcome(CheckStep::LoginToken).clone() else { panic!() };
    assert!(found.contains(&second.fingerprint), "{found}");
}

#[test]
fn a_key_file_that_cannot_be_read_is_named_beside_the_key_in_use() {
    let [first, _] = Pair::pairs();
    let service = service();
    let file = Rotated::new(&first.private);
    let client = client_of_file(&service, &file);
    fs::remove_file(&file.path).unwrap();
    let error = client.token().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("390144")));
    let text = error.to_string();
    for fact in [&*first.fingerprint, "no newer key was found", "secret cannot be read: there is no such file"] {
        assert!(text.contains(fact), "{fact} is missing in {text}");
    }
}

#[test]
fn a_key_file_that_is_half_written_costs_no_call_while_the_old_key_is_accepted() {
    let [first, second] = Pair::pairs();
    let service = service();
    service.replace_public_keys(&[&first.public]).unwrap();
    let file = Rotated::new(&first.private);
    let client = client_of_file(&service, &file);
    // The first JWT is refused for its times, and then the file is read again.
    service.set_clock_offset(-600);
    for broken in [&second.private[..700], ""] {
        file.replace(broken);
        client.refresh().unwrap();
    }
    let refused = service.requests().iter().filter(|seen| seen.status == Some(401)).count();
    assert_eq!(refused, 1);
    client.table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap().append(&batch([1])).unwrap();
    assert_eq!(landed(&service), row(1) + "\n");
}

/// The error of a call that must not wait for the writer of a pipe.
#[cfg(unix)]
fn error_at_once(call: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Error {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(Duration::from_secs(30)).unwrap().unwrap_err()
}

#[cfg(unix)]
fn put_pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_token_or_a_client_secret_is_an_error_and_nobody_waits_for_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    put_pipe(&pipe);
    let client = ClientCredentials::at("https://auth.example/token", "loader", ClientSecret::from_file(&pipe));
    for credentials in [
        Credentials::jwt_file(&pipe),
        Credentials::oauth_token_file(&pipe),
        Credentials::programmatic_access_token_file(&pipe),
        Credentials::client_credentials(client),
    ] {
        let error = error_at_once(move || Client::builder("myorg-account1", credentials).build().map(drop));
        assert_eq!(error.kind(), ErrorKind::Config);
        let shown = error.to_string();
        assert!(shown.contains(&format!("{} is not a regular file", pipe.display())), "{shown}");
    }
}

#[cfg(unix)]
#[test]
fn a_token_file_that_becomes_a_pipe_holds_no_call_up() {
    let service = Scripted::start();
    let file = Rotated::new("login-token");
    let credentials = Credentials::oauth_token_file(&file.path);
    let client = Client::builder("myorg-account1", credentials).url(service.url()).build().unwrap();
    client.token().unwrap();
    put_pipe(&file.path);
    let error = error_at_once(move || client.refresh());
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("is not a regular file"), "{error}");
}
