//! Other forms of responses. The documentation and what was seen on live accounts differ, so a client should take them
//! all, and a test can switch between them.

use serde::Deserialize;
use serde_json::json;

use crate::http::response::Response;
use crate::refusal::Refusal;

/// The form of a response that is a single word: a host name or a token.
///
/// ```
/// use snowpipe_emulator::{Emulator, WordForm};
///
/// let emulator = Emulator::start()?;
/// emulator.answer_words_as(WordForm::Object);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WordForm {
    /// The bare word, as the service sends it.
    #[default]
    Text,
    /// A JSON object, `{"hostname": …}` or `{"token": …}`, as the reference has it.
    Object,
    /// A JSON string.
    String,
}

/// The form of a refusal.
///
/// ```
/// use snowpipe_emulator::{Emulator, ErrorForm};
///
/// let emulator = Emulator::start()?;
/// emulator.answer_errors_as(ErrorForm::ErrorCode);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorForm {
    /// `{"code": …, "message": …}`, as the reference has it.
    #[default]
    Code,
    /// `{"error_code": …, "message": …}`
    ErrorCode,
    /// `{"error": …, "message": …}`
    Error,
    /// The code alone, as a JSON string.
    String,
    /// `Not Found` and the like, as a proxy sends.
    Text,
    /// No body.
    Empty,
}

/// The forms in use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forms {
    pub(crate) words: WordForm,
    pub(crate) errors: ErrorForm,
}

impl WordForm {
    /// A response of one word. Only the object form has a use for `name`.
    pub(crate) fn response(self, name: &str, word: &str) -> Response {
        match self {
            Self::Text => Response::text(200, word),
            Self::Object => Response::json(200, &json!({ name: word })),
            Self::String => Response::json(200, &json!(word)),
        }
    }
}

impl ErrorForm {
    pub(crate) fn response(self, refusal: &Refusal) -> Response {
        let (status, code, message) = (refusal.status, &refusal.code, &refusal.message);
        let body = match self {
            Self::Code => return Response::refused(refusal),
            Self::ErrorCode => json!({"error_code": code, "message": message}),
            Self::Error => json!({"error": code, "message": message}),
            Self::String => json!(code),
            Self::Text => return Response::status_name(status),
            Self::Empty => return Response::text(status, ""),
        };
        Response::json(status, &body)
    }
}
