//! The one function in which the status code of a session's response becomes an error.

use super::dialect::Dialect;
use super::problem::Problem;
use crate::error::{Error, ErrorKind};
use crate::http::{Failure, Outcome, Replay, Request, Response};

/// The response if it is a success, otherwise an error with everything that is known. Only a success settles what became of
/// earlier attempts: a failure that one reports in its body may concern the last attempt alone.
pub(super) fn into_result(dialect: &dyn Dialect, request: &Request<'_>, outcome: Outcome) -> Result<Response, Error> {
    let Outcome { result, sent, in_doubt, retry_after } = outcome;
    let error = match result {
        Ok(response) if response.is_success() => match dialect.hidden_failure(&response) {
            None => return Ok(response),
            Some(error) => error,
        },
        Ok(response) => refused(dialect, &response).with_retry_after(retry_after),
        Err(failure) => Failure { follows_doubt: in_doubt, ..failure }.into_error(dialect.unreachable_advice()),
    };
    let is_unconfirmed = in_doubt
        && match request.replay {
            Replay::Safe => false,
            // Reopening the channel shows what was applied, with or without doubt.
            Replay::Tracked => error.kind() != ErrorKind::Channel,
            Replay::Untraceable | Replay::Once => true,
        };
    let error = if is_unconfirmed { error.into_unconfirmed() } else { error };
    let error = match dialect.label(request.request_id, sent) {
        Some(_) => error.with_request_id(request.request_id.to_string()),
        // The service could not find the request by an id that it never saw.
        None => error,
    };
    Err(error.with_attempts(sent).with_doubt(in_doubt).attempting(&*request.attempted))
}

fn refused(dialect: &dyn Dialect, response: &Response) -> Error {
    let problem = Problem::of(response);
    let (is_own, message) = (dialect.is_own(response, &problem), problem.shown_message(response));
    let (kind, advice) = match response.status {
        // By HTTP a 401 is about credentials, whoever sends it; a 403 that says something need not be.
        403 if !is_own && message.is_some() => (ErrorKind::Refused, dialect.stranger_advice()),
        401 | 403 if !is_own => (ErrorKind::Credentials, dialect.stranger_advice()),
        status => dialect.meaning(status, problem.code()),
    };
    let reason = match (message, response.status) {
        (_, 300..400) => format!("{} responded with a redirect, which is never followed", response.route),
        (Some(message), _) if is_own => message,
        (Some(message), _) => {
            format!("the response of {} does not look like the service's: {message}", response.route)
        }
        (None, _) if is_own => "the service refused the request".to_string(),
        (None, _) => format!("{} refused the request without a reason", response.route),
    };
    let error = Error::new(kind, reason).with_status(response.status).with_code(problem.shown_code(response));
    if advice.is_empty() { error } else { error.advise(advice) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::{HeaderMap, Method};
    use uuid::Uuid;

    use super::*;
    use crate::http::Stage;
    use crate::session::by_status;

    /// Labels its requests, calls 409 a matter of the channel, and hides failures in successes.
    #[derive(Debug)]
    struct Own;

    impl Dialect for Own {
        fn label(&self, request_id: Uuid, _sent: u32) -> Option<String> {
            Some(format!("id={request_id}"))
        }

        fn hidden_failure(&self, response: &Response) -> Option<Error> {
            (response.body == b"failed").then(|| Error::new(ErrorKind::Refused, "it failed"))
        }

        fn meaning(&self, status: u16, code: &str) -> (ErrorKind, &'static str) {
            match (status, code) {
                (409, _) | (_, "REOPEN") => (ErrorKind::Channel, "reopen it"),
                _ => by_status(status),
            }
        }
    }

    #[derive(Debug)]
    struct Plain;

    impl Dialect for Plain {}

    fn response(status: u16, body: &str) -> Response {
        Response::new(status, HeaderMap::new(), body.into())
    }

    fn result(dialect: &dyn Dialect, replay: Replay, outcome: Outcome) -> Result<Response, Error> {
        into_result(dialect, &Request::new(Method::POST, "/", "append to channel c").replay(replay), outcome)
    }

    fn outcome(result: Result<Response, Failure>) -> Outcome {
        Outcome { result, sent: 3, in_doubt: false, retry_after: Some(Duration::from_secs(7)) }
    }

    fn kind(dialect: &dyn Dialect, status: u16, body: &str) -> ErrorKind {
        result(dialect, Replay::Safe, outcome(Ok(response(status, body)))).unwrap_err().kind()
    }

    fn kind_in_doubt(replay: Replay, last: Result<Response, Failure>) -> ErrorKind {
        result(&Own, replay, Outcome { in_doubt: true, ..outcome(last) }).unwrap_err().kind()
    }

    #[test]
    fn a_status_means_what_http_says_unless_the_service_says_otherwise() {
        for (status, expected) in [
            (302, ErrorKind::Protocol),
            (400, ErrorKind::Refused),
            (401, ErrorKind::Credentials),
            (403, ErrorKind::Credentials),
            (404, ErrorKind::Refused),
            (408, ErrorKind::Unavailable),
            (409, ErrorKind::Refused),
            (410, ErrorKind::Refused),
            (413, ErrorKind::Refused),
            (429, ErrorKind::Throttled),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind(&Plain, status, ""), expected, "{status}");
        }
        assert_eq!(kind(&Own, 409, ""), ErrorKind::Channel);
        assert_eq!(kind(&Own, 400, r#"{"code":"REOPEN"}"#), ErrorKind::Channel);
    }

    #[test]
    fn a_failure_inside_a_success_is_an_error() {
        assert_eq!(kind(&Own, 200, "failed"), ErrorKind::Refused);
        assert!(result(&Plain, Replay::Safe, outcome(Ok(response(200, "failed")))).is_ok());
    }

    #[test]
    fn a_tracked_request_in_doubt_is_unconfirmed_unless_the_channel_can_tell() {
        let lost = || Err(Failure::new(Stage::Receiving, "cut"));
        assert_eq!(kind_in_doubt(Replay::Tracked, lost()), ErrorKind::Unconfirmed);
        assert_eq!(kind_in_doubt(Replay::Safe, lost()), ErrorKind::Unavailable);
        assert_eq!(kind_in_doubt(Replay::Tracked, Ok(response(503, ""))), ErrorKind::Unconfirmed);
        assert_eq!(kind_in_doubt(Replay::Tracked, Ok(response(409, ""))), ErrorKind::Channel);
        assert_eq!(kind_in_doubt(Replay::Untraceable, Ok(response(409, ""))), ErrorKind::Unconfirmed);
        let refused = outcome(Err(Failure::new(Stage::Connecting, "refused")));
        assert_eq!(result(&Own, Replay::Tracked, refused).unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn of_a_request_that_may_have_been_applied_it_is_not_said_that_nothing_was_sent() {
        for stage in [Stage::Rejected, Stage::Misconfigured] {
            let last = |in_doubt| Outcome { in_doubt, ..outcome(Err(Failure::new(stage, "no").advise("do this"))) };
            let said = |in_doubt| result(&Own, Replay::Untraceable, last(in_doubt)).unwrap_err().to_string();
            assert!(said(false).ends_with("; do this; nothing was sent"), "{}", said(false));
            assert!(!said(true).contains("nothing was sent"), "{}", said(true));
            assert!(said(true).contains("may have been applied"), "{}", said(true));
        }
    }

    #[test]
    fn an_unconfirmed_request_keeps_what_the_last_response_said() {
        let last = Outcome { in_doubt: true, ..outcome(Ok(response(503, r#"{"code":"BUSY","message":"too busy"}"#))) };
        let error = result(&Own, Replay::Tracked, last).unwrap_err();
        assert_eq!((error.status(), error.code(), error.attempts()), (Some(503), Some("BUSY"), 3));
        let id = error.request_id().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "could not append to channel c: the request was sent and may have been applied, but no response confirmed \
                 it: too busy (HTTP 503, BUSY, 3 attempts, retry after 7 s, request {id}); try again later; find out \
                 whether it was applied before sending it again"
            )
        );
    }

    #[test]
    fn an_error_reports_attempts_delay_and_request() {
        let error = result(&Own, Replay::Safe, outcome(Ok(response(429, r#"{"message":"slow down"}"#)))).unwrap_err();
        assert_eq!((error.attempts(), error.retry_after()), (3, Some(Duration::from_secs(7))));
        assert_eq!(error.request_id().map(str::len), Some(36));
        assert!(error.to_string().starts_with("could not append to channel c: slow down (HTTP 429, 3 attempts"));
    }

    #[test]
    fn an_id_that_the_service_never_saw_is_not_reported() {
        let error = result(&Plain, Replay::Safe, outcome(Ok(response(400, "")))).unwrap_err();
        assert_eq!(error.request_id(), None);
    }
}
