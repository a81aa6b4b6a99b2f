use std::sync::Arc;

use super::call::Call;
use super::control;
use super::ocms::clients::ClientState;
use super::ocms::{discovery, grant, registration};
use super::operation::{Operation, Route};
use super::platform::Platform;
use super::rejection::{Outcome, Rejection};
use crate::clock::Clock;
use crate::control::request_log::LoggedRequest;
use crate::http::handler::{Action, Handler};
use crate::http::pauses::Pauses;
use crate::http::request::Request;
use crate::http::response::Response;

/// Takes every request: finds its operation, lets faults happen, and logs what came of it.
#[derive(Debug)]
pub(super) struct Dispatcher {
    platform: Arc<Platform>,
    pauses: Pauses,
}

impl Dispatcher {
    pub(super) fn new(platform: Arc<Platform>) -> Self {
        Self { platform, pauses: Pauses::default() }
    }

    fn respond(&self, route: Route, request: &Request, entry: &mut LoggedRequest) -> Response {
        let outcome = match route {
            _ if request.size.too_long => Err(Rejection::invalid("the body is too long")),
            Route::To(operation, names) => {
                let call = Call::new(request, operation, names, self.platform.clock.unix_ms());
                carry_out(&self.platform, operation, &call)
            }
            Route::OtherMethod if request.method == "DELETE" && request.path.starts_with("/api/v2/") => {
                Err(Rejection::Forbidden("there is no such method at this path".to_owned()))
            }
            Route::OtherMethod | Route::Nowhere => {
                Err(Rejection::Missing(format!("Cannot {} {}", request.method, request.path)))
            }
        };
        outcome.unwrap_or_else(|rejection| {
            entry.refusal = Some(rejection.reason());
            rejection.response()
        })
    }
}

fn carry_out(platform: &Platform, operation: Operation, call: &Call<'_>) -> Outcome {
    let ocms = &platform.ocms;
    platform.access.lock().check(ocms, operation, call)?;
    match operation {
        Operation::Discovery => Ok(discovery::document(ocms)),
        Operation::Jwks => Ok(Response::json(200, &ocms.tokens.jwks())),
        Operation::Token => grant::token(ocms, call),
        Operation::Register => registration::register(ocms, call),
        Operation::AuthorizeClient => registration::change_state(ocms, call, ClientState::Authorized),
        Operation::RevokeClient => registration::change_state(ocms, call, ClientState::Revoked),
        Operation::DeleteClient => registration::delete(ocms, call),
        _ => platform.iam.lock().carry_out(operation, call),
    }
}

impl Handler for Dispatcher {
    fn max_body(&self, _: &Request) -> u64 {
        MAX_BODY
    }

    fn handle(&self, request: Request) -> Action {
        if let Some(action) = request.path.strip_prefix(control::PREFIX) {
            return Action::Respond(control::carry_out(&self.platform, action, &request));
        }
        let mut entry = LoggedRequest::of(&request, self.platform.clock.unix_ms());
        let route = Route::find(&request.method, &request.path);
        let effect = route.operation().and_then(|operation| self.platform.faults.take(operation));
        let respond = || self.respond(route, &request, &mut entry);
        let (action, delay) = match effect {
            Some(effect) => effect.happen(respond),
            None => (Action::Respond(respond()), None),
        };
        entry.status = action.status();
        self.platform.log.push(entry);
        if let Some(wait) = delay {
            self.pauses.wait(wait);
        }
        action
    }

    fn clock(&self) -> &Clock {
        &self.platform.clock
    }

    fn stop(&self) {
        self.pauses.stop();
    }
}

/// Far above what any documented body can hold.
const MAX_BODY: u64 = 4 << 20;
