use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The times that a JWT states (RFC 7519, section 4.1). No other code reads `exp` or `iat`.
///
/// The signature is not checked: that is up to the service that receives the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JwtTimes {
    issued: Option<SystemTime>,
    expiry: SystemTime,
}

impl JwtTimes {
    /// `None` if the text is not a JWT, or has no `exp`.
    pub(crate) fn of(token: &str) -> Option<JwtTimes> {
        let [header, claims, _signature] = token.split('.').collect::<Vec<_>>()[..] else {
            return None;
        };
        let _: serde::de::IgnoredAny = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims: TimeClaims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some(JwtTimes { issued: claims.iat.map(time), expiry: time(claims.exp) })
    }

    pub(crate) fn expiry(&self) -> SystemTime {
        self.expiry
    }

    /// The expiry for a service that accepts a token for at most `max_lifetime` after `iat`, however late its `exp` is.
    pub(crate) fn expiry_within(&self, max_lifetime: Duration) -> SystemTime {
        self.issued.map_or(self.expiry, |issued| self.expiry.min(issued + max_lifetime))
    }
}

#[derive(Deserialize)]
struct TimeClaims {
    exp: f64,
    iat: Option<f64>,
}

/// A NumericDate is in seconds; Snowflake also accepts milliseconds.
fn time(numeric_date: f64) -> SystemTime {
    let seconds = if numeric_date > MIN_MILLISECONDS { numeric_date / 1000.0 } else { numeric_date };
    // SystemTime overflows beyond its range, and a broken claim must not panic here.
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, YEAR_9999))
}

/// As seconds this is the year 5138, as milliseconds 1973: no real token is on the wrong side of it.
const MIN_MILLISECONDS: f64 = 1e11;
/// The last second that an HTTP date can express; every platform's SystemTime can hold it.
const YEAR_9999: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn times(claims: &str) -> Option<JwtTimes> {
        JwtTimes::of(&format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims)))
    }

    fn expiry(claims: &str) -> f64 {
        times(claims).unwrap().expiry().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
    }

    #[test]
    fn seconds_milliseconds_and_fractions_are_read() {
        assert_eq!(expiry(r#"{"exp":1700000000}"#), 1_700_000_000.0);
        assert_eq!(expiry(r#"{"exp":1700000000000}"#), 1_700_000_000.0);
        assert_eq!(expiry(r#"{"exp":1700000000.5}"#), 1_700_000_000.5);
    }

    #[test]
    fn absurd_times_are_the_first_and_the_last_that_can_be_told() {
        for (exp, seconds) in [("-1", 0.0), ("-1e300", 0.0), ("0", 0.0), ("1e300", YEAR_9999)] {
            assert_eq!(expiry(&format!(r#"{{"exp":{exp},"iat":{exp}}}"#)), seconds, "{exp}");
        }
    }

    #[test]
    fn a_longer_lifetime_than_the_service_accepts_is_cut() {
        let hour = Duration::from_secs(3600);
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (claims, expected) in [
            (r#"{"iat":1000,"exp":99999}"#, 4600),
            (r#"{"iat":1000,"exp":2000}"#, 2000),
            (r#"{"exp":99999}"#, 99_999),
            (r#"{"iat":null,"exp":99999}"#, 99_999),
        ] {
            assert_eq!(times(claims).unwrap().expiry_within(hour), at(expected), "{claims}");
        }
    }

    #[test]
    fn a_token_without_an_exp_has_no_times() {
        for claims in ["{}", r#"{"iat":1}"#, r#"{"exp":"soon"}"#, r#"{"exp":null}"#, "[]", "1", ""] {
            assert!(times(claims).is_none(), "{claims}");
        }
        for token in ["", "opaque", "a.b", "a.b.c", "e30.e30", "e30.eyJleHAiOjF9", "e30.eyJleHAiOjF9.c.d"] {
            assert!(JwtTimes::of(token).is_none(), "{token}");
        }
    }
}
