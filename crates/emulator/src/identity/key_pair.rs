//! RSA keys of the user: the registered public ones, and a pair that is generated when none is given.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};

/// A public key that the account trusts for its user.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredKey {
    key: RsaPublicKey,
    fingerprint: String,
}

impl RegisteredKey {
    /// Reads a PEM block, or its base64 text alone, as the service's `RSA_PUBLIC_KEY` is written.
    pub(crate) fn from_pem(pem: &str) -> io::Result<Self> {
        let text = pem.trim();
        let framed;
        let pem = if text.starts_with("-----") {
            text
        } else {
            framed = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
            &framed
        };
        let der = pem::parse(pem).map_err(unusable)?;
        let key = RsaPublicKey::from_public_key_der(der.contents()).map_err(unusable)?;
        Self::new(key)
    }

    fn new(key: RsaPublicKey) -> io::Result<Self> {
        if key.n().bits() < MIN_BITS {
            return Err(unusable(format!("RSA keys need at least {MIN_BITS} bits")));
        }
        let der = key.to_public_key_der().map_err(unusable)?;
        Ok(Self { fingerprint: STANDARD.encode(Sha256::digest(der.as_bytes())), key })
    }

    /// Base64 of the SHA-256 over the DER SubjectPublicKeyInfo, as JWTs name their key.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether this is an RS256 signature over the message by the key's owner.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let digest = Sha256::digest(message);
        self.key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).is_ok()
    }
}

/// A private key, and the public key to register for it.
#[derive(Clone, Debug)]
pub(crate) struct KeyPair {
    pub(crate) private_key_pem: String,
    pub(crate) registered: RegisteredKey,
}

impl KeyPair {
    /// The pair that all emulators of this process share, generated at the first call.
    pub(crate) fn shared() -> io::Result<Self> {
        // Locked while the pair is generated: threads that come meanwhile wait for it instead of generating one each.
        let mut shared = SHARED.lock();
        if let Some(pair) = shared.as_ref() {
            return Ok(pair.clone());
        }
        let pair = Self::generate()?;
        *shared = Some(pair.clone());
        Ok(pair)
    }

    /// Reads an unencrypted PKCS#8 private key.
    pub(crate) fn from_pem(pem: &str) -> io::Result<Self> {
        Self::of(&RsaPrivateKey::from_pkcs8_pem(pem).map_err(unusable)?)
    }

    fn generate() -> io::Result<Self> {
        Self::of(&RsaPrivateKey::new(&mut OsRng, MIN_BITS).map_err(unusable)?)
    }

    fn of(key: &RsaPrivateKey) -> io::Result<Self> {
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(unusable)?;
        Ok(Self { private_key_pem: pem.as_str().to_owned(), registered: RegisteredKey::new(key.to_public_key())? })
    }
}

fn unusable(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("RSA key: {}", error.to_string()))
}

/// A test suite starts hundreds of emulators, and generating a pair takes a noticeable part of a second.
static SHARED: Mutex<Option<KeyPair>> = Mutex::new(None);
/// What the service demands of `RSA_PUBLIC_KEY`.
const MIN_BITS: usize = 2048;
