//! The bare signature, by whichever backend the library is built with.

pub use chosen::{NAME, signer};

#[cfg(not(feature = "aws-lc"))]
mod chosen {
    use std::path::Path;

    use rsa::pkcs1v15::SigningKey;
    use rsa::pkcs8::DecodePrivateKey;
    use rsa::rand_core::OsRng;
    use rsa::sha2::Sha256;
    use rsa::signature::{RandomizedSigner, SignatureEncoding};

    pub const NAME: &str = "rsa";

    pub fn signer(path: &Path) -> impl Fn(&[u8]) -> Vec<u8> {
        let key = rsa::RsaPrivateKey::read_pkcs8_pem_file(path).expect("a good key");
        let key = SigningKey::<Sha256>::new(key);
        move |message| key.sign_with_rng(&mut OsRng, message).to_vec()
    }
}

#[cfg(feature = "aws-lc")]
mod chosen {
    use std::path::Path;

    use jsonwebtoken::{Algorithm, EncodingKey};
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::pkcs8::DecodePrivateKey;

    pub const NAME: &str = "aws-lc";

    pub fn signer(path: &Path) -> impl Fn(&[u8]) -> Vec<u8> {
        let key = rsa::RsaPrivateKey::read_pkcs8_pem_file(path).expect("a good key");
        let key = EncodingKey::from_rsa_der(key.to_pkcs1_der().expect("a good key").as_bytes());
        let provider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
        move |message| {
            let signer = (provider.signer_factory)(&Algorithm::RS256, &key).expect("a good key");
            signer.try_sign(message).expect("a signature")
        }
    }
}
