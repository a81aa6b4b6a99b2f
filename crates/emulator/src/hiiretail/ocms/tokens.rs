//! Access tokens: RS256 JWTs, of which only a number is kept.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::identity::rs256;
use crate::identity::signing_key::SigningKey;

/// Issues tokens, and judges those that requests carry.
#[derive(Debug)]
pub(crate) struct Tokens {
    issuer: String,
    key: SigningKey,
    key_id: String,
    /// Tells our tokens from those of other emulators of this process, which sign with the same key.
    origin: String,
    lifetime_seconds: AtomicU64,
    /// How many were issued, and how many of those count as expired whatever the time.
    issued: AtomicU64,
    expired: AtomicU64,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: String,
    pub(crate) client_id: String,
    pub(crate) aud: Vec<String>,
    scp: Vec<String>,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The origin, a dot, and the number of the token.
    jti: String,
}

impl Tokens {
    pub(crate) fn new(issuer: &str, key: SigningKey, lifetime_seconds: u64) -> Self {
        Self {
            issuer: issuer.to_owned(),
            key,
            key_id: format!("public:{}", Uuid::new_v4()),
            origin: Uuid::new_v4().to_string(),
            lifetime_seconds: AtomicU64::new(lifetime_seconds),
            issued: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }

    pub(crate) fn lifetime_seconds(&self) -> u64 {
        self.lifetime_seconds.load(Ordering::SeqCst)
    }

    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.lifetime_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Makes every token issued so far an expired one.
    pub(crate) fn expire_all(&self) {
        self.expired.store(self.issued.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The key set to verify tokens with.
    pub(crate) fn jwks(&self) -> Value {
        let mut key = self.key.jwk();
        key["kid"] = self.key_id.as_str().into();
        json!({ "keys": [key] })
    }

    /// Issues a token. Without an audience it is one that the IAM takes for nothing.
    pub(crate) fn issue(
        &self,
        client_id: &str,
        audience: Option<&str>,
        scopes: &str,
        now_ms: i64,
    ) -> io::Result<String> {
        let now = now_ms.div_euclid(1000);
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: client_id.to_owned(),
            client_id: client_id.to_owned(),
            aud: audience.map(str::to_owned).into_iter().collect(),
            scp: scopes.split_whitespace().map(str::to_owned).collect(),
            iat: now,
            nbf: now,
            exp: now.saturating_add_unsigned(self.lifetime_seconds()),
            jti: format!("{}.{number}", self.origin),
        };
        rs256::sign(&self.key, &self.key_id, &json!(claims))
    }

    /// The claims of a good token, or what is wrong with it.
    pub(crate) fn check(&self, token: &str, now_ms: i64) -> Result<Claims, &'static str> {
        let claims: Claims = rs256::verify(&self.key, &self.key_id, token).ok_or("the token is unknown")?;
        let number = claims.jti.strip_prefix(&self.origin).and_then(|rest| rest.strip_prefix('.'));
        let number: u64 = number.and_then(|number| number.parse().ok()).ok_or("the token is unknown")?;
        let is_past = claims.exp <= now_ms.div_euclid(1000);
        if is_past || number <= self.expired.load(Ordering::SeqCst) {
            return Err("the token is expired");
        }
        Ok(claims)
    }
}
