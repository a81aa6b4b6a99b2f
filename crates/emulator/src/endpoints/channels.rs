//! Opening and dropping channels, and their status.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::json_body;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::state::ledger::{Opening, Uncommitted};
use crate::state::name::{ChannelName, PipeName};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct OpenBody {
    offset_token: Option<String>,
    fail_on_uncommitted_rows: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DropBody {
    fail_on_uncommitted_rows: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusBody {
    channel_names: Vec<String>,
}

pub(super) fn open(
    service: &Service,
    name: &ChannelName,
    spelling: &str,
    request: &Request,
    now_ms: i64,
) -> Result<Response, Refusal> {
    let body: OpenBody = optional_json_body(request)?;
    let opening = Opening { offset_token: body.offset_token, uncommitted: uncommitted(body.fail_on_uncommitted_rows) };
    let opened = service.ledger.lock().open(name, spelling, opening, now_ms)?;
    Ok(Response::json(200, &opened))
}

pub(super) fn drop(service: &Service, name: &ChannelName, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    let body: DropBody = optional_json_body(request)?;
    service.ledger.lock().drop_channel(name, uncommitted(body.fail_on_uncommitted_rows), now_ms)?;
    Ok(Response::json(200, &json!({})))
}

pub(super) fn status(service: &Service, pipe: &PipeName, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    let body: StatusBody = json_body(request)?;
    if body.channel_names.len() > MAX_NAMES {
        return Err(Refusal::new(
            400,
            "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
            format!("At most {MAX_NAMES} channels can be asked for."),
        ));
    }
    let statuses = service.ledger.lock().status(pipe, &body.channel_names, now_ms)?;
    Ok(Response::json(200, &statuses))
}

fn uncommitted(fail_on_uncommitted_rows: Option<bool>) -> Uncommitted {
    match fail_on_uncommitted_rows {
        Some(true) => Uncommitted::Refuse,
        Some(false) | None => Uncommitted::Discard,
    }
}

fn optional_json_body<T: DeserializeOwned + Default>(request: &Request) -> Result<T, Refusal> {
    if request.body.is_empty() {
        return Ok(T::default());
    }
    json_body(request)
}

/// As many Named Channels as a pipe can have.
const MAX_NAMES: usize = 2_000;
