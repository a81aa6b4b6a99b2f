//! Access tokens of the embedded authorization server. The account accepts them as one does that trusts an issuer
//! through a security integration for External OAuth.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::identity::invalid_token::InvalidToken;
use crate::identity::rs256;
use crate::identity::secrets::Secrets;

/// Issues access tokens, and checks those that clients present.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    secrets: Arc<Secrets>,
    issuer: String,
    /// The account's URL.
    audience: String,
    lifetime_seconds: u64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scp: Vec<String>,
    iat: i64,
    exp: i64,
    /// The generation, a dot, and an id of this token alone. Revoking starts a new generation.
    jti: String,
}

impl AccessTokens {
    pub(crate) fn new(secrets: Arc<Secrets>, account_url: &str, lifetime_seconds: u64) -> Self {
        let (issuer, audience) = (format!("{account_url}/oauth2"), account_url.to_owned());
        Self { secrets, issuer, audience, lifetime_seconds }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn lifetime_seconds(&self) -> u64 {
        self.lifetime_seconds
    }

    /// The key set to verify tokens with (RFC 7517, section 5).
    pub(crate) fn jwks(&self) -> io::Result<Value> {
        Ok(json!({"keys": [self.secrets.signing_key()?.jwk()]}))
    }

    /// Issues a token with all the requested scopes, which are separated by spaces.
    pub(crate) fn issue(&self, user: &str, scopes: &str, now_ms: i64) -> io::Result<String> {
        let key = self.secrets.signing_key()?;
        let now = now_ms.div_euclid(1000);
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: user.to_owned(),
            aud: self.audience.clone(),
            scp: scopes.split_whitespace().map(str::to_owned).collect(),
            iat: now,
            exp: now.saturating_add_unsigned(self.lifetime_seconds),
            jti: format!("{}.{}", self.secrets.access_generation(), Uuid::new_v4()),
        };
        rs256::sign(&key, key.id(), &json!(claims))
    }

    /// Whether the token was issued here and is not revoked, expired or not.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.verified_claims(token).is_some()
    }

    /// Returns the role that an accepted token asks for.
    pub(crate) fn check(&self, token: &str, now_ms: i64) -> Result<Option<String>, InvalidToken> {
        let claims = self.verified_claims(token).ok_or(InvalidToken::Unknown)?;
        if claims.exp <= now_ms.div_euclid(1000) {
            return Err(InvalidToken::Expired);
        }
        if claims.aud != self.audience {
            return Err(InvalidToken::WrongAudience);
        }
        Ok(claims.scp.into_iter().find(|scope| scope.starts_with(ROLE_SCOPE)))
    }

    /// Revokes every token issued so far by starting a new generation. The key stays: another would take a noticeable
    /// part of a second, and clients that cached the published one would have to fetch it again.
    pub(crate) fn revoke_all(&self) -> io::Result<()> {
        self.secrets.renew_access_generation()
    }

    fn verified_claims(&self, token: &str) -> Option<Claims> {
        // Without a key no token was ever issued, and a look at a foreign one must not make a key: that takes long.
        let key = self.secrets.existing_signing_key()?;
        let claims: Claims = rs256::verify(&key, key.id(), token)?;
        let (generation, _) = claims.jti.split_once('.')?;
        (claims.iss == self.issuer && generation == self.secrets.access_generation()).then_some(claims)
    }
}

const ROLE_SCOPE: &str = "session:role:";

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:9";

    fn server(secrets: &Arc<Secrets>) -> AccessTokens {
        AccessTokens::new(Arc::clone(secrets), URL, 60)
    }

    fn secrets() -> Arc<Secrets> {
        Arc::new(Secrets::generate().unwrap())
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let server = server(&secrets());
        let token = server.issue("U", "openid session:role:R", 1_000_000).unwrap();
        assert_eq!(server.check(&token, 1_059_999), Ok(Some("session:role:R".to_owned())));
        assert_eq!(server.check(&token, 1_060_000), Err(InvalidToken::Expired));
        assert!(server.knows(&token), "expired or not");
        server.revoke_all().unwrap();
        assert_eq!(server.check(&token, 1_000_000), Err(InvalidToken::Unknown));
        let next = server.issue("U", "", 1_000_000).unwrap();
        assert_eq!(server.check(&next, 1_000_000), Ok(None));
    }

    #[test]
    fn a_token_of_another_issuer_or_for_another_account_is_refused() {
        let secrets = secrets();
        let ours = server(&secrets);
        let elsewhere = AccessTokens::new(Arc::clone(&secrets), "http://127.0.0.1:10", 60);
        let strange = elsewhere.issue("U", "", 0).unwrap();
        assert_eq!(ours.check(&strange, 0), Err(InvalidToken::Unknown));
        let other_account = AccessTokens { audience: "http://127.0.0.1:10".to_owned(), ..server(&secrets) };
        let misdirected = other_account.issue("U", "", 0).unwrap();
        assert_eq!(ours.check(&misdirected, 0), Err(InvalidToken::WrongAudience));
    }

    #[test]
    fn emulators_of_a_process_share_the_key_and_not_the_tokens() {
        let (ours, theirs) = (server(&secrets()), server(&secrets()));
        assert_eq!(ours.jwks().unwrap(), theirs.jwks().unwrap());
        let token = theirs.issue("U", "", 0).unwrap();
        assert_eq!(ours.check(&token, 0), Err(InvalidToken::Unknown), "of the same URL, as after a restart");
    }

    #[test]
    fn nothing_is_known_and_no_key_made_before_one_is_needed() {
        let secrets = secrets();
        let token = server(&self::secrets()).issue("U", "", 0).unwrap();
        assert!(!server(&secrets).knows(&token));
        assert!(secrets.existing_signing_key().is_none());
    }
}
