use std::sync::Arc;
use std::time::Duration;

use crate::auth::TokenCache;
use crate::client::Client;
use crate::client::environment::Environment;
use crate::client::proxy::ProxyChoice;
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::http::{Origin, RetryPolicy, Sender, Timeouts, UreqTransport};
use crate::secret::Secret;
use crate::session::{AtomicCounters, Principal, Session};
use crate::snowflake::account::Account;
use crate::snowflake::credentials::{Credentials, LoginContext};
use crate::snowflake::dialect::SnowflakeDialect;
use crate::snowflake::exchange::TokenExchange;

/// How a client is to be; made by [`Client::builder`].
///
/// ```
/// use snowpipe_streaming::{Client, Credentials};
///
/// let client = Client::builder("myorg-account123", Credentials::oauth_token("access-token-of-your-identity-provider"))
///     .role("INGEST")
///     .build()?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    account: String,
    credentials: Credentials,
    url: Option<String>,
    role: Option<String>,
    extra_roots: Option<String>,
    proxy: ProxyChoice,
    retry: RetryPolicy,
    timeouts: Timeouts,
}

impl ClientBuilder {
    pub(crate) fn new(account: String, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            account,
            credentials,
            url: None,
            role: None,
            extra_roots: None,
            proxy: ProxyChoice::default(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
        }
    }

    /// The account's URL, where it is not `https://<account>.snowflakecomputing.com`: for private links and tests.
    ///
    /// Only https, and http to this machine itself, are accepted; a path is not.
    pub fn url(mut self, url: impl Into<String>) -> ClientBuilder {
        self.url = Some(url.into());
        self
    }

    /// The role to act in; without it the user's default role does.
    pub fn role(mut self, role: impl Into<String>) -> ClientBuilder {
        self.role = Some(role.into());
        self
    }

    /// PEM certificates of further authorities to trust, beside the bundled ones.
    pub fn extra_roots(mut self, pem: impl Into<String>) -> ClientBuilder {
        self.extra_roots = Some(pem.into());
        self
    }

    /// The proxy to go through, such as `http://proxy.example:3128`, with user and password if it wants them.
    ///
    /// It is asked to CONNECT to each host on port 443 (or the account URL's own) and sees neither tokens nor rows. SOCKS is
    /// not supported. Without this, the variables `HTTPS_PROXY` and `ALL_PROXY`, in lower or upper case, decide when the
    /// client is built, with the exceptions of `NO_PROXY`; one that holds no usable proxy is an error. This machine itself
    /// is always reached directly.
    ///
    /// ```
    /// use snowpipe_streaming::{Client, Credentials, ErrorKind};
    ///
    /// let builder = Client::builder("myorg-account123", Credentials::oauth_token("a-token"));
    /// assert!(builder.clone().proxy("http://joe:open%20sesame@proxy.example:3128").build().is_ok());
    /// let error = builder.proxy("socks5://proxy.example").build().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Config);
    /// ```
    pub fn proxy(mut self, url: impl Into<Secret>) -> ClientBuilder {
        self.proxy = ProxyChoice::Given(url.into());
        self
    }

    /// No proxy, whatever the environment says.
    ///
    /// ```
    /// use snowpipe_streaming::{Client, Credentials};
    ///
    /// let client = Client::builder("myorg-account123", Credentials::oauth_token("a-token")).no_proxy().build()?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn no_proxy(mut self) -> ClientBuilder {
        self.proxy = ProxyChoice::Direct;
        self
    }

    /// How long a request is repeated while the service is busy or out of reach; default two minutes.
    pub fn retry_budget(mut self, budget: Duration) -> ClientBuilder {
        self.retry.budget = budget;
        self
    }

    /// The longest pause before the first retry of a request; it doubles with each one, up to thirty seconds. Default
    /// half a second.
    pub fn retry_pause(mut self, pause: Duration) -> ClientBuilder {
        self.retry.base = pause;
        self
    }

    /// How long one connection may take to come about, TLS included; default ten seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeouts.connect = timeout;
        self
    }

    /// How long one response may take to begin after the request was sent; default one minute.
    pub fn response_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeouts.response = timeout;
        self
    }

    /// Waits nowhere longer than that.
    pub(crate) fn capped_at(mut self, timeout: Duration) -> ClientBuilder {
        self.retry.budget = self.retry.budget.min(timeout);
        self.timeouts = self.timeouts.at_most(timeout);
        self
    }

    /// Checks everything and joins the parts; sends nothing.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config): the account, the URL, the role, the trust roots, the proxy or the credentials
    /// cannot be used; the message names which, and the cure.
    pub fn build(self) -> Result<Client, Error> {
        let account = Account::parse(&self.account)?;
        let origin = match &self.url {
            Some(url) => Origin::parse(url, "account URL")?,
            None => Origin::parse(&format!("https://{}", account.host()), "account URL")?,
        };
        let role = self.role.as_deref().map(checked_role).transpose()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let server_clock = Arc::new(ServerClock::default());
        // An authorization server has a clock of its own.
        let connect = |origin: &Origin| self.sender(origin, &clock, Arc::default());
        let context = LoginContext { origin: origin.clone(), clock: clock.clone(), server_clock: server_clock.clone() };
        let logins = self.credentials.source(&account, context, &connect)?;
        let login = self.credentials.kind();
        let sender = Arc::new(self.sender(&origin, &clock, server_clock.clone())?);
        let counters = Arc::new(AtomicCounters::default());
        let control = Arc::new(Session::new(
            TokenCache::new(logins, clock.clone()),
            sender.clone(),
            counters.clone(),
            Box::new(SnowflakeDialect::Control(login)),
            self.credentials.principal(&account),
        ));
        let exchange = Arc::new(TokenExchange {
            control: control.clone(),
            account: origin,
            role,
            login,
            clock: clock.clone(),
            server_clock: server_clock.clone(),
        });
        let ingest = Arc::new(Session::new(
            TokenCache::new(Box::new(exchange.clone()), clock.clone()),
            sender,
            counters,
            Box::new(SnowflakeDialect::Ingest),
            Principal { identity: "the login itself was accepted".into(), advice: "check the role and its grants" },
        ));
        Ok(Client { builder: Arc::new(self), control, ingest, exchange, clock, server_clock })
    }

    fn sender(&self, origin: &Origin, clock: &Arc<dyn Clock>, server_clock: Arc<ServerClock>) -> Result<Sender, Error> {
        let proxy = self.proxy.toward(origin, Environment::of_process())?;
        let transport = UreqTransport::new(self.timeouts, self.extra_roots.as_deref(), proxy.as_ref())?;
        Ok(Sender::new(Box::new(transport), self.retry, clock.clone(), server_clock))
    }
}

/// A role travels in a list separated by spaces.
fn checked_role(role: &str) -> Result<String, Error> {
    if !role.is_empty() && !role.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(role.to_owned());
    }
    Err(Error::new(ErrorKind::Config, format!("the role {role:?} is empty or holds a blank"))
        .advise("give the name of one role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_shortens_every_wait_and_lengthens_none() {
        let seconds = Duration::from_secs;
        let builder = ClientBuilder::new("myorg-account1".into(), Credentials::oauth_token("a-token"))
            .connect_timeout(seconds(3))
            .response_timeout(seconds(60))
            .capped_at(seconds(10));
        let timeouts = builder.timeouts;
        assert_eq!((timeouts.connect, timeouts.response, timeouts.stall), (seconds(3), seconds(10), seconds(10)));
        assert_eq!(builder.retry.budget, seconds(10));
        assert_eq!(builder.capped_at(seconds(20)).retry.budget, seconds(10));
    }
}
