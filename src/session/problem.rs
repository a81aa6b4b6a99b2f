//! What a refusing response says, and the one function in which a status code becomes an error.

use serde_json::Value;

use crate::error::{Error, ErrorKind, clean};
use crate::http::{Failure, Outcome, Replay, Request, Response, Stage};

/// The service's own words, out of any of the shapes in which it and the proxies before it speak.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

impl Problem {
    pub(crate) fn of(response: &Response) -> Problem {
        match serde_json::from_slice(&response.body) {
            Ok(Value::Object(fields)) => Problem {
                code: ["code", "error_code", "error", "status_code"].iter().find_map(|name| code(fields.get(*name)?)),
                message: ["message", "error_description", "error"].iter().find_map(|name| message(fields.get(*name)?)),
            },
            Ok(Value::String(code)) => Problem { code: Some(clean(&code)), message: None },
            _ => Problem { code: None, message: plain(&response.body) },
        }
    }
}

/// Success, or the error that tells what is known.
pub(crate) fn settle(request: &Request<'_>, outcome: Outcome) -> Result<Response, Error> {
    let Outcome { result, sent, in_doubt, retry_after } = outcome;
    let error = match result {
        Ok(response) if response.is_success() => match hidden_failure(&response) {
            None => return Ok(response),
            Some(error) => error,
        },
        Ok(response) => refused(&response).with_retry_after(retry_after),
        Err(failure) => unanswered(&failure),
    };
    let error = error.with_attempts(sent);
    let lost = in_doubt
        && match request.replay {
            Replay::Safe => false,
            // Reopening the channel tells the truth.
            Replay::Tracked => error.kind() != ErrorKind::Channel,
            Replay::Untraceable => true,
        };
    let error = if lost { unconfirmed(error.to_string(), request).with_attempts(sent) } else { error };
    Err(error.with_request_id(request.request_id.to_string()).attempting(&*request.attempted))
}

/// Said instead of any other reason once a request may have been applied.
pub(crate) fn unconfirmed(reason: String, request: &Request<'_>) -> Error {
    Error::new(ErrorKind::Unconfirmed, format!("it was sent and may have been applied, but nobody said so: {reason}"))
        .advise("find out what has landed before sending it again")
        .attempting(&*request.attempted)
}

/// The service may response 200 and mean failure.
fn hidden_failure(response: &Response) -> Option<Error> {
    #[derive(serde::Deserialize)]
    struct Body {
        status_code: i64,
        // Text or not, it must not hide the failure.
        #[serde(default)]
        message: Value,
    }
    let body: Body = serde_json::from_slice(&response.body).ok()?;
    if body.status_code == 0 {
        return None;
    }
    let said = message(&body.message).unwrap_or_default();
    let happened = format!("the service reported failure {} inside a success: {said}", body.status_code);
    Some(Error::new(ErrorKind::Channel, happened).with_status(response.status).advise(REOPEN))
}

fn refused(response: &Response) -> Error {
    let problem = Problem::of(response);
    let (kind, advice) = classify(response.status, problem.code.as_deref());
    let happened = match (&problem.message, response.status) {
        (_, 300..400) => "the service answered with a redirect, which is never followed".to_string(),
        (Some(message), _) => message.clone(),
        (None, _) => "the service refused".to_string(),
    };
    let error = Error::new(kind, happened).with_status(response.status).with_code(problem.code);
    if advice.is_empty() { error } else { error.advise(advice) }
}

fn unanswered(failure: &Failure) -> Error {
    match failure.stage {
        Stage::Refusing => Error::new(ErrorKind::Config, &*failure.happened)
            .advise("check the host name, the trust roots and the proxy; nothing was sent"),
        _ => Error::new(ErrorKind::Unavailable, &*failure.happened).advise("check the network and the account URL"),
    }
}

/// The code decides; where it is none or unknown, the status.
fn classify(status: u16, code: Option<&str>) -> (ErrorKind, &'static str) {
    match code.unwrap_or_default() {
        "STALE_CONTINUATION_TOKEN_SEQUENCER" => {
            (ErrorKind::Channel, "another writer opened the channel or a response was lost; reopen it and resume")
        }
        "STALE_PIPE_CACHE" => (ErrorKind::Channel, REOPEN),
        "ERR_CHANNEL_HAS_UNCOMMITTED_DATA" => {
            (ErrorKind::Channel, "wait until what was sent before is committed, or discard it on purpose")
        }
        "ERR_PIPE_IN_INVALID_STATE" => (ErrorKind::Rejected, "look at the pipe with SYSTEM$PIPE_STATUS"),
        "ERR_PIPE_KIND_NOT_SUPPORTED" => (ErrorKind::Rejected, "use a streaming pipe, such as <TABLE>-STREAMING"),
        code if code.starts_with("ERR_CHANNEL_") => (ErrorKind::Channel, REOPEN),
        code if ["ERR_PIPE_", "ERR_TABLE_", "ERR_DATABASE_", "ERR_SCHEMA_"].iter().any(|o| code.starts_with(o)) => {
            (ErrorKind::Rejected, "check the names of database, schema, table and pipe, and the grants of the role")
        }
        "394302" | "394303" => (ErrorKind::Clock, "set the clock of this machine by NTP"),
        code if code.starts_with("3943") || code.starts_with("3903") || code == "390144" || code == "394400" => {
            (ErrorKind::Credentials, "")
        }
        _ => by_status(status),
    }
}

fn by_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        300..400 => (ErrorKind::Protocol, "check the account URL: credentials go to no other place than that"),
        401 | 403 => (ErrorKind::Credentials, ""),
        404 => (ErrorKind::Rejected, "check the account URL and the names of database, schema, table and pipe"),
        409 => (ErrorKind::Channel, REOPEN),
        410 => (ErrorKind::Channel, "the pipe has moved to another host; reopen the channel"),
        413 => (ErrorKind::Rejected, "append fewer rows at once"),
        429 => (ErrorKind::Throttled, "append less often, with more rows at once"),
        408 | 499 | 500..600 => (ErrorKind::Unavailable, "try again later"),
        400..500 => (ErrorKind::Rejected, "correct the request; repeating it will not help"),
        _ => (ErrorKind::Protocol, "report this response"),
    }
}

/// Codes are strings by the documentation, numbers by the platform, and sometimes nested.
fn code(value: &Value) -> Option<String> {
    match value {
        Value::String(code) if !code.is_empty() => Some(clean(code)),
        Value::Number(code) => Some(code.to_string()),
        Value::Object(fields) => code(fields.get("code")?),
        _ => None,
    }
}

fn message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(clean(text)),
        Value::Object(fields) => message(fields.get("message")?),
        _ => None,
    }
}

fn plain(body: &[u8]) -> Option<String> {
    let text = clean(&String::from_utf8_lossy(&body[..body.len().min(4096)]));
    (!text.is_empty()).then_some(text)
}

const REOPEN: &str = "reopen the channel and resume after its committed offset";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::{HeaderMap, Method};

    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response::new(status, HeaderMap::new(), body.into())
    }

    fn error(replay: Replay, result: Result<Response, Failure>, in_doubt: bool) -> Error {
        let request = Request::new(Method::POST, "/", "append to channel c").replay(replay);
        settle(&request, Outcome { result, sent: 3, in_doubt, retry_after: Some(Duration::from_secs(7)) }).unwrap_err()
    }

    fn kind(status: u16, body: &str) -> ErrorKind {
        error(Replay::Safe, Ok(response(status, body)), false).kind()
    }

    #[test]
    fn every_shape_of_a_problem_is_understood() {
        for (body, code, message) in [
            (r#"{"code":"STALE_X","message":"m"}"#, Some("STALE_X"), Some("m")),
            (r#"{"error_code":"ERR_X","message":"m"}"#, Some("ERR_X"), Some("m")),
            (r#"{"error":"ERR_X","message":"m"}"#, Some("ERR_X"), Some("m")),
            (r#"{"error":"invalid_client","error_description":"d"}"#, Some("invalid_client"), Some("d")),
            (r#"{"error":{"code":"X","message":"m"}}"#, Some("X"), Some("m")),
            (r#""ERR_GENERAL_EXCEPTION_RETRY_REQUEST""#, Some("ERR_GENERAL_EXCEPTION_RETRY_REQUEST"), None),
            (r#"{"status_code":7,"message":"m"}"#, Some("7"), Some("m")),
            (r#"{"code":390144,"message":"m"}"#, Some("390144"), Some("m")),
            (r#"{"code":"390144"}"#, Some("390144"), None),
            ("<h1>Not\nFound</h1>", None, Some("<h1>Not Found</h1>")),
            ("", None, None),
        ] {
            let problem = Problem::of(&response(400, body));
            assert_eq!((problem.code.as_deref(), problem.message.as_deref()), (code, message), "{body}");
        }
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for status in [400, 404, 409, 500] {
            assert_eq!(kind(status, r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#), ErrorKind::Channel);
            assert_eq!(kind(status, r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#), ErrorKind::Rejected);
            assert_eq!(kind(status, r#"{"error_code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#), ErrorKind::Channel);
        }
        assert_eq!(kind(401, r#"{"code":"390144"}"#), ErrorKind::Credentials);
        assert_eq!(kind(401, r#"{"code":"394302"}"#), ErrorKind::Clock);
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, expected) in [
            (302, ErrorKind::Protocol),
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Credentials),
            (403, ErrorKind::Credentials),
            (404, ErrorKind::Rejected),
            (408, ErrorKind::Unavailable),
            (409, ErrorKind::Channel),
            (410, ErrorKind::Channel),
            (413, ErrorKind::Rejected),
            (429, ErrorKind::Throttled),
            (500, ErrorKind::Unavailable),
            (513, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind(status, ""), expected, "{status}");
        }
    }

    #[test]
    fn a_failure_inside_a_success_is_an_error() {
        for message in [r#""m""#, "null", "7", r#"{"text":"m"}"#] {
            let body = format!(r#"{{"status_code":5,"message":{message}}}"#);
            assert_eq!(kind(200, &body), ErrorKind::Channel, "{body}");
        }
        let request = Request::new(Method::POST, "/", "x");
        let outcome = |body| Outcome { result: Ok(response(200, body)), sent: 1, in_doubt: false, retry_after: None };
        assert!(settle(&request, outcome(r#"{"status_code":0,"message":null}"#)).is_ok());
        assert!(settle(&request, outcome("bare text")).is_ok());
    }

    #[test]
    fn a_tracked_request_in_doubt_is_unconfirmed_unless_the_channel_can_tell() {
        let lost = || Err(Failure { stage: Stage::Receiving, happened: "cut".into() });
        assert_eq!(error(Replay::Tracked, lost(), true).kind(), ErrorKind::Unconfirmed);
        assert_eq!(error(Replay::Safe, lost(), true).kind(), ErrorKind::Unavailable);
        assert_eq!(error(Replay::Tracked, Ok(response(503, "")), true).kind(), ErrorKind::Unconfirmed);
        assert_eq!(error(Replay::Tracked, Ok(response(409, "")), true).kind(), ErrorKind::Channel);
        assert_eq!(error(Replay::Untraceable, Ok(response(409, "")), true).kind(), ErrorKind::Unconfirmed);
        let refused = Err(Failure { stage: Stage::Connecting, happened: "refused".into() });
        assert_eq!(error(Replay::Tracked, refused, false).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn an_error_tells_attempts_delay_and_request() {
        let error = error(Replay::Safe, Ok(response(429, r#"{"message":"slow down"}"#)), false);
        assert_eq!((error.attempts(), error.retry_after()), (3, Some(Duration::from_secs(7))));
        assert_eq!(error.request_id().map(str::len), Some(36));
        assert!(error.to_string().starts_with("could not append to channel c: slow down (HTTP 429, 3 attempts"));
    }
}
