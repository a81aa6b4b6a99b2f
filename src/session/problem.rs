//! What an error response says.

use serde_json::Value;

use crate::http::{Response, page};

/// The code and the message in an error response, in any of the shapes in which services and the proxies before them send
/// one. As they were sent: to be compared, never to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Option<String>,
    message: Option<String>,
    is_json: bool,
}

impl Problem {
    pub(crate) fn of(response: &Response) -> Problem {
        match serde_json::from_slice(&response.body) {
            Ok(Value::Object(fields)) => Problem {
                code: ["code", "error_code", "error", "status_code"].iter().find_map(|name| code(fields.get(*name)?)),
                message: ["message", "error_description", "error"].iter().find_map(|name| message(fields.get(*name)?)),
                is_json: true,
            },
            Ok(Value::String(code)) => Problem { code: Some(code), message: None, is_json: true },
            _ => Problem { code: None, message: plain(&response.body), is_json: false },
        }
    }

    /// Empty if there is none.
    pub(crate) fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// Whether it has the form in which an API reports errors. A proxy or a gateway sends a page, a word or nothing.
    pub(crate) fn is_of_an_api(&self) -> bool {
        self.is_json && (self.code.is_some() || self.message.is_some())
    }

    /// Empty if there is none.
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(crate) fn shown_code(&self, response: &Response) -> Option<String> {
        self.code.as_deref().map(|code| response.shown(code))
    }

    pub(crate) fn shown_message(&self, response: &Response) -> Option<String> {
        self.message.as_deref().map(|message| response.shown(message)).filter(|message| !message.is_empty())
    }
}

/// A text, a number, or an object around one of them.
fn code(value: &Value) -> Option<String> {
    match value {
        Value::String(code) if !code.is_empty() => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        Value::Object(fields) => code(fields.get("code")?),
        _ => None,
    }
}

fn message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Object(fields) => message(fields.get("message")?),
        // One for each mistake.
        Value::Array(several) => {
            Some(several.iter().filter_map(message).collect::<Vec<_>>().join("; ")).filter(|joined| !joined.is_empty())
        }
        _ => None,
    }
}

fn plain(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_PLAIN)]);
    let text = page::readable(&text);
    (!text.trim().is_empty()).then(|| text.into_owned())
}

/// Pages have kilobytes of styles before their first word.
const MAX_PLAIN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;

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
            (
                r#"{"message":["a must be short","b is missing"],"error":"Bad"}"#,
                Some("Bad"),
                Some("a must be short; b is missing"),
            ),
            (r#"{"message":[7]}"#, None, None),
            ("<h1>Not\nFound</h1>", None, Some("Not Found")),
            ("Not\nFound", None, Some("Not\nFound")),
            ("", None, None),
        ] {
            let problem = Problem::of(&Response::new(400, HeaderMap::new(), body.into()));
            assert_eq!((problem.code.as_deref(), problem.message.as_deref()), (code, message), "{body}");
        }
    }
}
