mod response;

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::client_credentials::{ClientAuthentication, ClientCredentials, missing};
use super::connections::{Connect, Connections};
use super::discovery::{BRIEF, Discovery};
use super::endpoint::{Endpoint, Outgoing};
use super::jwt::JwtTimes;
use super::{Grant, TokenSource};
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind};
use crate::http::{Limits, Origin, Request, Sender, form_encoded};
use crate::secret::{Redaction, Secret};

/// Fetches access tokens for the client. Every token takes a full grant: there are no refresh tokens in this flow.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    client: ClientCredentials,
    /// Used instead of discovery, or when discovery fails.
    given: Option<Endpoint>,
    discovery: Option<Discovery>,
    connections: Connections,
    /// The one that was accepted last.
    secret: Mutex<Secret>,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

impl TokenEndpoint {
    /// Finds everything that is wrong with the client; sends nothing yet. Its tokens are sent to `origin` only.
    pub(crate) fn new(
        client: ClientCredentials,
        origin: Origin,
        clock: Arc<dyn Clock>,
        connect: Arc<Connect>,
    ) -> Result<TokenEndpoint, Error> {
        let (issuer, given) = client.places()?;
        let secret = Mutex::new(client.secret.read()?);
        let connections = Connections::new(connect);
        if let Some(endpoint) = &given {
            connections.toward(&endpoint.origin)?;
        }
        let discovery = match issuer {
            Some(issuer) => {
                let sender = connections.toward(&issuer.document.origin)?;
                Some(Discovery::new(issuer, sender, Arc::clone(&clock)))
            }
            None => None,
        };
        Ok(TokenEndpoint { client, given, discovery, connections, secret, origin, clock })
    }

    /// The token endpoint, and why it is not the discovered one if it should be.
    fn find(&self, limits: Limits) -> Result<(Endpoint, Option<Error>), Error> {
        match (&self.discovery, &self.given) {
            (None, Some(given)) => Ok((given.clone(), None)),
            (Some(discovery), None) => Ok((discovery.token_endpoint(limits, None)?, None)),
            (Some(discovery), Some(given)) => {
                // The given one needs time, too.
                let limits = limits.half(self.clock.now());
                match discovery.token_endpoint(limits, Some(BRIEF)) {
                    Ok(endpoint) => Ok((endpoint, None)),
                    Err(error) if error.kind() == ErrorKind::Stopped => Err(error),
                    Err(error) => {
                        log::warn!("discovery failed; using {given} instead: {error}");
                        Ok((given.clone(), Some(error)))
                    }
                }
            }
            (None, None) => Err(missing("an issuer or a token endpoint")),
        }
    }

    /// With another secret, as often as the file of the secret has another one when the server has refused the client.
    fn ask_until_accepted(&self, endpoint: &Endpoint, limits: Limits) -> Result<Grant, Error> {
        let sender = self.connections.toward(&endpoint.origin)?;
        let first = self.secret.lock().clone();
        let mut attempt = Attempt { redaction: Redaction::of([&first]), secret: first, sent: 0 };
        loop {
            let error = match self.ask(endpoint, &sender, &attempt, limits.clone()) {
                Ok(grant) => {
                    *self.secret.lock() = attempt.secret;
                    return Ok(grant);
                }
                Err(error) if error.kind() == ErrorKind::Credentials => error,
                Err(error) => return Err(error),
            };
            match self.client.secret.replacement(&attempt.secret) {
                Ok(Some(secret)) if !limits.retries.is_reached(self.clock.now()) => {
                    attempt = attempt.followed_by(secret, error.attempts());
                }
                Ok(_) => return Err(hint(error, &attempt.secret)),
                Err(unreadable) => return Err(error.and_advise(&format!("{unreadable}"))),
            }
        }
    }

    fn ask(&self, endpoint: &Endpoint, sender: &Sender, attempt: &Attempt, limits: Limits) -> Result<Grant, Error> {
        let form = self.client.form(&attempt.secret);
        let request = Request::new(Method::POST, endpoint.path.as_str(), format!("get an access token at {endpoint}"))
            .query(endpoint.query.clone())
            .body("application/x-www-form-urlencoded", form.as_bytes())
            .expect_short()
            .within(limits);
        let authorization = self.client.authorization(&attempt.secret)?;
        let asked = self.clock.now();
        let outgoing = Outgoing { request: &request, authorization, is_final: &response::is_final, sent: attempt.sent };
        let answer = endpoint.send(sender, outgoing)?;
        let issued = response::read(&answer, &attempt.redaction)?;
        let requested = self.client.scope.as_deref().unwrap_or_default();
        let ungranted = response::missing_scopes(requested, issued.scope.as_deref());
        if !ungranted.is_empty() {
            log::warn!("the access token lacks the requested scopes {ungranted:?}");
        }
        let lifetime = issued.lifetime.unwrap_or_else(|| stated_lifetime(&issued.token, sender, asked));
        Ok(Grant { bearer: issued.token, origin: self.origin.clone(), lifetime, asked, reread_after: None })
    }
}

impl TokenSource for TokenEndpoint {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        let (endpoint, discovery_error) = self.find(limits.clone())?;
        self.ask_until_accepted(&endpoint, limits).map_err(|error| match discovery_error {
            Some(cause) => error.and_advise(&format!("it was asked because discovery failed: {cause}")),
            None => error,
        })
    }

    fn asks_a_server(&self) -> bool {
        true
    }
}

/// The secret to log in with, and what is known of the attempts before.
struct Attempt {
    secret: Secret,
    /// Of all secrets that were sent.
    redaction: Redaction,
    sent: u32,
}

impl Attempt {
    fn followed_by(self, secret: Secret, sent: u32) -> Attempt {
        Attempt { redaction: self.redaction.and(&secret), secret, sent }
    }
}

impl ClientCredentials {
    /// Each parameter at most once, and none that is empty (RFC 6749, section 3.2).
    fn form(&self, secret: &Secret) -> Zeroizing<String> {
        let in_body = self.authentication == ClientAuthentication::Body;
        let trimmed = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
        let pairs = [
            ("grant_type", Zeroizing::new("client_credentials".to_owned())),
            ("scope", form_encoded(&trimmed(&self.scope))),
            ("audience", form_encoded(&trimmed(&self.audience))),
            ("client_id", form_encoded(if in_body { &self.id } else { "" })),
            ("client_secret", form_encoded(if in_body { secret.expose() } else { "" })),
        ];
        // One that grows would leave a part of the secret behind.
        let length = pairs.iter().map(|(name, value)| name.len() + value.len() + "&=".len()).sum();
        let mut form = Zeroizing::new(String::with_capacity(length));
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            let separator = if form.is_empty() { "" } else { "&" };
            form.extend([separator, *name, "=", value.as_str()]);
        }
        form
    }

    fn authorization(&self, secret: &Secret) -> Result<HeaderMap, Error> {
        let basic = match self.authentication {
            ClientAuthentication::Body => return Ok(HeaderMap::new()),
            ClientAuthentication::Basic => basic(&form_encoded(&self.id), &form_encoded(secret.expose())),
            ClientAuthentication::BasicUnencoded => basic(&self.id, secret.expose()),
        };
        let mut value = HeaderValue::from_str(&basic).map_err(|_| missing("a client id that can be sent"))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }
}

/// Both are as long as they get before the secret is in them: one that grows would leave a part of it behind.
fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + secret.len()));
    pair.extend([id, ":", secret]);
    // Four characters for three bytes.
    let length = "Basic ".len() + pair.len().div_ceil(3) * 4;
    let mut basic = Zeroizing::new(String::with_capacity(length));
    basic.push_str("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut basic);
    basic
}

/// By the token's own `exp`, by the clock of the server that issued it.
fn stated_lifetime(token: &Secret, sender: &Sender, asked: Moment) -> Duration {
    let Some(times) = JwtTimes::of(token.expose()) else { return ASSUMED_LIFETIME };
    times.expiry().duration_since(sender.server_clock().at(asked)).unwrap_or(Duration::ZERO)
}

/// Nothing is trimmed from a secret, and that cannot be seen.
fn hint(error: Error, secret: &Secret) -> Error {
    if secret.expose().trim() == secret.expose() {
        return error;
    }
    error.and_advise("the client secret begins or ends with white space, which was sent too")
}

/// For a token of unknown lifetime: short enough that it rarely expires before, and a refusal renews it at once.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests;
