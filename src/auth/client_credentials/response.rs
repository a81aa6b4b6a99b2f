//! Responses of a token endpoint, as pure functions.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind, clean};
use crate::http::Response;
use crate::secret::Secret;

/// A token as the server issued it (RFC 6749, section 5.1).
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// `None` if the server does not say, which means neither unlimited nor expired.
    pub(super) lifetime: Option<Duration>,
    pub(super) scope: Option<String>,
}

/// Removes `secret` from every text of the server's.
pub(super) fn read(response: &Response, secret: &Secret) -> Result<Issued, Error> {
    let body: Option<Body> = match response.body.len() {
        0..=MAX_RESPONSE_BYTES => serde_json::from_slice(&response.body).ok(),
        _ => None,
    };
    // Some servers report errors with status 200.
    if let Some(error) = body.as_ref().and_then(|body| body.error.as_ref()) {
        let description = body.as_ref().and_then(|body| body.error_description.as_deref());
        return Err(refused(response.status, error, description.unwrap_or_default(), secret));
    }
    if !response.is_success() {
        return Err(by_status(response.status));
    }
    let body = body.ok_or_else(|| unclear("is not a JSON object"))?;
    let token = body.access_token.filter(|token| !token.expose().is_empty());
    let token = token.ok_or_else(|| unclear("has no access_token"))?;
    let kind = body.token_type.ok_or_else(|| unclear("has no token_type"))?;
    if !kind.eq_ignore_ascii_case("bearer") {
        // Section 7.1: a token of an unknown type must not be used.
        return Err(unclear(&format!("has a token of the type {:?}, not a bearer token", clean(&kind))));
    }
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unclear("has a token that a header cannot carry"));
    }
    let lifetime = body.expires_in.as_ref().map(lifetime).transpose()?.flatten();
    Ok(Issued { token, lifetime, scope: body.scope })
}

/// Scopes that were requested and not granted (section 5.1: the server reports the scope if it differs).
pub(super) fn missing_scopes<'s>(requested: &'s str, granted: Option<&str>) -> Vec<&'s str> {
    let Some(granted) = granted else { return Vec::new() };
    requested.split_whitespace().filter(|scope| !granted.split_whitespace().any(|granted| granted == *scope)).collect()
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Secret>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
    error: Option<Value>,
    error_description: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// A number of seconds, or a text with one. Anything else, and a negative number, is an error.
fn lifetime(value: &Value) -> Result<Option<Duration>, Error> {
    let seconds = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds: &f64| *seconds >= 0.0 && !seconds.is_nan());
    let seconds = seconds.ok_or_else(|| unclear("has an expires_in that is not a number of seconds"))?;
    Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// One arm for each code of RFC 6749, section 5.2. The last two belong to another endpoint, yet servers send them here.
fn refused(status: u16, code: &Value, description: &str, secret: &Secret) -> Error {
    let code = match code {
        Value::String(code) => clean(&without(code, secret)),
        _ => "error".to_owned(),
    };
    let (kind, advice) = match code.as_str() {
        "invalid_client" => (ErrorKind::Credentials, "check client id and secret, and the way they are sent"),
        "unauthorized_client" => (ErrorKind::Credentials, "allow the client the grant client_credentials"),
        "invalid_grant" => (ErrorKind::Credentials, "check that the client is active"),
        "invalid_scope" => (ErrorKind::Credentials, "ask for a scope that the client was granted"),
        "invalid_request" => (ErrorKind::Refused, "check scope and audience; the server may demand one of them"),
        "unsupported_grant_type" => (ErrorKind::Refused, "enable the grant client_credentials at the server"),
        "temporarily_unavailable" | "server_error" => (ErrorKind::Unavailable, "try again later"),
        _ => return by_status(status).with_code(Some(code)),
    };
    let description = clean(&without(description, secret));
    let reason = if description.is_empty() { "the server refused the client".to_owned() } else { description };
    Error::new(kind, reason).with_status(status).with_code(Some(code)).advise(advice)
}

fn by_status(status: u16) -> Error {
    let (kind, reason, advice) = match status {
        200..300 => (ErrorKind::Protocol, "the server reported an unknown error", "report it"),
        401 | 403 => (ErrorKind::Credentials, "the server refused the client", "check client id and secret"),
        404 | 405 => (ErrorKind::Refused, "there is no token endpoint", "check its URL"),
        400..500 => (ErrorKind::Refused, "the server refused the request", "check scope, audience and URL"),
        _ => (ErrorKind::Protocol, "the response was not understood", "check the URL of the token endpoint"),
    };
    Error::new(kind, reason).with_status(status).advise(advice)
}

fn unclear(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the response of the token endpoint {what}"))
        .advise("check the URL of the token endpoint")
}

/// Some servers repeat what they were sent.
fn without(text: &str, secret: &Secret) -> String {
    text.replace(secret.expose(), "…")
}

/// Well above the longest token that a header can carry.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;

    fn of(status: u16, body: &str) -> Result<Issued, Error> {
        read(&Response::new(status, HeaderMap::new(), body.into()), &"hunter2-hunter2".into())
    }

    fn token(more: &str) -> Result<Issued, Error> {
        of(200, &format!(r#"{{"access_token":"abc","token_type":"Bearer"{more}}}"#))
    }

    #[test]
    fn a_token_is_read_with_its_lifetime_and_scope() {
        let issued = token(r#","expires_in":3600,"scope":"a b","unknown":{}"#).unwrap();
        assert_eq!((issued.token.expose(), issued.lifetime), ("abc", Some(Duration::from_secs(3600))));
        assert_eq!(issued.scope.as_deref(), Some("a b"));
        assert!(of(200, r#"{"access_token":"abc","token_type":"bEARER"}"#).is_ok());
    }

    #[test]
    fn a_lifetime_is_a_number_its_text_or_unknown() {
        for (more, lifetime) in [
            ("", None),
            (r#","expires_in":null"#, None),
            (r#","expires_in":0"#, Some(Duration::ZERO)),
            (r#","expires_in":1"#, Some(Duration::from_secs(1))),
            (r#","expires_in":1.5"#, Some(Duration::from_millis(1500))),
            (r#","expires_in":"3599""#, Some(Duration::from_secs(3599))),
            (r#","expires_in":1e300"#, Some(Duration::MAX)),
        ] {
            assert_eq!(token(more).unwrap().lifetime, lifetime, "{more}");
        }
        for more in [r#","expires_in":-1"#, r#","expires_in":"soon""#, r#","expires_in":"NaN""#, r#","expires_in":[]"#]
        {
            assert_eq!(token(more).unwrap_err().kind(), ErrorKind::Protocol, "{more}");
        }
    }

    #[test]
    fn an_unusable_token_is_not_used() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":null,"token_type":"Bearer"}"#,
            r#"{"access_token":"abc"}"#,
            r#"{"access_token":"abc","token_type":"mac"}"#,
            r#"{"access_token":"a\nb","token_type":"Bearer"}"#,
        ] {
            assert_eq!(of(200, body).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        }
        let long = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "a".repeat(MAX_RESPONSE_BYTES));
        assert_eq!(of(200, &long).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn each_error_code_has_its_kind_whatever_the_status() {
        for (code, kind) in [
            ("invalid_client", ErrorKind::Credentials),
            ("unauthorized_client", ErrorKind::Credentials),
            ("invalid_grant", ErrorKind::Credentials),
            ("invalid_scope", ErrorKind::Credentials),
            ("invalid_request", ErrorKind::Refused),
            ("unsupported_grant_type", ErrorKind::Refused),
            ("server_error", ErrorKind::Unavailable),
            ("temporarily_unavailable", ErrorKind::Unavailable),
        ] {
            for status in [200, 400, 401] {
                let error = of(status, &format!(r#"{{"error":"{code}","error_description":"so it is"}}"#)).unwrap_err();
                assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{status}");
                assert!(error.to_string().contains("so it is"), "{error}");
            }
        }
    }

    #[test]
    fn without_a_known_code_the_status_decides() {
        for (status, body, kind) in [
            (401, "", ErrorKind::Credentials),
            (403, "<html>", ErrorKind::Credentials),
            (404, "", ErrorKind::Refused),
            (400, "{}", ErrorKind::Refused),
            (400, r#"{"error":"odd"}"#, ErrorKind::Refused),
            (401, r#"{"error":{"code":1}}"#, ErrorKind::Credentials),
            (200, r#"{"error":"odd"}"#, ErrorKind::Protocol),
        ] {
            assert_eq!(of(status, body).unwrap_err().kind(), kind, "{status} {body}");
        }
    }

    #[test]
    fn a_secret_that_the_server_repeats_is_removed() {
        for (code, description) in [("invalid_client", "hunter2-hunter2 is wrong"), ("hunter2-hunter2", "x")] {
            let body = format!(r#"{{"error":"{code}","error_description":"{description}"}}"#);
            let error = of(400, &body).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn scopes_that_were_not_granted_are_found() {
        assert_eq!(missing_scopes("a b c", Some("c a")), ["b"]);
        assert!(missing_scopes("a b", None).is_empty());
    }
}
