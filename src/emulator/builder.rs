//! How an emulator is to be set up.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Emulator;
use super::credentials::Credentials;
use super::endpoints::HOST;
use super::jwt::Identity;
use super::key_pair::{GeneratedPair, RegisteredKey};
use super::ledger::Ledger;
use super::name::canonical;
use super::scoped_token::ScopedTokens;
use super::server::Server;
use super::service::Service;
use super::stage::Stage;
use super::tls;

/// Settings of an [`Emulator`], each with a default.
///
/// ```
/// use snowpipe_streaming::emulator::Emulator;
/// use std::time::Duration;
///
/// let emulator = Emulator::builder()
///     .account("MYORG-ACCOUNT")
///     .user("LOADER")
///     .pipe("EVENTS_PIPE", "EVENTS")
///     .commit_delay(Duration::ZERO)
///     .start()?;
/// assert_eq!(emulator.account(), "MYORG-ACCOUNT");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    account: String,
    user: String,
    public_keys: Vec<String>,
    port: u16,
    tls: bool,
    commit_delay: Duration,
    token_lifetime: Duration,
    pipes: BTreeMap<String, String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            account: DEFAULT_ACCOUNT.to_owned(),
            user: DEFAULT_USER.to_owned(),
            public_keys: Vec::new(),
            port: 0,
            tls: false,
            commit_delay: DEFAULT_COMMIT_DELAY,
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            pipes: BTreeMap::new(),
        }
    }

    /// The account identifier; `TESTORG-EMULATOR` unless set.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The login name of the only user; `LOADER` unless set.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Registers a public key (PEM, or its base64 text alone). Two may be registered, as during a rotation;
    /// of more, the last two count. Without any, a pair is generated, and
    /// [`Emulator::private_key_pem`] gives its private key.
    pub fn public_key_pem(mut self, pem: impl Into<String>) -> Self {
        self.public_keys.push(pem.into());
        self
    }

    /// The port on 127.0.0.1; a free one unless set.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Speaks TLS, with a certificate by a private authority made at the start: see [`Emulator::ca_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// How long rows wait before they are committed; 50 ms unless set.
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = delay;
        self
    }

    /// How long a scoped token is good for, in whole seconds; an hour unless set.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// Declares a pipe that is not the default one of a table, in every schema.
    pub fn pipe(mut self, name: impl AsRef<str>, table: impl AsRef<str>) -> Self {
        self.pipes.insert(canonical(name.as_ref()), canonical(table.as_ref()));
        self
    }

    /// Starts to listen, on 127.0.0.1 only.
    ///
    /// # Blocking
    ///
    /// Generates a key pair when no public key was given; the first time in a process this takes up to
    /// some seconds.
    ///
    /// # Errors
    ///
    /// When the port is taken, or a public key is no RSA key of at least 2048 bits.
    pub fn start(self) -> io::Result<Emulator> {
        let (keys, private_key_pem) = self.keys()?;
        let tls = self.tls.then(tls::Identity::make).transpose()?;
        let listener = Server::bind(self.port)?;
        let authority = format!("{HOST}:{}", listener.local_addr()?.port());
        let credentials = Credentials::new(
            Identity::new(&self.account, &self.user, keys),
            ScopedTokens::new(self.token_lifetime.as_secs()),
        );
        let service = Arc::new(Service::new(
            credentials,
            Ledger::new(self.pipes, self.commit_delay),
            Stage::new(authority.clone()),
        ));
        let (scheme, config, ca_pem) = match tls {
            Some(tls) => ("https", Some(tls.config), Some(tls.ca_pem)),
            None => ("http", None, None),
        };
        Ok(Emulator {
            url: format!("{scheme}://{authority}"),
            ca_pem,
            account: self.account,
            user: self.user,
            private_key_pem,
            _server: Server::start(listener, config, Arc::clone(&service))?,
            service,
        })
    }

    fn keys(&self) -> io::Result<(Vec<RegisteredKey>, Option<String>)> {
        if self.public_keys.is_empty() {
            let pair = GeneratedPair::of_this_process()?;
            return Ok((vec![pair.registered], Some(pair.private_key_pem)));
        }
        let first = self.public_keys.len().saturating_sub(KEYS_PER_USER);
        let keys = self.public_keys[first..].iter();
        let keys = keys.map(|pem| RegisteredKey::from_pem(pem)).collect::<io::Result<_>>()?;
        Ok((keys, None))
    }
}

const DEFAULT_ACCOUNT: &str = "TESTORG-EMULATOR";
const DEFAULT_USER: &str = "LOADER";
const DEFAULT_COMMIT_DELAY: Duration = Duration::from_millis(50);
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const KEYS_PER_USER: usize = 2;
