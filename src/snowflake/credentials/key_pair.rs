use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::{Grant, PrivateKey, TokenKind, TokenSource};
use crate::clock::{Clock, ServerClock};
use crate::error::{Error, ErrorKind, clean};
use crate::http::Origin;
use crate::secret::Secret;
use crate::snowflake::account::Account;

/// Mints key-pair JWTs, each one new ("Using key-pair authentication" in Snowflake's SQL API documentation); no network.
#[derive(Debug)]
pub(crate) struct KeyPair {
    subject: String,
    issuer: String,
    audience: Option<String>,
    key: PrivateKey,
    lifetime: Duration,
    origin: Origin,
    clock: Arc<dyn Clock>,
    server_clock: Arc<ServerClock>,
}

impl KeyPair {
    pub(crate) fn new(
        account: &Account,
        user: &str,
        key: PrivateKey,
        lifetime: Duration,
        origin: Origin,
        clock: Arc<dyn Clock>,
        server_clock: Arc<ServerClock>,
    ) -> Result<KeyPair, Error> {
        let user = login_name(user)?;
        let lifetime = whole_life(lifetime)?;
        let subject = format!("{}.{user}", account.jwt_name());
        let issuer = format!("{subject}.{}", key.fingerprint());
        Ok(KeyPair { subject, issuer, audience: None, key, lifetime, origin, clock, server_clock })
    }

    /// The service asks for none; a proxy in front of it may.
    pub(crate) fn audience(mut self, audience: Option<String>) -> KeyPair {
        self.audience = audience;
        self
    }

    /// RFC 7515, section 3.1: header and claims, a dot between them, then the signature over both.
    fn mint(&self, issued: SystemTime) -> Result<Secret, Error> {
        let issued = issued.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| before_1970())?.as_secs();
        let claims = Claims {
            iss: &self.issuer,
            sub: &self.subject,
            iat: issued,
            exp: issued + self.lifetime.as_secs(),
            jti: &Uuid::new_v4().to_string(),
            aud: self.audience.as_deref(),
        };
        let claims = serde_json::to_vec(&claims).map_err(|error| {
            Error::new(ErrorKind::Config, "the claims of the JWT cannot be written").with_source(error)
        })?;
        let mut token = String::with_capacity(TYPICAL_LENGTH);
        URL_SAFE_NO_PAD.encode_string(HEADER, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

impl TokenSource for KeyPair {
    fn fetch(&self) -> Result<Grant, Error> {
        let asked = self.clock.now();
        let bearer = self.mint(self.server_clock.at(asked.wall))?;
        // The service may read another time than we do: a token is given up as if its clock were ahead.
        let lifetime = self.lifetime - SKEW.min(self.lifetime / 10);
        Ok(Grant { bearer, kind: TokenKind::KeyPairJwt, origin: self.origin.clone(), lifetime, asked })
    }
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    sub: &'c str,
    /// Seconds, as `exp` (RFC 7519, section 2, NumericDate).
    iat: u64,
    exp: u64,
    /// No two tokens are equal.
    jti: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'c str>,
}

/// The claims name the LOGIN_NAME in upper case.
fn login_name(user: &str) -> Result<String, Error> {
    let user = user.trim();
    if user.is_empty() {
        return Err(
            Error::new(ErrorKind::Config, "the user is empty").advise("give the LOGIN_NAME that DESC USER shows")
        );
    }
    if user.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::Config, format!("the user {:?} contains a control character", clean(user)))
            .advise("give the LOGIN_NAME that DESC USER shows"));
    }
    Ok(user.to_uppercase())
}

fn whole_life(lifetime: Duration) -> Result<Duration, Error> {
    let whole = Duration::from_secs(lifetime.as_secs());
    if whole.is_zero() {
        return Err(Error::new(ErrorKind::Config, format!("a JWT lifetime of {lifetime:?} is shorter than a second"))
            .advise("give a second at least, an hour at most"));
    }
    if lifetime > MAX_LIFETIME {
        let happened =
            format!("a JWT lifetime of {} s is longer than the hour that the service honours", lifetime.as_secs());
        return Err(Error::new(ErrorKind::Config, happened).advise("give an hour at most"));
    }
    Ok(whole)
}

fn before_1970() -> Error {
    Error::new(ErrorKind::Clock, "this machine's clock shows a time before 1970").advise("set it right")
}

/// Counted from `iat`, however late `exp` may be.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(3600);

const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;
const SKEW: Duration = Duration::from_secs(60);
/// A token signed with 4096 bits, so that growing leaves no copies in memory.
const TYPICAL_LENGTH: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;

    struct Setup {
        clock: Arc<FakeClock>,
        server_clock: Arc<ServerClock>,
    }

    impl Setup {
        fn new() -> Setup {
            Setup { clock: Arc::new(FakeClock::new()), server_clock: Arc::default() }
        }

        fn key_pair(&self, user: &str, lifetime: Duration) -> Result<KeyPair, Error> {
            let account = Account::parse("myorg-account_1.privatelink").unwrap();
            let origin = Origin::parse("https://a.example", "test URL").unwrap();
            KeyPair::new(&account, user, key(), lifetime, origin, self.clock.clone(), self.server_clock.clone())
        }

        fn now(&self) -> u64 {
            self.clock.now().wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
        }
    }

    fn key() -> PrivateKey {
        PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap()
    }

    fn part(token: &str, n: usize) -> serde_json::Value {
        let part = token.split('.').nth(n).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_jwt_says_who_asks_since_when_and_until_when() {
        let setup = Setup::new();
        let grant = setup.key_pair(" loader ", MAX_LIFETIME).unwrap().fetch().unwrap();
        let token = grant.bearer.expose();
        assert_eq!(part(token, 0), serde_json::json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(token, 1);
        let (issued, fingerprint) = (setup.now(), key().fingerprint().to_owned());
        assert_eq!(claims["iss"], format!("MYORG-ACCOUNT_1.LOADER.{fingerprint}"));
        assert_eq!(claims["sub"], "MYORG-ACCOUNT_1.LOADER");
        assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(issued), Some(issued + 3600)));
        let id: Uuid = claims["jti"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert_eq!(claims.as_object().unwrap().len(), 5, "{claims}");
        assert_eq!((grant.kind, grant.asked), (TokenKind::KeyPairJwt, setup.clock.now()));
    }

    #[test]
    fn its_signature_verifies_with_the_public_key() {
        use rsa::pkcs1v15::{Signature, VerifyingKey};
        use rsa::pkcs8::DecodePublicKey;
        use rsa::signature::Verifier;

        let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/public.pem");
        let public = rsa::RsaPublicKey::read_public_key_pem_file(pem).unwrap();
        let grant = Setup::new().key_pair("u", MAX_LIFETIME).unwrap().fetch().unwrap();
        let (signed, signature) = grant.bearer.expose().rsplit_once('.').unwrap();
        let signature = Signature::try_from(&URL_SAFE_NO_PAD.decode(signature).unwrap()[..]).unwrap();
        VerifyingKey::<rsa::sha2::Sha256>::new(public).verify(signed.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn an_audience_is_claimed_only_when_asked_for() {
        let source = Setup::new().key_pair("u", MAX_LIFETIME).unwrap().audience(Some("https://proxy.example".into()));
        assert_eq!(part(source.fetch().unwrap().bearer.expose(), 1)["aud"], "https://proxy.example");
    }

    #[test]
    fn no_two_tokens_are_equal() {
        let source = Setup::new().key_pair("u", MAX_LIFETIME).unwrap();
        assert!(source.fetch().unwrap().bearer != source.fetch().unwrap().bearer);
    }

    #[test]
    fn its_times_are_the_servers() {
        for ahead in [-600i64, 600] {
            let setup = Setup::new();
            let now = setup.clock.now();
            let skew = Duration::from_secs(ahead.unsigned_abs());
            let date = if ahead < 0 { now.wall - skew } else { now.wall + skew };
            setup.server_clock.observe(date, now, now);
            let claims = part(setup.key_pair("u", MAX_LIFETIME).unwrap().fetch().unwrap().bearer.expose(), 1);
            let error = claims["iat"].as_u64().unwrap().abs_diff(setup.now().saturating_add_signed(ahead));
            assert!(error <= 1, "{error}");
            assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|issued| issued + 3600));
        }
    }

    #[test]
    fn it_is_given_up_a_minute_early_or_a_tenth_of_its_life() {
        let setup = Setup::new();
        for (lifetime, good) in [(3600, 3540.0), (600, 540.0), (60, 54.0), (1, 0.9)] {
            let grant = setup.key_pair("u", Duration::from_secs(lifetime)).unwrap().fetch().unwrap();
            assert_eq!(grant.lifetime.as_secs_f64(), good);
        }
    }

    #[test]
    fn a_life_beyond_an_hour_or_below_a_second_and_an_empty_user_are_refused() {
        let setup = Setup::new();
        let hour = Duration::from_secs(3600);
        for (user, lifetime) in [
            ("u", hour + Duration::from_nanos(1)),
            ("u", Duration::MAX),
            ("u", Duration::ZERO),
            ("u", Duration::from_millis(999)),
            ("", hour),
            (" ", hour),
            ("a\nb", hour),
        ] {
            assert_eq!(setup.key_pair(user, lifetime).unwrap_err().kind(), ErrorKind::Config, "{user:?} {lifetime:?}");
        }
    }
}
