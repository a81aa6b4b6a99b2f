use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;
use serde_json::Value;

use super::HiiRetail;
use super::dispatcher::Dispatcher;
use super::ocms::Ocms;
use super::ocms::clients::{Client, ClientState, Clients, new_secret};
use super::ocms::discovery::DiscoveryForm;
use super::ocms::registration::client_id;
use super::ocms::tokens::Tokens;
use super::platform::Platform;
use crate::http::server::Server;
use crate::http::tls::ServerIdentity;
use crate::identity::secrets::Secrets;
use crate::identity::signing_key::SigningKey;

/// Settings of a [`HiiRetail`], each with a default.
///
/// ```
/// use snowpipe_emulator::HiiRetail;
/// use std::time::Duration;
///
/// let service = HiiRetail::builder().tenant("my-tenant").token_lifetime(Duration::from_secs(60)).start()?;
/// assert_eq!(service.tenant(), "my-tenant");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    tenant: String,
    client: Option<(String, String)>,
    token_lifetime: Duration,
    port: u16,
    tls: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { tenant: DEFAULT_TENANT.to_owned(), client: None, token_lifetime: DEFAULT_LIFETIME, port: 0, tls: false }
    }

    /// The tenant of the first client. Default: `emulator-tenant`.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Id and secret of the first client, which is authorized. Default: an id as OCMS makes them, and a random secret.
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client = Some((id.into(), secret.into()));
        self
    }

    /// The lifetime of tokens, in whole seconds. Default: an hour.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The port on 127.0.0.1. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Speaks TLS, with a certificate of a private authority: see [`HiiRetail::ca_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts the service, on 127.0.0.1 only.
    ///
    /// # Blocking
    ///
    /// Generates the key that tokens are signed with. The first time in a process this takes up to some seconds.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(self) -> io::Result<HiiRetail> {
        let authority = Secrets::generate()?.authority();
        let tls = self.tls.then(|| ServerIdentity::generate(&authority)).transpose()?;
        let (scheme, config, ca_pem) = match tls {
            Some(tls) => ("https", Some(tls.config), Some(tls.ca_pem)),
            None => ("http", None, None),
        };
        let listener = Server::bind(self.port)?;
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let (client_id, client_secret) = self.client.clone().unwrap_or_else(|| new_client(&self.tenant));
        let platform = Arc::new(Platform::new(self.ocms(url, client_id.clone(), client_secret)?));
        let server = Server::start(listener, config, Arc::new(Dispatcher::new(Arc::clone(&platform))))?;
        Ok(HiiRetail { tenant: self.tenant, client_id, ca_pem, platform, _server: server })
    }

    fn ocms(&self, url: String, id: String, secret: String) -> io::Result<Ocms> {
        let client = Client { id, secret, tenant: self.tenant.clone(), state: ClientState::Authorized };
        Ok(Ocms {
            clients: Clients::with(client),
            tokens: Tokens::new(&url, SigningKey::shared()?, self.token_lifetime.as_secs()),
            discovery: Mutex::new(DiscoveryForm::default()),
            rate_limit: Mutex::new(VecDeque::new()),
            url,
        })
    }
}

fn new_client(tenant: &str) -> (String, String) {
    (client_id(&Value::Null, "emulator-client", "1.0.0", tenant), new_secret())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("tenant", &self.tenant).field("port", &self.port).finish_non_exhaustive()
    }
}

const DEFAULT_TENANT: &str = "emulator-tenant";
/// As OCMS has it: "fetch a new one each hour".
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
