//! Opening, dropping and looking at channels; what a pipe tells of itself.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::endpoints::route::Route;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::state::ledger::Opening;
use crate::state::name::PipeName;

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

pub(crate) fn carry_out(service: &Service, route: &Route, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    match route {
        Route::Open { name, spelling } => {
            let body: OpenBody = optional(request)?;
            let opening = Opening {
                offset_token: body.offset_token,
                fail_on_uncommitted_rows: body.fail_on_uncommitted_rows.unwrap_or(false),
            };
            let mut ledger = service.ledger.lock();
            let opened = ledger.open(name, spelling, opening, now_ms)?;
            Ok(Response::json(200, &opened))
        }
        Route::Drop(name) => {
            let body: DropBody = optional(request)?;
            let guarded = body.fail_on_uncommitted_rows.unwrap_or(false);
            service.ledger.lock().drop_channel(name, guarded, now_ms)?;
            Ok(Response::json(200, &json!({})))
        }
        Route::Status(pipe) => status(service, pipe, &parsed(request)?, now_ms),
        Route::PipeInfo(pipe) => {
            parsed::<Map<String, Value>>(request)?;
            service.ledger.lock().table_of(pipe)?;
            Ok(Response::json(200, &service.stage.describe(now_ms)))
        }
        _ => Err(Refusal::new(404, "ERR_RESOURCE_NOT_FOUND", "Nothing is here.")),
    }
}

fn status(service: &Service, pipe: &PipeName, body: &StatusBody, now_ms: i64) -> Result<Response, Refusal> {
    if body.channel_names.len() > MAX_NAMES {
        return Err(Refusal::new(
            400,
            "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
            format!("At most {MAX_NAMES} channels can be asked for."),
        ));
    }
    let mut ledger = service.ledger.lock();
    let statuses = ledger.status(pipe, &body.channel_names, now_ms)?;
    Ok(Response::json(200, &statuses))
}

fn optional<T: DeserializeOwned + Default>(request: &Request) -> Result<T, Refusal> {
    if request.body.is_empty() {
        return Ok(T::default());
    }
    parsed(request)
}

pub(crate) fn parsed<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    if request.content_type().as_deref() != Some("application/json") {
        return Err(Refusal::new(415, "ERR_UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json."));
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| Refusal::malformed(format!("The body is not understood: {error}.")))
}

/// As many Named Channels as a pipe can have.
const MAX_NAMES: usize = 2_000;
