use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use super::LoginContext;
use crate::auth::{Grant, PrivateKey, TokenSource};
use crate::error::{Error, ErrorKind, looks_secret, shown, visible};
use crate::http::Limits;
use crate::secret::Secret;
use crate::snowflake::account::Account;

/// Mints key-pair JWTs ("Using key-pair authentication" in Snowflake's SQL API documentation). Sends nothing.
#[derive(Debug)]
pub(crate) struct KeyPair {
    account: String,
    user: String,
    audience: Option<String>,
    key: Mutex<KeyInUse>,
    lifetime: Duration,
    context: LoginContext,
}

#[derive(Debug)]
struct KeyInUse {
    key: PrivateKey,
    /// Why its file could not be read again after the last refusal.
    unread: Option<String>,
}

impl KeyPair {
    pub(crate) fn new(account: &Account, user: &str, key: PrivateKey, context: LoginContext) -> Result<KeyPair, Error> {
        let (account, user) = (account.jwt_name().to_owned(), login_name(user)?.to_owned());
        let key = Mutex::new(KeyInUse { key, unread: None });
        Ok(KeyPair { account, user, audience: None, key, lifetime: MAX_LIFETIME, context })
    }

    /// The service does not need one; a proxy before it may.
    pub(crate) fn audience(mut self, audience: Option<String>) -> KeyPair {
        self.audience = audience;
        self
    }

    /// Instead of [`MAX_LIFETIME`].
    pub(crate) fn lifetime(mut self, lifetime: Duration) -> Result<KeyPair, Error> {
        self.lifetime = whole_seconds(lifetime)?;
        Ok(self)
    }

    /// RFC 7515, section 3.1: header and claims, a dot between them, then the signature over both.
    fn mint(&self, issued: SystemTime) -> Result<Secret, Error> {
        let issued = issued.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| before_1970())?.as_secs();
        let key = self.key.lock().key.clone();
        let subject = format!("{}.{}", self.account, self.user.to_uppercase());
        let claims = Claims {
            iss: &format!("{subject}.{}", key.fingerprint()),
            sub: &subject,
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
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

impl KeyPair {
    /// A new token, made at once and without a request.
    pub(crate) fn mint_now(&self) -> Result<Grant, Error> {
        let asked = self.context.clock.now();
        let bearer = self.mint(self.context.server_clock.at(asked))?;
        // The service's clock may be a little ahead of what we know of it, and then the token expires earlier.
        let lifetime = self.lifetime - SKEW.min(self.lifetime / 10);
        Ok(Grant { bearer, origin: self.context.origin.clone(), lifetime, asked, reread_after: None })
    }
}

impl KeyPair {
    /// Takes the key that its file contains now. If that cannot be read, the one in use may still be accepted: the token may
    /// have been refused for another reason, such as a wrong clock.
    fn read_key_again(&self) {
        let key = self.key.lock().key.clone();
        // Not under the lock, as a logger may use this client.
        let (key, unread) = match key.read_again() {
            Ok(None) => (key, None),
            Ok(Some(newer)) => {
                log::info!("a JWT was refused; the file contains a newer key, {}", newer.fingerprint());
                (newer, None)
            }
            Err(error) => {
                log::warn!("a JWT was refused, and no newer key was found: {error}");
                (key, Some(error.to_string()))
            }
        };
        *self.key.lock() = KeyInUse { key, unread };
    }
}

impl TokenSource for KeyPair {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        self.mint_now()
    }

    /// With the same key too, by what the refusal has shown of the server's clock.
    fn replace(&self, _refused: &Grant, _limits: Limits) -> Result<Option<Grant>, Error> {
        self.read_key_again();
        self.mint_now().map(Some)
    }

    fn identity(&self) -> Option<String> {
        let in_use = self.key.lock();
        let mut identity = identity(&self.account, &self.user, in_use.key.fingerprint());
        if let Some(reason) = &in_use.unread {
            identity.push_str(&format!(", and no newer key was found: {reason}"));
        }
        Some(identity)
    }
}

/// Whom a JWT claims to be.
pub(super) fn identity(account: &str, user: &str, fingerprint: &str) -> String {
    // In upper case, a token that was given for the user would no longer look like one.
    let user = if looks_secret(user) { visible(user) } else { user.trim().to_uppercase() };
    format!("account {account}, user {user}, public key {fingerprint}")
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    sub: &'c str,
    /// In seconds, like `exp` (RFC 7519, section 2, NumericDate).
    iat: u64,
    exp: u64,
    /// Makes every token different.
    jti: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'c str>,
}

/// The claims name the LOGIN_NAME in upper case: it is never case-sensitive (CREATE USER in Snowflake's
/// documentation). So quotes around one, which keep the case of other names, are no part of it.
fn login_name(user: &str) -> Result<&str, Error> {
    let user = user.trim();
    let refuse = |reason: &str| {
        Error::new(ErrorKind::Config, format!("the user {} {reason}", shown(user)))
            .advise("give the LOGIN_NAME that DESC USER shows")
    };
    if user.is_empty() {
        return Err(
            Error::new(ErrorKind::Config, "the user is empty").advise("give the LOGIN_NAME that DESC USER shows")
        );
    }
    if user.starts_with(QUOTES) || user.ends_with(QUOTES) {
        return Err(refuse("has quotes around it, which are no part of a login name"));
    }
    if user.chars().any(char::is_control) {
        return Err(refuse("contains a control character"));
    }
    Ok(user)
}

fn whole_seconds(lifetime: Duration) -> Result<Duration, Error> {
    let whole = Duration::from_secs(lifetime.as_secs());
    if whole.is_zero() {
        return Err(Error::new(ErrorKind::Config, format!("a JWT lifetime of {lifetime:?} is shorter than a second"))
            .advise("give at least a second and at most an hour"));
    }
    if lifetime > MAX_LIFETIME {
        let reason =
            format!("a JWT lifetime of {} s is longer than the hour that the service accepts", lifetime.as_secs());
        return Err(Error::new(ErrorKind::Config, reason).advise("give at most an hour"));
    }
    Ok(whole)
}

fn before_1970() -> Error {
    Error::new(ErrorKind::Clock, "this machine's clock shows a time before 1970").advise("set it by NTP")
}

/// The service accepts a JWT for an hour after `iat`, however late its `exp` is.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(3600);

const QUOTES: [char; 3] = ['"', '\'', '`'];
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;
/// Allows for the error of the measured clock offset, which is a few seconds at most.
const SKEW: Duration = Duration::from_secs(60);
/// Holds a token signed with 4096 bits: growing a buffer leaves copies of it in memory.
const TYPICAL_LENGTH: usize = 1200;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, FakeClock, ServerClock};
    use crate::http::Origin;

    struct Setup {
        clock: Arc<FakeClock>,
        server_clock: Arc<ServerClock>,
    }

    impl Setup {
        fn new() -> Setup {
            Setup { clock: Arc::new(FakeClock::new()), server_clock: Arc::default() }
        }

        fn context(&self) -> LoginContext {
            LoginContext {
                origin: Origin::parse("https://a.example", "test URL").unwrap(),
                clock: self.clock.clone(),
                server_clock: self.server_clock.clone(),
            }
        }

        fn key_pair(&self, user: &str, lifetime: Duration) -> Result<KeyPair, Error> {
            let account = Account::parse("myorg-account_1.privatelink").unwrap();
            KeyPair::new(&account, user, key(), self.context())?.lifetime(lifetime)
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
    fn a_jwt_names_user_and_key_and_its_times() {
        let setup = Setup::new();
        let grant = setup.key_pair(" loader ", MAX_LIFETIME).unwrap().mint_now().unwrap();
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
        assert_eq!(grant.asked, setup.clock.now());
    }

    #[test]
    fn its_signature_verifies_with_the_public_key() {
        use rsa::pkcs1v15::{Signature, VerifyingKey};
        use rsa::pkcs8::DecodePublicKey;
        use rsa::signature::Verifier;

        let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/public.pem");
        let public = rsa::RsaPublicKey::read_public_key_pem_file(pem).unwrap();
        let grant = Setup::new().key_pair("u", MAX_LIFETIME).unwrap().mint_now().unwrap();
        let (signed, signature) = grant.bearer.expose().rsplit_once('.').unwrap();
        let signature = Signature::try_from(&URL_SAFE_NO_PAD.decode(signature).unwrap()[..]).unwrap();
        VerifyingKey::<rsa::sha2::Sha256>::new(public).verify(signed.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn an_audience_is_claimed_only_if_one_is_set() {
        let source = Setup::new().key_pair("u", MAX_LIFETIME).unwrap().audience(Some("https://proxy.example".into()));
        assert_eq!(part(source.mint_now().unwrap().bearer.expose(), 1)["aud"], "https://proxy.example");
    }

    #[test]
    fn no_two_tokens_are_equal() {
        let source = Setup::new().key_pair("u", MAX_LIFETIME).unwrap();
        assert!(source.mint_now().unwrap().bearer != source.mint_now().unwrap().bearer);
    }

    #[test]
    fn its_times_are_by_the_clock_of_the_server() {
        for ahead in [-600i64, 600] {
            let setup = Setup::new();
            let now = setup.clock.now();
            let skew = Duration::from_secs(ahead.unsigned_abs());
            let date = if ahead < 0 { now.wall - skew } else { now.wall + skew };
            setup.server_clock.observe(date, now, now);
            let claims = part(setup.key_pair("u", MAX_LIFETIME).unwrap().mint_now().unwrap().bearer.expose(), 1);
            let error = claims["iat"].as_u64().unwrap().abs_diff(setup.now().saturating_add_signed(ahead));
            assert!(error <= 1, "{error}");
            assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|issued| issued + 3600));
        }
    }

    #[test]
    fn it_is_given_up_a_minute_or_a_tenth_of_its_lifetime_early() {
        let setup = Setup::new();
        for (lifetime, good) in [(3600, 3540.0), (600, 540.0), (60, 54.0), (1, 0.9)] {
            let grant = setup.key_pair("u", Duration::from_secs(lifetime)).unwrap().mint_now().unwrap();
            assert_eq!(grant.lifetime.as_secs_f64(), good);
        }
    }

    #[test]
    fn a_key_file_that_has_changed_is_used_after_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rsa_key.p8");
        let fixture = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(fixture("plain.p8"), &path).unwrap();
        let setup = Setup::new();
        let context = setup.context();
        let account = Account::parse("myorg-account1").unwrap();
        let source = KeyPair::new(&account, "u", PrivateKey::from_file(&path).unwrap(), context).unwrap();
        let first = source.fetch(Limits::unlimited()).unwrap();
        let issuer = |grant: &Grant| part(grant.bearer.expose(), 1)["iss"].as_str().unwrap().to_owned();
        let replace = |refused: &Grant| source.replace(refused, Limits::unlimited()).unwrap().unwrap();

        let same = replace(&first);
        assert_eq!(issuer(&same), issuer(&first));
        assert!(same.bearer != first.bearer, "minted again, by what is known of the clock now");

        for broken in ["", &std::fs::read_to_string(fixture("plain-3072.p8")).unwrap()[..500]] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(issuer(&replace(&same)), issuer(&first), "the old key may still be accepted");
            let identity = source.identity().unwrap();
            assert!(identity.contains(key().fingerprint()), "{identity}");
            assert!(identity.contains("no newer key was found") && identity.contains("rsa_key.p8"), "{identity}");
        }

        std::fs::copy(fixture("plain-3072.p8"), &path).unwrap();
        let newer = PrivateKey::from_file(&path).unwrap();
        assert_eq!(issuer(&source.fetch(Limits::unlimited()).unwrap()), issuer(&first), "not before a refusal");
        let second = replace(&same);
        assert_eq!(issuer(&second), format!("MYORG-ACCOUNT1.U.{}", newer.fingerprint()));
        let identity = format!("account MYORG-ACCOUNT1, user U, public key {}", newer.fingerprint());
        assert_eq!(source.identity().unwrap(), identity);
        assert_eq!(issuer(&source.fetch(Limits::unlimited()).unwrap()), issuer(&second));
    }

    #[test]
    fn a_lifetime_over_an_hour_or_under_a_second_and_an_empty_user_are_refused() {
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
            ("\"LOADER\"", hour),
            ("'LOADER'", hour),
        ] {
            assert_eq!(setup.key_pair(user, lifetime).unwrap_err().kind(), ErrorKind::Config, "{user:?} {lifetime:?}");
        }
    }
}
