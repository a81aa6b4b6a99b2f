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

/// The RSA key that the embedded authorization server signs with, and the id that tokens name it by. Stored as PKCS#8.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub(crate) struct SigningKey {
    key: RsaPrivateKey,
    pkcs8: Vec<u8>,
    id: String,
}

impl SigningKey {
    /// The key that emulators without a state folder share in this process, generated at the first call.
    pub(crate) fn shared() -> io::Result<Self> {
        // Locked while the key is generated: threads that come meanwhile wait for it instead of generating one each.
        let mut shared = SHARED.lock();
        if let Some(key) = shared.as_ref() {
            return Ok(key.clone());
        }
        let key = Self::generate()?;
        *shared = Some(key.clone());
        Ok(key)
    }

    pub(crate) fn generate() -> io::Result<Self> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(io::Error::other)?;
        let pkcs8 = key.to_pkcs8_der().map_err(io::Error::other)?.as_bytes().to_vec();
        Ok(Self { id: thumbprint(&key), key, pkcs8 })
    }

    /// The `kid` of tokens: the thumbprint of RFC 7638.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The public key as RFC 7517 writes it.
    pub(crate) fn jwk(&self) -> Value {
        let (n, e) = (base64url(self.key.n()), base64url(self.key.e()));
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": n, "e": e})
    }

    /// An RS256 signature over the message.
    pub(crate) fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let digest = Sha256::digest(message);
        // With randomness, which blinds the key against measuring how long a signature takes.
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
    let members = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url(key.e()), base64url(key.n()));
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// The big-endian bytes without leading zeros, as RFC 7518 (section 2) writes numbers.
fn base64url(number: &BigUint) -> String {
    URL_SAFE_NO_PAD.encode(number.to_bytes_be())
}

/// A test suite starts hundreds of emulators, and generating a key takes a noticeable part of a second.
static SHARED: Mutex<Option<SigningKey>> = Mutex::new(None);
/// The least that RS256 allows (RFC 7518, section 3.3).
const BITS: usize = 2048;
