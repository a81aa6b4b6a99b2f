use std::fmt;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, EncodingKey};

use crate::error::{Error, ErrorKind};

/// Signs with RS256 (RFC 7518, section 3.3), blinded against the timing leak RUSTSEC-2023-0071.
pub(crate) struct Signer {
    /// Wiped on drop.
    key: EncodingKey,
}

impl Signer {
    /// `pkcs1` is the DER form of RFC 8017, appendix A.1.2, of a key that has been checked.
    pub(crate) fn new(pkcs1: &[u8]) -> Signer {
        Signer { key: EncodingKey::from_rsa_der(pkcs1) }
    }

    /// Takes milliseconds: not to be called while holding a lock that readers of a token need.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let refused = |reason: &str| {
            Error::new(ErrorKind::Config, format!("the private key cannot sign: {reason}"))
                .advise("make another key: openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out rsa_key.p8")
        };
        let signer =
            (PROVIDER.signer_factory)(&Algorithm::RS256, &self.key).map_err(|error| refused(&error.to_string()))?;
        signer.try_sign(message).map_err(|_| refused("the signing backend refused it"))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// Chosen by name, because jsonwebtoken's own choice panics when another crate of the program enables a second backend.
#[cfg(not(feature = "aws-lc"))]
static PROVIDER: &CryptoProvider = &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
#[cfg(feature = "aws-lc")]
static PROVIDER: &CryptoProvider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
