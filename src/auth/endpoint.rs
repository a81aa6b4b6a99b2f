use std::fmt;
use std::time::Duration;

use ::http::HeaderMap;

use crate::error::{Error, ErrorKind};
use crate::http::{AuthorizedRequest, Origin, Request, Response, Sender};

/// A URL that receives a client secret or provides a document: https, or http to this machine itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) origin: Origin,
    /// Empty, or begins with a slash.
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Endpoint {
    /// `role` names the URL in errors: "token endpoint".
    pub(crate) fn parse(url: &str, role: &str) -> Result<Endpoint, Error> {
        let url = url.trim();
        let refuse = |reason: &str| Error::new(ErrorKind::Config, format!("the {role} {reason}")).advise(EXAMPLE);
        if url.contains('#') {
            return Err(refuse("has a fragment (#)"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("contains white space or a character outside ASCII"));
        }
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
        let origin = Origin::parse(&url[..end], role).map_err(|error| error.or_advise(EXAMPLE))?;
        let (path, query) = url[end..].split_once('?').unwrap_or((&url[end..], ""));
        Ok(Endpoint { origin, path: path.to_owned(), query: query.to_owned() })
    }

    /// Sends a request to this endpoint. Responses that mean the same at every endpoint are errors.
    pub(super) fn send(
        &self,
        sender: &Sender,
        request: &Request<'_>,
        authorization: HeaderMap,
    ) -> Result<Response, Error> {
        let outcome = sender.send(&AuthorizedRequest {
            request,
            origin: &self.origin,
            authorization,
            label: &|_| None,
            is_final: &|_| false,
            sent: 0,
            limits: sender.limits(request),
        });
        let response = outcome.result.map_err(|failure| failure.into_error("check the network and the URL"));
        let response = response.and_then(|response| readable(response, outcome.retry_after));
        response.map_err(|error| error.with_attempts(outcome.sent).attempting(&*request.attempted))
    }
}

/// Leaves all other responses to the caller.
fn readable(response: Response, retry_after: Option<Duration>) -> Result<Response, Error> {
    let (kind, reason, advice) = match response.status {
        300..400 => {
            (ErrorKind::Protocol, "the response redirects to another URL, which is not followed", "give the final URL")
        }
        429 => (ErrorKind::Throttled, "the server demands fewer requests", "try again later"),
        408 | 500..600 => (ErrorKind::Unavailable, "the server fails", "try again later"),
        _ => return Ok(response),
    };
    Err(Error::new(kind, reason).with_status(response.status).with_retry_after(retry_after).advise(advice))
}

/// Without the query, which might contain a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const EXAMPLE: &str = "write it like https://auth.example.com/oauth2/token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_origin_path_and_query() {
        for (url, origin, path, query) in [
            ("https://a.example/oauth2/token", "https://a.example", "/oauth2/token", ""),
            ("https://A.example:8443/t?tenant=1", "https://a.example:8443", "/t", "tenant=1"),
            ("https://a.example?x=y", "https://a.example", "", "x=y"),
            (" https://a.example ", "https://a.example", "", ""),
            ("http://127.0.0.1:9/t", "http://127.0.0.1:9", "/t", ""),
        ] {
            let endpoint = Endpoint::parse(url, "token endpoint").unwrap();
            assert_eq!(
                (endpoint.origin.to_string().as_str(), &*endpoint.path, &*endpoint.query),
                (origin, path, query)
            );
        }
    }

    #[test]
    fn a_url_that_is_not_safe_for_a_secret_is_refused() {
        for url in
            ["http://a.example/t", "https://joe:sesame@a.example/t", "a.example/t", "https://a/t#x", "https://a/ t", ""]
        {
            let error = Endpoint::parse(url, "token endpoint").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token endpoint") && !shown.contains("sesame"), "{shown}");
        }
    }
}
