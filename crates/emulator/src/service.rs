//! The service: takes a request, gives a response, writes down both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::control::fault::{Effect, Faults};
use crate::control::forms::Forms;
use crate::control::request_log::{LoggedRequest, RequestLog};
use crate::endpoints;
use crate::endpoints::control;
use crate::endpoints::route::Route;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::identity::credentials::Credentials;
use crate::refusal::Refusal;
use crate::state::batch::Batch;
use crate::state::ledger::{Append, Ledger};
use crate::state::name::{ChannelName, PipeName};
use crate::state::stage::Stage;

/// All that connections share.
#[derive(Debug)]
pub(crate) struct Service {
    /// Where it listens.
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) credentials: Credentials,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    /// A text whose rows do not land.
    pub(crate) rejected: Mutex<Option<Arc<[u8]>>>,
    pub(crate) forms: Mutex<Forms>,
    pub(crate) scratch: Scratch,
    pub(crate) stage: Stage,
    /// Rows are counted only.
    pub(crate) discards_rows: bool,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

/// How a response goes out.
#[derive(Debug)]
pub(crate) enum Delivery {
    Whole(Response),
    Half(Response),
    Nothing,
}

impl Service {
    pub(crate) fn new(
        url: String,
        credentials: Credentials,
        ledger: Ledger,
        stage: Stage,
        discards_rows: bool,
    ) -> Self {
        Self {
            url,
            clock: Clock::default(),
            credentials,
            ledger: Mutex::new(ledger),
            faults: Faults::default(),
            log: RequestLog::default(),
            rejected: Mutex::new(None),
            forms: Mutex::default(),
            scratch: Scratch::default(),
            stage,
            discards_rows,
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    pub(crate) fn respond(&self, request: Request) -> Delivery {
        if let Some(action) = request.path.strip_prefix(control::PREFIX) {
            return Delivery::Whole(control::response(self, action, &request));
        }
        let mut entry = LoggedRequest::of(&request, self.clock.unix_ms());
        let route = Route::find(&request.method, &request.path);
        let fault = match &route {
            Ok(route) => self.faults.take(route.endpoint()),
            Err(_) => None,
        };
        let response = match &fault {
            Some(Effect::DropConnection) => None,
            Some(Effect::Status { status, body, headers }) => Some(scripted(*status, body, headers)),
            _ => Some(self.carry_out(route, request, &mut entry)),
        };
        let answered = !matches!(fault, Some(Effect::DropConnection | Effect::LoseReply));
        entry.status = response.as_ref().filter(|_| answered).map(|response| response.status);
        self.log.push(entry);
        match (fault, response) {
            (Some(Effect::DropConnection | Effect::LoseReply), _) | (_, None) => Delivery::Nothing,
            (Some(Effect::Truncate), Some(response)) => Delivery::Half(response),
            (Some(Effect::Delay(wait)), Some(response)) => {
                self.pause(wait);
                Delivery::Whole(response)
            }
            (_, Some(response)) => Delivery::Whole(response),
        }
    }

    /// Takes the rows of an append, or their number only.
    pub(crate) fn append(&self, name: &ChannelName, mut append: Append, now_ms: i64) -> Result<String, Refusal> {
        if self.discards_rows {
            append.batch.block = None;
        }
        self.ledger.lock().append(name, append, now_ms)
    }

    /// The same without order.
    pub(crate) fn append_elastic(&self, pipe: &PipeName, mut batch: Batch, now_ms: i64) -> Result<(), Refusal> {
        if self.discards_rows {
            batch.block = None;
        }
        self.ledger.lock().append_elastic(pipe, batch, now_ms)
    }

    /// What a request may hold, on the wire.
    pub(crate) fn max_body(&self, request: &Request) -> u64 {
        let is_file = Route::find(&request.method, &request.path).is_ok_and(|route| matches!(route, Route::Upload(_)));
        if is_file { MAX_FILE } else { MAX_BODY }
    }

    /// Ends every pause.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.stopped.notify_all();
    }

    fn carry_out(&self, route: Result<Route, Refusal>, request: Request, entry: &mut LoggedRequest) -> Response {
        let outcome = route.and_then(|route| endpoints::carry_out(self, route, request));
        outcome.unwrap_or_else(|refusal| {
            entry.refusal = Some(match &refusal.detail {
                Some(detail) => format!("{}: {detail}", refusal.code),
                None => refusal.code.clone().into_owned(),
            });
            let form = self.forms.lock().errors;
            form.response(&refusal)
        })
    }

    fn pause(&self, wait: Duration) {
        let end = Instant::now().checked_add(wait);
        let mut stopping = self.stopping.lock();
        while !*stopping {
            let over = match end {
                Some(end) => self.stopped.wait_until(&mut stopping, end).timed_out(),
                None => {
                    self.stopped.wait(&mut stopping);
                    false
                }
            };
            if over {
                return;
            }
        }
    }
}

/// Room for unpacked bodies, used again: fresh memory costs more than unpacking into it.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Scratch {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < MAX_FREE && buffer.capacity() <= MAX_KEPT {
            free.push(buffer);
        }
    }
}

fn scripted(status: u16, body: &str, headers: &[(String, String)]) -> Response {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    headers.iter().fold(Response::bytes(status, kind, body.as_bytes().to_vec()), |response, (name, value)| {
        response.with_header(name, value)
    })
}

/// The service's own limit.
const MAX_BODY: u64 = 4_194_304;
const MAX_FILE: u64 = 256 << 20;
const MAX_FREE: usize = 4;
const MAX_KEPT: usize = 64 << 20;
