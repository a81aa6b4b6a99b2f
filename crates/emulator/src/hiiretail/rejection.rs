//! Why a request is not carried out, in the forms that the IAM documents. OCMS's management uses the same.

use serde_json::json;

use crate::http::response::Response;

/// The documented error responses. The texts of the two bare ones are for the request log only.
#[derive(Debug)]
pub(super) enum Rejection {
    /// 400, with one text for each mistake.
    Invalid(Vec<String>),
    /// 401: what a token endpoint's standards want for a bad token, and what the IAM does not document.
    InvalidToken(String),
    /// 403 without a body.
    Forbidden(String),
    Missing(String),
    Conflict(String),
    /// What the token endpoint refuses, in the form of RFC 6749. The reason is for the log only.
    Oauth {
        status: u16,
        error: &'static str,
        description: &'static str,
        reason: String,
    },
    /// 429 of the token endpoint, which says in its body how many seconds to wait.
    RateLimited {
        retry_after: u64,
    },
}

/// What comes of an operation.
pub(super) type Outcome = Result<Response, Rejection>;

impl Rejection {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(vec![message.into()])
    }

    /// There is no such thing.
    pub(super) fn missing(what: &str, id: &str) -> Self {
        Self::Missing(format!("{what} {id} not found"))
    }

    /// There is such a thing already.
    pub(super) fn taken(what: &str, id: &str) -> Self {
        Self::Conflict(format!("{what} {id} already exists"))
    }

    pub(super) fn response(&self) -> Response {
        let json = |status, error, message| {
            Response::json(status, &json!({"statusCode": status, "message": message, "error": error}))
        };
        match self {
            Self::Invalid(messages) => json(400, "Bad Request", json!(messages)),
            Self::InvalidToken(_) => Response::json(401, &json!({"error": "invalid_token"}))
                .with_header("WWW-Authenticate", "Bearer error=\"invalid_token\""),
            Self::Forbidden(_) => Response::empty(403),
            Self::Missing(message) => json(404, "Not Found", json!(message)),
            Self::Conflict(message) => json(409, "Conflict", json!(message)),
            Self::Oauth { status, error, description, .. } => oauth(*status, error, description),
            Self::RateLimited { retry_after } => {
                Response::json(429, &json!({"error": "rate_limited", "retry_after": retry_after}))
            }
        }
    }

    /// The reason, for the request log.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Invalid(messages) => messages.join("; "),
            Self::InvalidToken(reason) | Self::Forbidden(reason) => reason.clone(),
            Self::Missing(message) | Self::Conflict(message) => message.clone(),
            Self::Oauth { reason, .. } => reason.clone(),
            Self::RateLimited { .. } => "rate limit".to_owned(),
        }
    }
}

fn oauth(status: u16, error: &str, description: &str) -> Response {
    let response = Response::json(status, &json!({"error": error, "error_description": description}))
        .with_header("Cache-Control", "no-store");
    match status {
        401 => response.with_header("WWW-Authenticate", "Basic realm=\"ocms\""),
        _ => response,
    }
}
