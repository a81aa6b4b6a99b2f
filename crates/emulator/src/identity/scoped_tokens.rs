//! Scoped tokens, which the ingest host wants: opaque to the client, bound to one host, expiring, revocable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rsa::sha2::Sha256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::invalid_token::InvalidToken;
use crate::identity::secrets::Secrets;

/// Issues scoped tokens, and checks those that clients present. None is kept: an HMAC proves that a token was issued
/// here.
#[derive(Debug)]
pub(crate) struct ScopedTokens {
    secrets: Arc<Secrets>,
    lifetime_seconds: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scp: Option<String>,
    iat: i64,
    exp: i64,
    jti: String,
}

impl ScopedTokens {
    pub(crate) fn new(secrets: Arc<Secrets>, lifetime_seconds: u64) -> Self {
        Self { secrets, lifetime_seconds: AtomicU64::new(lifetime_seconds) }
    }

    /// For tokens issued from now on.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.lifetime_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Revokes every token issued so far by changing the key.
    pub(crate) fn revoke_all(&self) -> io::Result<()> {
        self.secrets.renew_scoped_key()
    }

    pub(crate) fn issue(&self, user: &str, host: &str, scope: Option<String>, now_ms: i64) -> String {
        let now = now_ms.div_euclid(1000);
        let lifetime = self.lifetime_seconds.load(Ordering::Relaxed);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.to_owned(),
            aud: host.to_owned(),
            scp: scope,
            iat: now,
            exp: now.saturating_add_unsigned(lifetime),
            jti: Uuid::new_v4().to_string(),
        };
        let claims = serde_json::json!(claims).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let mac = self.mac(&signed).map(|mac| mac.finalize().into_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.unwrap_or_default()))
    }

    pub(crate) fn check(&self, token: &str, host: &str, now_ms: i64) -> Result<(), InvalidToken> {
        let claims = self.verified_claims(token).ok_or(InvalidToken::Unknown)?;
        if claims.exp <= now_ms.div_euclid(1000) {
            return Err(InvalidToken::Expired);
        }
        if claims.aud != host {
            return Err(InvalidToken::WrongAudience);
        }
        Ok(())
    }

    fn verified_claims(&self, token: &str) -> Option<Claims> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(signed)?.verify_slice(&tag).ok()?;
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// HMAC takes a key of any length, so this never is `None`.
    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secrets.scoped_key()).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

const ISSUER: &str = "snowpipe-streaming-emulator";

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "127.0.0.1";

    fn issuer() -> ScopedTokens {
        ScopedTokens::new(Arc::new(Secrets::generate().unwrap()), 60)
    }

    #[test]
    fn a_token_is_good_for_its_host_until_it_expires_or_is_revoked() {
        let tokens = issuer();
        let token = tokens.issue("U", HOST, None, 1_000_000);
        assert_eq!(tokens.check(&token, HOST, 1_059_999), Ok(()));
        assert_eq!(tokens.check(&token, HOST, 1_060_000), Err(InvalidToken::Expired));
        assert_eq!(tokens.check(&token, "other", 1_000_000), Err(InvalidToken::WrongAudience));
        tokens.revoke_all().unwrap();
        assert_eq!(tokens.check(&token, HOST, 1_000_000), Err(InvalidToken::Unknown));
        let next = tokens.issue("U", HOST, None, 1_000_000);
        assert_eq!(tokens.check(&next, HOST, 1_000_000), Ok(()));
        assert_ne!(token, next);
    }

    #[test]
    fn a_forged_token_is_refused() {
        let tokens = issuer();
        let strange = issuer().issue("U", HOST, None, 0);
        assert_eq!(tokens.check(&strange, HOST, 0), Err(InvalidToken::Unknown));
        let own = tokens.issue("U", HOST, None, 0);
        let cut = &own[..own.len() - 2];
        for forged in ["", "a.b.c", "x", cut] {
            assert_eq!(tokens.check(forged, HOST, 0), Err(InvalidToken::Unknown));
        }
    }
}
