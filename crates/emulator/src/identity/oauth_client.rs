use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::request::{Parameters, Request};

/// The only client of the embedded authorization server.
#[derive(Clone)]
pub(crate) struct OauthClient {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl OauthClient {
    /// Whether the request authenticates as this client, by header or by form. A header that is there decides alone: a
    /// client must not use more than one method in a request (RFC 6749, section 2.3).
    pub(crate) fn authenticates(&self, request: &Request, form: &Parameters) -> bool {
        let Some(authorization) = request.header("authorization") else {
            return form.get("client_id") == Some(&self.id) && form.get("client_secret") == Some(&self.secret);
        };
        basic(authorization).is_some_and(|(id, secret)| id == self.id && secret == self.secret)
    }
}

impl std::fmt::Debug for OauthClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Id and secret of HTTP Basic. Both are form-encoded before they are joined (RFC 6749, section 2.3.1).
pub(crate) fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((Parameters::decode(id), Parameters::decode(secret)))
}
