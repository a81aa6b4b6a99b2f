use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use parking_lot::Mutex;

use super::endpoint::{Answer, Endpoint, Outgoing};
use super::fields::Fields;
use super::server_words::ServerWords;
use crate::clock::{Clock, Expiry, Moment};
use crate::error::{Error, ErrorKind, clean};
use crate::http::{Limits, Request, Response, Sender};
use crate::secret::Redaction;

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
            (Err(error), _) if error.kind() == ErrorKind::Stopped => Err(error),
            (Err(error), Some(stale)) if error.is_retryable() => {
                log::warn!("discovery failed; using the cached token endpoint: {error}");
                Ok(stale.token_endpoint.clone())
            }
            (Err(error), _) => Err(error.or_code(DISCOVERY_FAILED)),
        }
    }

    fn read(&self, limits: Limits, timeout: Option<Duration>) -> Result<(Endpoint, Duration), Error> {
        let attempted = format!("find the token endpoint of {}", clean(&self.issuer.text));
        let request = Request::new(Method::GET, self.issuer.document.path.as_str(), attempted);
        let mut request = request.expect_short().within(limits);
        request.timeout = timeout;
        let (authorization, is_final) = (HeaderMap::new(), &|_: &Response| false);
        let outgoing = Outgoing { request: &request, authorization, is_final, sent: 0 };
        let answer = self.issuer.document.send(&self.sender, outgoing)?;
        Ok((token_endpoint(&answer, &self.issuer)?, lifetime(&answer.headers)))
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
    hosts: EndpointHosts,
}

/// Where the document may place the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointHosts {
    #[default]
    Any,
    /// At the issuer itself, so that a forged document cannot have the secret sent elsewhere.
    Issuer,
}

impl Issuer {
    pub(crate) fn parse(issuer: &str) -> Result<Issuer, Error> {
        let text = issuer.trim();
        let mut document = Endpoint::like(text, "issuer", EXAMPLE)?;
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
        Ok(Issuer { text: text.to_owned(), document, hosts: EndpointHosts::Any })
    }

    pub(crate) fn with_endpoint_at(self, hosts: EndpointHosts) -> Issuer {
        Issuer { hosts, ..self }
    }
}

/// The token endpoint in the document. Of the other members only the issuer and the grants are used.
fn token_endpoint(answer: &Answer, issuer: &Issuer) -> Result<Endpoint, Error> {
    if !answer.is_success() {
        let words = ServerWords::of(&answer.text, &Redaction::default());
        return Err(answer.failure(&words).unwrap_or_else(|| {
            let error = answer.error(ErrorKind::Refused, words.after("there is no discovery document"));
            error.with_code(words.code.clone()).advise(CHECK_ISSUER)
        }));
    }
    let fields = Fields::of(&answer.text);
    let members = fields.as_ref().and_then(|fields| Some((fields.text("issuer")?, fields.text("token_endpoint")?)));
    let Some((theirs, endpoint)) = members else {
        let reason = "the document is not a JSON object with an issuer and a token_endpoint";
        return Err(answer.error(ErrorKind::Protocol, reason).advise(CHECK_ISSUER));
    };
    if !is_same(&theirs, &issuer.text) {
        // Section 4.3: the document must not be used then.
        let reason = format!("the document is of another issuer, {:?}", clean(&theirs));
        return Err(answer.error(ErrorKind::Refused, reason).advise("give the issuer exactly as it calls itself"));
    }
    // Servers that support the grant may leave the list out.
    let grants = fields.and_then(|fields| fields.texts("grant_types_supported"));
    if grants.is_some_and(|grants| !grants.iter().any(|grant| grant == "client_credentials")) {
        let reason = "the issuer does not offer the grant client_credentials";
        let advice = "check the issuer, or ask for the grant to be enabled";
        return Err(answer.error(ErrorKind::Refused, reason).advise(advice));
    }
    checked(&endpoint, issuer).map_err(|error| answer.explain(error).advise("no secret was sent; check the issuer"))
}

/// Plain http stays within this machine: no other machine's document may name it.
fn checked(endpoint: &str, issuer: &Issuer) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::parse(endpoint, "token endpoint")
        .map_err(|error| error.into_kind(ErrorKind::Protocol, "the document cannot be used"))?;
    if issuer.hosts == EndpointHosts::Issuer && endpoint.origin != issuer.document.origin {
        let reason = format!("the document cannot be used: its token endpoint is at another host, {}", endpoint.origin);
        return Err(Error::new(ErrorKind::Protocol, reason));
    }
    if endpoint.origin.is_encrypted() || issuer.document.origin.is_loopback() {
        return Ok(endpoint);
    }
    Err(Error::new(ErrorKind::Protocol, "the document cannot be used: its token endpoint is not encrypted"))
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
fn lifetime(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|line| line.to_str().ok());
    let mut directives = lines.flat_map(|line| line.split(',')).filter_map(|directive| directive.split_once('='));
    let max_age = directives.find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
    let seconds = max_age.and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok());
    seconds.map_or(DEFAULT_LIFETIME, Duration::from_secs).clamp(MIN_LIFETIME, MAX_LIFETIME)
}

const EXAMPLE: &str = "write it like https://auth.example.com";
const CHECK_ISSUER: &str = "check the issuer, or give the token endpoint itself";
/// The code of every failure for which the service gave none.
pub(crate) const DISCOVERY_FAILED: &str = "discovery_failed";
const WELL_KNOWN: &str = "/.well-known/openid-configuration";
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
