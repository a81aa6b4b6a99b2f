mod response;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::discovery::{BRIEF, Discovery, Issuer};
use super::endpoint::Endpoint;
use super::jwt::JwtTimes;
use super::{Grant, TokenSource};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::http::{Origin, Request, Sender, form_encoded};
use crate::secret::Secret;

/// An OAuth client that logs in as itself: the client-credentials grant (RFC 6749, section 4.4).
///
/// Its access token serves as login where the account trusts the issuer (External OAuth). The token endpoint is found by
/// OpenID Connect discovery, or given. Both are https, or http to this machine itself; no redirect is followed.
///
/// ```
/// use snowpipe_streaming::{ClientCredentials, Credentials};
///
/// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame").scope("session:role:INGEST");
/// assert!(!format!("{client:?}").contains("sesame"));
/// let credentials = Credentials::client_credentials(client);
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    id: String,
    secret: Secret,
    issuer: Option<String>,
    token_endpoint: Option<String>,
    scope: Option<String>,
    audience: Option<String>,
    authentication: ClientAuthentication,
}

/// How an OAuth client proves who it is (RFC 6749, section 2.3.1); never both ways at once, and no other way is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// In the `Authorization` header, id and secret form-encoded first, as the RFC has it.
    #[default]
    Basic,
    /// In the `Authorization` header, id and secret as they are: for servers that do not decode them.
    BasicUnencoded,
    /// In the body, beside the other parameters.
    Body,
}

impl ClientCredentials {
    /// A client of the issuer, whose token endpoint is read from `<issuer>/.well-known/openid-configuration`.
    ///
    /// Give the issuer exactly as it calls itself in that document.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame");
    /// ```
    pub fn of_issuer(issuer: impl Into<String>, id: impl Into<String>, secret: impl Into<Secret>) -> ClientCredentials {
        ClientCredentials { issuer: Some(issuer.into()), ..ClientCredentials::new(id.into(), secret.into()) }
    }

    /// A client that asks at this token endpoint, without any discovery.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::at("https://auth.example.com/oauth2/token", "loader", "open sesame");
    /// ```
    pub fn at(
        token_endpoint: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> ClientCredentials {
        ClientCredentials::new(id.into(), secret.into()).fallback(token_endpoint)
    }

    /// The token endpoint to ask when discovery fails.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// let client = ClientCredentials::of_issuer("https://auth.example.com", "loader", "open sesame")
    ///     .fallback("https://auth.example.com/oauth2/token");
    /// ```
    #[must_use]
    pub fn fallback(mut self, token_endpoint: impl Into<String>) -> ClientCredentials {
        self.token_endpoint = Some(token_endpoint.into());
        self
    }

    /// The scopes to ask for, separated by spaces; none, if not said.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// # fn scoped(client: ClientCredentials) -> ClientCredentials {
    /// client.scope("session:role:INGEST")
    /// # }
    /// ```
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> ClientCredentials {
        self.scope = Some(scope.into());
        self
    }

    /// The parameter `audience`, which some servers need to know whom the token is for.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// # fn authorized(client: ClientCredentials) -> ClientCredentials {
    /// client.audience("https://api.example.com")
    /// # }
    /// ```
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> ClientCredentials {
        self.audience = Some(audience.into());
        self
    }

    /// How id and secret are sent; by [`ClientAuthentication::Basic`], if not said.
    ///
    /// ```
    /// # use snowpipe_streaming::{ClientAuthentication, ClientCredentials};
    /// # fn in_body(client: ClientCredentials) -> ClientCredentials {
    /// client.authentication(ClientAuthentication::Body)
    /// # }
    /// ```
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> ClientCredentials {
        self.authentication = authentication;
        self
    }

    fn new(id: String, secret: Secret) -> ClientCredentials {
        let authentication = ClientAuthentication::Basic;
        ClientCredentials {
            id,
            secret,
            issuer: None,
            token_endpoint: None,
            scope: None,
            audience: None,
            authentication,
        }
    }
}

impl ClientCredentials {
    /// Checks everything; nothing is sent yet. The tokens go to `origin` alone.
    pub(crate) fn source(
        &self,
        origin: Origin,
        clock: Arc<dyn Clock>,
        connect: &Connect<'_>,
    ) -> Result<TokenEndpoint, Error> {
        let (issuer, endpoint) = self.check()?;
        let contact = match (&issuer, &endpoint) {
            (Some(issuer), _) => &issuer.document.origin,
            (None, Some(endpoint)) => &endpoint.origin,
            (None, None) => return Err(missing("an issuer or a token endpoint")),
        };
        let sender = Arc::new(connect(contact)?);
        let discovery = issuer.map(|issuer| Discovery::new(&issuer, Arc::clone(&sender), Arc::clone(&clock)));
        Ok(TokenEndpoint { client: self.clone(), endpoint, discovery, sender, origin, clock })
    }

    /// Where to ask, if everything is as it must be.
    pub(crate) fn check(&self) -> Result<(Option<Issuer>, Option<Endpoint>), Error> {
        if self.id.trim().is_empty() {
            return Err(missing("the client id"));
        }
        if self.secret.expose().trim().is_empty() {
            return Err(missing("the client secret"));
        }
        let is_split = self.authentication == ClientAuthentication::BasicUnencoded && self.id.contains(':');
        if is_split || self.id.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::Config, "the client id holds a character that cannot be sent so")
                .advise("check it, or send it form-encoded (ClientAuthentication::Basic)"));
        }
        let endpoint = self.token_endpoint.as_deref().map(|url| Endpoint::parse(url, "token endpoint")).transpose()?;
        let issuer = self.issuer.as_deref().map(Issuer::parse).transpose()?;
        Ok((issuer, endpoint))
    }

    /// Who asks where, for the diagnosis of a refusal; nothing secret.
    pub(crate) fn describe(&self) -> String {
        let place = self.issuer.as_deref().or(self.token_endpoint.as_deref()).unwrap_or_default();
        let place = place.split(['?', '@']).next().unwrap_or_default();
        format!("OAuth client {} of {place}", self.id)
    }

    /// At most one of each, and none that is empty (RFC 6749, section 3.2).
    fn form(&self) -> Zeroizing<String> {
        let mut form = Zeroizing::new(String::from("grant_type=client_credentials"));
        let in_body = self.authentication == ClientAuthentication::Body;
        let pairs = [
            ("scope", self.scope.as_deref()),
            ("audience", self.audience.as_deref()),
            ("client_id", in_body.then_some(&*self.id)),
            ("client_secret", in_body.then_some(self.secret.expose())),
        ];
        for (name, value) in pairs {
            if let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) {
                form.push('&');
                form.push_str(name);
                form.push('=');
                form.push_str(&form_encoded(value));
            }
        }
        form
    }

    fn authorization(&self) -> Result<HeaderMap, Error> {
        let pair = match self.authentication {
            ClientAuthentication::Body => return Ok(HeaderMap::new()),
            ClientAuthentication::Basic => {
                format!("{}:{}", *form_encoded(&self.id), *form_encoded(self.secret.expose()))
            }
            ClientAuthentication::BasicUnencoded => format!("{}:{}", self.id, self.secret.expose()),
        };
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(Zeroizing::new(pair))));
        let mut value = HeaderValue::from_str(&basic).map_err(|_| missing("a client id that can be sent"))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}

/// Makes the connections to a server other than the service, whose clock is not the service's either.
pub(crate) type Connect<'c> = dyn Fn(&Origin) -> Result<Sender, Error> + 'c;

/// Fetches access tokens for the client, each by a grant of its own: there are no refresh tokens here.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    client: ClientCredentials,
    /// Instead of discovery, or for when it fails.
    endpoint: Option<Endpoint>,
    discovery: Option<Discovery>,
    sender: Arc<Sender>,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

impl TokenEndpoint {
    fn find(&self) -> Result<Endpoint, Error> {
        match (&self.discovery, &self.endpoint) {
            (None, Some(endpoint)) => Ok(endpoint.clone()),
            (Some(discovery), None) => discovery.token_endpoint(None),
            (Some(discovery), Some(fallback)) => discovery.token_endpoint(Some(BRIEF)).or_else(|error| {
                log::warn!("the token endpoint that was given stands in for discovery: {error}");
                Ok(fallback.clone())
            }),
            (None, None) => Err(missing("an issuer or a token endpoint")),
        }
    }
}

impl TokenSource for TokenEndpoint {
    fn fetch(&self) -> Result<Grant, Error> {
        let endpoint = self.find()?;
        let form = self.client.form();
        let request = Request::new(Method::POST, endpoint.path.as_str(), format!("get an access token at {endpoint}"))
            .query(endpoint.query.clone())
            .body("application/x-www-form-urlencoded", form.as_bytes());
        let authorization = self.client.authorization()?;
        let asked = self.clock.now();
        let response = endpoint.ask(&self.sender, &request, authorization)?;
        let issued =
            response::read(&response, &self.client.secret).map_err(|error| error.attempting(&*request.attempted))?;
        let missing =
            response::missing_scopes(self.client.scope.as_deref().unwrap_or_default(), issued.scope.as_deref());
        if !missing.is_empty() {
            log::warn!("the access token lacks the scopes {missing:?}, which were asked for");
        }
        let lifetime = match issued.lifetime {
            Some(lifetime) => lifetime,
            None => match JwtTimes::of(issued.token.expose()) {
                Some(times) => {
                    let now = self.sender.server_clock().at(asked.wall);
                    times.expiry().duration_since(now).unwrap_or(Duration::ZERO)
                }
                None => ASSUMED_LIFETIME,
            },
        };
        Ok(Grant { bearer: issued.token, origin: self.origin.clone(), lifetime, asked })
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the OAuth client lacks {what}")).advise("add it")
}

/// Of a token whose end nobody tells: short enough to be harmless, and a refusal renews it at once.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests;
