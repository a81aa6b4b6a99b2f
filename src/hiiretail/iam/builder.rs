use std::sync::Arc;
use std::time::Duration;

use super::Iam;
use crate::auth::TokenCache;
use crate::client::environment::Variables;
use crate::client::proxy::ProxyChoice;
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::Error;
use crate::hiiretail::connection::Connection;
use crate::hiiretail::dialect::HiiRetailDialect;
use crate::hiiretail::environment::Environment;
use crate::hiiretail::ocms::Ocms;
use crate::hiiretail::rules;
use crate::http::{Origin, RetryPolicy, Sender, Timeouts, UreqTransport};
use crate::secret::Secret;
use crate::session::{Principal, Session};

/// Configures an [`Iam`].
///
/// ```
/// use std::time::Duration;
///
/// use snowpipe_streaming::hiiretail::{Environment, Iam, Ocms};
///
/// let iam = Iam::builder("my-tenant", Ocms::new("my-client-id", "my-client-secret"))
///     .environment(Environment::Test)
///     .timeout(Duration::from_secs(60))
///     .build()?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct IamBuilder {
    tenant: String,
    client: Ocms,
    environment: Environment,
    api_url: Option<String>,
    timeout: Duration,
    max_retries: u32,
    extra_roots: Option<String>,
    proxy: ProxyChoice,
}

/// Makes a sender toward an origin, whose clock is learned in the second argument.
pub(in crate::hiiretail) type Connector = dyn Fn(&Origin, Arc<ServerClock>) -> Result<Sender, Error> + Send + Sync;

impl IamBuilder {
    pub(in crate::hiiretail) fn new(tenant: String, client: Ocms) -> IamBuilder {
        IamBuilder {
            tenant,
            client,
            environment: Environment::default(),
            api_url: None,
            timeout: DEFAULT_TIMEOUT,
            max_retries: DEFAULT_RETRIES,
            extra_roots: None,
            proxy: ProxyChoice::default(),
        }
    }

    /// The installation to use. Default: [`Environment::Production`].
    pub fn environment(mut self, environment: Environment) -> IamBuilder {
        self.environment = environment;
        self
    }

    /// The URL of the IAM, if it is not the [environment's](Environment::api_url): for tests.
    ///
    /// Only https, and http to this machine itself, are accepted; a path is not.
    pub fn api_url(mut self, url: impl Into<String>) -> IamBuilder {
        self.api_url = Some(url.into());
        self
    }

    /// How long a call may take in all, its token included: 1 to 300 seconds. Default: 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> IamBuilder {
        self.timeout = timeout;
        self
    }

    /// How often a request is repeated at most: 0 to 10. Default: 3.
    pub fn max_retries(mut self, retries: u32) -> IamBuilder {
        self.max_retries = retries;
        self
    }

    /// PEM certificates of authorities to trust in addition to the bundled ones.
    pub fn extra_roots(mut self, pem: impl Into<String>) -> IamBuilder {
        self.extra_roots = Some(pem.into());
        self
    }

    /// The proxy to use, such as `http://proxy.example:3128`, with user and password if it needs them. Without this call the
    /// variables decide, as for a [Snowflake client](crate::ClientBuilder::proxy).
    pub fn proxy(mut self, url: impl Into<Secret>) -> IamBuilder {
        self.proxy = ProxyChoice::Given(url.into());
        self
    }

    /// Uses no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> IamBuilder {
        self.proxy = ProxyChoice::Direct;
        self
    }

    /// Checks the whole configuration and makes the client. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config): a setting breaks its rule, or cannot be used. The message names which, and what to
    /// do.
    pub fn build(self) -> Result<Iam, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (builder, its_clock) = (self.clone(), Arc::clone(&clock));
        let connector = Arc::new(move |origin: &Origin, server_clock| builder.sender(origin, &its_clock, server_clock));
        self.assemble(clock, connector)
    }

    /// Joins the parts.
    pub(in crate::hiiretail) fn assemble(self, clock: Arc<dyn Clock>, connector: Arc<Connector>) -> Result<Iam, Error> {
        rules::tenant_id(&self.tenant)?;
        rules::timeout(self.timeout)?;
        rules::max_retries(self.max_retries)?;
        let api_url = self.api_url.as_deref().unwrap_or(self.environment.api_url());
        let origin = Origin::parse(api_url, "URL of the IAM")
            .map_err(|error| error.or_advise("write it like https://iam-api.example.com"))?;
        let server_clock = Arc::new(ServerClock::default());
        let sender = Arc::new(connector(&origin, Arc::clone(&server_clock))?);
        // The authorization server has a clock of its own.
        let connect = Arc::new(move |origin: &Origin| connector(origin, Arc::default()));
        let tokens = self.client.source(self.environment, (&self.tenant, origin), Arc::clone(&clock), connect)?;
        let identity = self.client.describe(self.environment);
        let session = Session::new(
            TokenCache::new(Box::new(tokens), Arc::clone(&clock)),
            sender,
            Arc::default(),
            Box::new(HiiRetailDialect::new(&self.tenant)?),
            Principal { identity: identity.clone(), advice: ADVICE },
        );
        let other_tenant = self.client.tenant_in_id().filter(|tenant| *tenant != self.tenant);
        if let Some(other) = &other_tenant {
            log::warn!("the tenant is {}, but the id of its client names the tenant {other:?}", self.tenant);
        }
        let other_audience = self.client.other_audience();
        let (tenant, timeout) = (self.tenant, self.timeout);
        let connection =
            Connection { session, tenant, identity, other_tenant, other_audience, timeout, clock, server_clock };
        Ok(Iam { connection: Arc::new(connection) })
    }

    /// Of all requests of one call, the token's included.
    pub(in crate::hiiretail) fn retries(&self) -> RetryPolicy {
        RetryPolicy { budget: self.timeout, max_retries: Some(self.max_retries), ..RetryPolicy::default() }
    }

    fn sender(&self, origin: &Origin, clock: &Arc<dyn Clock>, server_clock: Arc<ServerClock>) -> Result<Sender, Error> {
        let proxy = self.proxy.toward(origin, Variables::of_process())?;
        let (timeouts, roots) = (Timeouts::default(), self.extra_roots.as_deref());
        let transport = UreqTransport::new(timeouts, roots, proxy, Arc::clone(clock))?;
        Ok(Sender::new(Box::new(transport), self.retries(), Arc::clone(clock), server_clock))
    }
}

const ADVICE: &str = "check the audience and the environment";
/// As Hii Retail's own tools have it: a person waits no longer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// As Hii Retail's own tools have it.
const DEFAULT_RETRIES: u32 = 3;
