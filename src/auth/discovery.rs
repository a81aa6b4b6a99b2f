use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind, clean};
use crate::http::{Request, Response, Sender};

/// Finds the token endpoint of an issuer (OpenID Connect Discovery 1.0, section 4), and remembers it.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// As it was given, for the comparison.
    issuer: String,
    document: Endpoint,
    sender: Arc<Sender>,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    token_endpoint: Endpoint,
    fresh_until: Moment,
    /// Until here it serves while the issuer cannot be reached.
    stale_until: Moment,
}

impl Discovery {
    /// Nothing is read yet.
    pub(crate) fn new(issuer: &Issuer, sender: Arc<Sender>, clock: Arc<dyn Clock>) -> Discovery {
        let (text, document) = (issuer.text.clone(), issuer.document.clone());
        Discovery { issuer: text, document, sender, clock, known: Mutex::new(None) }
    }

    /// `timeout` is less than the retry budget when the caller has another way.
    pub(crate) fn token_endpoint(&self, timeout: Option<Duration>) -> Result<Endpoint, Error> {
        let now = self.clock.now();
        let known = self.known.lock().clone();
        if let Some(known) = known.as_ref().filter(|known| !now.reached(known.fresh_until)) {
            return Ok(known.token_endpoint.clone());
        }
        let usable = known.as_ref().filter(|known| !now.reached(known.stale_until));
        let timeout = if usable.is_some() { Some(BRIEF) } else { timeout };
        match (self.read(timeout), usable) {
            (Ok((endpoint, lifetime)), _) => self.remember(endpoint, lifetime, known.as_ref(), now),
            (Err(error), Some(known)) if error.is_retryable() => {
                log::warn!("the token endpoint serves on as it was known: {error}");
                Ok(known.token_endpoint.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    fn read(&self, timeout: Option<Duration>) -> Result<(Endpoint, Duration), Error> {
        let attempted = format!("find the token endpoint of {}", clean(&self.issuer));
        let mut request = Request::new(Method::GET, self.document.path.as_str(), attempted);
        request.timeout = timeout;
        let response = self.document.ask(&self.sender, &request, HeaderMap::new())?;
        let endpoint = document(&response).and_then(|document| document.checked(&self.issuer, &self.document));
        let endpoint = endpoint.map_err(|error| error.with_attempts(1).attempting(&*request.attempted))?;
        Ok((endpoint, lifetime(&response)))
    }

    fn remember(
        &self,
        token_endpoint: Endpoint,
        lifetime: Duration,
        before: Option<&Known>,
        now: Moment,
    ) -> Result<Endpoint, Error> {
        if let Some(before) = before.filter(|before| before.token_endpoint.origin != token_endpoint.origin) {
            // Whoever can change the document would be handed the secret.
            let (from, to) = (&before.token_endpoint.origin, &token_endpoint.origin);
            let happened = format!("the token endpoint of {} has moved from {from} to {to}", clean(&self.issuer));
            return Err(Error::new(ErrorKind::Protocol, happened)
                .advise("nothing was sent to the new place; if the move is meant, build a new client"));
        }
        let (fresh_until, stale_until) = (now.after(lifetime), now.after(MAX_LIFETIME));
        *self.known.lock() = Some(Known { token_endpoint: token_endpoint.clone(), fresh_until, stale_until });
        Ok(token_endpoint)
    }
}

/// An issuer as it was given, and where its document lies.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
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

/// What we need of the document; all else is ignored, and null counts as absent.
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
        let happened = format!("the document is no JSON with an issuer and a token_endpoint ({place})");
        Error::new(ErrorKind::Protocol, happened).advise("check the issuer, or give the token endpoint itself")
    })
}

impl Document {
    fn checked(self, issuer: &str, read_from: &Endpoint) -> Result<Endpoint, Error> {
        if !is_same(&self.issuer, issuer) {
            // Section 4.3: the data must not be used then.
            let happened = format!("the document is of another issuer, {:?}", clean(&self.issuer));
            return Err(Error::new(ErrorKind::Config, happened).advise("give the issuer exactly as it calls itself"));
        }
        // Absent, it does not mean that the grant is missing: servers leave it out.
        if self.grant_types_supported.is_some_and(|grants| !grants.iter().any(|grant| grant == "client_credentials")) {
            return Err(Error::new(ErrorKind::Config, "the issuer does not offer the grant client_credentials")
                .advise("check the issuer, or ask for the grant to be enabled"));
        }
        let endpoint = Endpoint::parse(&self.token_endpoint, "token endpoint in the document")?;
        if endpoint.origin.is_encrypted() != read_from.origin.is_encrypted() {
            return Err(Error::new(ErrorKind::Protocol, "the token endpoint in the document is not encrypted")
                .advise("no secret was sent; check the issuer"));
        }
        Ok(endpoint)
    }
}

/// Byte for byte, but for the one slash that stands for an empty path (RFC 3986, section 6.2.3).
fn is_same(theirs: &str, ours: &str) -> bool {
    let bare = |issuer: &str| match issuer.strip_suffix('/') {
        Some(bare) if bare.matches('/').count() == 2 => bare.to_owned(),
        _ => issuer.to_owned(),
    };
    bare(theirs) == bare(ours)
}

/// As the server says, within bounds.
fn lifetime(response: &Response) -> Duration {
    let directives = response.header(header::CACHE_CONTROL).unwrap_or_default().split(',');
    let max_age = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok()).next();
    max_age.map_or(DEFAULT_LIFETIME, Duration::from_secs).clamp(MIN_LIFETIME, MAX_LIFETIME)
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
const MAX_DOCUMENT: usize = 1024 * 1024;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
const MIN_LIFETIME: Duration = Duration::from_secs(5 * 60);
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The retry budget of an attempt that something else can stand in for.
pub(super) const BRIEF: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
