use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Client;
use super::environment::Variables;
use super::profile::Profile;
use super::proxy::ProxyChoice;
use crate::auth::TokenCache;
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::{Error, ErrorKind, shown, shown_path, visible};
use crate::http::{Origin, RetryPolicy, Sender, Timeouts, UreqTransport};
use crate::secret::Secret;
use crate::session::{AtomicCounters, Principal, Session};
use crate::snowflake::account::{Account, account_origin};
use crate::snowflake::credentials::{Credentials, LoginContext};
use crate::snowflake::dialect::SnowflakeDialect;
use crate::snowflake::exchange::TokenExchange;

/// Configures a [`Client`].
///
/// ```
/// use snowpipe_streaming::{Client, Credentials};
///
/// let client = Client::builder("myorg-account123", Credentials::oauth_token("access-token-of-your-identity-provider"))
///     .role("INGEST")
///     .build()?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone)]
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

    /// Takes account, credentials, URL, role and trust roots from a profile.
    ///
    /// # Blocking
    ///
    /// While it reads the profile's file of trust roots, if it has one.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the profile's file of trust roots cannot be read.
    ///
    /// ```no_run
    /// use snowpipe_streaming::{ClientBuilder, Profile};
    ///
    /// let profile = Profile::from_file("profile.json")?;
    /// let client = ClientBuilder::from_profile(&profile)?.build()?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_profile(profile: &Profile) -> Result<ClientBuilder, Error> {
        let mut builder = ClientBuilder::new(profile.account().to_owned(), profile.credentials().clone());
        builder.url = profile.url().map(str::to_owned);
        builder.role = profile.role().map(str::to_owned);
        builder.extra_roots = profile.ca_file().map(read_roots).transpose()?;
        Ok(builder)
    }

    /// The account's URL, if it is not `https://<account>.snowflakecomputing.com`, or `….cn` in a region of China: for
    /// private links and tests.
    ///
    /// Only https, and http to this machine itself, are accepted; a path is not.
    pub fn url(mut self, url: impl Into<String>) -> ClientBuilder {
        self.url = Some(url.into());
        self
    }

    /// The role of the scoped tokens. Default: the user's default role.
    pub fn role(mut self, role: impl Into<String>) -> ClientBuilder {
        self.role = Some(role.into());
        self
    }

    /// PEM certificates of authorities to trust in addition to the bundled ones.
    pub fn extra_roots(mut self, pem: impl Into<String>) -> ClientBuilder {
        self.extra_roots = Some(pem.into());
        self
    }

    /// The proxy to use, such as `http://proxy.example:3128`, with user and password if it needs them.
    ///
    /// It gets a CONNECT request for each host, with port 443 or the account URL's own, and sees neither tokens nor rows.
    /// SOCKS is not supported. Without this call, the variables `HTTPS_PROXY` and `ALL_PROXY`, in lower or upper case, decide
    /// when the client is built, with the exceptions in `NO_PROXY`; a variable without a usable proxy is an error. This
    /// machine itself is always reached directly.
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

    /// Uses no proxy, whatever the environment says.
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

    /// How long a request is retried while the service is busy or unreachable. Default: two minutes.
    ///
    /// Any duration is valid, here and in the settings below; more than ten years counts as ten.
    pub fn retry_budget(mut self, budget: Duration) -> ClientBuilder {
        self.retry.budget = budget;
        self
    }

    /// The longest pause before the first retry of a request; it doubles with every retry, up to thirty seconds. Default:
    /// half a second.
    pub fn retry_pause(mut self, pause: Duration) -> ClientBuilder {
        self.retry.base = pause;
        self
    }

    /// How long a connection may take, TLS included. Default: ten seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeouts.connect = timeout;
        self
    }

    /// How long a response may take to begin after the request was sent; its body may then take as long again, at least
    /// thirty seconds; with a shorter retry budget no longer than that, at least ten seconds. Default: one minute.
    pub fn response_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeouts.response = timeout;
        self
    }

    /// Checks the whole configuration and makes the client. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config): the account, the URL, the role, the trust roots, the proxy or the credentials
    /// cannot be used. The message names which, and what to do.
    pub fn build(self) -> Result<Client, Error> {
        let account = Account::parse(&self.account)?;
        let url = self.url.clone().map_or_else(|| account.url(), Ok)?;
        let origin = account_origin(&url)?;
        let role = self.role.as_deref().map(checked_role).transpose()?;
        let (clock, server_clock) = (Arc::new(SystemClock) as Arc<dyn Clock>, Arc::new(ServerClock::default()));
        let context = LoginContext { origin, clock: clock.clone(), server_clock: server_clock.clone() };
        // An authorization server has a clock of its own.
        let (builder, its_clock) = (self.clone(), clock.clone());
        let connect = Arc::new(move |origin: &Origin| builder.sender(origin, &its_clock, Arc::default()));
        let logins = self.credentials.source(&account, context.clone(), connect)?;
        let login = self.credentials.kind();
        let sender = Arc::new(self.sender(&context.origin, &clock, server_clock.clone())?);
        let counters = Arc::new(AtomicCounters::default());
        let control = Arc::new(Session::new(
            TokenCache::new(logins, clock.clone()),
            sender.clone(),
            counters.clone(),
            Box::new(SnowflakeDialect::Control(login)),
            self.credentials.principal(&account),
        ));
        let exchange = Arc::new(TokenExchange { control: control.clone(), context, role, login });
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
        let proxy = self.proxy.toward(origin, Variables::of_process())?;
        let timeouts = Timeouts { budget: self.retry.budget, ..self.timeouts };
        let transport = UreqTransport::new(timeouts, self.extra_roots.as_deref(), proxy, clock.clone())?;
        Ok(Sender::new(Box::new(transport), self.retry, clock.clone(), server_clock))
    }
}

/// Settings that hold a secret by mistake, such as a URL with a password, are not shown.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |text: &str| match text.contains('@') {
            true => "(not shown, as it may hold a password)".to_owned(),
            false => visible(text),
        };
        f.debug_struct("ClientBuilder")
            .field("account", &given(&self.account))
            .field("credentials", &self.credentials)
            .field("url", &self.url.as_deref().map(given))
            .field("role", &self.role.as_deref().map(visible))
            .field("extra_roots", &self.extra_roots.is_some())
            .field("proxy", &self.proxy)
            .field("retry", &self.retry)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}

/// The role is sent in a list separated by spaces.
fn checked_role(role: &str) -> Result<String, Error> {
    if !role.is_empty() && !role.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(role.to_owned());
    }
    Err(Error::new(ErrorKind::Config, format!("the role {} is empty or contains white space", shown(role)))
        .advise("give the name of one role"))
}

fn read_roots(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        let reason = format!("cannot read the trust roots {}: {error}", shown_path(path));
        Error::new(ErrorKind::Config, reason).advise("correct ca_file in the profile").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_shows_its_settings_and_no_secret_among_them() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl";
        let builder = ClientBuilder::new("myorg-account1".into(), Credentials::oauth_token(token)).role("INGEST");
        let shown = format!("{builder:?}");
        assert!(shown.contains("myorg-account1") && shown.contains("\"INGEST\""), "{shown}");
        let builders = [
            builder.clone().proxy("http://joe:open-sesame@proxy.example"),
            builder.clone().url("https://joe:open-sesame@a.example"),
            builder.clone().extra_roots("-----BEGIN PRIVATE KEY-----\nopen-sesame"),
            builder.clone().role(token),
            ClientBuilder::new(token.into(), Credentials::oauth_token(token)),
            ClientBuilder::new("https://joe:open-sesame@a.example".into(), Credentials::oauth_token(token)),
        ];
        for builder in builders {
            let shown = format!("{builder:?} {builder:#?}");
            assert!(!shown.contains("sesame") && !shown.contains("eyJ"), "{shown}");
        }
        let error = builder.role(format!("{token} x")).build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("eyJ"), "{error}");
    }

    #[test]
    fn an_account_in_china_is_reached_at_its_own_domain() {
        let builder = ClientBuilder::new("abc.cn-northwest-1.aws".into(), Credentials::oauth_token("t"));
        let client = builder.build().unwrap();
        assert_eq!(client.exchange.context.origin.to_string(), "https://abc.cn-northwest-1.aws.snowflakecomputing.cn");
    }
}
