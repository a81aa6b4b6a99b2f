use std::time::{Duration, SystemTime};

use super::LoginContext;
use super::key_pair::MAX_LIFETIME;
use crate::auth::{Grant, JwtTimes, TokenSource};
use crate::clock::{Moment, ServerClock};
use crate::error::{Error, ErrorKind};
use crate::http::Limits;
use crate::secret::Secret;
use crate::snowflake::token_kind::TokenKind;

/// A token given by the caller, used until it expires and never renewed.
#[derive(Debug)]
pub(crate) struct Provided {
    bearer: Secret,
    kind: TokenKind,
    /// By the server's clock; `None` if the token does not say.
    expiry: Option<SystemTime>,
    context: LoginContext,
}

impl Provided {
    pub(crate) fn new(bearer: &Secret, kind: TokenKind, context: LoginContext) -> Result<Provided, Error> {
        let bearer = trimmed(bearer, kind)?;
        let expiry = expiry(&bearer, kind)?;
        Ok(Provided { bearer, kind, expiry, context })
    }
}

impl TokenSource for Provided {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        let asked = self.context.clock.now();
        let lifetime = match time_left(self.expiry, asked, &self.context.server_clock) {
            TimeLeft::Left(lifetime) => lifetime,
            TimeLeft::Expired(ago) => {
                let ago = ago.as_secs();
                let reason = format!("the {} that was given expired {ago} s ago by this machine's clock", self.kind);
                return Err(Error::new(ErrorKind::Credentials, reason)
                    .advise("obtain a new one and build a new client; check the clock"));
            }
        };
        let (bearer, origin) = (self.bearer.clone(), self.context.origin.clone());
        Ok(Grant { bearer, origin, lifetime, asked, reread_after: None })
    }

    /// The one that was given is all there is.
    fn replace(&self, _refused: &Grant, _limits: Limits) -> Result<Option<Grant>, Error> {
        Ok(None)
    }
}

/// When the token expires, if it says so. A key-pair JWT must.
pub(super) fn expiry(bearer: &Secret, kind: TokenKind) -> Result<Option<SystemTime>, Error> {
    let times = JwtTimes::of(bearer.expose());
    match kind {
        TokenKind::KeyPairJwt => Ok(Some(times.ok_or_else(not_a_jwt)?.expiry_within(MAX_LIFETIME))),
        TokenKind::OAuth => Ok(times.map(|times| times.expiry())),
        TokenKind::ProgrammaticAccessToken => Ok(None),
    }
}

/// How long a token can still be used.
pub(super) enum TimeLeft {
    Left(Duration),
    /// It expired this long ago, longer than clocks differ.
    Expired(Duration),
}

/// By the server's clock as far as it is known; what is expired by that alone is left to the service to judge.
pub(super) fn time_left(expiry: Option<SystemTime>, now: Moment, server: &ServerClock) -> TimeLeft {
    let Some(expiry) = expiry else { return TimeLeft::Left(Duration::MAX) };
    match (expiry.duration_since(server.at(now)), expiry.duration_since(now.wall)) {
        (Ok(left), _) => TimeLeft::Left(left),
        // The service may still accept it; a refusal costs one request, and its response shows the time.
        (Err(_), Ok(_)) => TimeLeft::Left(Duration::ZERO),
        (Err(there), Err(here)) if there.duration().min(here.duration()) > TOLERANCE => {
            TimeLeft::Expired(here.duration())
        }
        (Err(_), Err(_)) => TimeLeft::Left(Duration::ZERO),
    }
}

/// Without the line ends that files and shells add. Anything else that a header cannot carry is an error, which does not
/// repeat the token.
pub(super) fn trimmed(bearer: &Secret, kind: TokenKind) -> Result<Secret, Error> {
    let text = bearer.expose().trim();
    let refuse = |reason: &str| Error::new(ErrorKind::Config, format!("the {kind} {reason}"));
    if text.is_empty() {
        return Err(refuse("is empty").advise("check the file or the variable that should hold it"));
    }
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Err(refuse("begins with the word Bearer").advise("give the token alone"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("contains white space or a character outside ASCII").advise("give the token alone"));
    }
    Ok(if text.len() == bearer.expose().len() { bearer.clone() } else { Secret::new(text) })
}

fn not_a_jwt() -> Error {
    Error::new(ErrorKind::Config, "the JWT is not three parts of base64url with an exp among its claims")
        .advise("give it whole, or use the constructor for the kind of token it is")
}

/// Clocks that differ by more than a minute are noticed and corrected for.
const TOLERANCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::auth::TokenCache;
    use crate::clock::{Clock, FakeClock};
    use crate::http::Origin;

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    fn provided(token: &str, kind: TokenKind, clock: &Arc<FakeClock>) -> Result<Provided, Error> {
        let origin = Origin::parse("https://a.example", "test URL").unwrap();
        let context = LoginContext { origin, clock: clock.clone(), server_clock: Arc::default() };
        Provided::new(&token.into(), kind, context)
    }

    fn lifetime(claims: &str, clock: &Arc<FakeClock>) -> Result<Duration, Error> {
        provided(&jwt(claims), TokenKind::KeyPairJwt, clock)?.fetch(Limits::unlimited()).map(|grant| grant.lifetime)
    }

    #[test]
    fn the_expiry_of_a_jwt_is_read_from_it_in_seconds_or_milliseconds() {
        let clock = Arc::new(FakeClock::new());
        let exp = seconds(clock.now().wall) + 600;
        for claims in [format!(r#"{{"exp":{exp}}}"#), format!(r#"{{"exp":{exp}000}}"#), format!(r#"{{"exp":{exp}.5}}"#)]
        {
            let lifetime = lifetime(&claims, &clock).unwrap().as_secs();
            assert!((599..=600).contains(&lifetime), "{claims}: {lifetime}");
        }
    }

    #[test]
    fn a_jwt_is_valid_for_at_most_an_hour_after_its_iat() {
        let clock = Arc::new(FakeClock::new());
        let iat = seconds(clock.now().wall) - 1800;
        let lifetime = lifetime(&format!(r#"{{"iat":{iat},"exp":{}}}"#, iat + 86_400), &clock).unwrap().as_secs();
        assert!((1799..=1800).contains(&lifetime), "{lifetime}");
    }

    #[test]
    fn an_expired_jwt_is_reported_without_a_request() {
        let clock = Arc::new(FakeClock::new());
        let source =
            provided(&jwt(&format!(r#"{{"exp":{}}}"#, seconds(clock.now().wall) + 10)), TokenKind::KeyPairJwt, &clock);
        let source = source.unwrap();
        assert!(source.fetch(Limits::unlimited()).is_ok());
        clock.pass(Duration::from_secs(60));
        assert_eq!(
            source.fetch(Limits::unlimited()).unwrap().lifetime,
            Duration::ZERO,
            "clocks may differ by a minute"
        );
        clock.pass(Duration::from_secs(60));
        let error = source.fetch(Limits::unlimited()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(
            error.to_string().contains("expired 110 s ago") || error.to_string().contains("expired 109 s ago"),
            "{error}"
        );
    }

    /// Good for two hours, on a machine that was three hours slow when it last had a response.
    fn after_a_slow_clock() -> (Arc<FakeClock>, TokenCache, Arc<ServerClock>) {
        let clock = Arc::new(FakeClock::new());
        let now = clock.now();
        let exp = seconds(now.wall) + 5 * 3600;
        let source = provided(&jwt(&format!(r#"{{"exp":{exp}}}"#)), TokenKind::OAuth, &clock).unwrap();
        let server_clock = source.context.server_clock.clone();
        server_clock.observe(now.wall + Duration::from_secs(3 * 3600), now, now);
        (clock.clone(), TokenCache::new(Box::new(source), clock), server_clock)
    }

    #[test]
    fn a_clock_that_is_set_right_does_not_make_a_valid_token_an_expired_one() {
        let (clock, cache, _) = after_a_slow_clock();
        cache.get(Limits::unlimited()).unwrap();
        clock.step_wall(3 * 3600);
        let left = cache.get(Limits::unlimited()).unwrap().grant.lifetime.as_secs();
        assert!((7199..=7200).contains(&left), "{left}");
    }

    #[test]
    fn a_token_that_is_expired_only_by_what_responses_showed_is_left_to_the_service_to_judge() {
        let (clock, cache, server_clock) = after_a_slow_clock();
        clock.pass(Duration::from_secs(3 * 3600));
        for _ in 0..2 {
            assert_eq!(cache.get(Limits::unlimited()).unwrap().grant.lifetime, Duration::ZERO);
            assert_eq!(cache.refresh(Limits::unlimited()).unwrap().grant.lifetime, Duration::ZERO);
        }
        let now = clock.now();
        server_clock.observe(now.wall, now, now);
        assert!(cache.get(Limits::unlimited()).unwrap().grant.lifetime > Duration::from_secs(3600));
    }

    #[test]
    fn absurd_times_are_survived() {
        let clock = Arc::new(FakeClock::new());
        assert!(lifetime(r#"{"exp":1e300}"#, &clock).is_ok());
        assert_eq!(lifetime(r#"{"exp":-1}"#, &clock).unwrap_err().kind(), ErrorKind::Credentials);
        assert_eq!(lifetime(r#"{"exp":0}"#, &clock).unwrap_err().kind(), ErrorKind::Credentials);
        for no_end in [r#"{"iat":1}"#, r#"{"exp":"soon"}"#, r#"{"exp":null}"#, "[]"] {
            assert_eq!(lifetime(no_end, &clock).unwrap_err().kind(), ErrorKind::Config, "{no_end}");
        }
    }

    #[test]
    fn an_invalid_token_is_refused_without_being_repeated() {
        let clock = Arc::new(FakeClock::new());
        for (text, kind) in [
            ("not-a-jwt-at-all", TokenKind::KeyPairJwt),
            ("open.sesame.now", TokenKind::KeyPairJwt),
            ("", TokenKind::ProgrammaticAccessToken),
            (" \n", TokenKind::OAuth),
            ("Bearer sesame-open", TokenKind::OAuth),
            ("sesame open", TokenKind::ProgrammaticAccessToken),
            ("sesäme", TokenKind::OAuth),
        ] {
            let error = provided(text, kind, &clock).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text:?}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("sesame") && !shown.contains("not-a-jwt"), "{shown}");
        }
    }

    #[test]
    fn white_space_around_a_token_is_left_out() {
        let clock = Arc::new(FakeClock::new());
        let source = provided(" token\r\n", TokenKind::ProgrammaticAccessToken, &clock).unwrap();
        let grant = source.fetch(Limits::unlimited()).unwrap();
        assert_eq!((grant.bearer.expose(), grant.lifetime), ("token", Duration::MAX));
    }

    #[test]
    fn an_access_token_that_happens_to_be_a_jwt_says_when_it_expires() {
        let clock = Arc::new(FakeClock::new());
        let token = jwt(&format!(r#"{{"exp":{}}}"#, seconds(clock.now().wall) + 7200));
        let lifetime =
            provided(&token, TokenKind::OAuth, &clock).unwrap().fetch(Limits::unlimited()).unwrap().lifetime.as_secs();
        assert!((7199..=7200).contains(&lifetime), "{lifetime}");
        let opaque = provided("opaque", TokenKind::OAuth, &clock).unwrap().fetch(Limits::unlimited()).unwrap();
        assert_eq!(opaque.lifetime, Duration::MAX);
    }

    #[test]
    fn a_refusal_is_reported_again_without_a_request_and_forgotten_after_some_seconds() {
        let clock = Arc::new(FakeClock::new());
        let source = provided("token", TokenKind::ProgrammaticAccessToken, &clock).unwrap();
        let cache = TokenCache::new(Box::new(source), clock.clone());
        let first = cache.get(Limits::unlimited()).unwrap();
        for _ in 0..3 {
            assert!(cache.renew_after(&first, Limits::unlimited()).unwrap().is_none());
            assert_eq!(cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Credentials);
        }
        clock.pass(Duration::from_secs(10));
        let again = cache.get(Limits::unlimited()).unwrap();
        assert_eq!(again.grant.bearer.expose(), "token", "a refusal need not last");
        assert!(cache.renew_after(&again, Limits::unlimited()).unwrap().is_none());
    }

    #[test]
    fn a_refused_token_cannot_be_replaced() {
        let clock = Arc::new(FakeClock::new());
        let source = provided("token", TokenKind::ProgrammaticAccessToken, &clock).unwrap();
        let grant = source.fetch(Limits::unlimited()).unwrap();
        assert!(source.replace(&grant, Limits::unlimited()).unwrap().is_none());
    }
}
