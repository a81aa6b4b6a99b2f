//! When to send again, as pure functions; specs/retry.md holds the table.

use std::time::{Duration, SystemTime};

use ::http::header;

use super::{Answer, Failure, Stage};

/// How long and how often a request is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Everything after this long since the first try is too late.
    pub(crate) budget: Duration,
    /// The longest first wait; it doubles with every try.
    pub(crate) base: Duration,
    /// The longest wait of all.
    pub(crate) cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { budget: Duration::from_secs(120), base: Duration::from_millis(500), cap: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// Full jitter: anything up to the doubled base, so that many clients do not come back together.
    ///
    /// `repetition` counts from zero; `random` is at least 0 and less than 1.
    pub(crate) fn wait(&self, repetition: u32, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << repetition.min(16)).min(self.cap);
        ceiling.mul_f64(random)
    }
}

/// What to make of the end of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) next: Next,
    /// The request may have been applied although nobody said so.
    pub(crate) in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is the caller's.
    Deliver,
    /// Send again while the budget lasts, not before the time the server asked for.
    Wait(Option<Duration>),
    /// Send again, but only [`FEW`] times: waiting longer has no prospect.
    WaitBriefly,
}

/// One arm a row of the table.
pub(crate) fn judge(result: &Result<Answer, Failure>) -> Verdict {
    let (next, in_doubt) = match result {
        Ok(answer) => match answer.status {
            429 => (Next::Wait(retry_after(answer)), false),
            500..600 if names_a_stale_thing(&answer.body) => (Next::Deliver, false),
            // Refused before anything was looked at: not implemented, not this protocol, not this host.
            501 | 505 | 513 => (Next::Deliver, false),
            408 | 499 | 500..600 => (Next::Wait(retry_after(answer)), true),
            404 if !is_json(&answer.body) => (Next::WaitBriefly, false),
            _ => (Next::Deliver, false),
        },
        Err(failure) => match failure.stage {
            Stage::Connecting => (Next::Wait(None), false),
            Stage::Refusing => (Next::Deliver, false),
            Stage::Sending => (Next::WaitBriefly, true),
            Stage::Receiving => (Next::Wait(None), true),
        },
    };
    Verdict { next, in_doubt }
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date, or a body's `retry_after` in seconds.
///
/// A date is measured against the answer's own `Date`, which no skew of ours can spoil (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(answer: &Answer) -> Option<Duration> {
    let Some(value) = answer.header(header::RETRY_AFTER) else {
        return retry_after_in(&answer.body);
    };
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let due = httpdate::parse_http_date(value.trim()).ok()?;
    let asked = answer.date().unwrap_or_else(SystemTime::now);
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

/// What has gone stale stays stale, whatever status says so: `STALE_PIPE_CACHE`, `STALE_CONTINUATION_TOKEN_SEQUENCER`.
fn names_a_stale_thing(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"STALE_").is_some()
}

/// The service answers errors in JSON; a proxy that does not know the way answers in HTML or words.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// Exchanges in a row that may end in [`Next::WaitBriefly`].
pub(crate) const FEW: u32 = 4;

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer::new(status, map, body.into())
    }

    fn verdict(status: u16, body: &str) -> (Next, bool) {
        let verdict = judge(&Ok(answer(status, &[], body)));
        (verdict.next, verdict.in_doubt)
    }

    fn failed(stage: Stage) -> (Next, bool) {
        let verdict = judge(&Err(Failure { stage, happened: String::new() }));
        (verdict.next, verdict.in_doubt)
    }

    #[test]
    fn a_final_answer_is_delivered() {
        for status in [200, 201, 204, 301, 302, 307, 400, 401, 403, 409, 410, 413, 415, 501, 505, 513] {
            assert_eq!(verdict(status, "{}"), (Next::Deliver, false), "{status}");
        }
    }

    #[test]
    fn throttling_waits_and_leaves_no_doubt() {
        assert_eq!(verdict(429, ""), (Next::Wait(None), false));
    }

    #[test]
    fn a_failing_service_waits_and_leaves_doubt() {
        for status in [408, 499, 500, 502, 503, 504, 507, 520, 524, 599] {
            assert_eq!(verdict(status, ""), (Next::Wait(None), true), "{status}");
        }
    }

    #[test]
    fn what_is_stale_is_not_repeated_whatever_the_status() {
        assert_eq!(verdict(500, r#"{"code":"STALE_PIPE_CACHE"}"#), (Next::Deliver, false));
        assert_eq!(verdict(503, r#""STALE_CONTINUATION_TOKEN_SEQUENCER""#), (Next::Deliver, false));
    }

    #[test]
    fn a_404_of_the_service_is_final_and_one_of_a_proxy_is_tried_a_few_times() {
        assert_eq!(verdict(404, r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#), (Next::Deliver, false));
        assert_eq!(verdict(404, "<html>Not Found</html>"), (Next::WaitBriefly, false));
        assert_eq!(verdict(404, ""), (Next::WaitBriefly, false));
    }

    #[test]
    fn a_lost_answer_leaves_doubt_and_a_failed_connection_does_not() {
        assert_eq!(failed(Stage::Connecting), (Next::Wait(None), false));
        assert_eq!(failed(Stage::Refusing), (Next::Deliver, false));
        assert_eq!(failed(Stage::Sending), (Next::WaitBriefly, true));
        assert_eq!(failed(Stage::Receiving), (Next::Wait(None), true));
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_seconds() {
        assert_eq!(retry_after(&answer(429, &[("retry-after", "7")], "")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&answer(429, &[("retry-after", "-7")], "")), None);
        assert_eq!(retry_after(&answer(429, &[("retry-after", "soon")], "")), None);
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_any_of_three_date_forms_by_its_own_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for later in ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"] {
            let answer = answer(503, &[date, ("retry-after", later)], "");
            assert_eq!(retry_after(&answer), Some(Duration::from_secs(60)), "{later}");
        }
        let past = answer(503, &[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], "");
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
    }

    #[test]
    fn the_server_may_ask_for_a_delay_in_the_body() {
        assert_eq!(retry_after(&answer(429, &[], r#"{"retry_after": 3}"#)), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&answer(429, &[], r#"{"retry_after": -3}"#)), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_under_full_jitter() {
        let policy = RetryPolicy::default();
        let longest: Vec<f32> = (0..9).map(|n| policy.wait(n, 1.0).as_secs_f32()).collect();
        assert_eq!(longest, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(policy.wait(3, 0.0), Duration::ZERO);
        assert_eq!(policy.wait(u32::MAX, 0.5), Duration::from_secs(15));
    }
}
