//! What a server that repeats its requests sends back.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::server::{Endpoint, Received};

/// What is repeated, where and how.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    pub endpoint: Endpoint,
    pub encoding: Encoding,
    pub place: Place,
}

#[derive(Clone, Copy, Debug)]
pub enum Encoding {
    Plain,
    Base64,
    Base64Url,
    Percent,
}

impl Encoding {
    pub const ALL: [Encoding; 4] = [Encoding::Plain, Encoding::Base64, Encoding::Base64Url, Encoding::Percent];

    fn of(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Plain => String::from_utf8_lossy(bytes).into_owned(),
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Encoding::Percent => {
                utf8_percent_encode(&String::from_utf8_lossy(bytes), NON_ALPHANUMERIC).to_string().replace("%2B", "%2b")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// The message of an error in JSON.
    Message(u16),
    /// Its code.
    Code(u16),
    Page(u16),
    Text(u16),
    /// A failure inside a success.
    Inside,
    /// A success whose fields have other types and values than they should.
    Fields,
    /// The texts of the status of a channel that has lost rows.
    Status,
    /// The code of a channel that cannot be used.
    StatusCode,
    Headers(u16),
}

impl Place {
    pub const ALL: [Place; 15] = [
        Place::Message(400),
        Place::Message(403),
        Place::Message(401),
        Place::Message(500),
        Place::Code(403),
        Place::Code(503),
        Place::Page(403),
        Place::Page(502),
        Place::Text(401),
        Place::Text(500),
        Place::Inside,
        Place::Fields,
        Place::Headers(302),
        Place::Headers(401),
        Place::Headers(200),
    ];

    /// Whether an error shows what the server says there.
    pub fn is_shown(self) -> bool {
        matches!(self, Place::Message(_) | Place::Code(_) | Place::Page(_) | Place::Text(_) | Place::Inside)
    }
}

/// A whole response.
pub fn response(echo: Echo, received: &Received) -> String {
    let text = text(echo.encoding, received);
    let (status, body) = match echo.place {
        Place::Message(status) => {
            (status, json!({"error": "invalid_client", "message": text, "error_description": text}).to_string())
        }
        Place::Code(status) => (status, json!({"code": text, "message": "m"}).to_string()),
        Place::Page(status) => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('+', "&#43;");
            (status, format!("<!DOCTYPE html><title>Error</title><style>p {{}}</style><p>You sent: {text}</p>"))
        }
        Place::Text(status) => (status, text.clone()),
        Place::Inside => (200, json!({"status_code": 7, "message": text}).to_string()),
        Place::Fields => (200, fields(echo.endpoint, &text)),
        Place::Status => (200, statuses(received, "SUCCESS", &text)),
        Place::StatusCode => (200, statuses(received, &text, &text)),
        Place::Headers(status) => return with_headers(status, &text),
    };
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Every header and the body. First a header that is nothing secret, to be found beside the secrets, then the secrets: an
/// error shows the beginning of a text.
fn text(encoding: Encoding, received: &Received) -> String {
    let agent = received.header("user-agent").unwrap();
    let mut lines: Vec<_> = received.head.iter().skip(1).collect();
    lines.sort_by_key(|line| !line.to_lowercase().contains("authorization: "));
    let lines: Vec<_> = lines.into_iter().map(|line| encoding.of(line.as_bytes())).collect();
    let body = encoding.of(&received.body[..received.body.len().min(500)]);
    let (first, rest) = lines.split_first().unwrap();
    match received.header("authorization") {
        Some(_) => format!("{agent} {first} {body} {}", rest.join(" ")),
        None => format!("{agent} {body} {first} {}", rest.join(" ")),
    }
}

fn fields(endpoint: Endpoint, text: &str) -> String {
    let word = text.replace([' ', '/', ':'], ".");
    match endpoint {
        Endpoint::Hostname => json!({ "hostname": word }).to_string(),
        Endpoint::Exchange => json!({ "message": text, "token": {"a": text} }).to_string(),
        Endpoint::Discovery => json!({ "issuer": text, "token_endpoint": text }).to_string(),
        Endpoint::AccessToken => {
            json!({ "access_token": "a", "token_type": text, "expires_in": text, "scope": text }).to_string()
        }
        Endpoint::Status => json!({ "channel_statuses": text }).to_string(),
        Endpoint::Open => json!({ "next_continuation_token": "0_1", "channel_status": text }).to_string(),
        Endpoint::Append | Endpoint::Elastic | Endpoint::Drop => {
            json!({ "next_continuation_token": {"a": text}, "message": text }).to_string() + text
        }
    }
}

/// In the response to an open and in a list.
fn statuses(received: &Received, code: &str, text: &str) -> String {
    let status = json!({
        "channel_name": text,
        "channel_status_code": code,
        "last_committed_offset_token": received.committed,
        "last_error_message": text,
        "last_error_offset_upper_bound": text,
        "rows_error_count": 5,
    });
    let listed: serde_json::Map<_, _> =
        received.channels.iter().cloned().chain([text.to_owned()]).map(|name| (name, status.clone())).collect();
    json!({ "next_continuation_token": "0_1", "channel_status": status, "channel_statuses": listed }).to_string()
}

fn with_headers(status: u16, text: &str) -> String {
    let text: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let names =
        ["Location", "WWW-Authenticate", "Server", "Retry-After", "Content-Type", "Content-Encoding", "X-Request-Id"];
    let headers: String = names.iter().map(|name| format!("{name}: {text}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\n\r\n")
}
