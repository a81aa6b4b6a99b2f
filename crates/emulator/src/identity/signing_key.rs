//! The key that the embedded authorization server signs with, and the public half that it publishes.

use std::{fmt, io};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An RSA key with the name that tokens call it by; kept as PKCS#8.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub(crate) struct SigningKey {
    key: RsaPrivateKey,
    pkcs8: Vec<u8>,
    id: String,
}

impl SigningKey {
    /// The key of this process, made at the first call.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut made = MADE.lock();
        if let Some(key) = made.as_ref() {
            return Ok(key.clone());
        }
        let key = Self::generate()?;
        *made = Some(key.clone());
        Ok(key)
    }

    pub(crate) fn generate() -> io::Result<Self> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(io::Error::other)?;
        let pkcs8 = key.to_pkcs8_der().map_err(io::Error::other)?.as_bytes().to_vec();
        Ok(Self { id: thumbprint(&key), key, pkcs8 })
    }

    /// What `kid` says: the thumbprint of RFC 7638.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The public half as RFC 7517 has it.
    pub(crate) fn published(&self) -> Value {
        let (n, e) = (number(self.key.n()), number(self.key.e()));
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": n, "e": e})
    }

    /// An RS256 signature over the message.
    pub(crate) fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let digest = Sha256::digest(message);
        let signature = self.key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha256>(), &digest);
        signature.map_err(io::Error::other)
    }

    /// Whether this is an RS256 signature of this key over the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let digest = Sha256::digest(message);
        self.key.to_public_key().verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).is_ok()
    }
}

impl TryFrom<Vec<u8>> for SigningKey {
    type Error = rsa::pkcs8::Error;

    fn try_from(pkcs8: Vec<u8>) -> Result<Self, Self::Error> {
        let key = RsaPrivateKey::from_pkcs8_der(&pkcs8)?;
        Ok(Self { id: thumbprint(&key), key, pkcs8 })
    }
}

impl From<SigningKey> for Vec<u8> {
    fn from(key: SigningKey) -> Self {
        key.pkcs8
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// RFC 7638: the required members alone, in the order of their names, without white space.
fn thumbprint(key: &RsaPrivateKey) -> String {
    let members = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, number(key.e()), number(key.n()));
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// The big-endian bytes, without zeros before them (RFC 7518, section 2).
fn number(number: &BigUint) -> String {
    URL_SAFE_NO_PAD.encode(number.to_bytes_be())
}

/// A suite of tests starts hundreds of emulators, and a key takes a noticeable part of a second.
static MADE: Mutex<Option<SigningKey>> = Mutex::new(None);
const BITS: usize = 2048;
