//! One function for each endpoint of the ingest host: builds the request and reads the response. Wire structs stay here.

use std::collections::HashMap;
use std::time::Duration;

use ::http::header::CONTENT_ENCODING;
use ::http::{HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::http::{Replay, Request, Response};
use crate::rows::{OffsetToken, Payload};
use crate::session::Session;
use crate::snowflake::status::ChannelStatus;

/// The full name of a pipe, and of its table if it is the table's default pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PipeName {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) pipe: String,
    pub(crate) table: Option<String>,
}

/// The response to an open.
pub(crate) struct Opened {
    pub(crate) continuation: String,
    pub(crate) status: ChannelStatus,
}

/// The response to an append.
pub(crate) struct Appended {
    pub(crate) continuation: String,
    /// Sent with the next append of the same channel, so that it reaches the same server.
    pub(crate) sticky: Option<HeaderValue>,
    /// The service responded with 429 before it accepted the rows.
    pub(crate) was_throttled: bool,
}

pub(crate) fn open_channel(
    session: &Session,
    pipe: &PipeName,
    channel: &str,
    fail_on_uncommitted_rows: bool,
) -> Result<Opened, Error> {
    #[derive(Serialize)]
    struct Body {
        fail_on_uncommitted_rows: bool,
    }
    #[derive(Deserialize)]
    struct Reply {
        next_continuation_token: String,
        #[serde(default)]
        channel_status: ChannelStatus,
    }
    pipe.check()?;
    let attempted = format!("open channel {channel} of pipe {pipe}");
    let body = json(&Body { fail_on_uncommitted_rows })?;
    let path = format!("{}/channels/{}", pipe.path(), encode(channel));
    let request = Request::new(Method::PUT, path, attempted).body(JSON, &body);
    let reply: Reply = read(&session.send(&request)?, &request)?;
    Ok(Opened { continuation: reply.next_continuation_token, status: reply.channel_status })
}

pub(crate) fn append_rows(
    session: &Session,
    pipe: &PipeName,
    channel: &str,
    continuation: &str,
    sticky: Option<&HeaderValue>,
    payload: &Payload,
) -> Result<Appended, Error> {
    #[derive(Deserialize)]
    struct Reply {
        next_continuation_token: String,
    }
    let attempted = format!("append {} rows to channel {channel} of pipe {pipe}", payload.rows);
    let mut query = format!("continuationToken={}", encode(continuation));
    add_offset(&mut query, "startOffsetToken", payload.first.as_ref());
    add_offset(&mut query, "endOffsetToken", payload.last.as_ref());
    let path = format!("{}/channels/{}/rows", pipe.data_path(), encode(channel));
    let mut request = rows_request(path, attempted, payload).query(query);
    if let Some(sticky) = sticky {
        request.headers.insert(SESSION, sticky.clone());
    }
    let response = session.send(&request)?;
    let reply: Reply = read(&response, &request)?;
    session.counters().add_rows(payload.rows, payload.plain_bytes);
    Ok(Appended {
        continuation: reply.next_continuation_token,
        sticky: response.headers.get(SESSION).cloned(),
        was_throttled: response.was_throttled,
    })
}

/// Without offset and continuation tokens: the service forbids them here.
pub(crate) fn append_elastic(session: &Session, pipe: &PipeName, payload: &Payload) -> Result<(), Error> {
    pipe.check()?;
    let path = match &pipe.table {
        Some(table) => format!("{DATA}{}/tables/{}/rows", pipe.schema_path(), encode(table)),
        None => format!("{}/channels/ELASTIC/rows", pipe.data_path()),
    };
    let attempted = format!("append {} rows to pipe {pipe}", payload.rows);
    session.send(&rows_request(path, attempted, payload).replay(Replay::Untraceable))?;
    session.counters().add_rows(payload.rows, payload.plain_bytes);
    Ok(())
}

/// Channels that do not exist are absent from the result. `timeout` limits the retries.
pub(crate) fn channel_statuses(
    session: &Session,
    pipe: &PipeName,
    channels: &[&str],
    timeout: Option<Duration>,
) -> Result<HashMap<String, ChannelStatus>, Error> {
    #[derive(Serialize)]
    struct Body<'b> {
        channel_names: &'b [&'b str],
    }
    #[derive(Deserialize)]
    struct Reply {
        channel_statuses: HashMap<String, ChannelStatus>,
    }
    let attempted = match channels {
        [channel] => format!("ask for the status of channel {channel} of pipe {pipe}"),
        _ => format!("ask for the status of {} channels of pipe {pipe}", channels.len()),
    };
    let body = json(&Body { channel_names: channels })?;
    let path = format!("{}:bulk-channel-status", pipe.path());
    let mut request = Request::new(Method::POST, path, attempted).body(JSON, &body);
    request.timeout = timeout;
    let reply: Reply = read(&session.send(&request)?, &request)?;
    Ok(reply.channel_statuses)
}

/// Deletes the channel and its committed offset.
pub(crate) fn drop_channel(session: &Session, pipe: &PipeName, channel: &str) -> Result<(), Error> {
    let attempted = format!("drop channel {channel} of pipe {pipe}");
    let path = format!("{}/channels/{}", pipe.path(), encode(channel));
    session.send(&Request::new(Method::DELETE, path, attempted))?;
    Ok(())
}

impl PipeName {
    fn check(&self) -> Result<(), Error> {
        let parts = [("database", &self.database), ("schema", &self.schema), ("pipe", &self.pipe)];
        let table = self.table.as_ref().map(|table| ("table", table));
        match parts.into_iter().chain(table).find(|(_, name)| name.trim_matches('"').is_empty()) {
            None => Ok(()),
            Some((part, _)) => Err(Error::new(ErrorKind::Config, format!("the {part} of {self} has no name"))
                .advise("name database, schema and table")),
        }
    }

    fn schema_path(&self) -> String {
        format!("/databases/{}/schemas/{}", encode(&self.database), encode(&self.schema))
    }

    fn path(&self) -> String {
        format!("{STREAMING}{}/pipes/{}", self.schema_path(), encode(&self.pipe))
    }

    fn data_path(&self) -> String {
        format!("{DATA}{}/pipes/{}", self.schema_path(), encode(&self.pipe))
    }
}

impl std::fmt::Display for PipeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.schema, self.pipe)
    }
}

fn rows_request(path: String, attempted: String, payload: &Payload) -> Request<'_> {
    let mut request =
        Request::new(Method::POST, path, attempted).body("application/x-ndjson", &payload.wire).replay(Replay::Tracked);
    if let Some(encoding) = Payload::ENCODING {
        request.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        request.headers.insert(UNCOMPRESSED_LENGTH, payload.plain_bytes.into());
    }
    request
}

fn add_offset(query: &mut String, name: &str, token: Option<&OffsetToken>) {
    let Some(token) = token else { return };
    query.push('&');
    query.push_str(name);
    query.push('=');
    query.extend(utf8_percent_encode(&token.as_str(), RESERVED));
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, RESERVED).to_string()
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body)
        .map_err(|error| Error::new(ErrorKind::Config, "a name cannot be written as JSON").with_source(error))
}

/// A response that cannot be read does not confirm that rows were accepted.
fn read<T: DeserializeOwned>(response: &Response, request: &Request<'_>) -> Result<T, Error> {
    serde_json::from_slice(&response.body).map_err(|error| {
        let error = Error::new(ErrorKind::Protocol, "the response was not understood")
            .with_status(response.status)
            .with_request_id(request.request_id.to_string())
            .with_source(error);
        let error = match request.replay {
            Replay::Safe => error,
            Replay::Tracked | Replay::Untraceable => error.into_unconfirmed(),
        };
        error.attempting(&*request.attempted)
    })
}

const STREAMING: &str = "/v2/streaming";
const DATA: &str = "/v2/streaming/data";
const JSON: &str = "application/json";

/// Everything except the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const SESSION: HeaderName = HeaderName::from_static("x-snowflake-session");
const UNCOMPRESSED_LENGTH: HeaderName = HeaderName::from_static("x-snowflake-uncompressed-content-length");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_segment_by_segment_and_kept_as_given() {
        let pipe = PipeName {
            database: "db".into(),
            schema: "\"My Schema\"".into(),
            pipe: "a/b;c-STREAMING".into(),
            table: None,
        };
        assert_eq!(pipe.path(), "/v2/streaming/databases/db/schemas/%22My%20Schema%22/pipes/a%2Fb%3Bc-STREAMING");
        assert_eq!(encode("é..%"), "%C3%A9..%25");
    }
}
