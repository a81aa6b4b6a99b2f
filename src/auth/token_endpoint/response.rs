//! Responses of a token endpoint, as pure functions.

use std::time::Duration;

use crate::auth::endpoint::Answer;
use crate::auth::fields::Fields;
use crate::auth::server_words::{self, ServerWords};
use crate::error::{Error, ErrorKind};
use crate::http::Response;
use crate::secret::{Redaction, Secret};

/// A token as the server issued it (RFC 6749, section 5.1).
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// `None` if the server does not say, which means neither unlimited nor expired.
    pub(super) lifetime: Option<Duration>,
    pub(super) scope: Option<String>,
}

/// `redaction` is of what was sent: no text of the server's contains it afterwards.
pub(super) fn read(answer: &Answer, redaction: &Redaction) -> Result<Issued, Error> {
    let fields = Fields::of(&answer.text);
    let token = fields.as_ref().and_then(|fields| fields.secret("access_token"));
    match (fields, token) {
        // Some servers report errors with status 200.
        (Some(fields), Some(token)) if answer.is_success() && !server_words::reports_error(&fields) => {
            issued(&fields, token).map_err(|what| unclear(answer, &what))
        }
        _ if answer.is_success() => Err(refused(answer, &ServerWords::of_success(&answer.text, redaction))),
        _ => Err(refused(answer, &ServerWords::of(&answer.text, redaction))),
    }
}

/// Whether a failure of the server (5xx) will not go away: its body refuses the client or the request.
pub(super) fn is_final(response: &Response) -> bool {
    let code = server_words::code_of(&String::from_utf8_lossy(&response.body)).unwrap_or_default();
    by_code(&code).is_some_and(|(kind, ..)| matches!(kind, ErrorKind::Credentials | ErrorKind::Refused))
}

/// The second is an error that says what is wrong with the response.
fn issued(fields: &Fields<'_>, token: Secret) -> Result<Issued, String> {
    let kind = fields.text("token_type").ok_or("has no token_type")?;
    if !kind.eq_ignore_ascii_case("bearer") {
        // Section 7.1: a token of an unknown type must not be used.
        return Err("has a token of another type than Bearer".to_owned());
    }
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a token that a header cannot carry".to_owned());
    }
    let seconds = fields.number("expires_in");
    if seconds.is_some_and(|seconds| seconds < 0.0) {
        return Err("has a negative expires_in".to_owned());
    }
    let lifetime = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    Ok(Issued { token, lifetime, scope: fields.text("scope") })
}

/// Scopes that were requested and not granted (section 5.1: the server reports the scope if it differs).
pub(super) fn missing_scopes<'s>(requested: &'s str, granted: Option<&str>) -> Vec<&'s str> {
    let Some(granted) = granted else { return Vec::new() };
    requested.split_whitespace().filter(|scope| !granted.split_whitespace().any(|granted| granted == *scope)).collect()
}

/// What the code of an error says, whatever the status; `None` for a code that says nothing.
///
/// The first six are of RFC 6749, section 5.2, and the seventh, of section 4.1.2.1, is what servers say of a client without
/// a grant. Then come RFC 8707, RFC 9449, OpenID Connect Core, and two of RFC 6749 and one of RFC 8628 that mean another endpoint.
fn by_code(code: &str) -> Option<(ErrorKind, &'static str, &'static str)> {
    let (kind, advice) = match code {
        "invalid_client" => (ErrorKind::Credentials, "check client id and secret, and the way they are sent"),
        "unauthorized_client" => (ErrorKind::Credentials, "allow the client the grant client_credentials"),
        "invalid_grant" => (ErrorKind::Credentials, "check that the client is active"),
        "invalid_scope" => (ErrorKind::Credentials, "ask for a scope that the client was granted"),
        "invalid_request" => (ErrorKind::Refused, "check scope and audience; the server may demand one of them"),
        "unsupported_grant_type" => (ErrorKind::Refused, "enable the grant client_credentials at the server"),
        "access_denied" => (ErrorKind::Credentials, "grant the client access to the audience and the scope"),
        "invalid_target" => (ErrorKind::Refused, "check the audience: the server does not know it"),
        "use_dpop_nonce" | "invalid_dpop_proof" => {
            (ErrorKind::Refused, "let the client have tokens without DPoP, which is not supported")
        }
        "interaction_required" | "consent_required" => {
            (ErrorKind::Credentials, "let an administrator approve what the server asks for")
        }
        "temporarily_unavailable" | "server_error" => (ErrorKind::Unavailable, "try again later"),
        "slow_down" => (ErrorKind::Throttled, "try again later"),
        _ => return None,
    };
    let happened = match kind {
        ErrorKind::Unavailable => "the server fails",
        ErrorKind::Throttled => "the server demands fewer requests",
        ErrorKind::Refused => "the server refused the request",
        _ => "the server refused the client",
    };
    Some((kind, happened, advice))
}

fn by_status(status: u16) -> (ErrorKind, &'static str, &'static str) {
    match status {
        200..300 => (ErrorKind::Protocol, "the response of the token endpoint has no token to use", CHECK_URL),
        401 | 403 => (ErrorKind::Credentials, "the server refused the client", "check client id and secret"),
        404 | 405 | 501 | 505 => (ErrorKind::Refused, "there is no token endpoint", "check its URL"),
        400..=499 => (ErrorKind::Refused, "the server refused the request", "check scope, audience and URL"),
        _ => (ErrorKind::Protocol, "the response was not understood", CHECK_URL),
    }
}

fn refused(answer: &Answer, words: &ServerWords) -> Error {
    // Not what a code says of the client: the server did not look at it.
    // As it was sent: a short secret may be a part of an ordinary code.
    let code = server_words::code_of(&answer.text);
    let by_code = code.as_deref().filter(|_| answer.status != 429).and_then(by_code);
    if let (None, Some(failure)) = (by_code, answer.failure(words)) {
        return failure;
    }
    let (kind, happened, advice) = by_code.unwrap_or_else(|| by_status(answer.status));
    let error = answer.error(kind, words.after(happened)).with_code(words.code.clone()).advise(advice);
    match words.is_json {
        true => error,
        false => error.and_advise("the response is not JSON: a proxy or gateway may have made it"),
    }
}

fn unclear(answer: &Answer, what: &str) -> Error {
    answer.error(ErrorKind::Protocol, format!("the response of the token endpoint {what}")).advise(CHECK_URL)
}

const CHECK_URL: &str = "check the URL of the token endpoint";

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;

    const SECRET: &str = "hunter2-hunter2";

    fn of(status: u16, body: &str) -> Result<Issued, Error> {
        let response = Response::new(status, HeaderMap::new(), body.into());
        let answer = Answer::new(response, 3, None, "get an access token".to_owned());
        read(&answer, &Redaction::of([&SECRET.into()]))
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
            (r#","expires_in":"""#, None),
            (r#","expires_in":"soon""#, None),
            (r#","expires_in":"NaN""#, None),
            (r#","expires_in":[]"#, None),
            (r#","expires_in":{"seconds":1}"#, None),
        ] {
            assert_eq!(token(more).unwrap().lifetime, lifetime, "{more}");
        }
        for more in [r#","expires_in":-1"#, r#","expires_in":"-1""#] {
            assert_eq!(token(more).unwrap_err().kind(), ErrorKind::Protocol, "{more}");
        }
    }

    #[test]
    fn an_optional_member_of_another_type_does_no_harm() {
        for more in [
            r#","scope":null"#,
            r#","scope":{"a":1}"#,
            r#","error":"""#,
            r#","error":null,"error_description":null"#,
            r#","error":false"#,
            r#","error":{}"#,
            r#","error_description":["none"],"error_uri":7"#,
            r#","refresh_token":null,"id_token":{"a":[]}"#,
        ] {
            let issued = token(more).unwrap();
            assert_eq!((issued.token.expose(), issued.scope), ("abc", None), "{more}");
        }
        assert_eq!(token(r#","scope":["a","b c"]"#).unwrap().scope.as_deref(), Some("a b c"));
        assert!(of(200, "\u{feff}{\"access_token\":\"abc\",\"token_type\":\"Bearer\"}").is_ok());
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
            r#"{"access_token":"Bearer","token_type":"eyJhbGciOiJSUzI1NiJ9"}"#,
            r#"{"token":"eyJhbGciOiJSUzI1NiJ9"}"#,
            "eyJhbGciOiJSUzI1NiJ9",
        ] {
            let error = of(200, body).unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Protocol, Some(200)), "{body}");
            assert!(!format!("{error} {error:?}").contains("eyJh"), "a token is shown to nobody: {error}");
        }
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
            ("access_denied", ErrorKind::Credentials),
            ("interaction_required", ErrorKind::Credentials),
            ("consent_required", ErrorKind::Credentials),
            ("invalid_target", ErrorKind::Refused),
            ("use_dpop_nonce", ErrorKind::Refused),
            ("server_error", ErrorKind::Unavailable),
            ("temporarily_unavailable", ErrorKind::Unavailable),
            ("slow_down", ErrorKind::Throttled),
        ] {
            for (status, name) in [(200, "error"), (400, "error"), (401, "errorCode"), (500, "error")] {
                let body = format!(r#"{{"{name}":"{code}","error_description":"so it is"}}"#);
                let error = of(status, &body).unwrap_err();
                assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{status}");
                assert_eq!((error.status(), error.attempts()), (Some(status), 3));
                assert!(error.to_string().contains(": so it is ("), "{error}");
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
            (302, "", ErrorKind::Protocol),
            (429, r#"{"error":"access_denied"}"#, ErrorKind::Throttled),
            (501, "", ErrorKind::Refused),
            (503, r#"{"error":"odd"}"#, ErrorKind::Unavailable),
        ] {
            let error = of(status, body).unwrap_err();
            assert_eq!((error.kind(), error.status(), error.attempts()), (kind, Some(status), 3), "{body}");
        }
    }

    #[test]
    fn the_words_of_the_server_are_shown_whatever_its_status_and_code() {
        for (status, body) in [
            (400, r#"{"error":"odd","error_description":"so it is"}"#),
            (403, r#"{"errorCode":"E0000006","errorSummary":"so it is"}"#),
            (404, r#"{"error":"so it is"}"#),
            (429, r#"{"message":"so it is"}"#),
            (500, r#"{"error":{"message":"so it is"}}"#),
            (503, "<html><title>so it is</title>"),
            (200, r#"{"error":"odd","detail":"so it is"}"#),
        ] {
            let error = of(status, body).unwrap_err();
            assert!(error.to_string().contains(&format!(": so it is (HTTP {status}, ")), "{error}");
        }
        let page = of(403, "<h1>Forbidden</h1>").unwrap_err().to_string();
        assert!(page.contains("refused the client: Forbidden (") && page.contains("a proxy or gateway"), "{page}");
    }

    #[test]
    fn a_failing_server_that_refuses_the_client_is_not_asked_again() {
        let is_final = |body: &str| is_final(&Response::new(500, HeaderMap::new(), body.into()));
        for code in ["invalid_client", "invalid_scope", "unsupported_grant_type", "access_denied", "invalid_target"] {
            assert!(is_final(&format!(r#"{{"error":"{code}"}}"#)), "{code}");
        }
        assert!(is_final(r#"{"errorCode":"invalid_client"}"#));
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"error":"server_error"}"#,
            r#"{"error":"temporarily_unavailable"}"#,
            r#"{"error":"slow_down"}"#,
            r#"{"error":"odd"}"#,
            r#"{"error_description":"invalid_client"}"#,
        ] {
            assert!(!is_final(body), "{body}");
        }
    }

    #[test]
    fn a_code_that_contains_the_secret_by_chance_counts_as_it_was_sent() {
        let response = Response::new(400, HeaderMap::new(), br#"{"error":"invalid_client"}"#.to_vec());
        let answer = Answer::new(response, 1, None, "get an access token".to_owned());
        let error = read(&answer, &Redaction::of([&"client".into()])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
        assert!(error.code().is_some_and(|code| !code.contains("client")), "{error}");
    }

    #[test]
    fn a_secret_that_the_server_repeats_is_removed() {
        // The secret as it is, form-encoded, and in Basic with the id "id".
        for repeated in ["hunter2-hunter2", "hunter2%2Dhunter2", "Basic aWQ6aHVudGVyMi1odW50ZXIy"] {
            for (code, description) in [("invalid_client", repeated), (repeated, "x"), ("odd", repeated)] {
                for status in [400, 401, 429, 503] {
                    let body = format!(r#"{{"error":"{code}","error_description":"{description}"}}"#);
                    let error = of(status, &body).unwrap_err();
                    let shown = format!("{error} {error:?} {:?}", error.code());
                    assert!(!shown.contains("hunter2") && !shown.contains("odW50ZXIy"), "{shown}");
                }
            }
        }
    }

    #[test]
    fn scopes_that_were_not_granted_are_found() {
        assert_eq!(missing_scopes("a b c", Some("c a")), ["b"]);
        assert!(missing_scopes("a b", None).is_empty());
    }
}
