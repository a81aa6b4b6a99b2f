use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;

use super::retry::{FEW, Next, judge};
use super::{Answer, Call, Failure, Labels, Origin, Request, RetryPolicy, Transport};
use crate::clock::{Clock, Moment, ServerClock};

/// Sends a request until it is answered for good or the budget ends; knows nothing of tokens.
#[derive(Debug)]
pub(crate) struct Sender {
    transport: Box<dyn Transport>,
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
}

/// A request with its destination and the headers that say in whose name.
pub(crate) struct Addressed<'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) origin: &'r Origin,
    pub(crate) authorization: HeaderMap,
    /// How often the request was sent before, under other headers.
    pub(crate) sent: u32,
    pub(crate) deadline: Moment,
}

/// The last exchange, and what the ones before it leave behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Answer, Failure>,
    /// How often the request was sent in all.
    pub(crate) sent: u32,
    /// An exchange that nobody answered for good may have been applied.
    pub(crate) in_doubt: bool,
    /// The delay the server last asked for, when it was too long to wait for.
    pub(crate) retry_after: Option<Duration>,
}

impl Sender {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        policy: RetryPolicy,
        clock: Arc<dyn Clock>,
        server_clock: Arc<ServerClock>,
    ) -> Sender {
        Sender { transport, policy, clock, server_clock }
    }

    /// The moment at which a request begun now is given up.
    pub(crate) fn deadline(&self, request: &Request<'_>) -> Moment {
        let now = self.clock.now();
        now.after(request.patience.map_or(self.policy.budget, |patience| patience.min(self.policy.budget)))
    }

    pub(crate) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// Repeats only the identical request: same body and request id, `retryCount` rising.
    pub(crate) fn send(&self, addressed: &Addressed<'_>) -> Outcome {
        let mut sent = addressed.sent;
        let mut in_doubt = false;
        let mut brief = 0;
        loop {
            let result = self.exchange(addressed, sent);
            sent += 1;
            let verdict = judge(&result);
            let attempted = &addressed.request.attempted;
            log::debug!("{attempted}: request {} try {sent}: {}", addressed.request.request_id, summary(&result));
            // An answer for good settles what went before: the service told what it did with this request id.
            in_doubt = verdict.in_doubt || in_doubt && !settles(&result);
            let hint = match verdict.next {
                Next::Deliver => return Outcome { result, sent, in_doubt, retry_after: None },
                Next::Wait(hint) => hint,
                Next::WaitBriefly => None,
            };
            brief = if verdict.next == Next::WaitBriefly { brief + 1 } else { 0 };
            let repetition = sent - addressed.sent - 1;
            let wait = self.policy.wait(repetition, fastrand::f64()).max(hint.unwrap_or_default());
            if brief == FEW || wait > self.clock.now().until(addressed.deadline) {
                return Outcome { result, sent, in_doubt, retry_after: hint };
            }
            self.clock.sleep(wait);
        }
    }

    fn exchange(&self, addressed: &Addressed<'_>, retry_count: u32) -> Result<Answer, Failure> {
        let Addressed { request, origin, authorization, .. } = addressed;
        let url = url(origin, request, retry_count);
        let mut headers = request.headers.clone();
        headers.extend(authorization.clone());
        let call = Call { method: &request.method, url: &url, headers: &headers, body: request.body };
        let asked = self.clock.now();
        let answer = self.transport.call(&call)?;
        if let Some(date) = answer.date() {
            self.server_clock.observe(date, asked, self.clock.now());
        }
        Ok(answer)
    }
}

fn url(origin: &Origin, request: &Request<'_>, retry_count: u32) -> String {
    let (path, query, id) = (&request.path, &request.query, request.request_id);
    match (request.labels, query.is_empty()) {
        (Labels::InQuery, true) => format!("{origin}{path}?requestId={id}&retryCount={retry_count}"),
        (Labels::InQuery, false) => format!("{origin}{path}?{query}&requestId={id}&retryCount={retry_count}"),
        (Labels::None, true) => format!("{origin}{path}"),
        (Labels::None, false) => format!("{origin}{path}?{query}"),
    }
}

/// Only a success tells what became of the earlier tries: a refusal may concern the repetition alone.
fn settles(result: &Result<Answer, Failure>) -> bool {
    result.as_ref().is_ok_and(Answer::is_success)
}

fn summary(result: &Result<Answer, Failure>) -> String {
    match result {
        Ok(answer) => format!("HTTP {}", answer.status),
        Err(failure) => failure.happened.clone(),
    }
}
