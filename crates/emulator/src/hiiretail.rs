//! Hii Retail on loopback: OCMS, which registers clients and gives them tokens, and the IAM, which those tokens open.
//!
//! ```
//! use snowpipe_emulator::{Fault, HiiRetail};
//! use snowpipe_emulator::hiiretail::Operation;
//!
//! let service = HiiRetail::start()?;
//! service.inject(Fault::lose_reply(Operation::CreateGroup));
//! // … let a client log in at `service.url()` with `service.client_id()` and `service.client_secret()` …
//! service.expire_tokens();
//! assert_eq!(service.token_requests(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod access;
mod builder;
mod call;
mod control;
mod dispatcher;
mod fields;
mod iam;
mod ocms;
mod operation;
mod platform;
mod rejection;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, iter};

pub use access::TokenRefusal;
pub use builder::Builder;
pub use ocms::clients::ClientState;
pub use ocms::discovery::DiscoveryForm;
pub use operation::Operation;

use crate::control::fault::Fault;
use crate::control::request_log::LoggedRequest;
use crate::http::server::Server;
use platform::Platform;

/// A running emulator of Hii Retail. Dropping it closes its connections and its port.
///
/// ```
/// let service = snowpipe_emulator::HiiRetail::start()?;
/// assert!(service.url().starts_with("http://127.0.0.1:"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct HiiRetail {
    tenant: String,
    client_id: String,
    ca_pem: Option<String>,
    platform: Arc<Platform>,
    _server: Server,
}

impl HiiRetail {
    /// Starts one with default settings.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// The settings to start one with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Its address, such as `http://127.0.0.1:40123`, without a slash at the end: the issuer, the token endpoint's host
    /// and the IAM's host in one.
    pub fn url(&self) -> &str {
        &self.platform.ocms.url
    }

    /// The tenant of the first client.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The id of the first client, as OCMS makes them: base64url of its claims.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The secret of the first client, also after [`set_client_secret`](Self::set_client_secret); empty when the client
    /// was deleted.
    pub fn client_secret(&self) -> String {
        self.platform.ocms.clients.find(&self.client_id).map(|client| client.secret).unwrap_or_default()
    }

    /// The certificate authority that clients have to trust (PEM); `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Gives the first client another secret. Its tokens stay good.
    pub fn set_client_secret(&self, secret: impl Into<String>) {
        self.platform.ocms.clients.change(&self.client_id, |client| client.secret = secret.into());
    }

    /// Changes the state of a client; `false` when none of that id is registered.
    ///
    /// ```
    /// use snowpipe_emulator::HiiRetail;
    /// use snowpipe_emulator::hiiretail::ClientState;
    ///
    /// let service = HiiRetail::start()?;
    /// assert!(service.set_client_state(service.client_id(), ClientState::Revoked));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_client_state(&self, id: &str, state: ClientState) -> bool {
        self.platform.ocms.clients.change(id, |client| client.state = state)
    }

    /// Makes every token issued so far an expired one.
    pub fn expire_tokens(&self) {
        self.platform.ocms.tokens.expire_all();
    }

    /// The lifetime of tokens that are issued from now on, in whole seconds.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.platform.ocms.tokens.set_lifetime(lifetime.as_secs());
    }

    /// Refuses expired and unknown tokens in this form from now on. Default: [`TokenRefusal::Forbidden`].
    pub fn refuse_tokens_as(&self, refusal: TokenRefusal) {
        self.platform.access.lock().refusal = refusal;
    }

    /// Takes these permissions away from every token, and gives all others back: what needs one of them is a 403 without
    /// a body.
    ///
    /// ```
    /// let service = snowpipe_emulator::HiiRetail::start()?;
    /// service.deny(["iam.group.delete"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deny<P: Into<String>>(&self, permissions: impl IntoIterator<Item = P>) {
        self.platform.deny(permissions.into_iter().map(Into::into));
    }

    /// Answers requests for the discovery document in this form from now on.
    pub fn discover_as(&self, form: DiscoveryForm) {
        *self.platform.ocms.discovery.lock() = form;
    }

    /// Refuses so many of the next token requests with 429, and `retry_after` in the body, in whole seconds.
    pub fn limit_rate(&self, times: usize, retry_after: Duration) {
        self.platform.ocms.rate_limit.lock().extend(iter::repeat_n(retry_after.as_secs(), times));
    }

    /// How many reads it takes until what is new is there: a group created from now on is `Creating` in so many
    /// responses after the first, and a role assigned from now on is missing in so many lists of its group's roles.
    /// Default: none.
    pub fn settle_after_reads(&self, reads: u32) {
        self.platform.iam.lock().settle_after_reads = reads;
    }

    /// How many resources one list returns at most from now on, at least one; clients ask for the rest by `skip`.
    /// Default: all.
    pub fn resources_per_page(&self, count: usize) {
        self.platform.iam.lock().resources_per_page = count.max(1);
    }

    /// Lets something go wrong, once or as often as the fault says.
    ///
    /// ```
    /// use snowpipe_emulator::hiiretail::Operation;
    /// use snowpipe_emulator::{Fault, HiiRetail};
    ///
    /// let service = HiiRetail::start()?;
    /// let page = Fault::status(Operation::Token, 200).body("<h1>Sign in</h1>").header("Content-Type", "text/html");
    /// service.inject(page);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the fault cannot be written as HTTP.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn inject(&self, fault: Fault<Operation>) {
        if let Err(message) = fault.check() {
            panic!("{message}");
        }
        self.platform.faults.inject(fault);
    }

    /// Removes the faults that are still to happen.
    pub fn clear_faults(&self) {
        self.platform.faults.clear();
    }

    /// Every request since the start, in the order of the responses. Of a refused one, `refusal` has the reason, also
    /// where the response keeps it back.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.platform.log.all()
    }

    /// How many of those asked for a token, with whatever result.
    pub fn token_requests(&self) -> usize {
        self.requests().iter().filter(|request| request.path == "/oauth2/token").count()
    }

    /// Moves the service's clock against this machine's: the `Date` of its responses, and its judgement of tokens.
    /// Positive is ahead.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.platform.clock.set_offset(seconds);
    }
}

impl fmt::Debug for HiiRetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HiiRetail")
            .field("url", &self.url())
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
