//! A transport that returns a list of responses and records what was sent: for tests of literal requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use parking_lot::Mutex;

use super::{Call, Failure, Response, RetryPolicy, Sender, Stage, Transport};
use crate::clock::{Clock, FakeClock, ServerClock};

/// Responses in order; after the last one, every connection fails. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` never comes.
    responses: VecDeque<Option<Result<Response, Failure>>>,
    clock: Option<Arc<FakeClock>>,
    sent: Vec<Sent>,
}

/// A request as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Method and URL.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Script {
    pub(crate) fn respond(&self, status: u16, body: &str) -> &Script {
        self.respond_with(status, &[], body)
    }

    pub(crate) fn respond_with(&self, status: u16, headers: &[(&'static str, &str)], body: &str) -> &Script {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        self.push(Ok(Response::new(status, headers, body.into())))
    }

    /// No response: the attempt takes as long as it may, at most a minute.
    pub(crate) fn hang(&self) -> &Script {
        self.state.lock().responses.push_back(None);
        self
    }

    pub(crate) fn fail(&self, stage: Stage) -> &Script {
        self.push(Err(Failure::new(stage, "cut off")))
    }

    pub(crate) fn fail_with(&self, failure: Failure) -> &Script {
        self.push(Err(failure))
    }

    fn push(&self, response: Result<Response, Failure>) -> &Script {
        self.state.lock().responses.push_back(Some(response));
        self
    }

    /// Method and URL of every request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.line).collect()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.state.lock().sent.clone()
    }

    /// A sender over this transport with the default retries; only the clock moves while it waits.
    pub(crate) fn sender(&self, clock: &Arc<FakeClock>, budget: Duration) -> Sender {
        self.state.lock().clock = Some(clock.clone());
        let policy = RetryPolicy { budget, ..RetryPolicy::default() };
        Sender::new(Box::new(self.clone()), policy, clock.clone(), Arc::new(ServerClock::default()))
    }
}

impl Transport for Script {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let mut state = self.state.lock();
        state.sent.push(Sent {
            line: format!("{} {}", call.method, call.url),
            headers: call.headers.clone(),
            body: String::from_utf8_lossy(call.body.unwrap_or_default()).into_owned(),
        });
        let unreachable = || Err(Failure::new(Stage::Connecting, "connection refused"));
        state.responses.pop_front().unwrap_or_else(|| Some(unreachable())).unwrap_or_else(|| {
            let clock = state.clock.as_ref().unwrap();
            let left = call.deadline.map_or(Duration::MAX, |deadline| deadline.left(clock.now()));
            clock.pass(left.min(Duration::from_secs(60)));
            Err(Failure::new(Stage::Receiving, "no progress in time"))
        })
    }
}
