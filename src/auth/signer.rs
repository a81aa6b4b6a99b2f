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
#[cfg(feature = "aws-lc")]
static PROVIDER: &CryptoProvider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
#[cfg(not(feature = "aws-lc"))]
static PROVIDER: &CryptoProvider = &pure_rust::PROVIDER;

/// RS256 by the `rsa` crate alone: jsonwebtoken's own backend over it brings 17 crates for algorithms that no service here
/// takes.
#[cfg(not(feature = "aws-lc"))]
mod pure_rust {
    use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
    use jsonwebtoken::errors::{Error, ErrorKind};
    use jsonwebtoken::signature::{Error as SignatureError, Signer};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
    use rsa::RsaPrivateKey;
    use rsa::pkcs1::DecodeRsaPrivateKey;
    use rsa::pkcs1v15::SigningKey;
    use rsa::rand_core::OsRng;
    use rsa::sha2::Sha256;
    use rsa::signature::{RandomizedSigner, SignatureEncoding};

    pub(super) static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

    struct Rs256 {
        key: EncodingKey,
    }

    fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
        match algorithm {
            Algorithm::RS256 => Ok(Box::new(Rs256 { key: key.clone() })),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }

    /// Tokens are verified by the service that receives them.
    fn verifier(_: &Algorithm, _: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
        Err(ErrorKind::InvalidAlgorithm.into())
    }

    impl JwtSigner for Rs256 {
        fn algorithm(&self) -> Algorithm {
            Algorithm::RS256
        }
    }

    impl Signer<Vec<u8>> for Rs256 {
        /// Without random numbers there would be no blinding.
        fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
            let key = RsaPrivateKey::from_pkcs1_der(self.key.as_bytes()).map_err(SignatureError::from_source)?;
            Ok(SigningKey::<Sha256>::new(key).try_sign_with_rng(&mut OsRng, message)?.to_vec())
        }
    }
}
