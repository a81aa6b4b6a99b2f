use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use parking_lot::Mutex;

use super::retry::{Action, MAX_BRIEF_ATTEMPTS, UNKNOWN_HOST_PATIENCE, Verdict, judge};
use super::{Call, Failure, Notice, Origin, Replay, Request, Response, RetryPolicy, Route, Stage, Transport};
use crate::clock::{Clock, Deadline, Moment, ServerClock};
use crate::error::one_line;
use crate::stop::Stop;

/// Sends a request until its response is final or the retry budget ends. It knows neither tokens nor services.
#[derive(Debug)]
pub(crate) struct Sender {
    transport: Box<dyn Transport>,
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
    /// Servers that have ever responded, with any status.
    responded: Mutex<HashSet<Origin>>,
}

/// A request with everything that depends on the service and on the token.
pub(crate) struct AuthorizedRequest<'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) origin: &'r Origin,
    pub(crate) authorization: HeaderMap,
    /// Query pairs for an attempt, given how often the request was sent before; `None` adds none.
    pub(crate) label: &'r dyn Fn(u32) -> Option<String>,
    /// Whether a response is final although its status is usually worth a retry.
    pub(crate) is_final: &'r dyn Fn(&Response) -> bool,
    /// How often the request was sent before, with another token.
    pub(crate) sent: u32,
    pub(crate) limits: Limits,
}

/// Until when a request is attempted.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// No retry starts later: the end of the retry budget, or the caller's deadline if that is earlier.
    pub(crate) retries: Deadline,
    /// The caller's, which also cuts off an attempt in progress.
    pub(crate) deadline: Option<Deadline>,
    /// Ends every pause. No attempt starts after it, and one in progress is finished.
    pub(crate) stop: Stop,
}

impl Limits {
    /// Those of a caller that waits until the deadline.
    pub(crate) fn until(deadline: Deadline) -> Limits {
        Limits { retries: deadline, deadline: Some(deadline), stop: Stop::default() }
    }

    /// Half of the time that is left of each.
    pub(crate) fn half(self, now: Moment) -> Limits {
        let half = |deadline: Deadline| now.deadline(deadline.left(now) / 2);
        Limits { retries: half(self.retries), deadline: self.deadline.map(half), stop: self.stop }
    }

    /// With this stop, unless there is one already.
    pub(crate) fn or_stopped_by(self, stop: &Stop) -> Limits {
        Limits { stop: self.stop.or(stop), ..self }
    }

    /// Of a caller with all the time there is.
    #[cfg(test)]
    pub(crate) fn unlimited() -> Limits {
        let retries = crate::clock::SystemClock.now().deadline(Duration::MAX);
        Limits { retries, deadline: None, stop: Stop::default() }
    }

    /// What is left of these inside those of a larger call.
    fn within(self, outer: &Limits) -> Limits {
        let deadline = match (self.deadline, outer.deadline) {
            (Some(own), Some(outer)) => Some(own.min(outer)),
            (own, outer) => own.or(outer),
        };
        Limits { retries: self.retries.min(outer.retries), deadline, stop: self.stop.or(&outer.stop) }
    }
}

/// The result of the last attempt, and what the attempts before it leave behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Response, Failure>,
    /// How often the request was sent in all.
    pub(crate) sent: u32,
    /// An attempt may have been applied although no response says so. A success settles it: what that is, the session knows.
    pub(crate) in_doubt: bool,
    /// The delay that the server asked for last, if the deadline came before it.
    pub(crate) retry_after: Option<Duration>,
}

impl Sender {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        policy: RetryPolicy,
        clock: Arc<dyn Clock>,
        server_clock: Arc<ServerClock>,
    ) -> Sender {
        Sender { transport, policy, clock, server_clock, responded: Mutex::default() }
    }

    /// Those of a request that starts now, inside those that it was given.
    pub(crate) fn limits(&self, request: &Request<'_>) -> Limits {
        let now = self.clock.now();
        let deadline = request.timeout.map(|timeout| now.deadline(timeout));
        let budget = now.deadline(self.policy.budget);
        let retries = deadline.map_or(budget, |deadline| deadline.min(budget));
        let own = Limits { retries, deadline, stop: Stop::default() };
        match &request.within {
            Some(outer) => own.within(outer),
            None => own,
        }
    }

    /// Those of a call without a timeout that starts now.
    pub(crate) fn call_limits(&self) -> Limits {
        Limits { retries: self.clock.now().deadline(self.policy.budget), deadline: None, stop: Stop::default() }
    }

    /// How far the server's clock is ahead of this machine's, as far as its responses show.
    pub(crate) fn clock_ahead_ms(&self) -> i64 {
        self.server_clock.ahead_ms(self.clock.now())
    }

    pub(crate) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// Every retry is the identical request, with the same body and request id.
    pub(crate) fn send(&self, outgoing: &AuthorizedRequest<'_>) -> Outcome {
        let route = self.transport.route(outgoing.origin);
        let notice = Notice::new(outgoing.request, &route, self.clock.now());
        let mut attempts = Attempts::after(outgoing.sent);
        loop {
            if let Some(failure) = self.too_late(&outgoing.limits, &attempts.last) {
                return attempts.ended(Err(failure.on(&route)), None);
            }
            let result = self.round_trip(outgoing, &route, &notice, attempts.sent);
            let (result, action) = attempts.count(result, outgoing, self.clock.now());
            let summary = summary(&result);
            let (attempted, request_id) = (one_line(&outgoing.request.attempted), outgoing.request.request_id);
            log::debug!("{attempted}: request {request_id} attempt {}: {summary}", attempts.sent);
            let hint = match action {
                Action::Return => return attempts.ended(result, None),
                Action::Retry(hint) => hint,
                Action::RetryBriefly | Action::RetryUnlessUnknown => None,
            };
            let retry = attempts.sent - outgoing.sent - 1;
            let wait = self.policy.wait(retry, fastrand::f64()).max(hint.unwrap_or_default());
            let now = self.clock.now();
            let left = self.time_for_retries(outgoing, &attempts).left(now);
            if attempts.brief == MAX_BRIEF_ATTEMPTS || wait >= left || !self.may_repeat(outgoing, &attempts) {
                return attempts.ended(result, hint);
            }
            notice.pausing(retry + 1, &summary, left, now);
            attempts.last = Some(summary);
            self.clock.pause(wait, &outgoing.limits.stop);
        }
    }

    /// Why no attempt starts, given how the last one ended.
    fn too_late(&self, limits: &Limits, last: &Option<String>) -> Option<Failure> {
        if limits.stop.is_stopped() {
            return Some(Failure::stopped(last.as_deref()));
        }
        let is_over = limits.deadline.is_some_and(|deadline| deadline.is_reached(self.clock.now()));
        is_over.then(|| Failure::out_of_time(Stage::Connecting))
    }

    /// No retry starts later: a server that never responded, and whose name does not exist, is not there.
    fn time_for_retries(&self, outgoing: &AuthorizedRequest<'_>, attempts: &Attempts) -> Deadline {
        match attempts.unknown {
            Some(since) if !self.responded.lock().contains(outgoing.origin) => {
                outgoing.limits.retries.min(since.deadline(UNKNOWN_HOST_PATIENCE))
            }
            _ => outgoing.limits.retries,
        }
    }

    /// Another token does not count as a retry.
    fn may_repeat(&self, outgoing: &AuthorizedRequest<'_>, attempts: &Attempts) -> bool {
        let retries = attempts.sent - 1 - u32::from(outgoing.sent > 0);
        let is_once = outgoing.request.replay == Replay::Once;
        !(is_once && attempts.in_doubt) && self.policy.allows(retries)
    }

    fn round_trip(
        &self,
        outgoing: &AuthorizedRequest<'_>,
        route: &Route,
        notice: &Notice<'_>,
        sent: u32,
    ) -> Result<Response, Failure> {
        let Request { method, body, max_response, .. } = outgoing.request;
        let url = outgoing.url(sent);
        let mut headers = outgoing.request.headers.clone();
        headers.extend(outgoing.authorization.clone());
        let deadline = outgoing.limits.deadline;
        let (headers, max_response) = (&headers, *max_response);
        let call = Call { method, url: &url, headers, body: *body, route, max_response, notice, deadline };
        let asked = self.clock.now();
        let response = self.transport.call(&call).map_err(|failure| self.cut_off(failure, deadline).on(route))?;
        self.note_response(outgoing.origin);
        if let Some(date) = response.date() {
            self.server_clock.observe(date, asked, self.clock.now());
        }
        Ok(Response { route: route.clone(), ..response })
    }

    fn note_response(&self, origin: &Origin) {
        let mut responded = self.responded.lock();
        if !responded.contains(origin) {
            responded.insert(origin.clone());
        }
    }

    /// What fails when the caller's time is over failed because of that, whatever the transport says of it.
    fn cut_off(&self, failure: Failure, deadline: Option<Deadline>) -> Failure {
        let is_over = deadline.is_some_and(|deadline| deadline.is_reached(self.clock.now()));
        let may_be_late = matches!(failure.stage, Stage::Connecting | Stage::Sending | Stage::Receiving);
        if is_over && may_be_late { Failure::out_of_time(failure.stage) } else { failure }
    }
}

/// What is known of the attempts of one request so far.
struct Attempts {
    sent: u32,
    in_doubt: bool,
    /// In a row, and unlikely to help.
    brief: u32,
    throttled: bool,
    /// Since when its attempts find no host of the name.
    unknown: Option<Moment>,
    /// How the last one ended, for people.
    last: Option<String>,
}

impl Attempts {
    /// Of a request that was sent so often before, with another token.
    fn after(sent: u32) -> Attempts {
        Attempts { sent, in_doubt: false, brief: 0, throttled: false, unknown: None, last: None }
    }

    /// Counts an attempt that ended now, and says what to do next.
    fn count(
        &mut self,
        mut result: Result<Response, Failure>,
        outgoing: &AuthorizedRequest<'_>,
        now: Moment,
    ) -> (Result<Response, Failure>, Action) {
        self.sent += 1;
        if let Ok(response) = &mut result {
            response.was_throttled = self.throttled;
            response.attempts = self.sent;
            self.throttled |= response.status == 429;
        }
        let Verdict { action, in_doubt } = judge(&result, outgoing.is_final);
        // A refusal may concern the last attempt alone.
        self.in_doubt |= in_doubt;
        self.brief = if action == Action::RetryBriefly { self.brief + 1 } else { 0 };
        self.unknown = (action == Action::RetryUnlessUnknown).then(|| self.unknown.unwrap_or(now));
        (result, action)
    }

    fn ended(self, result: Result<Response, Failure>, retry_after: Option<Duration>) -> Outcome {
        Outcome { result, sent: self.sent, in_doubt: self.in_doubt, retry_after }
    }
}

impl AuthorizedRequest<'_> {
    fn url(&self, sent: u32) -> String {
        let mut url = format!("{}{}", self.origin, self.request.path);
        let label = (self.label)(sent).unwrap_or_default();
        let pairs = [self.request.query.as_str(), &label].into_iter().filter(|pairs| !pairs.is_empty());
        for (pairs, separator) in pairs.zip(['?', '&']) {
            url.push(separator);
            url.push_str(pairs);
        }
        url
    }
}

fn summary(result: &Result<Response, Failure>) -> String {
    match result {
        Ok(response) => format!("HTTP {} from {}", response.status, response.route),
        Err(failure) => failure.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ::http::Method;

    use super::*;
    use crate::clock::FakeClock;
    use crate::http::{Persistence, Script};
    use crate::stop::StopHandle;

    struct Sent {
        outcome: Outcome,
        lines: Vec<String>,
        slept: Vec<Duration>,
        passed: Duration,
        ahead_ms: i64,
    }

    /// Sends a request that was sent three times before.
    fn send(script: &Script) -> Sent {
        send_within(script, None)
    }

    fn send_within(script: &Script, timeout: impl Into<Option<u64>>) -> Sent {
        let request = Request::new(Method::POST, "/p", "try").query("a=b".into());
        let timeout = timeout.into().map(Duration::from_secs);
        send_on(&Arc::new(FakeClock::new()), script, Request { timeout, ..request }, &Stop::default())
    }

    /// A stop comes when so much time has passed.
    fn send_stopped(script: &Script, after: u64) -> Sent {
        let (clock, handle) = (Arc::new(FakeClock::new()), StopHandle::new());
        clock.stop_after(Duration::from_secs(after), &handle);
        clock.pass(Duration::ZERO);
        send_on(&clock, script, Request::new(Method::POST, "/p", "try"), &Stop::by(&handle))
    }

    fn send_on(clock: &Arc<FakeClock>, script: &Script, request: Request<'_>, stop: &Stop) -> Sent {
        let began = clock.now();
        let sender = script.sender(clock, RetryPolicy::default().budget);
        let outcome = sender.send(&AuthorizedRequest {
            request: &request,
            origin: &Origin::parse("https://h.example:1", "test URL").unwrap(),
            authorization: HeaderMap::new(),
            label: &|sent| Some(format!("attempt={sent}")),
            is_final: &|response| response.body == b"final",
            sent: 3,
            limits: sender.limits(&request).or_stopped_by(stop),
        });
        let (slept, passed, ahead_ms) = (clock.slept(), clock.now().since(began), sender.clock_ahead_ms());
        Sent { outcome, lines: script.lines(), slept, passed, ahead_ms }
    }

    /// Responses with these statuses.
    fn statuses(statuses: impl IntoIterator<Item = u16>) -> Script {
        let script = Script::default();
        for status in statuses {
            script.respond(status, "");
        }
        script
    }

    #[test]
    fn each_attempt_is_labelled_with_the_number_of_attempts_before_it() {
        let sent = send(Script::default().respond(503, "").fail(Stage::Connecting).respond(200, ""));
        let expected = [3, 4, 5].map(|n| format!("POST https://h.example:1/p?a=b&attempt={n}"));
        assert_eq!(sent.lines, expected);
        assert_eq!((sent.outcome.sent, sent.slept.len()), (6, 2));
    }

    #[test]
    fn a_url_has_a_query_only_if_there_is_something_in_it() {
        let origin = Origin::parse("https://h.example", "test URL").unwrap();
        let url = |query: &str, label: Option<&str>| {
            let request = Request::new(Method::GET, "/p", "try").query(query.into());
            let outgoing = AuthorizedRequest {
                request: &request,
                origin: &origin,
                authorization: HeaderMap::new(),
                label: &|_| label.map(str::to_owned),
                is_final: &|_| false,
                sent: 0,
                limits: Limits::until(FakeClock::new().now().deadline(Duration::ZERO)),
            };
            outgoing.url(0)
        };
        assert_eq!(url("", None), "https://h.example/p");
        assert_eq!(url("a=b", None), "https://h.example/p?a=b");
        assert_eq!(url("", Some("c=d")), "https://h.example/p?c=d");
        assert_eq!(url("a=b", Some("c=d")), "https://h.example/p?a=b&c=d");
    }

    #[test]
    fn what_the_service_calls_final_is_not_retried() {
        let sent = send(Script::default().respond(503, "final").respond(200, ""));
        assert_eq!((sent.lines.len(), sent.outcome.in_doubt), (1, false));
    }

    #[test]
    fn the_budget_ends_the_attempts_and_no_wait_exceeds_it() {
        let sent = send(&statuses([503; 1000]));
        let waited: Duration = sent.slept.iter().sum();
        assert!(waited <= RetryPolicy::default().budget, "{waited:?}");
        assert!(sent.lines.len() > 5);
        assert_eq!(sent.outcome.result.unwrap().status, 503);
        assert!(sent.outcome.in_doubt);
    }

    #[test]
    fn an_attempt_in_progress_is_cut_off_when_the_callers_time_is_over_and_leaves_doubt() {
        let sent = send_within(Script::default().hang().respond(200, ""), 7);
        let failure = sent.outcome.result.unwrap_err();
        assert_eq!((failure.stage, failure.timed_out), (Stage::Receiving, true));
        assert_eq!((sent.outcome.in_doubt, sent.outcome.sent, sent.passed), (true, 4, Duration::from_secs(7)));
    }

    #[test]
    fn an_attempt_in_progress_is_finished_when_only_the_budget_is_over() {
        let sent = send(Script::default().hang().hang().hang().respond(200, ""));
        assert!(!sent.outcome.result.unwrap_err().timed_out);
        assert!(sent.passed > RetryPolicy::default().budget, "{:?}", sent.passed);
    }

    #[test]
    fn nothing_is_sent_when_the_callers_time_is_over_before() {
        let sent = send_within(Script::default().respond(200, ""), 0);
        assert!(sent.outcome.result.unwrap_err().timed_out);
        assert_eq!((sent.lines.len(), sent.outcome.sent, sent.outcome.in_doubt), (0, 3, false));
    }

    #[test]
    fn after_a_stop_nothing_is_sent() {
        let sent = send_stopped(Script::default().respond(200, ""), 0);
        let failure = sent.outcome.result.unwrap_err();
        assert_eq!((failure.stage, failure.reason.as_str()), (Stage::Stopped, "it was stopped before it was sent"));
        assert_eq!((sent.lines.len(), sent.outcome.sent, sent.outcome.in_doubt), (0, 3, false));
        assert_eq!(sent.passed, Duration::ZERO);
    }

    #[test]
    fn a_stop_ends_the_pause_before_a_retry_and_says_how_the_last_attempt_ended() {
        for (status, in_doubt) in [(503, true), (429, false)] {
            let script = Script::default();
            let sent = send_stopped(script.respond_with(status, &[("retry-after", "100")], "").respond(200, ""), 30);
            let failure = sent.outcome.result.unwrap_err();
            let said = "it was stopped before it was sent again; the last attempt ended with: HTTP";
            assert_eq!(failure.reason, format!("{said} {status} from h.example:1"));
            assert_eq!((sent.lines.len(), sent.outcome.sent, sent.outcome.in_doubt), (1, 4, in_doubt));
            assert!(sent.passed < Duration::from_secs(31), "{:?}", sent.passed);
        }
    }

    #[test]
    fn an_attempt_in_progress_at_a_stop_is_finished_and_not_repeated() {
        let sent = send_stopped(Script::default().hang().respond(200, ""), 30);
        assert_eq!(sent.outcome.result.unwrap_err().stage, Stage::Stopped);
        assert_eq!((sent.lines.len(), sent.outcome.in_doubt, sent.passed), (1, true, Duration::from_secs(60)));
    }

    #[test]
    fn a_request_that_is_part_of_a_call_has_no_more_time_than_the_call() {
        let clock = Arc::new(FakeClock::new());
        let sender = Script::default().sender(&clock, Duration::from_secs(60));
        let end = |seconds| clock.now().deadline(Duration::from_secs(seconds));
        let limits = |timeout: Option<u64>, outer: (u64, Option<u64>)| {
            let outer = Limits { retries: end(outer.0), deadline: outer.1.map(end), stop: Stop::default() };
            let mut request = Request::new(Method::GET, "/p", "try").within(outer);
            request.timeout = timeout.map(Duration::from_secs);
            let Limits { retries, deadline, .. } = sender.limits(&request);
            (retries, deadline)
        };
        assert_eq!(limits(None, (40, None)), (end(40), None));
        assert_eq!(limits(None, (90, None)), (end(60), None), "its own budget is shorter");
        assert_eq!(limits(None, (40, Some(30))), (end(40), Some(end(30))));
        assert_eq!(limits(Some(20), (40, Some(30))), (end(20), Some(end(20))));
        assert_eq!(limits(Some(50), (40, None)), (end(40), Some(end(50))));
        assert_eq!(limits(Some(50), (40, Some(30))), (end(40), Some(end(30))));
    }

    fn unknown_host(script: &Script) {
        script
            .fail_with(Failure::new(Stage::Connecting, "there is no host of this name").worth(Persistence::FewSeconds));
    }

    #[test]
    fn a_name_that_does_not_exist_is_looked_up_for_five_seconds_and_named() {
        let script = Script::default();
        (0..1000).for_each(|_| unknown_host(&script));
        let sent = send(&script);
        assert!(sent.lines.len() > 2 && sent.passed < Duration::from_secs(5), "{:?}", sent.passed);
        assert_eq!(
            sent.outcome.result.unwrap_err().reason,
            "no connection to h.example:1: there is no host of this name"
        );
        assert!(!sent.outcome.in_doubt);
    }

    #[test]
    fn a_name_that_was_there_before_is_looked_up_until_the_budget_ends() {
        let script = Script::default();
        script.respond(503, "");
        (0..1000).for_each(|_| unknown_host(&script));
        let sent = send(&script);
        assert!(sent.passed > Duration::from_secs(60), "{:?}", sent.passed);
    }

    #[test]
    fn the_five_seconds_begin_with_the_first_response_that_there_is_no_such_name() {
        let script = Script::default();
        script.hang();
        unknown_host(&script);
        unknown_host(&script);
        assert_eq!(send(script.respond(200, "")).outcome.result.unwrap().status, 200);
    }

    #[test]
    fn a_failure_and_a_response_name_the_server() {
        let failure = send(Script::default().fail(Stage::Rejected)).outcome.result.unwrap_err();
        assert_eq!(failure.reason, "no connection to h.example:1: cut off");
        assert_eq!(send(Script::default().respond(403, "")).outcome.result.unwrap().route.to_string(), "h.example:1");
    }

    #[test]
    fn a_response_that_is_too_long_is_not_asked_for_again_and_leaves_doubt() {
        let sent = send(Script::default().fail(Stage::Overlong).respond(200, ""));
        assert_eq!((sent.lines.len(), sent.outcome.in_doubt), (1, true));
    }

    #[test]
    fn what_cannot_be_sent_is_not_blamed_on_the_time() {
        let failure = send_within(Script::default().fail(Stage::Misconfigured), 7).outcome.result.unwrap_err();
        assert!(!failure.timed_out);
    }

    #[test]
    fn retries_without_pauses_end_with_the_budget() {
        let (clock, script) = (Arc::new(FakeClock::new()), Script::default());
        script.hang().hang().hang().respond(200, "");
        let mut sender = script.sender(&clock, Duration::from_secs(90));
        sender.policy.base = Duration::ZERO;
        let request = Request::new(Method::GET, "/p", "try");
        let limits = sender.limits(&request);
        let origin = Origin::parse("https://h.example", "test URL").unwrap();
        let (authorization, label) = (HeaderMap::new(), &|_| None);
        let outgoing = AuthorizedRequest {
            request: &request,
            origin: &origin,
            authorization,
            label,
            is_final: &|_| false,
            sent: 0,
            limits,
        };
        assert_eq!(sender.send(&outgoing).sent, 2, "a minute each");
    }

    #[test]
    fn a_wall_clock_that_is_stepped_ends_no_retries() {
        let (clock, script) = (Arc::new(FakeClock::new()), statuses([503, 503, 503, 200]));
        let sender = script.sender(&clock, RetryPolicy::default().budget);
        let mut request = Request::new(Method::GET, "/p", "try");
        request.timeout = Some(Duration::from_secs(100));
        let outcome = sender.send(&AuthorizedRequest {
            request: &request,
            origin: &Origin::parse("https://h.example", "test URL").unwrap(),
            authorization: HeaderMap::new(),
            label: &|_| {
                clock.step_wall(3600);
                None
            },
            is_final: &|_| false,
            sent: 0,
            limits: sender.limits(&request),
        });
        assert_eq!(outcome.result.unwrap().status, 200);
    }

    #[test]
    fn the_longest_budget_and_delay_overflow_nothing() {
        let (clock, script) = (Arc::new(FakeClock::new()), Script::default());
        script.respond_with(429, &[("retry-after", "18446744073709551615")], "");
        let mut sender = script.sender(&clock, Duration::MAX);
        sender.policy.base = Duration::MAX;
        let mut request = Request::new(Method::GET, "/p", "try");
        request.timeout = Some(Duration::MAX);
        let limits = sender.limits(&request);
        let origin = Origin::parse("https://h.example", "test URL").unwrap();
        let (authorization, label) = (HeaderMap::new(), &|_| None);
        let outgoing = AuthorizedRequest {
            request: &request,
            origin: &origin,
            authorization,
            label,
            is_final: &|_| false,
            sent: 0,
            limits,
        };
        assert_eq!(sender.send(&outgoing).retry_after, Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn the_delay_that_the_server_asks_for_is_kept_or_reported() {
        let after = |delay| send(Script::default().respond_with(429, &[("retry-after", delay)], "").respond(200, ""));
        assert_eq!(after("40").slept, [Duration::from_secs(40)]);
        let sent = after("121");
        assert_eq!((sent.slept.len(), sent.lines.len()), (0, 1));
        assert_eq!(sent.outcome.retry_after, Some(Duration::from_secs(121)));
    }

    /// How often a request that must not be applied twice is sent, and whether that leaves doubt.
    fn send_once(script: &Script) -> (usize, bool) {
        let clock = Arc::new(FakeClock::new());
        let sender = script.sender(&clock, RetryPolicy::default().budget);
        let request = Request::new(Method::POST, "/p", "create it").replay(Replay::Once);
        let outcome = sender.send(&AuthorizedRequest {
            request: &request,
            origin: &Origin::parse("https://h.example", "test URL").unwrap(),
            authorization: HeaderMap::new(),
            label: &|_| None,
            is_final: &|_| false,
            sent: 0,
            limits: sender.limits(&request),
        });
        (script.lines().len(), outcome.in_doubt)
    }

    #[test]
    fn what_must_not_be_applied_twice_is_repeated_only_while_it_cannot_have_been_applied() {
        let script = Script::default;
        assert_eq!(send_once(script().fail(Stage::Connecting).respond(429, "").respond(201, "")), (3, false));
        assert_eq!(send_once(script().fail(Stage::Receiving).respond(201, "")), (1, true));
        assert_eq!(send_once(script().fail(Stage::Sending).respond(201, "")), (1, true));
        for status in [500, 503, 408] {
            assert_eq!(
                send_once(script().respond(429, "").respond(status, "").respond(201, "")),
                (2, true),
                "{status}"
            );
        }
        assert_eq!(send_once(script().respond(409, "").respond(201, "")), (1, false));
    }

    #[test]
    fn a_number_of_retries_ends_them_before_the_time_does_and_another_token_is_no_retry() {
        for (sent_before, most, attempts) in [(0, 0, 1), (0, 3, 4), (1, 3, 4), (3, 3, 2), (4, 3, 1)] {
            let (clock, script) = (Arc::new(FakeClock::new()), statuses([503; 9]));
            let mut sender = script.sender(&clock, RetryPolicy::default().budget);
            sender.policy.max_retries = Some(most);
            let request = Request::new(Method::GET, "/p", "try");
            let outcome = sender.send(&AuthorizedRequest {
                request: &request,
                origin: &Origin::parse("https://h.example", "test URL").unwrap(),
                authorization: HeaderMap::new(),
                label: &|_| None,
                is_final: &|_| false,
                sent: sent_before,
                limits: sender.limits(&request),
            });
            assert_eq!(script.lines().len(), attempts, "{sent_before} sent before, {most} retries");
            assert_eq!(outcome.result.unwrap().status, 503);
        }
    }

    #[test]
    fn a_success_after_throttling_says_so() {
        assert!(send(&statuses([429, 503, 200])).outcome.result.unwrap().was_throttled);
        assert!(!send(&statuses([503, 200])).outcome.result.unwrap().was_throttled);
    }

    #[test]
    fn what_is_unlikely_to_help_is_attempted_four_times() {
        let broken = Script::default();
        for _ in 0..9 {
            broken.fail(Stage::Sending);
        }
        assert_eq!(send(&broken).lines.len(), 4);
        assert_eq!(send(&statuses([404; 9])).lines.len(), 4);
        let interrupted = send(&statuses([404, 404, 404, 503, 404, 404, 200]));
        assert_eq!(interrupted.outcome.result.unwrap().status, 200, "only attempts in a row count");
    }

    #[test]
    fn doubt_remains_whatever_the_next_attempt_brings() {
        assert!(send(Script::default().fail(Stage::Receiving).respond(409, "")).outcome.in_doubt);
        assert!(!send(Script::default().fail(Stage::Connecting).respond(409, "")).outcome.in_doubt);
        assert!(!send(Script::default().fail(Stage::Misconfigured)).outcome.in_doubt);
    }

    #[test]
    fn the_clock_of_the_server_is_learned_from_fresh_responses_only() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(send(Script::default().respond_with(200, &[date], "")).ahead_ms < -1_000_000);
        assert_eq!(send(Script::default().respond_with(200, &[date, ("age", "0")], "")).ahead_ms, 0);
    }
}
