//! A running emulator, as a Rust test holds it.

pub(crate) mod builder;

use std::sync::Arc;
use std::{fmt, io};

use builder::Builder;

use crate::control::fault::Fault;
use crate::control::forms::{ErrorForm, WordForm};
use crate::control::request_log::LoggedRequest;
use crate::http::server::Server;
use crate::service::Service;
use crate::state::name::{PipeName, TableName};
use crate::state::table::Table;

/// A running service. It stops when it is dropped, and closes its connections.
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
    /// Starts one with every setting at its default.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Settings to start one with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where it listens, such as `http://127.0.0.1:40123`; without a slash at the end.
    pub fn url(&self) -> &str {
        &self.service.url
    }

    /// The account identifier that logins have to name.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The user that logins have to name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The generated private key (PKCS#8 PEM); `None` when public keys were given.
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
    pub fn programmatic_access_token(&self) -> &str {
        &self.service.credentials.programmatic_access_token
    }

    /// The issuer of the embedded authorization server. Its metadata are below
    /// `/.well-known/openid-configuration` there, its token endpoint is `/token` there, and `/jwks` holds the public
    /// key of its tokens' signatures.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert_eq!(emulator.oauth_issuer(), format!("{}/oauth2", emulator.url()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn oauth_issuer(&self) -> String {
        self.service.credentials.access.issuer().to_owned()
    }

    /// Id and secret of the authorization server's client.
    ///
    /// ```
    /// # use snowpipe_emulator::Emulator;
    /// let emulator = Emulator::builder().oauth_client("id", "secret").start()?;
    /// assert_eq!(emulator.oauth_client(), ("id", "secret"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn oauth_client(&self) -> (&str, &str) {
        let client = &self.service.credentials.client;
        (&client.id, &client.secret)
    }

    /// From now on every access token of the authorization server issued so far is refused with 401.
    pub fn revoke_access_tokens(&self) {
        // Only a state folder that is gone can refuse this, and then nothing else works either.
        let _ = self.service.credentials.access.revoke_all();
    }

    /// The authority that clients have to trust (PEM); `None` without TLS.
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

    /// The committed rows of `DB.SCHEMA.TABLE` as NDJSON: byte for byte as sent, in the order of commits.
    ///
    /// Names without double quotes are taken in upper case; when there is no such table, as they are.
    /// A table that got no row is empty.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert!(emulator.rows("DEMO.PUBLIC.\"My Flights\"").is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rows(&self, table: &str) -> Vec<u8> {
        let blocks = self.service.look_into(table, |table| table.blocks.clone());
        let mut all = Vec::new();
        for block in blocks.unwrap_or_default() {
            // A block was unpacked once before it was taken.
            let _ = block.write(&mut all);
        }
        all
    }

    /// How many rows are committed in `DB.SCHEMA.TABLE`, also when they are not kept.
    ///
    /// ```
    /// let emulator = snowpipe_emulator::Emulator::start()?;
    /// assert_eq!(emulator.row_count("DEMO.PUBLIC.FLIGHTS"), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn row_count(&self, table: &str) -> u64 {
        self.service.look_into(table, |table| table.rows).unwrap_or_default()
    }

    /// Every request that reached the service so far, in the order of answers, control requests left out.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.service.log.all()
    }

    /// Stops committing, or resumes. What fell due in between is committed at once then.
    pub fn hold_commits(&self, hold: bool) {
        let now_ms = self.service.clock.unix_ms();
        self.service.ledger.lock().hold(hold, now_ms);
    }

    /// Makes something go wrong.
    ///
    /// # Panics
    ///
    /// When the fault cannot be written as HTTP: a status outside 200 to 599, a malformed header, one that
    /// tells the length of the body, or a body with a status that has none.
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

    /// Calls off the faults that have not happened yet.
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

    /// From now on every scoped token issued so far is refused with 401.
    pub fn revoke_scoped_tokens(&self) {
        // Only a state folder that is gone can refuse this, and then nothing else works either.
        let _ = self.service.credentials.scoped.revoke_all();
    }

    /// From now on rows that hold this text count as errors and do not land. An empty text ends that.
    pub fn reject_rows_containing(&self, text: &str) {
        self.service.reject_rows_containing(text);
    }

    /// Opens a channel of the pipe `DB.SCHEMA.PIPE` as another client would: tokens given out before are
    /// stale, uncommitted rows are gone. `false` when there is no such channel.
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

    /// Removes a channel of the pipe `DB.SCHEMA.PIPE` with its offset, as thirty idle days do. `false` when
    /// there is no such channel.
    pub fn expire_channel(&self, pipe: &str, channel: &str) -> bool {
        let now_ms = self.service.clock.unix_ms();
        PipeName::parse(pipe).is_some_and(|pipe| self.service.ledger.lock().expire(&pipe.channel(channel), now_ms))
    }

    /// From now on host names and tokens are answered in this form.
    pub fn answer_words_as(&self, form: WordForm) {
        self.service.forms.lock().words = form;
    }

    /// From now on refusals are answered in this form; those of faults are as the fault has them.
    pub fn answer_errors_as(&self, form: ErrorForm) {
        self.service.forms.lock().errors = form;
    }

    /// Moves the service's clock against this machine's: the `Date` of its answers and its judgement of
    /// the times in tokens. Positive is ahead.
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

impl Service {
    /// Looks into a table; one that nothing landed in is empty. `None` when the name is malformed.
    pub(crate) fn look_into<T: Default>(&self, table: &str, look: impl Fn(&Table) -> T) -> Option<T> {
        let as_written = TableName::parse(table)?;
        let now_ms = self.clock.unix_ms();
        let mut ledger = self.ledger.lock();
        if let Some(found) = ledger.table(&as_written, now_ms).map(&look) {
            return Some(found);
        }
        let quoted = TableName::parse_as_quoted(table)?;
        Some(ledger.table(&quoted, now_ms).map(look).unwrap_or_default())
    }

    pub(crate) fn reject_rows_containing(&self, text: &str) {
        let text = (!text.is_empty()).then(|| Arc::from(text.as_bytes()));
        *self.rejected.lock() = text;
    }
}
