//! Keys of users and the JWTs that they sign.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::sha2::{Digest, Sha256};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use snowpipe_emulator::Emulator;

use super::unix_seconds;

pub fn new_key() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap()
}

/// The user's key.
pub fn key_of(emulator: &Emulator) -> RsaPrivateKey {
    RsaPrivateKey::from_pkcs8_pem(emulator.private_key_pem().unwrap()).unwrap()
}

/// A JWT that logs the user in.
pub fn jwt(emulator: &Emulator) -> String {
    jwt_by(&key_of(emulator), unix_seconds(), 3540)
}

pub fn jwt_by(key: &RsaPrivateKey, issued: i64, lifetime: i64) -> String {
    let claims = json!({
        "iss": format!("TESTORG-EMULATOR.LOADER.SHA256:{}", fingerprint(key)),
        "sub": "TESTORG-EMULATOR.LOADER",
        "iat": issued,
        "exp": issued + lifetime,
    });
    sign(key, &unsigned_jwt(&json!({"typ": "JWT", "alg": "RS256"}), &claims))
}

/// Header and claims, joined as they are signed.
pub fn unsigned_jwt(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

pub fn sign(key: &RsaPrivateKey, unsigned: &str) -> String {
    let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(unsigned.as_bytes())).unwrap();
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn fingerprint(key: &RsaPrivateKey) -> String {
    let der = key.to_public_key().to_public_key_der().unwrap();
    STANDARD.encode(Sha256::digest(der.as_bytes()))
}
