use std::io;

use crate::error::{Error, ErrorKind};

/// Why a key cannot be used. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidKey {
    #[error("is empty")]
    Empty,
    #[error("cannot be read: {}", reason(.0))]
    Unreadable(io::Error),
    #[error("is longer than {} bytes, and no key is", MAX_BYTES)]
    TooLong,
    #[error("is the text of a key where the path of its file is expected")]
    TextForPath,
    #[error("looks like the path of a file where the text of a key is expected")]
    PathForText,
    #[error("is neither PEM nor base64 nor DER")]
    NotAKey,
    #[error("is cut off: it has a BEGIN line and no END line")]
    Truncated,
    #[error("is damaged or cut off")]
    Damaged,
    #[error("is encrypted and no passphrase was given")]
    PassphraseMissing,
    #[error("does not decrypt: the passphrase is wrong, or the key is damaged")]
    WrongPassphrase,
    #[error("is encrypted in OpenSSL's old format (DEK-Info), which is not safe and not supported")]
    LegacyEncryption,
    #[error("is encrypted with an outdated scheme (PBES1), which is not safe and not supported")]
    Pbes1,
    #[error("is encrypted with a cipher that is not supported")]
    UnknownEncryption,
    #[error("is encrypted with parameters that would take hours or gigabytes to decrypt")]
    SlowEncryption,
    #[error("is a public key")]
    Public,
    #[error("is a certificate")]
    Certificate,
    #[error("is in the format of OpenSSH")]
    OpenSsh,
    #[error("is in the format of PuTTY (.ppk)")]
    Putty,
    #[error("is JSON, such as a JWK")]
    Json,
    #[error("is XML or HTML")]
    Markup,
    #[error("is a PKCS#12 file (.p12, .pfx)")]
    Pkcs12,
    #[error("is a key store of Java")]
    JavaKeyStore,
    #[error("is a key of PGP")]
    Pgp,
    #[error("is a socket, as of an ssh agent, and no file")]
    Socket,
    #[error("is no regular file any more")]
    NotRegular,
    #[error("is an elliptic-curve key, not an RSA key")]
    EllipticCurve,
    #[error("is an Ed25519 or Ed448 key, not an RSA key")]
    Edwards,
    #[error("is restricted to RSA-PSS, which the service does not accept")]
    RsaPss,
    #[error("is not an RSA key")]
    NotRsa,
    #[error("has only {0} bits, but the service requires at least {min}", min = super::MIN_BITS)]
    Short(usize),
    #[error("has more than two primes, which is not supported")]
    MultiPrime,
}

impl InvalidKey {
    /// The error for the key of this name: "the private key file /etc/rsa_key.p8".
    pub(super) fn named(self, name: &str) -> Error {
        let error = Error::new(ErrorKind::Config, format!("{name} {self}")).advise(self.advice());
        match self {
            InvalidKey::Unreadable(cause) => error.with_source(cause),
            _ => error,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            InvalidKey::Empty => "check the program that writes it, or the variable that should hold it",
            InvalidKey::Unreadable(_) => "check the path and the permissions of the file",
            InvalidKey::TooLong => "check that it is the key file",
            InvalidKey::TextForPath => "load the text with PrivateKey::from_pem",
            InvalidKey::PathForText => "load the file with PrivateKey::from_file",
            InvalidKey::NotAKey => "give the whole file, from -----BEGIN to the END line",
            InvalidKey::Truncated | InvalidKey::Damaged => "copy the whole file again, from -----BEGIN to the END line",
            InvalidKey::PassphraseMissing => {
                "give the passphrase, or decrypt it: openssl pkcs8 -in rsa_key.p8 -out plain.p8"
            }
            InvalidKey::WrongPassphrase => {
                "try the passphrase with: openssl pkey -in rsa_key.p8 -noout; mind quotes and line ends around it"
            }
            InvalidKey::LegacyEncryption
            | InvalidKey::Pbes1
            | InvalidKey::UnknownEncryption
            | InvalidKey::SlowEncryption => RE_ENCRYPT,
            InvalidKey::Public => "give the private key that it belongs to",
            InvalidKey::Certificate => "give the private key that belongs to it",
            InvalidKey::OpenSsh => "convert a copy of it: ssh-keygen -p -m PKCS8 -f copy_of_key",
            InvalidKey::Putty => "convert it: puttygen key.ppk -O private-openssh -o rsa_key.pem",
            InvalidKey::Json | InvalidKey::Markup => "give the key as PEM (PKCS#8), from -----BEGIN to the END line",
            InvalidKey::Pkcs12 => {
                "take the key out of it: openssl pkcs12 -in bundle.pfx -nocerts -nodes -out rsa_key.p8"
            }
            InvalidKey::JavaKeyStore => {
                "convert it, and take the key out of the result: keytool -importkeystore -srckeystore keys.jks \
                 -destkeystore bundle.pfx -deststoretype PKCS12"
            }
            InvalidKey::Socket => "give the file of the key: an agent does not give it away",
            InvalidKey::NotRegular => "put the file back in its place",
            InvalidKey::EllipticCurve | InvalidKey::Edwards | InvalidKey::RsaPss | InvalidKey::NotRsa => NEW_KEY,
            InvalidKey::Pgp | InvalidKey::Short(_) | InvalidKey::MultiPrime => NEW_KEY,
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        kind => kind.to_string(),
    }
}

/// A key of 16384 bits takes 13 kB as PEM.
pub(super) const MAX_BYTES: usize = 64 * 1024;
const RE_ENCRYPT: &str = "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old_key.pem -out rsa_key.p8";
const NEW_KEY: &str = "make a key of the right kind and register its public part with ALTER USER … SET RSA_PUBLIC_KEY: \
                       openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out rsa_key.p8";
