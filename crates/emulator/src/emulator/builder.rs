use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;

use super::Emulator;
use crate::dispatcher::Dispatcher;
use crate::http::server::Server;
use crate::http::tls::ServerIdentity;
use crate::identity::access_tokens::AccessTokens;
use crate::identity::credentials::Credentials;
use crate::identity::jwt::JwtVerifier;
use crate::identity::key_pair::{KeyPair, RegisteredKey};
use crate::identity::oauth_client::OauthClient;
use crate::identity::scoped_tokens::ScopedTokens;
use crate::identity::secrets::Secrets;
use crate::service::{HOST, Service};
use crate::state::ledger::{Ledger, LedgerSettings, Retention};
use crate::state::name::canonical;
use crate::state::stage::Stage;

/// Settings of an [`Emulator`], each with a default.
///
/// ```
/// use snowpipe_emulator::Emulator;
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
#[derive(Clone)]
pub struct Builder {
    account: String,
    user: String,
    public_keys: Vec<String>,
    private_key: Option<String>,
    port: u16,
    tls: bool,
    state: Option<PathBuf>,
    retention: Retention,
    commit_delay: Duration,
    token_lifetime: Duration,
    access_token_lifetime: Duration,
    programmatic_access_token: Option<String>,
    oauth_client: Option<OauthClient>,
    pipes: BTreeMap<String, String>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            account: DEFAULT_ACCOUNT.to_owned(),
            user: DEFAULT_USER.to_owned(),
            public_keys: Vec::new(),
            private_key: None,
            port: 0,
            tls: false,
            state: None,
            retention: Retention::Rows,
            commit_delay: DEFAULT_COMMIT_DELAY,
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            access_token_lifetime: DEFAULT_TOKEN_LIFETIME,
            programmatic_access_token: None,
            oauth_client: None,
            pipes: BTreeMap::new(),
        }
    }

    /// The account identifier. Default: `TESTORG-EMULATOR`.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The login name of the only user. Default: `LOADER`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Registers a public key of the user (PEM, or its base64 text alone). Two can be registered, as during a rotation;
    /// of more, the last two count. Without any, a pair is generated, whose private key is
    /// [`Emulator::private_key_pem`].
    pub fn public_key_pem(mut self, pem: impl Into<String>) -> Self {
        self.public_keys.push(pem.into());
        self
    }

    /// Registers the public key of this private key (unencrypted PKCS#8 PEM), instead of a generated one.
    pub fn private_key_pem(mut self, pem: impl Into<String>) -> Self {
        self.private_key = Some(pem.into());
        self
    }

    /// The port on 127.0.0.1. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Speaks TLS, with a certificate of a private authority: see [`Emulator::ca_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Keeps channels, rows and secrets in this folder, so that they outlive the process, however it ends. Rows are
    /// read from there and take no memory. Only one emulator at a time may use a folder.
    pub fn state(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state = Some(dir.into());
        self
    }

    /// Counts rows and keeps none, for loads larger than memory.
    pub fn discard_rows(mut self) -> Self {
        self.retention = Retention::CountsOnly;
        self
    }

    /// The time from the receipt of rows to their commit. Default: 50 ms.
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = delay;
        self
    }

    /// The lifetime of scoped tokens, in whole seconds. Default: an hour.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The lifetime of access tokens of the embedded authorization server, in whole seconds. Default: an hour.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// The user's programmatic access token. Default: a random one.
    pub fn programmatic_access_token(mut self, token: impl Into<String>) -> Self {
        self.programmatic_access_token = Some(token.into());
        self
    }

    /// Id and secret of the only client of the embedded authorization server. Default: `emulator-client` with a random
    /// secret.
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        let (id, secret) = (id.into(), secret.into());
        self.oauth_client = Some(OauthClient { id, secret });
        self
    }

    /// Declares a pipe other than the default one of its table. Every schema has it.
    pub fn pipe(mut self, name: impl AsRef<str>, table: impl AsRef<str>) -> Self {
        self.pipes.insert(canonical(name.as_ref()), canonical(table.as_ref()));
        self
    }

    /// Starts the emulator, on 127.0.0.1 only.
    ///
    /// # Blocking
    ///
    /// Generates a key pair when no key was given. The first time in a process this takes up to some seconds.
    ///
    /// # Errors
    ///
    /// When the port is taken, the folder cannot be used, or a key is not an RSA key of at least 2048 bits.
    pub fn start(self) -> io::Result<Emulator> {
        let (keys, private_key_pem) = self.keys()?;
        let jwt = JwtVerifier::new(&self.account, &self.user, keys);
        let mut ledger = Ledger::new(LedgerSettings {
            pipes: self.pipes.clone(),
            commit_delay: self.commit_delay,
            retention: self.retention,
        });
        let secrets = Arc::new(match &self.state {
            Some(dir) => {
                ledger.restore(dir)?;
                Secrets::load_or_generate(dir)?
            }
            None => Secrets::generate()?,
        });
        let tls = self.tls.then(|| ServerIdentity::generate(&secrets.authority())).transpose()?;
        let (scheme, config, ca_pem) = match tls {
            Some(tls) => ("https", Some(tls.config), Some(tls.ca_pem)),
            None => ("http", None, None),
        };
        let listener = Server::bind(self.port)?;
        // The issuer of access tokens and the place for uploads name the port, so both come after it is known.
        let authority = format!("{HOST}:{}", listener.local_addr()?.port());
        let url = format!("{scheme}://{authority}");
        let credentials = self.credentials(jwt, &secrets, &url);
        let service = Arc::new(Service::new(url, credentials, ledger, Stage::new(authority, secrets.pipe_key())));
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&service)));
        let server = Server::start(listener, config, dispatcher)?;
        Ok(Emulator { account: self.account, user: self.user, private_key_pem, ca_pem, service, _server: server })
    }

    fn credentials(&self, jwt: JwtVerifier, secrets: &Arc<Secrets>, url: &str) -> Credentials {
        let client = self.oauth_client.clone();
        let token = self.programmatic_access_token.clone();
        Credentials {
            jwt,
            scoped: ScopedTokens::new(Arc::clone(secrets), self.token_lifetime.as_secs()),
            access: AccessTokens::new(Arc::clone(secrets), url, self.access_token_lifetime.as_secs()),
            oauth_client: client
                .unwrap_or_else(|| OauthClient { id: DEFAULT_CLIENT.to_owned(), secret: secrets.client_secret() }),
            programmatic_access_token: Mutex::new(token.unwrap_or_else(|| secrets.programmatic_access_token())),
            failures: Mutex::default(),
        }
    }

    /// The registered public keys, and the private key of one of them if it is known here.
    fn keys(&self) -> io::Result<(Vec<RegisteredKey>, Option<String>)> {
        let first = self.public_keys.len().saturating_sub(KEYS_PER_USER);
        let keys = self.public_keys[first..].iter();
        let mut keys: Vec<_> = keys.map(|pem| RegisteredKey::from_pem(pem)).collect::<io::Result<_>>()?;
        let pair = match &self.private_key {
            Some(pem) => KeyPair::from_pem(pem)?,
            None if keys.is_empty() => KeyPair::shared()?,
            None => return Ok((keys, None)),
        };
        // The key of the pair counts as one, too.
        keys.truncate(KEYS_PER_USER - 1);
        keys.push(pair.registered);
        Ok((keys, Some(pair.private_key_pem)))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("account", &self.account)
            .field("user", &self.user)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

const DEFAULT_ACCOUNT: &str = "TESTORG-EMULATOR";
const DEFAULT_CLIENT: &str = "emulator-client";
const DEFAULT_USER: &str = "LOADER";
/// Long enough that clients have to wait for commits, as with the service, and short enough for test suites.
const DEFAULT_COMMIT_DELAY: Duration = Duration::from_millis(50);
/// An hour, as the service has it.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// As the service: `RSA_PUBLIC_KEY` and `RSA_PUBLIC_KEY_2`.
pub(crate) const KEYS_PER_USER: usize = 2;
