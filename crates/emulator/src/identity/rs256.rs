//! JWTs that a service issues itself, signed with RS256.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::identity::signing_key::SigningKey;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// A JWT with these claims, which names the key by this id.
pub(crate) fn sign(key: &SigningKey, kid: &str, claims: &Value) -> io::Result<String> {
    let header = json!({"typ": "JWT", "alg": ALGORITHM, "kid": kid});
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The claims of a JWT that this key signed under this id, expired or not.
///
/// The algorithm is ours to choose, never the token's: a header that names another one is refused before anything else.
/// Otherwise `none`, or an HMAC keyed with the public key, would pass.
pub(crate) fn verify<C: DeserializeOwned>(key: &SigningKey, kid: &str, token: &str) -> Option<C> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if header.alg != ALGORITHM || header.kid != kid {
        return None;
    }
    if !key.verifies(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

const ALGORITHM: &str = "RS256";
