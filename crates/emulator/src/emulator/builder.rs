//! How an emulator is to be set up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;

use super::Emulator;
use crate::endpoints::HOST;
use crate::http::server::Server;
use crate::http::tls;
use crate::identity::access_tokens::AccessTokens;
use crate::identity::credentials::Credentials;
use crate::identity::jwt::Identity;
use crate::identity::key_pair::{Pair, RegisteredKey};
use crate::identity::oauth_client::OauthClient;
use crate::identity::scoped_tokens::ScopedTokens;
use crate::identity::secrets::Secrets;
use crate::service::Service;
use crate::state::ledger::Ledger;
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
    discards_rows: bool,
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
            discards_rows: false,
            commit_delay: DEFAULT_COMMIT_DELAY,
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            access_token_lifetime: DEFAULT_TOKEN_LIFETIME,
            programmatic_access_token: None,
            oauth_client: None,
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

    /// Registers the public half of this key (unencrypted PKCS#8 PEM) instead of a generated pair's.
    pub fn private_key_pem(mut self, pem: impl Into<String>) -> Self {
        self.private_key = Some(pem.into());
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

    /// Keeps channels, rows and secrets in this folder, so that they outlive the process, however it ends.
    /// Rows are then read from there and take no memory. One emulator at a time can use a folder.
    pub fn state(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state = Some(dir.into());
        self
    }

    /// Only counts rows, and keeps none.
    pub fn discard_rows(mut self) -> Self {
        self.discards_rows = true;
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

    /// How long an access token of the embedded authorization server is good for; an hour unless set.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// The user's programmatic access token; a random one unless set.
    pub fn programmatic_access_token(mut self, token: impl Into<String>) -> Self {
        self.programmatic_access_token = Some(token.into());
        self
    }

    /// The only client of the embedded authorization server; `emulator-client` with a random secret unless
    /// set.
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        let (id, secret) = (id.into(), secret.into());
        self.oauth_client = Some(OauthClient { id, secret });
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
    /// When the port is taken, the folder cannot be used, or a public key is no RSA key of at least 2048 bits.
    pub fn start(self) -> io::Result<Emulator> {
        let (keys, private_key_pem) = self.keys()?;
        let identity = Identity::new(&self.account, &self.user, keys);
        let mut ledger = Ledger::new(self.pipes.clone(), self.commit_delay);
        let secrets = Arc::new(match &self.state {
            Some(dir) => {
                ledger.restore(dir)?;
                Secrets::kept_in(dir)?
            }
            None => Secrets::fresh()?,
        });
        let authority_key = self.tls.then(|| secrets.authority());
        let tls = authority_key.map(|key| tls::Identity::make(&key)).transpose()?;
        let (scheme, config, ca_pem) = match tls {
            Some(tls) => ("https", Some(tls.config), Some(tls.ca_pem)),
            None => ("http", None, None),
        };
        let listener = Server::bind(self.port)?;
        let authority = format!("{HOST}:{}", listener.local_addr()?.port());
        let url = format!("{scheme}://{authority}");
        let service = Arc::new(Service::new(
            url.clone(),
            self.credentials(identity, &secrets, &url),
            ledger,
            Stage::new(authority, secrets.pipe_key()),
            self.discards_rows,
        ));
        Ok(Emulator {
            ca_pem,
            account: self.account,
            user: self.user,
            private_key_pem,
            _server: Server::start(listener, config, Arc::clone(&service))?,
            service,
        })
    }

    fn credentials(&self, identity: Identity, secrets: &Arc<Secrets>, url: &str) -> Credentials {
        let client = self.oauth_client.clone();
        let token = self.programmatic_access_token.clone();
        Credentials {
            identity,
            scoped: ScopedTokens::new(Arc::clone(secrets), self.token_lifetime.as_secs()),
            access: AccessTokens::new(Arc::clone(secrets), url, self.access_token_lifetime.as_secs()),
            client: client
                .unwrap_or_else(|| OauthClient { id: DEFAULT_CLIENT.to_owned(), secret: secrets.client_secret() }),
            programmatic_access_token: token.unwrap_or_else(|| secrets.programmatic_access_token()),
            failures: Mutex::default(),
        }
    }

    fn keys(&self) -> io::Result<(Vec<RegisteredKey>, Option<String>)> {
        let first = self.public_keys.len().saturating_sub(KEYS_PER_USER);
        let keys = self.public_keys[first..].iter();
        let mut keys: Vec<_> = keys.map(|pem| RegisteredKey::from_pem(pem)).collect::<io::Result<_>>()?;
        let pair = match &self.private_key {
            Some(pem) => Pair::from_pem(pem)?,
            None if keys.is_empty() => Pair::of_this_process()?,
            None => return Ok((keys, None)),
        };
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
const DEFAULT_COMMIT_DELAY: Duration = Duration::from_millis(50);
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const KEYS_PER_USER: usize = 2;
