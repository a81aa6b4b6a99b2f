//! Whether a response refuses the token, as a pure function; specs/authentication.md holds the table.

use super::problem::Problem;
use crate::http::{Outcome, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another token will be treated otherwise.
    Certain,
    /// It may be the token, or a permission that no token brings.
    Possible,
}

/// One arm a row of the table.
pub(crate) fn refusal(outcome: &Outcome) -> Option<Refusal> {
    let response = match &outcome.result {
        Ok(response) => response,
        // A server that refuses before it has read the body closes the connection, and its response is lost.
        Err(failure) if failure.stage == Stage::Sending => return Some(Refusal::Certain),
        Err(_) => return None,
    };
    match response.status {
        401 => Some(Refusal::Certain),
        // The ingest host has moved: a new token comes with a new host.
        410 => Some(Refusal::Certain),
        403 => denied(&Problem::of(response)),
        _ => None,
    }
}

fn denied(problem: &Problem) -> Option<Refusal> {
    let code = problem.code.as_deref().unwrap_or_default();
    if code == "invalid_token" || code.starts_with("3903") || code.starts_with("3943") || code == "390144" {
        return Some(Refusal::Certain);
    }
    let text = format!("{code} {}", problem.message.as_deref().unwrap_or_default()).to_ascii_lowercase();
    if text.contains("expired") {
        return Some(Refusal::Certain);
    }
    if PERMISSION_WORDS.iter().any(|word| text.contains(word)) {
        return None;
    }
    Some(Refusal::Possible)
}

const PERMISSION_WORDS: [&str; 6] =
    ["insufficient", "permission", "privilege", "not_authorized", "not authorized", "access denied"];

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;
    use crate::http::{Failure, Response};

    fn of(status: u16, body: &str) -> Option<Refusal> {
        let response = Response::new(status, HeaderMap::new(), body.into());
        refusal(&Outcome { result: Ok(response), sent: 1, in_doubt: false, retry_after: None })
    }

    fn after(stage: Stage) -> Option<Refusal> {
        let failure = Failure { stage, happened: String::new() };
        refusal(&Outcome { result: Err(failure), sent: 1, in_doubt: true, retry_after: None })
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
            r#"{"message":"session expired"}"#,
            r#"{"code":394303}"#,
        ] {
            assert_eq!(of(403, body), Some(Refusal::Certain), "{body}");
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
    fn a_moved_host_needs_a_new_token() {
        assert_eq!(of(410, "gone"), Some(Refusal::Certain));
    }

    #[test]
    fn a_connection_cut_during_the_upload_may_hide_a_refusal() {
        assert_eq!(after(Stage::Sending), Some(Refusal::Certain));
        assert_eq!(after(Stage::Receiving), None);
        assert_eq!(after(Stage::Connecting), None);
    }

    #[test]
    fn anything_else_is_not_about_the_token() {
        for status in [200, 302, 400, 404, 409, 429, 500, 503] {
            assert_eq!(of(status, ""), None, "{status}");
        }
    }
}
