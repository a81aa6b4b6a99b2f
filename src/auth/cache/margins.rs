//! When a token is renewed and when a failure is forgotten, as pure functions.

use std::time::Duration;

use crate::auth::Grant;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};

/// The end of a token's good time, computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// From here on one caller renews it, while the others go on with it.
    pub(super) soft: Moment,
    /// From here on it is not handed out any more: it might expire on its way.
    pub(super) hard: Moment,
}

impl Deadlines {
    /// `random` is at least 0 and less than 1; it parts the renewals of many clients that began together.
    pub(super) fn of(grant: &Grant, random: f64) -> Deadlines {
        let soft = (grant.lifetime / 5).min(MAX_SOFT_MARGIN).mul_f64(1.0 - JITTER * random);
        let hard = (grant.lifetime / 20).min(MAX_HARD_MARGIN);
        Deadlines { soft: grant.asked.after(grant.lifetime - soft), hard: grant.asked.after(grant.lifetime - hard) }
    }
}

/// How long after a failed early renewal the next one waits; more often as the end draws near.
pub(super) fn backoff(left: Duration, asked_to_wait: Option<Duration>) -> Duration {
    (left / 4).clamp(MIN_BACKOFF, MAX_BACKOFF).max(asked_to_wait.unwrap_or_default())
}

/// How long a failure is told again without asking anew; nothing when the next caller may ask at once.
pub(super) fn remembered(error: &Error) -> Option<Duration> {
    match error.kind() {
        // Asking again without any change would bring the same response, and may lock the user out.
        ErrorKind::Config | ErrorKind::Credentials | ErrorKind::Rejected => Some(PERMANENT),
        _ => error.retry_after().map(|delay| delay.min(MAX_DELAY)),
    }
}

const MAX_SOFT_MARGIN: Duration = Duration::from_secs(5 * 60);
const MAX_HARD_MARGIN: Duration = Duration::from_secs(30);
const JITTER: f64 = 0.1;
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
const PERMANENT: Duration = Duration::from_secs(10);
/// A longer one is a mistake of the service, or might as well be.
const MAX_DELAY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FakeClock};
    use crate::http::Origin;

    fn margins(lifetime: Duration, random: f64) -> (Duration, Duration) {
        let asked = FakeClock::new().now();
        let origin = Origin::parse("https://a.example", "test URL").unwrap();
        let grant = Grant { bearer: "x".into(), origin, lifetime, asked };
        let Deadlines { soft, hard } = Deadlines::of(&grant, random);
        let end = asked.after(lifetime);
        (soft.until(end), hard.until(end))
    }

    #[test]
    fn margins_are_a_share_of_the_life_and_bounded() {
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
    fn an_absurd_life_overflows_nothing() {
        let asked = FakeClock::new().now();
        let (soft, hard) = margins(Duration::MAX, 0.999);
        assert!(soft <= hard && !asked.reached(asked.after(Duration::MAX)));
    }

    #[test]
    fn early_renewals_back_off_less_as_the_end_draws_near_and_never_below_what_the_service_asks() {
        let seconds = Duration::from_secs;
        assert_eq!(backoff(seconds(270), None), seconds(60));
        assert_eq!(backoff(seconds(20), None), seconds(5));
        assert_eq!(backoff(Duration::ZERO, None), seconds(1));
        assert_eq!(backoff(seconds(20), Some(seconds(90))), seconds(90));
    }

    #[test]
    fn permanent_failures_are_remembered_and_transient_ones_only_as_long_as_the_service_asks() {
        let of = |kind, delay| remembered(&Error::new(kind, "x").with_retry_after(delay));
        for permanent in [ErrorKind::Config, ErrorKind::Credentials, ErrorKind::Rejected] {
            assert_eq!(of(permanent, None), Some(PERMANENT));
        }
        for transient in [ErrorKind::Throttled, ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Protocol] {
            assert_eq!(of(transient, None), None);
            assert_eq!(of(transient, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        }
        assert_eq!(of(ErrorKind::Throttled, Some(Duration::MAX)), Some(MAX_DELAY));
    }
}
