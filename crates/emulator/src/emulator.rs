pub(crate) mod builder;

use std::sync::Arc;
use std::{fmt, io};

use builder::{Builder, KEYS_PER_USER};

use crate::control::fault::Fault;
use crate::control::forms::{ErrorForm, WordForm};
use crate::control::request_log::LoggedRequest;
use crate::http::response::StreamedBody;
use crate::http::server::Server;
use crate::identity::key_pair::RegisteredKey;
use crate::service::Service;
use crate::state::name::PipeName;

/// A running emulator. Dropping it closes its connections and its port.
///
/// ```
/// let emulator = snowpipe_emulator::Emulator::start()?;
/// assert!(emulator.url().starts_with("http://127.0.0.1:"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Emulator {
    account: String,
    user: String,
    private_key_pem: Option<String>,
    ca_pem: Option<String>,
    service: Arc<Service>,
    _server: Server,
}

impl Emulator {
    /// Starts an emulator with default settings.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// The settings to start an emulator with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Its address, such as `http://127.0.0.1:40123`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.service.url
    }

    /// The account identifier that clients log in to.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The login name of the user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The user's private key (PKCS#8 PEM), generated or as it was given; `None` when only public keys were given.
    ///
    /// Emulators of one process share a generated pair, because generating takes time.
    pub fn private_key_pem(&self) -> Option<&str> {
        self.private_key_pem.as_deref()
    }

    /// The user's programmatic access token.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::builder().programmatic_access_token("a-token").start()?;
    /// assert_eq!(emulator.programmatic_access_token(), "a-token");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn programmatic_access_token(&self) -> String {
        self.service.credentials.programmatic_access_token.lock().clone()
    }

    /// Gives the user another programmatic access token, and refuses the old one with 401 from now on.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::builder().programmatic_access_token("first").start()?;
    /// emulator.replace_programmatic_access_token("second");
    /// assert_eq!(emulator.programmatic_access_token(), "second");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn replace_programmatic_access_token(&self, token: impl Into<String>) {
        *self.service.credentials.programmatic_access_token.lock() = token.into();
    }

    /// Registers these public keys of the user (PEM, or base64 alone) instead of all others: none, one, or two, as in
    /// `RSA_PUBLIC_KEY` and `RSA_PUBLIC_KEY_2`. JWTs by other keys are refused from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when there are more than two, or one cannot be used; then nothing has changed.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::start()?;
    /// emulator.replace_public_keys(&[])?;
    /// assert!(emulator.replace_public_keys(&["no key"]).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn replace_public_keys(&self, keys: &[&str]) -> io::Result<()> {
        if keys.len() > KEYS_PER_USER {
            let reason = format!("a user has at most {KEYS_PER_USER} public keys");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let keys = keys.iter().map(|pem| RegisteredKey::from_pem(pem)).collect::<io::Result<_>>()?;
        self.service.credentials.jwt.replace_keys(keys);
        Ok(())
    }

    /// The issuer URL of the embedded authorization server. Below it are the metadata
    /// (`/.well-known/openid-configuration`), the token endpoint (`/token`), and the public key that its tokens are
    /// signed with (`/jwks`).
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert_eq!(emulator.oauth_issuer(), format!("{}/oauth2", emulator.url()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn oauth_issuer(&self) -> String {
        self.service.credentials.access.issuer().to_owned()
    }

    /// Id and secret of the only client of the embedded authorization server.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::builder().oauth_client("id", "secret").start()?;
    /// assert_eq!(emulator.oauth_client(), ("id", "secret"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn oauth_client(&self) -> (&str, &str) {
        let client = &self.service.credentials.oauth_client;
        (&client.id, &client.secret)
    }

    /// Refuses from now on, with 401, every access token that the embedded authorization server issued so far.
    pub fn revoke_access_tokens(&self) {
        // This can only fail when the state folder is gone, and then nothing else works either.
        let _ = self.service.credentials.access.revoke_all();
    }

    /// The certificate authority that clients have to trust (PEM); `None` without TLS.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::builder().tls().start()?;
    /// assert!(emulator.url().starts_with("https://127.0.0.1:"));
    /// assert!(emulator.ca_pem().is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The committed rows of `DB.SCHEMA.TABLE` as NDJSON: byte for byte as sent, in the order of commits. A table that
    /// no row landed in is empty.
    ///
    /// Names without double quotes are taken in upper case; when there is no such table, as they are.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert!(emulator.rows("DEMO.PUBLIC.\"My Flights\"").is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rows(&self, table: &str) -> Vec<u8> {
        let blocks = self.service.read_table(table, |table| table.blocks.clone()).unwrap_or_default();
        let mut rows = Vec::new();
        // Blocks were decompressed before they were taken, so this can only fail when the state folder is gone.
        let _ = blocks.write_to(&mut rows);
        rows
    }

    /// The number of committed rows of `DB.SCHEMA.TABLE`, also when rows are only counted.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert_eq!(emulator.row_count("DEMO.PUBLIC.FLIGHTS"), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn row_count(&self, table: &str) -> u64 {
        self.service.read_table(table, |table| table.rows).unwrap_or_default()
    }

    /// Every request so far, in the order of the responses. Control requests are left out.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.service.log.all()
    }

    /// Stops committing rows, or resumes. On resuming, what fell due in between is committed at once.
    pub fn hold_commits(&self, hold: bool) {
        let now_ms = self.service.clock.unix_ms();
        self.service.ledger.lock().hold_commits(hold, now_ms);
    }

    /// Makes something go wrong.
    ///
    /// # Panics
    ///
    /// When the fault cannot be written as HTTP: a status outside 200 to 599, a malformed header, a header that frames
    /// the body (`Content-Length`, `Transfer-Encoding`), or a body with a status that has none.
    ///
    /// ```
    /// use snowpipe_emulator::{Emulator, Endpoint, Fault};
    ///
    /// let emulator = Emulator::start()?;
    /// emulator.inject(Fault::drop_connection(Endpoint::Open).times(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[allow(clippy::panic)]
    pub fn inject(&self, fault: Fault) {
        if let Err(message) = fault.check() {
            panic!("{message}");
        }
        self.service.faults.inject(fault);
    }

    /// Removes the faults that have not happened yet.
    ///
    /// ```
    /// use snowpipe_emulator::{Emulator, Endpoint, Fault};
    ///
    /// let emulator = Emulator::start()?;
    /// emulator.inject(Fault::drop_connection(Endpoint::Open).times(1000));
    /// emulator.clear_faults();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clear_faults(&self) {
        self.service.faults.clear();
    }

    /// Refuses from now on, with 401, every scoped token issued so far.
    pub fn revoke_scoped_tokens(&self) {
        // This can only fail when the state folder is gone, and then nothing else works either.
        let _ = self.service.credentials.scoped.revoke_all();
    }

    /// Counts rows that hold this text as errors from now on, so that they do not land. An empty text ends that.
    pub fn reject_rows_containing(&self, text: &str) {
        self.service.reject_rows_containing(text);
    }

    /// Opens a channel of the pipe `DB.SCHEMA.PIPE` as another client would: earlier continuation tokens become stale,
    /// and uncommitted rows are discarded. `false` when there is no such channel.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert!(!emulator.steal_channel("DEMO.PUBLIC.FLIGHTS-STREAMING", "load-1"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn steal_channel(&self, pipe: &str, channel: &str) -> bool {
        let now_ms = self.service.clock.unix_ms();
        PipeName::parse(pipe).is_some_and(|pipe| self.service.ledger.lock().steal(&pipe.channel(channel), now_ms))
    }

    /// Removes a channel of the pipe `DB.SCHEMA.PIPE` with its offset, as thirty idle days do. `false` when there is no
    /// such channel.
    pub fn expire_channel(&self, pipe: &str, channel: &str) -> bool {
        let now_ms = self.service.clock.unix_ms();
        PipeName::parse(pipe).is_some_and(|pipe| self.service.ledger.lock().expire(&pipe.channel(channel), now_ms))
    }

    /// Sends host names and tokens in this form from now on.
    pub fn answer_words_as(&self, form: WordForm) {
        self.service.forms.lock().words = form;
    }

    /// Sends refusals in this form from now on. Responses of faults stay as the fault has them.
    pub fn answer_errors_as(&self, form: ErrorForm) {
        self.service.forms.lock().errors = form;
    }

    /// Moves the service's clock against this machine's: the `Date` of its responses, and what it takes for the current
    /// time when it checks tokens. Positive is ahead.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.service.clock.set_offset(seconds);
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("url", &self.service.url)
            .field("account", &self.account)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
