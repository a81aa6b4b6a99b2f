use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;

use super::retry::{Action, MAX_BRIEF_ATTEMPTS, judge};
use super::{Call, Failure, Labels, Origin, Request, Response, RetryPolicy, Transport};
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
pub(crate) struct AuthorizedRequest<'r> {
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
    pub(crate) result: Result<Response, Failure>,
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
        now.after(request.timeout.map_or(self.policy.budget, |timeout| timeout.min(self.policy.budget)))
    }

    pub(crate) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// Repeats only the identical request: same body and request id, `retryCount` rising.
    pub(crate) fn send(&self, authorized: &AuthorizedRequest<'_>) -> Outcome {
        let mut sent = authorized.sent;
        let mut in_doubt = false;
        let (mut brief, mut was_throttled) = (0, false);
        loop {
            let mut result = self.round_trip(authorized, sent);
            if let Ok(response) = &mut result {
                response.was_throttled = was_throttled;
                was_throttled |= response.status == 429;
            }
            sent += 1;
            let verdict = judge(&result);
            let attempted = &authorized.request.attempted;
            log::debug!("{attempted}: request {} try {sent}: {}", authorized.request.request_id, summary(&result));
            // A response for good settles what went before: the service told what it did with this request id.
            in_doubt = verdict.in_doubt || in_doubt && !settles(&result);
            let hint = match verdict.action {
                Action::Return => return Outcome { result, sent, in_doubt, retry_after: None },
                Action::Retry(hint) => hint,
                Action::RetryBriefly => None,
            };
            brief = if verdict.action == Action::RetryBriefly { brief + 1 } else { 0 };
            let retry = sent - authorized.sent - 1;
            let wait = self.policy.wait(retry, fastrand::f64()).max(hint.unwrap_or_default());
            if brief == MAX_BRIEF_ATTEMPTS || wait > self.clock.now().until(authorized.deadline) {
                return Outcome { result, sent, in_doubt, retry_after: hint };
            }
            self.clock.sleep(wait);
        }
    }

    fn round_trip(&self, authorized: &AuthorizedRequest<'_>, retry_count: u32) -> Result<Response, Failure> {
        let AuthorizedRequest { request, origin, authorization, .. } = authorized;
        let url = url(origin, request, retry_count);
        let mut headers = request.headers.clone();
        headers.extend(authorization.clone());
        let call = Call { method: &request.method, url: &url, headers: &headers, body: request.body };
        let asked = self.clock.now();
        let response = self.transport.call(&call)?;
        if let Some(date) = response.date() {
            self.server_clock.observe(date, asked, self.clock.now());
        }
        Ok(response)
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

/// Only a success tells what became of the earlier tries: a refusal may concern the retry alone.
fn settles(result: &Result<Response, Failure>) -> bool {
    result.as_ref().is_ok_and(Response::is_success)
}

fn summary(result: &Result<Response, Failure>) -> String {
    match result {
        Ok(response) => format!("HTTP {}", response.status),
        Err(failure) => failure.happened.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use ::http::Method;
    use parking_lot::Mutex;

    use super::*;
    use crate::clock::FakeClock;
    use crate::http::Stage;

    /// Answers as told and remembers the URLs.
    #[derive(Debug, Default)]
    struct Script {
        answers: Mutex<VecDeque<Result<Response, Failure>>>,
        urls: Mutex<Vec<String>>,
    }

    impl Transport for Arc<Script> {
        fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
            self.urls.lock().push(call.url.to_string());
            self.answers.lock().pop_front().unwrap_or_else(|| status(200))
        }
    }

    fn status(status: u16) -> Result<Response, Failure> {
        Ok(Response::new(status, HeaderMap::new(), Vec::new()))
    }

    fn with_header(code: u16, name: &'static str, value: &str) -> Result<Response, Failure> {
        let mut response = status(code)?;
        response.headers.insert(name, value.parse().unwrap());
        Ok(response)
    }

    fn failed(stage: Stage) -> Result<Response, Failure> {
        Err(Failure { stage, happened: "x".into() })
    }

    struct Sent {
        outcome: Outcome,
        urls: Vec<String>,
        slept: Vec<Duration>,
        ahead_ms: i64,
    }

    fn send(answers: impl IntoIterator<Item = Result<Response, Failure>>) -> Sent {
        let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), urls: Mutex::default() });
        let (clock, server_clock) = (Arc::new(FakeClock::new()), Arc::new(ServerClock::default()));
        let policy = RetryPolicy::default();
        let sender = Sender::new(Box::new(script.clone()), policy, clock.clone(), server_clock.clone());
        let request = Request::new(Method::POST, "/p", "try").query("a=b".into());
        let origin = Origin::parse("https://h.example:1", "test URL").unwrap();
        let deadline = sender.deadline(&request);
        let authorized = AuthorizedRequest {
            request: &request,
            origin: &origin,
            authorization: HeaderMap::new(),
            sent: 3,
            deadline,
        };
        let outcome = sender.send(&authorized);
        let id = request.request_id.to_string();
        let urls = script.urls.lock().iter().map(|url| url.replace(&id, "ID")).collect();
        Sent { outcome, urls, slept: clock.slept(), ahead_ms: server_clock.ahead_ms() }
    }

    #[test]
    fn a_repetition_has_the_same_id_and_counts_on() {
        let sent = send([status(503), failed(Stage::Connecting), status(200)]);
        let expected = [3, 4, 5].map(|n| format!("https://h.example:1/p?a=b&requestId=ID&retryCount={n}"));
        assert_eq!(sent.urls, expected);
        assert_eq!((sent.outcome.sent, sent.slept.len()), (6, 2));
    }

    #[test]
    fn the_budget_ends_the_tries_and_no_wait_reaches_beyond_it() {
        let sent = send((0..1000).map(|_| status(503)));
        let waited: Duration = sent.slept.iter().sum();
        assert!(waited <= RetryPolicy::default().budget, "{waited:?}");
        assert!(sent.urls.len() > 5);
        assert_eq!(sent.outcome.result.unwrap().status, 503);
        assert!(sent.outcome.in_doubt);
    }

    #[test]
    fn the_delay_that_the_server_asks_for_is_kept_or_told() {
        let sent = send([with_header(429, "retry-after", "40"), status(200)]);
        assert_eq!(sent.slept, [Duration::from_secs(40)]);
        let sent = send([with_header(429, "retry-after", "121"), status(200)]);
        assert_eq!((sent.slept.len(), sent.urls.len()), (0, 1));
        assert_eq!(sent.outcome.retry_after, Some(Duration::from_secs(121)));
    }

    #[test]
    fn a_success_after_throttling_says_so() {
        assert!(send([status(429), status(503), status(200)]).outcome.result.unwrap().was_throttled);
        assert!(!send([status(503), status(200)]).outcome.result.unwrap().was_throttled);
    }

    #[test]
    fn what_has_little_prospect_is_tried_four_times() {
        assert_eq!(send((0..9).map(|_| failed(Stage::Sending))).urls.len(), 4);
        assert_eq!(send((0..9).map(|_| status(404))).urls.len(), 4);
        let interrupted = [status(404), status(404), status(404), status(503), status(404), status(404), status(200)];
        assert_eq!(send(interrupted).outcome.result.unwrap().status, 200, "only tries in a row count");
    }

    #[test]
    fn doubt_remains_until_a_success() {
        assert!(send([failed(Stage::Receiving), status(409)]).outcome.in_doubt);
        assert!(!send([failed(Stage::Receiving), status(200)]).outcome.in_doubt);
        assert!(!send([failed(Stage::Connecting), status(409)]).outcome.in_doubt);
        assert!(!send([failed(Stage::Refusing)]).outcome.in_doubt);
    }

    #[test]
    fn the_clock_of_the_server_is_learned_from_fresh_answers_only() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(send([with_header(200, "date", date)]).ahead_ms < -1_000_000);
        let mut cached = with_header(200, "date", date).unwrap();
        cached.headers.insert("age", "0".parse().unwrap());
        assert_eq!(send([Ok(cached)]).ahead_ms, 0);
    }
}
