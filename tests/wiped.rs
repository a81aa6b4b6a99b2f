//! What is left of a key in the memory of a process: another process looks.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rsa::RsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PrivateKeyParts;
use snowpipe_streaming::{Credentials, PrivateKey, Secret};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

/// A process that uses a key in steps.
struct User {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl User {
    fn start(file: &str) -> User {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "use_a_key", "--nocapture"]).env("KEY_TO_USE", format!("{KEYS}/{file}"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        User { process, input, output }
    }

    fn await_step(&mut self, step: &str) {
        let mut line = String::new();
        while line.trim() != step {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended before {step}");
        }
    }

    fn go_on(&mut self) {
        writeln!(self.input).unwrap();
    }

    fn count(&self, secret: &[u8]) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process.id())).unwrap();
        let mut memory = File::open(format!("/proc/{}/mem", self.process.id())).unwrap();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut bytes = vec![0; (end - start) as usize];
            memory.seek(SeekFrom::Start(start)).unwrap();
            if memory.read_exact(&mut bytes).is_ok() {
                found += bytes.windows(secret.len()).filter(|window| window == &secret).count();
            }
        }
        found
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn step(name: &str) {
    println!("\n{name}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn use_a_key() {
    let Ok(path) = std::env::var("KEY_TO_USE") else { return };
    let key = PrivateKey::from_encrypted_file(path, &Secret::new("open sesame")).unwrap();
    step("read");
    let credentials = Credentials::key_pair("u", key);
    for _ in 0..20 {
        drop(credentials.mint_jwt("a").unwrap());
    }
    step("signed");
    drop(credentials);
    step("dropped");
}

#[test]
fn nothing_of_a_key_that_the_library_holds_is_left_when_the_key_is_dropped() {
    let text = fs::read_to_string(format!("{KEYS}/plain.p8")).unwrap();
    let key = RsaPrivateKey::from_pkcs8_pem(&text).unwrap();
    // As they stand in the DER. The numbers of the arithmetic have their bytes in another order.
    let number = |number: &rsa::BigUint| number.to_bytes_be()[64..][..16].to_vec();
    let secrets = [
        ("the first prime", number(&key.primes()[0])),
        ("the second prime", number(&key.primes()[1])),
        ("the exponent", number(key.d())),
        ("the passphrase", b"open sesame".to_vec()),
    ];
    let lines = text.lines().filter(|line| line.len() == 64).map(|line| ("the text", line.as_bytes()[16..48].to_vec()));
    let secrets: Vec<_> = secrets.into_iter().chain(lines).collect();
    for file in ["plain.p8", "pkcs1.pem", "aes256-sha256.p8", "scrypt.p8"] {
        let mut user = User::start(file);
        for step in ["read", "signed"] {
            user.await_step(step);
            assert_eq!(user.count(&secrets[0].1), 1, "{file}, {step}: it is found where it is needed");
            let left = secrets.iter().filter(|(name, secret)| *name == "the text" && user.count(secret) > 0).count();
            assert_eq!(left, 0, "{file}, {step}: lines of the text, which is not needed any more");
            user.go_on();
        }
        user.await_step("dropped");
        for (name, secret) in &secrets {
            assert_eq!(user.count(secret), 0, "{file}: {name}");
        }
        user.go_on();
    }
}
