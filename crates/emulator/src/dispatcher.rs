use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::de::IgnoredAny;

use crate::clock::Clock;
use crate::control::fault::Effect;
use crate::control::request_log::LoggedRequest;
use crate::endpoints::route::Route;
use crate::endpoints::{self, control};
use crate::http::handler::{Action, Handler};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::refusal::Refusal;
use crate::service::Service;

/// Takes every request: finds its endpoint, lets faults happen, and logs what came of it.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    service: Arc<Service>,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Dispatcher {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service, stopping: Mutex::new(false), stopped: Condvar::new() }
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

    /// Waits, but not longer than the server runs.
    fn pause(&self, wait: Duration) {
        // `None` for a time so far away that it cannot be written.
        let end = Instant::now().checked_add(wait);
        let mut stopping = self.stopping.lock();
        while !*stopping {
            let is_over = match end {
                Some(end) => self.stopped.wait_until(&mut stopping, end).timed_out(),
                None => {
                    self.stopped.wait(&mut stopping);
                    false
                }
            };
            if is_over {
                return;
            }
        }
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
        let mut delay = None;
        let action = match effect {
            None => Action::Respond(self.carry_out(route, request, &mut entry)),
            Some(Effect::Status { status, body, headers }) => Action::Respond(scripted(status, &body, &headers)),
            Some(Effect::DropConnection) => Action::Close,
            Some(Effect::LoseReply) => {
                self.carry_out(route, request, &mut entry);
                Action::Close
            }
            Some(Effect::Truncate) => Action::RespondHalf(self.carry_out(route, request, &mut entry)),
            Some(Effect::Delay(wait)) => {
                delay = Some(wait);
                Action::Respond(self.carry_out(route, request, &mut entry))
            }
        };
        entry.status = action.status();
        // Before the delay: the request is carried out, and a test that waits for that looks into the log.
        self.service.log.push(entry);
        if let Some(wait) = delay {
            self.pause(wait);
        }
        action
    }

    fn clock(&self) -> &Clock {
        &self.service.clock
    }

    fn stop(&self) {
        *self.stopping.lock() = true;
        self.stopped.notify_all();
    }
}

/// The response that a fault prescribes.
fn scripted(status: u16, body: &str, headers: &[(String, String)]) -> Response {
    let is_json = serde_json::from_str::<IgnoredAny>(body).is_ok();
    let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    let response = Response::bytes(status, content_type, body.as_bytes().to_vec());
    headers.iter().fold(response, |response, (name, value)| response.with_header(name, value))
}

/// The service's own limit: 4 MiB on the wire.
const MAX_BODY: u64 = 4_194_304;
/// The official SDK uploads files of some tens of megabytes. This bounds what a single one takes in memory.
const MAX_FILE: u64 = 256 << 20;
