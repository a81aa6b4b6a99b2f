use ::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::http::{Failure, Response};
use crate::secret::Secret;
use crate::session::{Dialect, Problem, bearer, by_status};
use crate::snowflake::token_kind::TokenKind;

/// How Snowflake's two hosts differ from a plain bearer API; specs/protocol.md has the codes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SnowflakeDialect {
    /// The account's host, which takes login tokens of this kind. It knows no channels.
    Control(TokenKind),
    /// The ingest host, which takes scoped tokens.
    Ingest,
}

impl Dialect for SnowflakeDialect {
    fn authorize(&self, token: &Secret) -> Result<HeaderMap, Failure> {
        let kind = match self {
            SnowflakeDialect::Control(kind) => *kind,
            SnowflakeDialect::Ingest => TokenKind::OAuth,
        };
        let mut headers = bearer(token)?;
        headers.insert(TOKEN_TYPE, HeaderValue::from_static(kind.header()));
        Ok(headers)
    }

    /// The service recognises a retry by its `requestId` and applies it once.
    fn label(&self, request_id: Uuid, sent: u32) -> Option<String> {
        Some(format!("requestId={request_id}&retryCount={sent}"))
    }

    fn refuses_token(&self, status: u16, code: &str) -> bool {
        match status {
            // The ingest host has moved: a new token comes with the new host.
            410 => matches!(self, SnowflakeDialect::Ingest),
            403 => is_about_login(code),
            _ => false,
        }
    }

    fn is_final(&self, response: &Response) -> bool {
        // 513 comes from a host without an account. STALE_PIPE_CACHE, STALE_CONTINUATION_TOKEN_SEQUENCER and codes of a
        // channel that is lost come with different statuses; a retry cannot make the request fresh.
        let problem = Problem::of(response);
        let code = problem.code();
        let is_lost = by_code(code).is_some_and(|(kind, _)| kind == ErrorKind::Channel);
        response.status == 513 || is_lost || code.starts_with("STALE_")
    }

    /// The service may respond with 200 and a `status_code` other than 0.
    fn hidden_failure(&self, response: &Response) -> Option<Error> {
        #[derive(serde::Deserialize)]
        struct Body {
            status_code: i64,
        }
        let body: Body = serde_json::from_slice(&response.body).ok()?;
        if body.status_code == 0 {
            return None;
        }
        let message = Problem::of(response).shown_message(response).unwrap_or_default();
        let reason = format!("the service reported failure {} inside a success: {message}", body.status_code);
        let (kind, advice) = match self {
            SnowflakeDialect::Control(_) => (ErrorKind::Refused, "check the account URL and the role"),
            SnowflakeDialect::Ingest => (ErrorKind::Channel, REOPEN),
        };
        Some(Error::new(kind, reason).with_status(response.status).advise(advice))
    }

    /// The code decides; without one that is known, the status.
    fn meaning(&self, status: u16, code: &str) -> (ErrorKind, &'static str) {
        let by_code = by_code(code);
        match self {
            // Before the login there is no channel that could be reopened.
            SnowflakeDialect::Control(_) => {
                by_code.filter(|(kind, _)| *kind != ErrorKind::Channel).unwrap_or_else(|| by_control_status(status))
            }
            SnowflakeDialect::Ingest => by_code.unwrap_or_else(|| by_ingest_status(status)),
        }
    }

    /// It reports its errors as JSON, and names in a header the server that it went through.
    fn is_own(&self, response: &Response, problem: &Problem) -> bool {
        let mut names = response.headers.keys();
        problem.is_of_an_api() || names.any(|name| name.as_str().starts_with("x-snowflake-"))
    }

    fn stranger_advice(&self) -> &'static str {
        match self {
            SnowflakeDialect::Control(_) => {
                "check the account URL, and whether a proxy or a gateway responds in place of the service"
            }
            SnowflakeDialect::Ingest => {
                "check whether a proxy or a gateway responds in place of the service, and the role and its grants"
            }
        }
    }

    fn unreachable_advice(&self) -> &'static str {
        "check the network and the account URL"
    }
}

fn by_code(code: &str) -> Option<(ErrorKind, &'static str)> {
    Some(match code {
        "STALE_CONTINUATION_TOKEN_SEQUENCER" => {
            (ErrorKind::Channel, "another writer opened the channel or a response was lost; reopen it and resume")
        }
        "STALE_PIPE_CACHE" => (ErrorKind::Channel, REOPEN),
        "ERR_CHANNEL_HAS_UNCOMMITTED_DATA" => {
            (ErrorKind::Channel, "wait until the rows sent before are committed, or discard them on purpose")
        }
        "ERR_PIPE_IN_INVALID_STATE" => (ErrorKind::Refused, "look at the pipe with SYSTEM$PIPE_STATUS"),
        "ERR_PIPE_KIND_NOT_SUPPORTED" => (ErrorKind::Refused, "use a streaming pipe, such as <TABLE>-STREAMING"),
        code if code.starts_with("ERR_CHANNEL_") => (ErrorKind::Channel, REOPEN),
        code if ["ERR_PIPE_", "ERR_TABLE_", "ERR_DATABASE_", "ERR_SCHEMA_"].iter().any(|o| code.starts_with(o)) => {
            (ErrorKind::Refused, "check the names of database, schema, table and pipe, and the grants of the role")
        }
        "394302" | "394303" => (ErrorKind::Clock, "set this machine's clock by NTP"),
        "394400" => (ErrorKind::Credentials, ""),
        code if is_about_login(code) => (ErrorKind::Credentials, ""),
        _ => return None,
    })
}

/// A JWT or an OAuth token is invalid or has expired, and so has a token that came from one.
fn is_about_login(code: &str) -> bool {
    let is_session_over = ["390110", "390111", "390112", "390113", "390114", "390115", "390195"].contains(&code);
    is_session_over || code == "390144" || code.starts_with("3903") || code.starts_with("3943")
}

fn by_control_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        // The service itself never redirects.
        300..400 => (ErrorKind::Refused, ACCOUNT_URL),
        // The service knows no such account (513), or the server there is another.
        404 | 501 | 505 | 513 => (ErrorKind::Refused, "check the account URL"),
        409 => (ErrorKind::Refused, "check the account URL and the role"),
        410 => (ErrorKind::Unavailable, "check the account URL; try again later"),
        _ => by_status(status),
    }
}

fn by_ingest_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        300..400 => (ErrorKind::Protocol, ACCOUNT_URL),
        404 => (ErrorKind::Refused, "check the account URL and the names of database, schema, table and pipe"),
        409 => (ErrorKind::Channel, REOPEN),
        410 => (ErrorKind::Channel, "the pipe has moved to another host; reopen the channel"),
        413 => (ErrorKind::Refused, "append fewer rows at once"),
        429 => (ErrorKind::Throttled, "append less often, with more rows at once"),
        _ => by_status(status),
    }
}

const REOPEN: &str = "reopen the channel and resume after its committed offset";
const ACCOUNT_URL: &str = "check the account URL: credentials are sent to no other host";

const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: SnowflakeDialect = SnowflakeDialect::Control(TokenKind::KeyPairJwt);
    const INGEST: SnowflakeDialect = SnowflakeDialect::Ingest;

    fn kind(dialect: SnowflakeDialect, status: u16, code: &str) -> ErrorKind {
        dialect.meaning(status, code).0
    }

    fn response(status: u16, body: &str) -> Response {
        Response::new(status, HeaderMap::new(), body.into())
    }

    #[test]
    fn each_host_gets_the_kind_of_its_tokens() {
        for (dialect, expected) in [
            (CONTROL, "KEYPAIR_JWT"),
            (SnowflakeDialect::Control(TokenKind::OAuth), "OAUTH"),
            (SnowflakeDialect::Control(TokenKind::ProgrammaticAccessToken), "PROGRAMMATIC_ACCESS_TOKEN"),
            (INGEST, "OAUTH"),
        ] {
            let headers = dialect.authorize(&"token".into()).unwrap();
            assert_eq!(headers["x-snowflake-authorization-token-type"], expected);
            assert_eq!(headers["authorization"], "Bearer token");
            assert!(headers["authorization"].is_sensitive());
        }
    }

    #[test]
    fn a_token_that_a_header_cannot_carry_is_not_sent() {
        for token in ["t\u{f6}ken", "\u{feff}token", "to\nken"] {
            let failure = CONTROL.authorize(&token.into()).unwrap_err();
            assert_eq!(failure.stage, crate::http::Stage::Misconfigured, "{token:?}");
        }
    }

    #[test]
    fn a_retry_has_the_same_id_and_the_next_count() {
        let id = Uuid::new_v4();
        assert_eq!(INGEST.label(id, 0), Some(format!("requestId={id}&retryCount=0")));
        assert_eq!(CONTROL.label(id, 3), Some(format!("requestId={id}&retryCount=3")));
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for status in [400, 404, 409, 500] {
            assert_eq!(kind(INGEST, status, "STALE_CONTINUATION_TOKEN_SEQUENCER"), ErrorKind::Channel);
            assert_eq!(kind(INGEST, status, "ERR_CHANNEL_MUST_BE_REOPENED"), ErrorKind::Channel);
            for dialect in [CONTROL, INGEST] {
                assert_eq!(kind(dialect, status, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"), ErrorKind::Refused);
            }
        }
        for dialect in [CONTROL, INGEST] {
            assert_eq!(kind(dialect, 401, "390144"), ErrorKind::Credentials);
            assert_eq!(kind(dialect, 401, "394302"), ErrorKind::Clock);
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, control, ingest) in [
            (302, ErrorKind::Refused, ErrorKind::Protocol),
            (400, ErrorKind::Refused, ErrorKind::Refused),
            (401, ErrorKind::Credentials, ErrorKind::Credentials),
            (403, ErrorKind::Credentials, ErrorKind::Credentials),
            (404, ErrorKind::Refused, ErrorKind::Refused),
            (408, ErrorKind::Unavailable, ErrorKind::Unavailable),
            (409, ErrorKind::Refused, ErrorKind::Channel),
            (410, ErrorKind::Unavailable, ErrorKind::Channel),
            (413, ErrorKind::Refused, ErrorKind::Refused),
            (429, ErrorKind::Throttled, ErrorKind::Throttled),
            (500, ErrorKind::Unavailable, ErrorKind::Unavailable),
            (501, ErrorKind::Refused, ErrorKind::Refused),
            (505, ErrorKind::Refused, ErrorKind::Refused),
            (513, ErrorKind::Refused, ErrorKind::Unavailable),
        ] {
            assert_eq!((kind(CONTROL, status, ""), kind(INGEST, status, "")), (control, ingest), "{status}");
        }
    }

    #[test]
    fn nothing_about_a_login_is_about_a_channel() {
        for code in ["", "STALE_PIPE_CACHE", "STALE_CONTINUATION_TOKEN_SEQUENCER", "ERR_CHANNEL_MUST_BE_REOPENED"] {
            for status in 300..600 {
                assert_ne!(kind(CONTROL, status, code), ErrorKind::Channel, "{status} {code}");
            }
        }
    }

    #[test]
    fn a_failure_inside_a_success_is_an_error() {
        for message in [r#""m""#, "null", "7", r#"{"text":"m"}"#] {
            let response = response(200, &format!(r#"{{"status_code":5,"message":{message}}}"#));
            assert_eq!(INGEST.hidden_failure(&response).unwrap().kind(), ErrorKind::Channel, "{message}");
            assert_eq!(CONTROL.hidden_failure(&response).unwrap().kind(), ErrorKind::Refused, "{message}");
        }
        for success in [r#"{"status_code":0,"message":null}"#, "bare text", "{}", ""] {
            assert!(INGEST.hidden_failure(&response(200, success)).is_none(), "{success}");
        }
    }

    #[test]
    fn a_moved_ingest_host_needs_a_new_token_and_a_moved_account_does_not() {
        assert!(INGEST.refuses_token(410, ""));
        assert!(!CONTROL.refuses_token(410, ""));
    }

    #[test]
    fn a_403_with_a_code_about_the_token_refuses_it() {
        for code in ["390318", "390144", "394303"] {
            assert!(INGEST.refuses_token(403, code) && CONTROL.refuses_token(403, code), "{code}");
            assert!(!INGEST.refuses_token(400, code), "{code}");
        }
        assert!(!INGEST.refuses_token(403, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"));
    }

    #[test]
    fn what_only_reopening_mends_and_an_unknown_host_are_final() {
        for (status, body) in
            [(500, r#"{"code":"STALE_PIPE_CACHE"}"#), (503, r#""STALE_CONTINUATION_TOKEN_SEQUENCER""#), (513, "")]
        {
            assert!(INGEST.is_final(&response(status, body)), "{status} {body}");
        }
        for body in [
            r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#,
            r#"{"error_code":"ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"}"#,
            r#""ERR_CHANNEL_NO_LONGER_EXISTS""#,
        ] {
            assert!(INGEST.is_final(&response(503, body)), "{body}");
        }
        for body in [
            r#"{"code":"ERR_GENERAL_EXCEPTION_RETRY_REQUEST"}"#,
            r#"{"code":"ERR_PIPE_IN_INVALID_STATE"}"#,
            r#"{"message":"ERR_CHANNEL_MUST_BE_REOPENED"}"#,
            "",
        ] {
            assert!(!INGEST.is_final(&response(503, body)), "{body}");
        }
    }
}
