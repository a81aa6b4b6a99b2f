use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::clock::{Clock, Expiry, Moment};
use crate::error::{Error, ErrorKind, clean};
use crate::http::{Limits, Request, Response, Sender};

/// Finds the token endpoint of an issuer (OpenID Connect Discovery 1.0, section 4) and caches it.
#[derive(Debug)]
pub(crate) struct Discovery {
    issuer: Issuer,
    sender: Arc<Sender>,
    clock: Arc<dyn Clock>,
    cached: Mutex<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    token_endpoint: Endpoint,
    fresh_until: Expiry,
    /// Until then it is used while the issuer cannot be reached.
    stale_until: Expiry,
}

impl Discovery {
    /// Sends nothing yet.
    pub(crate) fn new(issuer: Issuer, sender: Arc<Sender>, clock: Arc<dyn Clock>) -> Discovery {
        Discovery { issuer, sender, clock, cached: Mutex::new(None) }
    }

    /// `limits` are those of the call that needs it; callers that know another token endpoint pass a timeout, too.
    pub(crate) fn token_endpoint(&self, limits: Limits, timeout: Option<Duration>) -> Result<Endpoint, Error> {
        let now = self.clock.now();
        let cached = self.cached.lock().clone();
        if let Some(cached) = cached.as_ref().filter(|cached| !cached.fresh_until.is_past(now)) {
            return Ok(cached.token_endpoint.clone());
        }
        let stale = cached.as_ref().filter(|cached| !cached.stale_until.is_past(now));
        let brief = stale.map(|_| timeout.map_or(BRIEF, |timeout| timeout.min(BRIEF)));
        match (self.read(limits, brief.or(timeout)), stale) {
            (Ok((endpoint, lifetime)), _) => self.keep(endpoint, lifetime, cached.as_ref(), now),
            (Err(error), Some(stale)) if error.is_retryable() => {
                log::warn!("discovery failed; using the cached token endpoint: {error}");
                Ok(stale.token_endpoint.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    fn read(&self, limits: Limits, timeout: Option<Duration>) -> Result<(Endpoint, Duration), Error> {
        let attempted = format!("find the token endpoint of {}", clean(&self.issuer.text));
        let request = Request::new(Method::GET, self.issuer.document.path.as_str(), attempted);
        let mut request = request.expect_short().within(limits);
        request.timeout = timeout;
        let response = self.issuer.document.send(&self.sender, &request, HeaderMap::new())?;
        let endpoint = document(&response).and_then(|document| document.checked(&self.issuer));
        let endpoint =
            endpoint.map_err(|error| error.with_attempts(response.attempts).attempting(&*request.attempted))?;
        Ok((endpoint, lifetime(&response)))
    }

    fn keep(
        &self,
        token_endpoint: Endpoint,
        lifetime: Duration,
        before: Option<&Cached>,
        now: Moment,
    ) -> Result<Endpoint, Error> {
        if let Some(before) = before.filter(|before| before.token_endpoint.origin != token_endpoint.origin) {
            // Otherwise the secret would go to any host that a forged document names.
            let (from, to) = (&before.token_endpoint.origin, &token_endpoint.origin);
            let reason = format!("the token endpoint of {} has moved from {from} to {to}", clean(&self.issuer.text));
            return Err(Error::new(ErrorKind::Protocol, reason)
                .advise("nothing was sent to the new host; if the move is intended, build a new client"));
        }
        let (fresh_until, stale_until) = (now.expiry(lifetime), now.expiry(MAX_LIFETIME));
        *self.cached.lock() = Some(Cached { token_endpoint: token_endpoint.clone(), fresh_until, stale_until });
        Ok(token_endpoint)
    }
}

/// An issuer, and the URL of its document.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// As given: it is compared with the document's byte for byte.
    text: String,
    pub(crate) document: Endpoint,
}

impl Issuer {
    pub(crate) fn parse(issuer: &str) -> Result<Issuer, Error> {
        let text = issuer.trim();
        let mut document = Endpoint::parse(text, "issuer")?;
        if text.contains('?') {
            return Err(Error::new(ErrorKind::Config, "the issuer has a query (?)").advise("leave the query out"));
        }
        let path = document.path.trim_end_matches('/');
        document.path = match path.strip_suffix(WELL_KNOWN) {
            Some(_) => {
                return Err(Error::new(ErrorKind::Config, "the issuer is the URL of its document")
                    .advise(format!("leave out {WELL_KNOWN}")));
            }
            None => format!("{path}{WELL_KNOWN}"),
        };
        Ok(Issuer { text: text.to_owned(), document })
    }
}

/// The parts of the document that are used. Others are ignored, and null counts as absent.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    grant_types_supported: Option<Vec<String>>,
}

fn document(response: &Response) -> Result<Document, Error> {
    if !response.is_success() {
        return Err(Error::new(ErrorKind::Config, "there is no discovery document")
            .with_status(response.status)
            .advise("check the issuer, or give the token endpoint itself"));
    }
    if response.body.len() > MAX_DOCUMENT {
        return Err(Error::new(ErrorKind::Protocol, format!("the document is longer than {MAX_DOCUMENT} bytes"))
            .advise("check the issuer"));
    }
    serde_json::from_slice(&response.body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let reason = format!("the document is not JSON with an issuer and a token_endpoint ({place})");
        Error::new(ErrorKind::Protocol, reason).advise("check the issuer, or give the token endpoint itself")
    })
}

impl Document {
    fn checked(self, issuer: &Issuer) -> Result<Endpoint, Error> {
        if !is_same(&self.issuer, &issuer.text) {
            // Section 4.3: the document must not be used then.
            let reason = format!("the document is of another issuer, {:?}", clean(&self.issuer));
            return Err(Error::new(ErrorKind::Config, reason).advise("give the issuer exactly as it calls itself"));
        }
        // Servers that support the grant may leave the list out.
        if self.grant_types_supported.is_some_and(|grants| !grants.iter().any(|grant| grant == "client_credentials")) {
            return Err(Error::new(ErrorKind::Config, "the issuer does not offer the grant client_credentials")
                .advise("check the issuer, or ask for the grant to be enabled"));
        }
        let endpoint = Endpoint::parse(&self.token_endpoint, "token endpoint in the document")?;
        if endpoint.origin.is_encrypted() != issuer.document.origin.is_encrypted() {
            return Err(Error::new(ErrorKind::Protocol, "the token endpoint in the document is not encrypted")
                .advise("no secret was sent; check the issuer"));
        }
        Ok(endpoint)
    }
}

/// Byte for byte, except for the slash that means an empty path (RFC 3986, section 6.2.3).
fn is_same(theirs: &str, ours: &str) -> bool {
    let bare = |issuer: &str| match issuer.strip_suffix('/') {
        Some(bare) if bare.matches('/').count() == 2 => bare.to_owned(),
        _ => issuer.to_owned(),
    };
    bare(theirs) == bare(ours)
}

/// How long the server allows the document to be cached, within bounds.
fn lifetime(response: &Response) -> Duration {
    let directives = response.header(header::CACHE_CONTROL).unwrap_or_default().split(',');
    let max_age = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok()).next();
    max_age.map_or(DEFAULT_LIFETIME, Duration::from_secs).clamp(MIN_LIFETIME, MAX_LIFETIME)
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
/// Real documents have a few kilobytes.
const MAX_DOCUMENT: usize = 1024 * 1024;
/// Neither standard sets one; token endpoints rarely move.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// Less would cost a request for almost every token.
const MIN_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// A change of the endpoint is noticed within a day, whatever the server allows.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The retry budget while there is another endpoint to use: a caller waits no longer than this for a better one.
pub(super) const BRIEF: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
