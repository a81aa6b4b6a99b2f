//! Key-pair JWTs: what a login with one has to prove.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::identity::key_pair::RegisteredKey;

/// Verifies JWTs against the account, its user and the user's registered keys.
#[derive(Debug)]
pub(crate) struct JwtVerifier {
    account: String,
    user: String,
    keys: Mutex<Vec<RegisteredKey>>,
}

/// Why a JWT is refused. The service shows this to administrators only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidJwt {
    pub(crate) code: u32,
    pub(crate) name: &'static str,
}

impl JwtVerifier {
    pub(crate) fn new(account: &str, user: &str, keys: Vec<RegisteredKey>) -> Self {
        Self { account: account_name(account), user: user.to_uppercase(), keys: Mutex::new(keys) }
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// From now on, only these are registered.
    pub(crate) fn replace_keys(&self, keys: Vec<RegisteredKey>) {
        *self.keys.lock() = keys;
    }

    /// Returns the scope that an accepted JWT asks for.
    pub(crate) fn verify(&self, token: &str, now_ms: i64) -> Result<Option<String>, InvalidJwt> {
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let header = object(header)?;
        if text(&header, "alg") != Some("RS256") {
            return Err(INVALID_ALGORITHM);
        }
        let claims = object(claims)?;
        let fingerprint = self.check_names(&claims)?;
        let key = self.keys.lock().iter().find(|key| key.fingerprint() == fingerprint).cloned();
        let key = key.ok_or(FINGERPRINT_MISMATCH)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| INVALID_SIGNATURE)?;
        if !key.verifies(signed.as_bytes(), &signature) {
            return Err(INVALID_SIGNATURE);
        }
        check_times(&claims, now_ms)?;
        Ok(text(&claims, "scp").map(str::to_owned))
    }

    /// Checks account and user, and returns the fingerprint of the key that the issuer claims to have signed with.
    fn check_names<'a>(&self, claims: &'a Map<String, Value>) -> Result<&'a str, InvalidJwt> {
        let subject = text(claims, "sub").ok_or(INVALID_USER)?;
        let issuer = text(claims, "iss").ok_or(INVALID_USER)?;
        let (named, fingerprint) = issuer.rsplit_once(".SHA256:").ok_or(INVALID_USER)?;
        if named != subject {
            return Err(INVALID_USER);
        }
        // The account cannot hold a dot here; the user may.
        let (account, user) = named.split_once('.').ok_or(INVALID_USER)?;
        if account.replace('_', "-") != self.account {
            return Err(ACCOUNT_MISMATCH);
        }
        if user != self.user {
            return Err(INVALID_USER);
        }
        Ok(fingerprint)
    }
}

/// The account as claims name it: without region, in upper case, with hyphens for underscores.
fn account_name(account: &str) -> String {
    // In a name like `acct-x1y2.global`, what follows the hyphen is an id of the connection, not of the account.
    let end = if account.contains(".global") { '-' } else { '.' };
    let name = account.split(end).next().unwrap_or(account);
    name.to_uppercase().replace('_', "-")
}

fn check_times(claims: &Map<String, Value>, now_ms: i64) -> Result<(), InvalidJwt> {
    let issued = instant_ms(claims, "iat").ok_or(MISSING_TIME)?;
    let expires = instant_ms(claims, "exp").ok_or(MISSING_TIME)?;
    if issued > now_ms.saturating_add(FUTURE_TOLERANCE_MS) {
        return Err(INVALID_ISSUE_TIME);
    }
    if expires <= now_ms || now_ms > issued.saturating_add(MAX_AGE_MS) {
        return Err(INVALID_EXPIRATION_TIME);
    }
    Ok(())
}

/// Reads seconds or milliseconds; no login happens in the years that would make the two ambiguous.
fn instant_ms(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    let number = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))?;
    Some(if number.abs() < MIN_MILLISECONDS { number.saturating_mul(1000) } else { number })
}

fn object(part: &str) -> Result<Map<String, Value>, InvalidJwt> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&json).map_err(|_| MALFORMED)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

const fn invalid(code: u32, name: &'static str) -> InvalidJwt {
    InvalidJwt { code, name }
}

const MALFORMED: InvalidJwt = invalid(390_144, "JWT_TOKEN_INVALID");
const INVALID_USER: InvalidJwt = invalid(394_300, "JWT_TOKEN_INVALID_USER_IN_ISSUER");
const MISSING_TIME: InvalidJwt = invalid(394_301, "JWT_TOKEN_MISSING_ISSUE_OR_EXPIRATION_TIME");
const INVALID_ISSUE_TIME: InvalidJwt = invalid(394_302, "JWT_TOKEN_INVALID_ISSUE_TIME");
const INVALID_EXPIRATION_TIME: InvalidJwt = invalid(394_303, "JWT_TOKEN_INVALID_EXPIRATION_TIME");
const FINGERPRINT_MISMATCH: InvalidJwt = invalid(394_304, "JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH");
const INVALID_ALGORITHM: InvalidJwt = invalid(394_305, "JWT_TOKEN_INVALID_ALGORITHM");
const INVALID_SIGNATURE: InvalidJwt = invalid(394_306, "JWT_TOKEN_INVALID_SIGNATURE");
const ACCOUNT_MISMATCH: InvalidJwt = invalid(394_307, "JWT_TOKEN_ACCOUNT_MISMATCH");
/// The service takes no JWT that was issued more than an hour ago, whatever its `exp` says.
const MAX_AGE_MS: i64 = 3_600_000;
/// No source gives the service's tolerance for clocks that are ahead; a minute is the usual one.
const FUTURE_TOLERANCE_MS: i64 = 60_000;
/// As milliseconds this is in 1973, as seconds in the year 5138.
const MIN_MILLISECONDS: i64 = 100_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::key_pair::KeyPair;
    use rsa::pkcs8::DecodePrivateKey;
    use rsa::sha2::{Digest, Sha256};
    use rsa::{Pkcs1v15Sign, RsaPrivateKey};
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn verifier(pair: &KeyPair) -> JwtVerifier {
        JwtVerifier::new("myorg-acct", "loader", vec![pair.registered.clone()])
    }

    fn sign(pair: &KeyPair, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let key = RsaPrivateKey::from_pkcs8_pem(&pair.private_key_pem).unwrap();
        let digest = Sha256::digest(signed.as_bytes());
        let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims(pair: &KeyPair) -> Value {
        let fingerprint = pair.registered.fingerprint();
        json!({
            "iss": format!("MYORG-ACCT.LOADER.SHA256:{fingerprint}"),
            "sub": "MYORG-ACCT.LOADER",
            "iat": NOW,
            "exp": NOW + 3540,
        })
    }

    /// Verifies the usual token with some claims replaced; null removes one.
    fn verify_with(changes: Value) -> Result<Option<String>, InvalidJwt> {
        let pair = KeyPair::shared().unwrap();
        let mut all = claims(&pair);
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                all.as_object_mut().unwrap().remove(name);
            } else {
                all[name] = value.clone();
            }
        }
        let token = sign(&pair, &json!({"typ": "JWT", "alg": "RS256"}), &all);
        verifier(&pair).verify(&token, NOW * 1000)
    }

    #[test]
    fn seconds_and_milliseconds_are_both_understood() {
        assert_eq!(verify_with(json!({})), Ok(None));
        let ms = json!({"iat": NOW * 1000, "exp": (NOW + 3540) * 1000});
        assert!(verify_with(ms).is_ok());
        let scope = json!({"scp": "session:role:R"});
        assert_eq!(verify_with(scope).unwrap().as_deref(), Some("session:role:R"));
    }

    #[test]
    fn each_wrong_claim_has_its_own_reason() {
        let other = "iss of another key";
        let fingerprint = "MYORG-ACCT.LOADER.SHA256:AAAA";
        for (changes, code) in [
            (json!({"iat": null}), 394_301),
            (json!({"exp": "soon"}), 394_301),
            (json!({"iat": NOW + 61}), 394_302),
            (json!({"exp": NOW}), 394_303),
            (json!({"iat": NOW - 3601, "exp": NOW + 60}), 394_303),
            (json!({"iss": fingerprint}), 394_304),
            (json!({"iss": other}), 394_300),
            (json!({"sub": "MYORG-ACCT.OTHER"}), 394_300),
            (json!({"sub": null}), 394_300),
            (json!({"sub": "A.LOADER", "iss": "A.LOADER.SHA256:x"}), 394_307),
            (json!({"sub": "MYORG-ACCT.loader", "iss": "MYORG-ACCT.loader.SHA256:x"}), 394_300),
        ] {
            assert_eq!(verify_with(changes.clone()).unwrap_err().code, code, "{changes}");
        }
    }

    #[test]
    fn only_an_untouched_rs256_signature_passes() {
        let pair = KeyPair::shared().unwrap();
        let verifier = verifier(&pair);
        let good = sign(&pair, &json!({"alg": "RS256"}), &claims(&pair));
        assert!(verifier.verify(&good, NOW * 1000).is_ok());
        let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
        let mut forged = claims(&pair);
        forged["exp"] = json!(NOW + 9999);
        parts[1] = URL_SAFE_NO_PAD.encode(forged.to_string());
        let code = |token: &str| verifier.verify(token, NOW * 1000).unwrap_err().code;
        assert_eq!(code(&parts.join(".")), 394_306);
        assert_eq!(code(&sign(&pair, &json!({"alg": "none"}), &claims(&pair))), 394_305);
        for garbage in ["", ".", "..", "a.b.c", "no token", "é.é.é"] {
            assert!(verifier.verify(garbage, NOW * 1000).is_err(), "{garbage}");
        }
    }

    #[test]
    fn account_names_lose_their_region() {
        assert_eq!(account_name("xy12345.us-east-2.aws"), "XY12345");
        assert_eq!(account_name("acct-x1y2.global"), "ACCT");
        assert_eq!(account_name("myorg-my_acct"), "MYORG-MY-ACCT");
    }
}
