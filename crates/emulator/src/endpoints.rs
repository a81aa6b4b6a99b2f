//! What each endpoint does. A request comes here from the dispatcher, once its [`Route`] is found.

mod account;
mod authorization;
mod channels;
pub(crate) mod control;
mod files;
pub(crate) mod route;
mod rows;

use serde::de::DeserializeOwned;

use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::{HOST, Service};
use route::{Route, Side};

pub(crate) fn carry_out(service: &Service, route: Route, request: Request) -> Result<Response, Refusal> {
    let now_ms = service.clock.unix_ms();
    check(service, &route, &request, now_ms)?;
    match route {
        Route::Hostname => account::hostname(service, &request, now_ms),
        Route::Token => account::exchange(service, &request, now_ms),
        Route::Telemetry => account::telemetry(service, &request, now_ms),
        Route::Discovery => Ok(authorization::metadata(service)),
        Route::Jwks => Ok(authorization::jwks(service)),
        Route::AccessToken => Ok(authorization::token(service, &request, now_ms)),
        Route::Open { name, spelling } => channels::open(service, &name, &spelling, &request, now_ms),
        Route::Drop(name) => channels::drop(service, &name, &request, now_ms),
        Route::Status(pipe) => channels::status(service, &pipe, &request, now_ms),
        Route::Append(name) => rows::append(service, &name, request, now_ms),
        Route::Elastic(pipe) => rows::append_elastic(service, &pipe, request, now_ms),
        Route::PipeInfo(pipe) => files::pipe_info(service, &pipe, &request, now_ms),
        Route::Upload(path) => Ok(files::upload(service, &path, request)),
        Route::Register(name) => files::register(service, &name, &request, now_ms),
    }
}

/// What all endpoints of a side have in common, in the order in which the service looks at it.
fn check(service: &Service, route: &Route, request: &Request, now_ms: i64) -> Result<(), Refusal> {
    let side = route.side();
    if side == Side::Storage {
        // It refuses everything, also a file that is too long, in the form of S3.
        return Ok(());
    }
    refuse_too_long(request)?;
    if side == Side::AuthorizationServer {
        return Ok(());
    }
    if *route != Route::Telemetry {
        refuse_other_media_types(request)?;
    }
    if side == Side::Account {
        // Each of its endpoints checks the login itself, because the exchange may have it in the form.
        return Ok(());
    }
    service.credentials.check_scoped(request, HOST, now_ms)?;
    check_tracing(request)
}

fn refuse_too_long(request: &Request) -> Result<(), Refusal> {
    if request.size.too_long {
        return Err(Refusal::new(
            413,
            "ERR_REQUEST_TOO_LARGE",
            format!("The body has {} bytes; 4194304 are allowed.", request.size.bytes),
        ));
    }
    Ok(())
}

/// The service demands an `Accept` header that includes JSON, also where it responds with plain text.
fn refuse_other_media_types(request: &Request) -> Result<(), Refusal> {
    let accept = request.header("accept");
    let includes_json = accept.unwrap_or_default().split(',').any(|range| {
        let range = range.split(';').next().unwrap_or(range).trim().to_ascii_lowercase();
        matches!(range.as_str(), "application/json" | "application/*" | "*/*")
    });
    if includes_json {
        return Ok(());
    }
    let given = accept.unwrap_or("null");
    Err(Refusal::new(406, "391902", format!("Unsupported Accept header {given} is specified.")))
}

/// The two parameters that every request to the ingest host may have.
fn check_tracing(request: &Request) -> Result<(), Refusal> {
    let parameters = request.parameters();
    let is_uuid = |id: &str| uuid::Uuid::parse_str(id).is_ok();
    if parameters.get("requestId").is_some_and(|id| !is_uuid(id)) {
        return Err(Refusal::malformed("requestId is not a UUID."));
    }
    let is_number = |count: &str| count.parse::<u32>().is_ok();
    if parameters.get("retryCount").is_some_and(|count| !is_number(count)) {
        return Err(Refusal::malformed("retryCount is not a number."));
    }
    Ok(())
}

/// Reads a JSON body.
fn json_body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    if request.content_type().as_deref() != Some("application/json") {
        return Err(Refusal::new(415, "ERR_UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json."));
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| Refusal::malformed(format!("The body is not understood: {error}.")))
}
