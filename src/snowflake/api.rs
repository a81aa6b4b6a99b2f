//! One function for each endpoint of the ingest host: builds the request and reads the response. Wire structs stay here.

use std::collections::HashMap;
use std::time::Duration;

use ::http::header::CONTENT_ENCODING;
use ::http::{HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::http::{Replay, Request, Response};
use crate::rows::{OffsetToken, Payload};
use crate::session::Session;
use crate::snowflake::pipe_name::encode;
pub(crate) use crate::snowflake::pipe_name::{PipeName, check_channel_name, is_quoted, listed_names, upper_case};
use crate::snowflake::status::ChannelStatus;

/// Of an open or a drop: what it does while rows are still to be committed.
#[derive(Serialize)]
struct ChannelBody {
    fail_on_uncommitted_rows: bool,
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

/// `timeout` limits the retries.
pub(crate) fn open_channel(
    session: &Session,
    pipe: &PipeName,
    channel: &str,
    fail_on_uncommitted_rows: bool,
    timeout: Option<Duration>,
) -> Result<Opened, Error> {
    #[derive(Deserialize)]
    struct Reply {
        next_continuation_token: String,
        channel_status: ChannelStatus,
    }
    pipe.check_channel(channel)?;
    let attempted = format!("open channel {channel} of pipe {pipe}");
    let body = json(&ChannelBody { fail_on_uncommitted_rows })?;
    let path = format!("{STREAMING}{}", pipe.channel_path(channel));
    let mut request = Request::new(Method::PUT, path, attempted).body(JSON, &body);
    request.timeout = timeout;
    let response = session.send(&request)?;
    let reply: Reply = read(&response, &request)?;
    let status =
        reply.channel_status.without(&response.secrets).map_err(|error| error.attempting(&*request.attempted))?;
    // Taken for "nothing is committed", an absent offset would cause every row to be sent again.
    if status.is_usable() && !status.names_committed_offset() {
        return Err(not_understood(&response, &request, "the response does not say which offset is committed"));
    }
    Ok(Opened { continuation: reply.next_continuation_token, status })
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
    let path = format!("{DATA}{}/rows", pipe.channel_path(channel));
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
        None => format!("{DATA}{}/rows", pipe.channel_path("ELASTIC")),
    };
    let attempted = format!("append {} rows to pipe {pipe}", payload.rows);
    let request = rows_request(path, attempted, payload).replay(Replay::Untraceable);
    check_json(&session.send(&request)?, &request)?;
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
        channel_statuses: HashMap<String, Option<ChannelStatus>>,
    }
    channels.iter().try_for_each(|channel| pipe.check_channel(channel))?;
    let attempted = match channels {
        [channel] => format!("ask for the status of channel {channel} of pipe {pipe}"),
        _ => format!("ask for the status of {} channels of pipe {pipe}", channels.len()),
    };
    let body = json(&Body { channel_names: channels })?;
    let path = format!("{STREAMING}{}:bulk-channel-status", pipe.path());
    let mut request = Request::new(Method::POST, path, attempted).body(JSON, &body);
    request.timeout = timeout;
    let response = session.send(&request)?;
    let reply: Reply = read(&response, &request)?;
    let statuses = reply.channel_statuses.into_iter().filter_map(|(name, status)| Some((name, status?)));
    // A name that repeats a secret is not one that was asked for.
    let statuses = statuses.filter(|(name, _)| !response.secrets.is_repeated_in(name));
    let statuses = statuses.map(|(name, status)| Ok((name, status.without(&response.secrets)?)));
    statuses.collect::<Result<_, Error>>().map_err(|error| error.attempting(&*request.attempted))
}

/// Deletes the channel and its committed offset.
pub(crate) fn drop_channel(session: &Session, pipe: &PipeName, channel: &str) -> Result<(), Error> {
    send_drop(session, &drop_request(pipe, channel)?)
}

/// The same, unless rows of another writer are still to be committed.
pub(crate) fn drop_settled_channel(session: &Session, pipe: &PipeName, channel: &str) -> Result<(), Error> {
    let body = json(&ChannelBody { fail_on_uncommitted_rows: true })?;
    send_drop(session, &drop_request(pipe, channel)?.body(JSON, &body))
}

fn drop_request(pipe: &PipeName, channel: &str) -> Result<Request<'static>, Error> {
    pipe.check_channel(channel)?;
    let attempted = format!("drop channel {channel} of pipe {pipe}");
    let path = format!("{STREAMING}{}", pipe.channel_path(channel));
    // Repeated after another client has created the channel again, it would delete that one.
    Ok(Request::new(Method::DELETE, path, attempted).replay(Replay::Untraceable))
}

fn send_drop(session: &Session, request: &Request<'_>) -> Result<(), Error> {
    match session.send(request) {
        Ok(_) => Ok(()),
        // An earlier attempt was in doubt, and the channel is gone.
        Err(error) if error.kind() == ErrorKind::Unconfirmed && is_unknown_channel(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_unknown_channel(error: &Error) -> bool {
    error.status() == Some(404) && error.code().is_some_and(|code| code.starts_with("ERR_CHANNEL_"))
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
    query.push_str(&encode(&token.as_str()));
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body)
        .map_err(|error| Error::new(ErrorKind::Config, "a name cannot be written as JSON").with_source(error))
}

fn read<T: DeserializeOwned>(response: &Response, request: &Request<'_>) -> Result<T, Error> {
    serde_json::from_slice(&response.body).map_err(|error| {
        // It may quote the response.
        let found = response.shown(&error.to_string());
        not_understood(response, request, &format!("the response was not understood: {found}"))
    })
}

/// A success of which nothing has to be read. A page of a proxy is none.
fn check_json(response: &Response, request: &Request<'_>) -> Result<(), Error> {
    if response.body.is_empty() { Ok(()) } else { read::<serde::de::IgnoredAny>(response, request).map(drop) }
}

/// A response that cannot be read does not confirm that rows were accepted.
fn not_understood(response: &Response, request: &Request<'_>, happened: &str) -> Error {
    let error = Error::new(ErrorKind::Protocol, happened)
        .with_status(response.status)
        .with_attempts(response.attempts)
        .with_request_id(request.request_id.to_string());
    let error = match request.replay {
        Replay::Safe => error,
        Replay::Tracked | Replay::Untraceable | Replay::Once => error.into_unconfirmed(),
    };
    error.attempting(&*request.attempted)
}

const STREAMING: &str = "/v2/streaming";
const DATA: &str = "/v2/streaming/data";
const JSON: &str = "application/json";

const SESSION: HeaderName = HeaderName::from_static("x-snowflake-session");
const UNCOMPRESSED_LENGTH: HeaderName = HeaderName::from_static("x-snowflake-uncompressed-content-length");
