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
use crate::http::{Limits, Origin, Request, Sender, form_encoded};
use crate::secret::Secret;

/// An OAuth client that logs in as itself: the client-credentials grant (RFC 6749, section 4.4).
///
/// Its access token is accepted as a login by an account that trusts the issuer (External OAuth). The token endpoint is
/// found by OpenID Connect discovery, or given. Both are https, or http to this machine itself; redirects are not followed.
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

/// How an OAuth client sends its id and secret (RFC 6749, section 2.3.1). No other way is tried after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// In the `Authorization` header, with id and secret form-encoded first, as the RFC requires.
    #[default]
    Basic,
    /// In the `Authorization` header, with id and secret as they are, for servers that do not decode them.
    BasicUnencoded,
    /// In the body, with the other parameters.
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

    /// A client that uses this token endpoint, without discovery.
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

    /// The token endpoint to use when discovery fails.
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

    /// The scopes to request, separated by spaces. Default: none.
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

    /// The parameter `audience`: the API that the token is for, which some servers require.
    ///
    /// ```
    /// # use snowpipe_streaming::ClientCredentials;
    /// # fn for_audience(client: ClientCredentials) -> ClientCredentials {
    /// client.audience("https://api.example.com")
    /// # }
    /// ```
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> ClientCredentials {
        self.audience = Some(audience.into());
        self
    }

    /// How id and secret are sent. Default: [`ClientAuthentication::Basic`].
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
    /// Finds everything that is wrong with the client; sends nothing yet. Its tokens are sent to `origin` only.
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
        let discovery = issuer.map(|issuer| Discovery::new(issuer, Arc::clone(&sender), Arc::clone(&clock)));
        Ok(TokenEndpoint { client: self.clone(), endpoint, discovery, sender, origin, clock })
    }

    /// The issuer and the token endpoint, if everything about the client is valid.
    pub(crate) fn check(&self) -> Result<(Option<Issuer>, Option<Endpoint>), Error> {
        if self.id.trim().is_empty() {
            return Err(missing("the client id"));
        }
        if self.secret.expose().trim().is_empty() {
            return Err(missing("the client secret"));
        }
        let is_split = self.authentication == ClientAuthentication::BasicUnencoded && self.id.contains(':');
        if is_split || self.id.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::Config,
                "the client id contains a character that cannot be sent unencoded",
            )
            .advise("check it, or send it form-encoded (ClientAuthentication::Basic)"));
        }
        let endpoint = self.token_endpoint.as_deref().map(|url| Endpoint::parse(url, "token endpoint")).transpose()?;
        let issuer = self.issuer.as_deref().map(Issuer::parse).transpose()?;
        Ok((issuer, endpoint))
    }

    /// The client and its server, for the diagnosis of a refusal. Nothing secret.
    pub(crate) fn describe(&self) -> String {
        let place = self.issuer.as_deref().or(self.token_endpoint.as_deref()).unwrap_or_default();
        let place = place.split(['?', '@']).next().unwrap_or_default();
        format!("OAuth client {} of {place}", self.id)
    }

    /// Each parameter at most once, and none that is empty (RFC 6749, section 3.2).
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

/// Makes a sender for another server than the service's; that server has a clock of its own.
pub(crate) type Connect<'c> = dyn Fn(&Origin) -> Result<Sender, Error> + 'c;

/// Fetches access tokens for the client. Every token takes a full grant: there are no refresh tokens in this flow.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    client: ClientCredentials,
    /// Used instead of discovery, or when discovery fails.
    endpoint: Option<Endpoint>,
    discovery: Option<Discovery>,
    sender: Arc<Sender>,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

impl TokenEndpoint {
    fn find(&self, limits: Limits) -> Result<Endpoint, Error> {
        match (&self.discovery, &self.endpoint) {
            (None, Some(endpoint)) => Ok(endpoint.clone()),
            (Some(discovery), None) => discovery.token_endpoint(limits, None),
            (Some(discovery), Some(fallback)) => discovery.token_endpoint(limits, Some(BRIEF)).or_else(|error| {
                log::warn!("discovery failed; using the given token endpoint: {error}");
                Ok(fallback.clone())
            }),
            (None, None) => Err(missing("an issuer or a token endpoint")),
        }
    }
}

impl TokenSource for TokenEndpoint {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        let endpoint = self.find(limits)?;
        let form = self.client.form();
        let request = Request::new(Method::POST, endpoint.path.as_str(), format!("get an access token at {endpoint}"))
            .expect_short()
            .query(endpoint.query.clone())
            .body("application/x-www-form-urlencoded", form.as_bytes())
            .within(limits);
        let authorization = self.client.authorization()?;
        let asked = self.clock.now();
        let response = endpoint.send(&self.sender, &request, authorization)?;
        let issued = response::read(&response, &self.client.secret)
            .map_err(|error| error.with_attempts(response.attempts).attempting(&*request.attempted))?;
        let missing =
            response::missing_scopes(self.client.scope.as_deref().unwrap_or_default(), issued.scope.as_deref());
        if !missing.is_empty() {
            log::warn!("the access token lacks the requested scopes {missing:?}");
        }
        let lifetime = match issued.lifetime {
            Some(lifetime) => lifetime,
            None => match JwtTimes::of(issued.token.expose()) {
                Some(times) => {
                    let now = self.sender.server_clock().at(asked);
                    times.expiry().duration_since(now).unwrap_or(Duration::ZERO)
                }
                None => ASSUMED_LIFETIME,
            },
        };
        Ok(Grant { bearer: issued.token, origin: self.origin.clone(), lifetime, asked, reread_after: None })
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the OAuth client lacks {what}")).advise("add it")
}

/// For a token of unknown lifetime: short enough that it rarely expires before, and a refusal renews it at once.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests;
