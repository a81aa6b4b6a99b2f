//! When to send a request again, as pure functions. specs/retry.md has the table.

use std::time::{Duration, SystemTime};

use ::http::header;

use super::{Failure, Persistence, Response, Stage};

/// How long and how often a request is retried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// No retry starts later than this after the first attempt.
    pub(crate) budget: Duration,
    /// The longest wait before the first retry; it doubles with every retry.
    pub(crate) base: Duration,
    /// The longest wait before any retry.
    pub(crate) cap: Duration,
    /// How many retries there are at most, however much time is left; `None` if the time alone decides.
    pub(crate) max_retries: Option<u32>,
}

/// Two minutes outlast a restart or a failover of the service; with waits of at most half a minute, its end is noticed soon.
impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        RetryPolicy { budget: Duration::from_secs(120), base, cap, max_retries: None }
    }
}

impl RetryPolicy {
    /// Full jitter: a random part of the doubled base, so that many clients do not retry at the same moment.
    ///
    /// `retry` counts from zero; `random` is in `0.0..1.0`.
    pub(crate) fn wait(&self, retry: u32, random: f64) -> Duration {
        let ceiling = self.base.max(MIN_PAUSE).saturating_mul(1 << retry.min(16)).min(self.cap);
        ceiling.mul_f64(random).max(MIN_PAUSE)
    }

    /// Whether another retry is allowed after so many.
    pub(crate) fn allows(&self, retries: u32) -> bool {
        self.max_retries.is_none_or(|most| retries < most)
    }
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    /// The request may have been applied although no response says so.
    pub(crate) in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Return the result to the caller.
    Return,
    /// Send again while the budget lasts, but not before the delay that the server asked for.
    Retry(Option<Duration>),
    /// Send again, at most [`MAX_BRIEF_ATTEMPTS`] times: more attempts are unlikely to help.
    RetryBriefly,
    /// Send again while the budget lasts, but at most for [`UNKNOWN_HOST_PATIENCE`] if the server has never responded.
    RetryUnlessUnknown,
}

/// One arm for each row of the table. `is_final` is asked about failures of the server only.
pub(crate) fn judge(result: &Result<Response, Failure>, is_final: &dyn Fn(&Response) -> bool) -> Verdict {
    let (action, in_doubt) = match result {
        Ok(response) => match response.status {
            429 => (Action::Retry(retry_after(response)), false),
            // What lies beyond the classes of HTTP counts as a failure of the server (RFC 9110, section 15).
            500.. if is_final(response) => (Action::Return, false),
            // Refused before the request was processed: not implemented, or an unsupported version of HTTP.
            501 | 505 => (Action::Return, false),
            408 | 499 | 500.. => (Action::Retry(retry_after(response)), true),
            404 if !is_json(&response.body) => (Action::RetryBriefly, false),
            _ => (Action::Return, false),
        },
        Err(failure) => match failure.stage {
            Stage::Connecting => (persisting(failure), false),
            Stage::Rejected | Stage::Misconfigured | Stage::Stopped => (Action::Return, false),
            Stage::Sending => (Action::RetryBriefly, true),
            Stage::Receiving => (persisting(failure), true),
            Stage::Overlong => (Action::Return, true),
        },
    };
    Verdict { action, in_doubt }
}

fn persisting(failure: &Failure) -> Action {
    match failure.persistence {
        Persistence::Budget => Action::Retry(None),
        Persistence::FewAttempts => Action::RetryBriefly,
        Persistence::FewSeconds => Action::RetryUnlessUnknown,
    }
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date, or `retry_after` in a JSON body, in seconds.
///
/// A date is compared with the response's own `Date`, so that this machine's clock does not matter (RFC 9110, section
/// 10.2.3).
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let Some(value) = response.header(header::RETRY_AFTER) else {
        return retry_after_in(&response.body);
    };
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let due = httpdate::parse_http_date(value.trim()).ok()?;
    let asked = response.date().unwrap_or_else(SystemTime::now);
    Some(due.duration_since(asked).unwrap_or(Duration::ZERO))
}

fn retry_after_in(body: &[u8]) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Body {
        retry_after: f64,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    Duration::try_from_secs_f64(body.retry_after).ok()
}

/// Services report errors in JSON; a proxy that has no route yet responds with HTML or plain text.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// Attempts in a row that may end in [`Action::RetryBriefly`]: enough for a connection that was closed while idle or a
/// route that is just being set up, few enough not to upload a refused body for minutes.
pub(crate) const MAX_BRIEF_ATTEMPTS: u32 = 4;

/// How long a name that does not exist is looked up again: longer than a hiccup of the look-up, short enough for a person who
/// has mistyped it.
pub(crate) const UNKNOWN_HOST_PATIENCE: Duration = Duration::from_secs(5);

/// A retry follows no sooner, whatever the caller chose: a failure that comes at once must not occupy a core.
const MIN_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;

    fn response(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Response::new(status, map, body.into())
    }

    fn verdict(status: u16, body: &str) -> (Action, bool) {
        let verdict = judge(&Ok(response(status, &[], body)), &|_| false);
        (verdict.action, verdict.in_doubt)
    }

    fn failed(stage: Stage) -> (Action, bool) {
        failed_with(Failure::new(stage, ""))
    }

    fn failed_with(failure: Failure) -> (Action, bool) {
        let verdict = judge(&Err(failure), &|_| false);
        (verdict.action, verdict.in_doubt)
    }

    #[test]
    fn a_final_response_is_returned() {
        for status in [200, 201, 204, 301, 302, 307, 400, 401, 403, 409, 410, 413, 415, 501, 505] {
            assert_eq!(verdict(status, "{}"), (Action::Return, false), "{status}");
        }
    }

    #[test]
    fn throttling_waits_and_leaves_no_doubt() {
        assert_eq!(verdict(429, ""), (Action::Retry(None), false));
    }

    #[test]
    fn a_failing_service_waits_and_leaves_doubt() {
        for status in [408, 499, 500, 502, 503, 504, 507, 520, 524, 599, 600, 999] {
            assert_eq!(verdict(status, ""), (Action::Retry(None), true), "{status}");
        }
    }

    #[test]
    fn only_a_failing_server_is_asked_to_be_final() {
        for (status, action) in
            [(500, Action::Return), (503, Action::Return), (429, Action::Retry(None)), (408, Action::Retry(None))]
        {
            let verdict = judge(&Ok(response(status, &[], "")), &|_| true);
            assert_eq!(verdict.action, action, "{status}");
        }
    }

    #[test]
    fn a_404_of_the_service_is_final_and_one_of_a_proxy_is_retried_a_few_times() {
        assert_eq!(verdict(404, r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#), (Action::Return, false));
        assert_eq!(verdict(404, "<html>Not Found</html>"), (Action::RetryBriefly, false));
        assert_eq!(verdict(404, ""), (Action::RetryBriefly, false));
    }

    #[test]
    fn a_lost_response_leaves_doubt_and_a_failed_connection_does_not() {
        assert_eq!(failed(Stage::Connecting), (Action::Retry(None), false));
        assert_eq!(failed(Stage::Misconfigured), (Action::Return, false));
        assert_eq!(failed(Stage::Sending), (Action::RetryBriefly, true));
        assert_eq!(failed(Stage::Receiving), (Action::Retry(None), true));
        assert_eq!(failed(Stage::Rejected), (Action::Return, false));
        for (stage, in_doubt) in [(Stage::Connecting, false), (Stage::Receiving, true)] {
            let failure = |persistence| Failure::new(stage, "").worth(persistence);
            assert_eq!(failed_with(failure(Persistence::FewAttempts)), (Action::RetryBriefly, in_doubt));
            assert_eq!(failed_with(failure(Persistence::FewSeconds)), (Action::RetryUnlessUnknown, in_doubt));
        }
    }

    #[test]
    fn a_success_that_is_too_long_would_be_again_and_its_request_may_have_been_applied() {
        assert_eq!(failed(Stage::Overlong), (Action::Return, true));
    }

    #[test]
    fn a_pause_of_zero_is_no_busy_loop() {
        let policy = RetryPolicy { base: Duration::ZERO, ..RetryPolicy::default() };
        assert!((0..9).all(|n| policy.wait(n, 0.0) >= MIN_PAUSE && policy.wait(n, 1.0) >= MIN_PAUSE));
        let none = RetryPolicy { base: Duration::ZERO, cap: Duration::ZERO, ..policy };
        assert_eq!(none.wait(9, 1.0), MIN_PAUSE);
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_seconds() {
        assert_eq!(retry_after(&response(429, &[("retry-after", "7")], "")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&response(429, &[("retry-after", "-7")], "")), None);
        assert_eq!(retry_after(&response(429, &[("retry-after", "soon")], "")), None);
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_any_of_three_date_forms_by_its_own_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for later in ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"] {
            let response = response(503, &[date, ("retry-after", later)], "");
            assert_eq!(retry_after(&response), Some(Duration::from_secs(60)), "{later}");
        }
        let past = response(503, &[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], "");
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_the_body() {
        assert_eq!(retry_after(&response(429, &[], r#"{"retry_after": 3}"#)), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&response(429, &[], r#"{"retry_after": -3}"#)), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_under_full_jitter() {
        let policy = RetryPolicy::default();
        let longest: Vec<f32> = (0..9).map(|n| policy.wait(n, 1.0).as_secs_f32()).collect();
        assert_eq!(longest, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(policy.wait(3, 0.0), MIN_PAUSE);
        assert_eq!(policy.wait(u32::MAX, 0.5), Duration::from_secs(15));
    }
}
