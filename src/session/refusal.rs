//! Whether a response refuses the token, as a pure function. specs/authentication.md has the table.

use super::dialect::Dialect;
use super::problem::Problem;
use crate::http::{Outcome, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The service does not accept this token.
    Certain,
    /// Either the token, or a permission that no token would bring.
    Possible,
}

/// One arm for each row of the table.
pub(super) fn refusal(dialect: &dyn Dialect, outcome: &Outcome) -> Option<Refusal> {
    let response = match &outcome.result {
        Ok(response) => response,
        // A server that refuses before it has read the body closes the connection, and its response is lost.
        Err(failure) if failure.stage == Stage::Sending && !failure.timed_out => return Some(Refusal::Certain),
        Err(_) => return None,
    };
    match response.status {
        200..300 => None,
        401 => Some(Refusal::Certain),
        status => {
            let problem = Problem::of(response);
            match status {
                _ if dialect.refuses_token(status, problem.code()) => Some(Refusal::Certain),
                403 => denied(&problem),
                _ => None,
            }
        }
    }
}

/// A 403 says in words whether it is about the token (RFC 6750, section 3.1), or does not say.
fn denied(problem: &Problem) -> Option<Refusal> {
    let text = format!("{} {}", problem.code(), problem.message()).to_ascii_lowercase();
    let is_about_token =
        TOKENS.iter().any(|token| text.contains(token)) && FAULTS.iter().any(|fault| text.contains(fault));
    if problem.code() == "invalid_token" || is_about_token {
        return Some(Refusal::Certain);
    }
    if PERMISSION_WORDS.iter().any(|word| text.contains(word)) {
        return None;
    }
    Some(Refusal::Possible)
}

/// What services call the token of a request: `OAuth access token expired`. Trials, accounts and passwords expire too.
const TOKENS: [&str; 3] = ["access token", "bearer token", "jwt token"];

const FAULTS: [&str; 2] = ["expired", "invalid"];

const PERMISSION_WORDS: [&str; 6] =
    ["insufficient", "permission", "privilege", "not_authorized", "not authorized", "access denied"];

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;
    use crate::http::{Failure, Response};

    /// Refuses tokens with 410 and with 403 and the code 7.
    #[derive(Debug)]
    struct Own;

    impl Dialect for Own {
        fn refuses_token(&self, status: u16, code: &str) -> bool {
            status == 410 || status == 403 && code == "7"
        }
    }

    #[derive(Debug)]
    struct Plain;

    impl Dialect for Plain {}

    fn by(dialect: &dyn Dialect, status: u16, body: &str) -> Option<Refusal> {
        let response = Response::new(status, HeaderMap::new(), body.into());
        refusal(dialect, &Outcome { result: Ok(response), sent: 1, in_doubt: false, retry_after: None })
    }

    fn of(status: u16, body: &str) -> Option<Refusal> {
        by(&Plain, status, body)
    }

    fn after(stage: Stage) -> Option<Refusal> {
        refusal(&Plain, &Outcome { result: Err(Failure::new(stage, "")), sent: 1, in_doubt: true, retry_after: None })
    }

    #[test]
    fn a_401_refuses_the_token() {
        assert_eq!(of(401, ""), Some(Refusal::Certain));
        assert_eq!(of(401, r#"{"code":"390144","message":"JWT token is invalid. [x]"}"#), Some(Refusal::Certain));
    }

    #[test]
    fn a_403_that_names_the_token_refuses_it() {
        for body in [
            r#"{"code":"390318","message":"OAuth access token expired."}"#,
            r#"{"error":"invalid_token"}"#,
            r#"{"message":"OAuth access token expired. [1]"}"#,
            r#"{"message":"Programmatic access token is invalid."}"#,
            r#"{"message":"JWT token is invalid. [1]"}"#,
            r#"{"error":{"message":"The bearer token has expired"}}"#,
        ] {
            assert_eq!(of(403, body), Some(Refusal::Certain), "{body}");
        }
    }

    #[test]
    fn a_403_about_something_else_that_expired_is_not_certainly_about_the_token() {
        for body in [
            r#"{"code":"390913","message":"Your free trial has expired."}"#,
            r#"{"message":"The password of the user has expired."}"#,
            r#"{"message":"session expired"}"#,
            r#"{"message":"The token of your licence is invalid"}"#,
            "<html>Your proxy login has expired</html>",
        ] {
            assert_eq!(of(403, body), Some(Refusal::Possible), "{body}");
        }
    }

    #[test]
    fn a_403_that_names_a_permission_is_not_about_the_token() {
        for body in [
            r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
            r#"{"code":"ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED"}"#,
            r#"{"error":"insufficient_scope"}"#,
            r#"{"error":{"code":"INSUFFICIENT_PERMISSIONS"}}"#,
            r#"{"message":"Insufficient privileges to operate on pipe"}"#,
        ] {
            assert_eq!(of(403, body), None, "{body}");
        }
    }

    #[test]
    fn a_bare_403_may_be_about_the_token() {
        assert_eq!(of(403, ""), Some(Refusal::Possible));
        assert_eq!(of(403, "<html>Forbidden</html>"), Some(Refusal::Possible));
    }

    #[test]
    fn a_service_may_refuse_tokens_in_its_own_way() {
        assert_eq!((of(410, "gone"), by(&Own, 410, "gone")), (None, Some(Refusal::Certain)));
        assert_eq!(
            (of(403, r#"{"code":7}"#), by(&Own, 403, r#"{"code":7}"#)),
            (Some(Refusal::Possible), Some(Refusal::Certain))
        );
        assert_eq!(by(&Own, 403, r#"{"code":7,"message":"no permission"}"#), Some(Refusal::Certain));
    }

    #[test]
    fn a_connection_cut_during_the_upload_may_hide_a_refusal() {
        assert_eq!(after(Stage::Sending), Some(Refusal::Certain));
        assert_eq!(after(Stage::Receiving), None);
        assert_eq!(after(Stage::Connecting), None);
    }

    #[test]
    fn an_upload_that_the_caller_had_no_more_time_for_hides_no_refusal() {
        let outcome =
            Outcome { result: Err(Failure::out_of_time(Stage::Sending)), sent: 1, in_doubt: true, retry_after: None };
        assert_eq!(refusal(&Plain, &outcome), None);
    }

    #[test]
    fn anything_else_is_not_about_the_token() {
        for status in [200, 302, 400, 404, 409, 410, 429, 500, 503] {
            assert_eq!(of(status, r#"{"error":"invalid_token"}"#), None, "{status}");
        }
    }
}
