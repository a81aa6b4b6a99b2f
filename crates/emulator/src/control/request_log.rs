use parking_lot::Mutex;
use serde::Serialize;

use crate::http::request::Request;

/// A request that reached the service.
///
/// Headers and parameters that carry a credential are left out, and so is the body.
///
/// ```
/// let emulator = snowpipe_emulator::Emulator::start()?;
/// assert!(emulator.requests().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// The method, such as `POST`.
    pub method: String,
    /// The path as it came, percent-encoded.
    pub path: String,
    /// The query as it came, without the question mark; empty when there was none.
    pub query: String,
    /// Names in lower case with their values, in the order they came in.
    #[serde(serialize_with = "as_object")]
    pub headers: Vec<(String, String)>,
    /// The status of the response; `None` when the connection was closed without one.
    pub status: Option<u16>,
    /// Length of the body on the wire.
    pub body_bytes: u64,
    /// When it arrived, in milliseconds since 1970 by the service's clock.
    pub at_ms: i64,
    /// Why it was refused: the code, and details that the response keeps back.
    pub refusal: Option<String>,
}

/// The requests so far, in the order of their responses.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    requests: Mutex<Vec<LoggedRequest>>,
}

impl LoggedRequest {
    pub(crate) fn of(request: &Request, at_ms: i64) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            query: without_secrets(&request.query),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .filter(|(name, _)| !SECRET_HEADERS.contains(&name.as_str()))
                .collect(),
            status: None,
            body_bytes: request.size.bytes,
            at_ms,
            refusal: None,
        }
    }
}

impl RequestLog {
    pub(crate) fn push(&self, request: LoggedRequest) {
        self.requests.lock().push(request);
    }

    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        self.requests.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.requests.lock().clear();
    }
}

fn without_secrets(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| {
        let name = parameter.split('=').next().unwrap_or(parameter);
        !SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    });
    parameters.collect::<Vec<_>>().join("&")
}

fn as_object<S: serde::Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

/// Where Snowflake and S3 expect credentials, and where other clients and proxies usually put theirs.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-amz-security-token", "x-snowflake-spcs-token", "x-api-key"];
/// Failing tests print the log, and CI keeps it, so a secret that a client puts into the query by mistake is left out,
/// too.
const SECRET_PARAMETERS: [&str; 8] = [
    "access_token",
    "assertion",
    "client_secret",
    "password",
    "refresh_token",
    "subject_token",
    "token",
    "x-amz-security-token",
];
