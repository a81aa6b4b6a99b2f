//! `snowpipe emulator`: runs the emulator until it is stopped, with profiles that clients can load.

mod hiiretail;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

use serde_json::json;
use snowpipe_streaming::Error;
use snowpipe_streaming::emulator::{Builder, Emulator};

use crate::{Result, misuse};

pub fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let Some(options) = Options::parse(arguments)? else {
        return crate::print(HELP);
    };
    let emulator = options
        .builder()?
        .start()
        .map_err(|error| misuse(not_started("the emulator", options.port, "--port", &error)))?;
    let port = options.hiiretail_port.or(options.hiiretail.then_some(0));
    let hiiretail = port.map(|port| hiiretail::start(&options.dir, port, options.tls)).transpose()?;
    fs::create_dir_all(&options.dir)
        .and_then(|()| options.dir.canonicalize())
        .and_then(|dir| {
            hiiretail.as_ref().map_or(Ok(()), |service| hiiretail::write_variables(&dir, service))?;
            write_profiles(&dir, &emulator)
        })
        .map_err(|error| misuse(format!("cannot write to {}: {error}", options.dir.display())))?;
    crate::print(format_args!("listening on {}\n", emulator.url()))?;
    loop {
        thread::park();
    }
}

#[derive(Default)]
struct Options {
    dir: PathBuf,
    port: u16,
    tls: bool,
    discard_rows: bool,
    hiiretail: bool,
    hiiretail_port: Option<u16>,
    state: Option<PathBuf>,
    account: Option<String>,
    user: Option<String>,
    public_keys: Vec<PathBuf>,
    commit_delay: Option<Duration>,
    pipes: Vec<(String, String)>,
}

impl Options {
    /// Gives `None` when only the usage is wanted.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            if matches!(name.as_str(), "-h" | "--help") {
                return Ok(None);
            }
            let flag = match name.as_str() {
                "--tls" => Some(&mut options.tls),
                "--discard-rows" => Some(&mut options.discard_rows),
                "--hiiretail" => Some(&mut options.hiiretail),
                _ => None,
            };
            if let Some(flag) = flag {
                if inline.is_some() {
                    return Err(misuse(format!("{name} takes no value; leave out what follows it")));
                }
                *flag = true;
                continue;
            }
            if !VALUED.contains(&name.as_str()) {
                return Err(misuse(format!("unknown argument {name:?}; --help lists them")));
            }
            let value = inline.or_else(|| arguments.next());
            let value = value.ok_or_else(|| misuse(format!("{name} needs a value")))?;
            options.set(&name, value)?;
        }
        if options.dir.as_os_str().is_empty() {
            return Err(misuse("--dir DIR is needed: the profile is written there"));
        }
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "--port" => self.port = port(name, &value)?,
            "--hiiretail-port" => self.hiiretail_port = Some(port(name, &value)?),
            "--dir" => self.dir = PathBuf::from(value),
            "--state" => self.state = Some(PathBuf::from(value)),
            "--account" => self.account = Some(value),
            "--user" => self.user = Some(value),
            "--public-key" => self.public_keys.push(PathBuf::from(value)),
            "--commit-delay-ms" => {
                let ms = value.parse();
                let ms = ms.map_err(|_| misuse(format!("--commit-delay-ms: {value:?} is not a number")))?;
                self.commit_delay = Some(Duration::from_millis(ms));
            }
            _ => {
                let pipe = value.split_once('=').filter(|(name, table)| !name.is_empty() && !table.is_empty());
                let (pipe, table) = pipe.ok_or_else(|| misuse(format!("--pipe: {value:?} is not NAME=TABLE")))?;
                self.pipes.push((pipe.to_owned(), table.to_owned()));
            }
        }
        Ok(())
    }

    /// The key of an earlier run: clients that hold it should be able to go on after a restart.
    fn earlier_key(&self) -> Result<Option<String>> {
        let file = self.dir.join(KEY_FILE);
        match fs::read_to_string(&file) {
            _ if !self.public_keys.is_empty() => Ok(None),
            Ok(pem) => Ok(Some(pem)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(unreadable(&file, &error)),
        }
    }

    fn builder(&self) -> Result<Builder> {
        let mut builder = Emulator::builder().port(self.port);
        if self.tls {
            builder = builder.tls();
        }
        if self.discard_rows {
            builder = builder.discard_rows();
        }
        if let Some(dir) = &self.state {
            builder = builder.state(dir);
        }
        if let Some(pem) = self.earlier_key()? {
            builder = builder.private_key_pem(pem);
        }
        if let Some(account) = &self.account {
            builder = builder.account(account);
        }
        if let Some(user) = &self.user {
            builder = builder.user(user);
        }
        if let Some(delay) = self.commit_delay {
            builder = builder.commit_delay(delay);
        }
        for (pipe, table) in &self.pipes {
            builder = builder.pipe(pipe, table);
        }
        for file in &self.public_keys {
            let pem = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            builder = builder.public_key_pem(pem);
        }
        Ok(builder)
    }
}

/// With the port, if that is what is wrong.
fn not_started(what: &str, port: u16, option: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot start {what}: port {port} is in use; stop what listens there, or give {option} another")
        }
        _ => format!("cannot start {what}: {error}"),
    }
}

fn port(name: &str, value: &str) -> Result<u16> {
    value.parse().map_err(|_| misuse(format!("{name}: {value:?} is not a port")))
}

fn unreadable(file: &Path, error: &io::Error) -> Error {
    misuse(format!("cannot read {}: {error}", file.display()))
}

fn missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Writes the profile and, unless the caller has the private key, that too; and a profile for each other
/// way to log in.
fn write_profiles(dir: &Path, emulator: &Emulator) -> io::Result<()> {
    let mut base = json!({
        "account": emulator.account(),
        "user": emulator.user(),
        "url": emulator.url(),
    });
    if let Some(pem) = emulator.ca_pem() {
        let ca_file = dir.join("ca.pem");
        fs::write(&ca_file, pem)?;
        base["ca_file"] = ca_file.to_string_lossy().into();
    }
    let mut key_pair = base.clone();
    if let Some(pem) = emulator.private_key_pem() {
        let key_file = dir.join(KEY_FILE);
        write_secret(&key_file, pem)?;
        key_pair["private_key_file"] = key_file.to_string_lossy().into();
    }
    fs::write(dir.join("profile.json"), format!("{key_pair:#}\n"))?;

    let mut personal = base.clone();
    personal["authorization_type"] = "PAT".into();
    personal["personal_access_token"] = emulator.programmatic_access_token().into();
    write_secret(&dir.join("profile-pat.json"), &format!("{personal:#}\n"))?;

    let (id, secret) = emulator.oauth_client();
    let mut oauth = base;
    oauth["authorization_type"] = "OAUTH".into();
    oauth["oauth_client_id"] = id.into();
    oauth["oauth_client_secret"] = secret.into();
    oauth["oauth_token_endpoint"] = format!("{}/token", emulator.oauth_issuer()).into();
    write_secret(&dir.join("profile-oauth.json"), &format!("{oauth:#}\n"))
}

fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    // The mode of a file is set when it is made; one that is there keeps its own.
    match fs::remove_file(file) {
        Err(error) if !missing(&error) => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

const KEY_FILE: &str = "rsa_key.p8";
const VALUED: [&str; 9] = [
    "--state",
    "--dir",
    "--port",
    "--hiiretail-port",
    "--account",
    "--user",
    "--public-key",
    "--commit-delay-ms",
    "--pipe",
];

const HELP: &str = "\
Runs an emulator of the service on this machine until it is stopped. Prints one
line when it is ready: listening on <url>.

Usage: snowpipe emulator --dir DIR [OPTION]...

  --dir DIR              where rsa_key.p8, profile.json, profile-pat.json,
                         profile-oauth.json and ca.pem are written
  --port N               port on 127.0.0.1; default a free one
  --tls                  speak TLS; the authority to trust is written to ca.pem
  --account A            account identifier; default TESTORG-EMULATOR
  --user U               login name; default LOADER
  --public-key FILE      registered public key (PEM); then no key is generated;
                         twice for a rotation
  --commit-delay-ms N    how long rows wait to be committed; default 50
  --state DIR            keep channels and rows there, so that they survive a
                         restart
  --discard-rows         count rows only
  --pipe NAME=TABLE      declares a pipe that is not <TABLE>-STREAMING; any
                         number of times
  --hiiretail            also emulate Hii Retail (OCMS and IAM), on a port of
                         its own: standard error says which. hiiretail.env has
                         the variables of its clients, with --tls
                         hiiretail-ca.pem the authority to trust. A restart with
                         the same DIR keeps the client and its secret
  --hiiretail-port N     the same, on this port
";
