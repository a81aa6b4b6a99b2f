use std::sync::Arc;

use crate::clock::Clock;
use crate::control::request_log::LoggedRequest;
use crate::endpoints::route::Route;
use crate::endpoints::{self, control};
use crate::http::handler::{Action, Handler};
use crate::http::pauses::Pauses;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;

/// Takes every request: finds its endpoint, lets faults happen, and logs what came of it.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    service: Arc<Service>,
    pauses: Pauses,
}

impl Dispatcher {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service, pauses: Pauses::default() }
    }

    fn carry_out(&self, route: Result<Route, Refusal>, request: Request, entry: &mut LoggedRequest) -> Response {
        let outcome = route.and_then(|route| endpoints::carry_out(&self.service, route, request));
        outcome.unwrap_or_else(|refusal| {
            entry.refusal = Some(match &refusal.detail {
                Some(detail) => format!("{}: {detail}", refusal.code),
                None => refusal.code.to_owned(),
            });
            let form = self.service.forms.lock().errors;
            form.response(&refusal)
        })
    }
}

impl Handler for Dispatcher {
    fn max_body(&self, request: &Request) -> u64 {
        let is_file = Route::find(&request.method, &request.path).is_ok_and(|route| matches!(route, Route::Upload(_)));
        if is_file { MAX_FILE } else { MAX_BODY }
    }

    fn handle(&self, request: Request) -> Action {
        // Neither faults nor the log are for these: they come from the test, not from the client that it tests.
        if let Some(action) = request.path.strip_prefix(control::PREFIX) {
            return Action::Respond(control::carry_out(&self.service, action, &request));
        }
        let mut entry = LoggedRequest::of(&request, self.service.clock.unix_ms());
        let route = Route::find(&request.method, &request.path);
        // Before anything else is checked, so that a fault can hit every request, whatever would become of it.
        let effect = route.as_ref().ok().and_then(|route| self.service.faults.take(route.endpoint()));
        let carry_out = || self.carry_out(route, request, &mut entry);
        let (action, delay) = match effect {
            Some(effect) => effect.happen(carry_out),
            None => (Action::Respond(carry_out()), None),
        };
        entry.status = action.status();
        // Before the delay: the request is carried out, and a test that waits for that looks into the log.
        self.service.log.push(entry);
        if let Some(wait) = delay {
            self.pauses.wait(wait);
        }
        action
    }

    fn clock(&self) -> &Clock {
        &self.service.clock
    }

    fn stop(&self) {
        self.pauses.stop();
    }
}

/// The service's own limit: 4 MiB on the wire.
const MAX_BODY: u64 = 4_194_304;
/// The official SDK uploads files of some tens of megabytes. This bounds what a single one takes in memory.
const MAX_FILE: u64 = 256 << 20;
