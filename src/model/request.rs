//! Reads raw requests, without any of the client's own types for them.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::http::Call;

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Ask {
    Open { channel: String, fail_on_uncommitted: bool },
    Append(Append),
    Statuses(Vec<String>),
    Drop { channel: String },
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) channel: String,
    pub(super) continuation: String,
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    pub(super) request_id: String,
    pub(super) rows: Vec<String>,
}

impl Ask {
    /// Or what is wrong with the request.
    pub(super) fn read(call: &Call<'_>) -> Result<Ask, String> {
        let rest = call.url.strip_prefix(ORIGIN).ok_or("another host")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = pairs(query)?;
        let request_id = query.get("requestId").ok_or("no requestId")?.clone();
        let authorization = call.headers.get("authorization").ok_or("no token")?;
        let is_authorized = authorization.to_str().is_ok_and(|value| value.starts_with("Bearer token-"));
        is_authorized.then_some(()).ok_or("no bearer")?;
        match (call.method.as_str(), path.strip_prefix("/v2/streaming").ok_or("another path")?) {
            ("PUT", path) => open(path, call),
            ("DELETE", path) => Ok(Ask::Drop { channel: channel_of(path)? }),
            ("POST", path) if path.ends_with("/rows") => append(path, call, query, request_id),
            ("POST", path) if path.strip_prefix(PIPE) == Some(":bulk-channel-status") => statuses(call),
            (method, path) => Err(format!("{method} {path}")),
        }
    }

    /// Which of several channels it is about; the first for those about many.
    pub(super) fn channel(&self) -> &str {
        match self {
            Ask::Open { channel, .. } | Ask::Append(Append { channel, .. }) | Ask::Drop { channel } => channel,
            Ask::Statuses(names) => names.first().map_or("", String::as_str),
        }
    }
}

fn open(path: &str, call: &Call<'_>) -> Result<Ask, String> {
    let body = json(call)?;
    let fail_on_uncommitted = body["fail_on_uncommitted_rows"].as_bool().unwrap_or(false);
    Ok(Ask::Open { channel: channel_of(path)?, fail_on_uncommitted })
}

fn channel_of(path: &str) -> Result<String, String> {
    decoded(path.strip_prefix(PIPE).and_then(|path| path.strip_prefix("/channels/")).ok_or("no channel in the path")?)
}

fn append(path: &str, call: &Call<'_>, mut query: HashMap<String, String>, request_id: String) -> Result<Ask, String> {
    let channel = path.strip_prefix("/data").and_then(|path| path.strip_prefix(PIPE));
    let channel = channel.and_then(|path| path.strip_prefix("/channels/")?.strip_suffix("/rows"));
    let body = plain(call)?;
    let text = std::str::from_utf8(&body).map_err(|_| "append: the body is no UTF-8")?;
    let text = text.strip_suffix('\n').ok_or("append: the body does not end with a line break")?;
    let rows: Vec<_> = text.split('\n').map(str::to_string).collect();
    match rows.iter().find(|row| !is_object(row)) {
        Some(row) => return Err(format!("append: {row:?} is no object")),
        None if call.headers.get("content-type").is_none_or(|kind| kind != "application/x-ndjson") => {
            return Err("append: content type".into());
        }
        None => {}
    }
    Ok(Ask::Append(Append {
        channel: decoded(channel.ok_or("append: path")?)?,
        continuation: query.remove("continuationToken").ok_or("append: no continuationToken")?,
        start: query.remove("startOffsetToken"),
        end: query.remove("endOffsetToken"),
        request_id,
        rows,
    }))
}

fn is_object(row: &str) -> bool {
    row.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(row).is_ok()
}

fn statuses(call: &Call<'_>) -> Result<Ask, String> {
    let body = json(call)?;
    let names = body["channel_names"].as_array().ok_or("status: no channel_names")?;
    Ok(Ask::Statuses(names.iter().filter_map(|name| name.as_str().map(str::to_string)).collect()))
}

fn json(call: &Call<'_>) -> Result<Value, String> {
    if call.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
        return Err("content type".into());
    }
    serde_json::from_slice(call.body.unwrap_or_default()).map_err(|error| format!("body: {error}"))
}

fn plain<'c>(call: &Call<'c>) -> Result<Cow<'c, [u8]>, String> {
    let body = call.body.ok_or("no body")?;
    match call.headers.get("content-encoding").map(|encoding| encoding.as_bytes()) {
        None => Ok(body.into()),
        Some(b"zstd") => zstd::decode_all(body).map(Cow::Owned).map_err(|error| format!("zstd: {error}")),
        Some(_) => Err("unknown encoding".into()),
    }
}

fn pairs(query: &str) -> Result<HashMap<String, String>, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| Ok((name.to_string(), decoded(value)?))).collect()
}

fn decoded(text: &str) -> Result<String, String> {
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| format!("{text} is not percent-encoded"))
}

pub(super) const ORIGIN: &str = "https://ingest.example";
const PIPE: &str = "/databases/DB/schemas/PUBLIC/pipes/T-STREAMING";
