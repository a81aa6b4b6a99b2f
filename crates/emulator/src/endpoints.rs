//! What each endpoint does, once it is known which one is meant.

mod account;
mod authorization;
mod channels;
pub(crate) mod control;
mod files;
pub(crate) mod route;
mod rows;

use crate::endpoints::route::Route;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;

/// The name of the account host and of the ingest host alike, without the port.
pub(crate) const HOST: &str = "127.0.0.1";

pub(crate) fn carry_out(service: &Service, route: Route, request: Request) -> Result<Response, Refusal> {
    if let Route::Upload(path) = &route {
        return Ok(files::upload(service, path, request));
    }
    refuse_too_long(&request)?;
    match route {
        Route::Discovery => return Ok(authorization::discover(service)),
        Route::Jwks => return Ok(authorization::keys(service)),
        Route::AccessToken => {
            let now_ms = service.clock.unix_ms();
            return Ok(authorization::token(service, &request, now_ms));
        }
        _ => {}
    }
    refuse_other_answers(&route, &request)?;
    let now_ms = service.clock.unix_ms();
    if let Route::Hostname | Route::Token | Route::Telemetry = route {
        return account::carry_out(service, &route, &request, now_ms);
    }
    service.credentials.check_scoped(&request, HOST, now_ms)?;
    check_tracing(&request)?;
    match route {
        Route::Append(name) => rows::append(service, &name, request, now_ms),
        Route::Register(name) => files::register(service, &name, &request, now_ms),
        Route::Elastic(pipe) => rows::append_elastic(service, &pipe, request, now_ms),
        other => channels::carry_out(service, &other, &request, now_ms),
    }
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

/// The service wants to hear which answers are understood before it gives one.
fn refuse_other_answers(route: &Route, request: &Request) -> Result<(), Refusal> {
    let accept = request.header("accept");
    let understood = accept.unwrap_or_default().split(',').any(|range| {
        let range = range.split(';').next().unwrap_or(range).trim().to_ascii_lowercase();
        matches!(range.as_str(), "application/json" | "application/*" | "*/*")
    });
    if understood || *route == Route::Telemetry {
        return Ok(());
    }
    let given = accept.unwrap_or("null");
    Err(Refusal::new(406, "391902", format!("Unsupported Accept header {given} is specified.")))
}

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
