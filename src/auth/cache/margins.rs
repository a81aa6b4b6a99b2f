//! When a token is renewed and when a failure is forgotten, as pure functions.

use std::time::Duration;

use crate::auth::Grant;
use crate::clock::Expiry;
use crate::error::{Error, ErrorKind};

/// Until when a token is used, computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// From here on, one caller renews it and the others go on using it.
    pub(super) soft: Expiry,
    /// From here on it is not used any more: it might expire on its way to the service.
    pub(super) hard: Expiry,
}

impl Deadlines {
    /// `random`, in `0.0..1.0`, spreads the renewals of many clients that started together.
    pub(super) fn of(grant: &Grant, random: f64) -> Deadlines {
        let soft = (grant.lifetime / 5).min(MAX_SOFT_MARGIN).mul_f64(1.0 - JITTER * random);
        let hard = (grant.lifetime / 20).min(MAX_HARD_MARGIN);
        let fresh = grant.reread_after.unwrap_or(Duration::MAX).min(grant.lifetime - soft);
        Deadlines { soft: grant.asked.expiry(fresh), hard: grant.asked.expiry(grant.lifetime - hard) }
    }
}

/// How long to wait after a failed early renewal: less, the sooner the token expires.
pub(super) fn backoff(left: Duration, asked_to_wait: Option<Duration>) -> Duration {
    (left / 4).clamp(MIN_BACKOFF, MAX_BACKOFF).max(asked_to_wait.unwrap_or_default())
}

/// How long a failure is reported again without another fetch; `None` if the next caller may fetch at once.
pub(super) fn remembered(error: &Error) -> Option<Duration> {
    match error.kind() {
        // The time ran out for the caller that fetched, or it was stopped; another may go on.
        ErrorKind::Timeout | ErrorKind::Stopped => None,
        // Nothing was sent, so another look costs nobody anything: a file may be whole by then.
        ErrorKind::Config if error.attempts() == 0 => None,
        // The same request would get the same response, and repeated refusals may lock the user out.
        ErrorKind::Config | ErrorKind::Credentials | ErrorKind::Clock | ErrorKind::Refused => Some(PERMANENT),
        _ => error.retry_after().map(|delay| delay.min(MAX_DELAY)),
    }
}

/// How long a token that was fetched for a refused one is not renewed if it is refused, too. One with a shorter life may
/// really have expired by then.
pub(super) fn trial(lifetime: Duration) -> Duration {
    PERMANENT.min(lifetime / 2)
}

/// Time for several failed renewals, each with its retries, before a token of an hour expires.
const MAX_SOFT_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Longer than most requests take, so that a token does not expire during one.
const MAX_HARD_MARGIN: Duration = Duration::from_secs(30);
/// Enough to spread the renewals over half a minute, too little to matter for the margin.
const JITTER: f64 = 0.1;
/// Even shortly before the expiry, a failing server gets no more than one request a second.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// A server that is back is noticed within a minute.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Long enough to stop a loop of refused logins, short enough that a person who fixes the cause does not notice it.
const PERMANENT: Duration = Duration::from_secs(10);
/// A longer delay is probably a mistake of the service, and callers would not wait for it.
const MAX_DELAY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FOREVER, FakeClock};
    use crate::http::Origin;

    fn margins(lifetime: Duration, random: f64) -> (Duration, Duration) {
        let asked = FakeClock::new().now();
        let origin = Origin::parse("https://a.example", "test URL").unwrap();
        let grant = Grant { bearer: "x".into(), origin, lifetime, asked, reread_after: None };
        let Deadlines { soft, hard } = Deadlines::of(&grant, random);
        let left = |expiry: Expiry| lifetime.min(FOREVER) - expiry.left(asked);
        (left(soft), left(hard))
    }

    #[test]
    fn margins_are_a_share_of_the_lifetime_and_bounded() {
        let seconds = Duration::from_secs;
        assert_eq!(margins(seconds(3600), 0.0), (seconds(300), seconds(30)));
        assert_eq!(margins(seconds(600), 0.0), (seconds(120), seconds(30)));
        assert_eq!(margins(seconds(60), 0.0), (seconds(12), seconds(3)));
        assert_eq!(margins(seconds(1), 0.0), (Duration::from_millis(200), Duration::from_millis(50)));
        assert_eq!(margins(Duration::ZERO, 0.0), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn jitter_takes_a_little_off_the_soft_margin_alone() {
        assert_eq!(margins(Duration::from_secs(3600), 0.5), (Duration::from_secs(285), Duration::from_secs(30)));
    }

    #[test]
    fn an_absurd_lifetime_overflows_nothing() {
        assert_eq!(margins(Duration::MAX, 0.999), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn early_renewals_back_off_less_near_the_expiry_and_never_below_what_the_service_asks() {
        let seconds = Duration::from_secs;
        assert_eq!(backoff(seconds(270), None), seconds(60));
        assert_eq!(backoff(seconds(20), None), seconds(5));
        assert_eq!(backoff(Duration::ZERO, None), seconds(1));
        assert_eq!(backoff(seconds(20), Some(seconds(90))), seconds(90));
    }

    #[test]
    fn the_trial_of_a_token_is_as_long_as_a_refused_login_is_remembered_or_half_its_life() {
        let seconds = Duration::from_secs;
        assert_eq!([3600, 20, 2, 0].map(|life| trial(seconds(life))), [10, 10, 1, 0].map(seconds));
    }

    #[test]
    fn permanent_failures_are_remembered_and_transient_ones_only_as_long_as_the_service_asks() {
        let of = |kind, delay| remembered(&Error::new(kind, "x").with_retry_after(delay));
        assert_eq!(of(ErrorKind::Config, None), None, "nothing was sent");
        for permanent in [ErrorKind::Credentials, ErrorKind::Clock, ErrorKind::Refused] {
            assert_eq!(of(permanent, None), Some(PERMANENT));
        }
        assert_eq!(of(ErrorKind::Timeout, Some(Duration::from_secs(7))), None, "another caller may have more time");
        for transient in [ErrorKind::Throttled, ErrorKind::Unavailable, ErrorKind::Protocol] {
            assert_eq!(of(transient, None), None);
            assert_eq!(of(transient, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        }
        assert_eq!(of(ErrorKind::Throttled, Some(Duration::MAX)), Some(MAX_DELAY));
    }
}
