//! A server in a list: for tests of what is sent, word for word.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use parking_lot::Mutex;

use crate::clock::FakeClock;
use crate::http::{Call, Failure, Response, RetryPolicy, Sender, Stage, Transport};

/// Answers in their order, and what was sent for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    answers: VecDeque<Result<Response, Failure>>,
    calls: Vec<Sent>,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Script {
    pub(super) fn response(&self, status: u16, body: &str) -> &Script {
        self.answer_with(status, &[], body)
    }

    pub(super) fn answer_with(&self, status: u16, headers: &[(&'static str, &str)], body: &str) -> &Script {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        self.lines.lock().answers.push_back(Ok(Response::new(status, headers, body.into())));
        self
    }

    pub(super) fn lose(&self) -> &Script {
        let failure = Failure { stage: Stage::Receiving, happened: "cut off".into() };
        self.lines.lock().answers.push_back(Err(failure));
        self
    }

    /// Method and URL of everything sent.
    pub(super) fn lines(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.line).collect()
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.lines.lock().calls.clone()
    }

    /// Waits by the clock alone, and gives up after the budget.
    pub(super) fn sender(&self, clock: &Arc<FakeClock>, budget: Duration) -> Sender {
        let policy = RetryPolicy { budget, ..RetryPolicy::default() };
        Sender::new(Box::new(self.clone()), policy, clock.clone(), Arc::default())
    }
}

impl Transport for Script {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let mut lines = self.lines.lock();
        lines.calls.push(Sent {
            line: format!("{} {}", call.method, call.url),
            headers: call.headers.clone(),
            body: String::from_utf8(call.body.unwrap_or_default().to_vec()).unwrap(),
        });
        let nobody = || Err(Failure { stage: Stage::Connecting, happened: "nobody there".into() });
        lines.answers.pop_front().unwrap_or_else(nobody)
    }
}
