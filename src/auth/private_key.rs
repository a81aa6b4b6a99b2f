mod decode;
mod file;
mod invalid;
mod sealed;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::EncodePublicKey;
use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;

use self::file::KeyFile;
use self::invalid::InvalidKey;
use crate::auth::signer::Signer;
use crate::error::{Error, shown_path};
use crate::secret::Secret;

/// An RSA key of at least [`MIN_BITS`](PrivateKey::MIN_BITS) bits, checked and ready to sign; cheap to clone.
///
/// It is read from a file or a text in any form in which keys are found: PKCS#8, encrypted PKCS#8 or PKCS#1; PEM, the bare
/// base64 of a PEM body, or DER; with a byte order mark, quotes, indentation, Windows line ends, line ends written as
/// `\n` or turned into spaces, or a public key before it. The error for an unusable key says what was found and how to fix
/// it. The key is never printed. Its text is wiped when it has been read, and its bytes with its last clone; copies of its
/// numbers that the arithmetic of the `rsa` crate leaves in freed memory are not.
///
/// ```
/// use snowpipe_streaming::PrivateKey;
///
/// let error = PrivateKey::from_pem("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----").unwrap_err();
/// assert!(error.to_string().contains("is a public key"));
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    checked: Arc<Checked>,
    /// Where it was read, if it can be read there again.
    file: Option<Arc<KeyFile>>,
}

struct Checked {
    signer: Signer,
    fingerprint: String,
    bits: usize,
}

impl PrivateKey {
    /// The shortest key the service accepts ("Key-pair authentication" in its documentation).
    pub const MIN_BITS: usize = MIN_BITS;

    /// Reads an unencrypted key from a file with any name. A client reads the file again when the service refuses the key:
    /// see [`Client`](crate::Client#rotation).
    ///
    /// # Blocking
    ///
    /// While it reads the file.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file cannot be read or contains no usable key.
    ///
    /// ```
    /// use snowpipe_streaming::{ErrorKind, PrivateKey};
    ///
    /// let error = PrivateKey::from_file("no/such/rsa_key.p8").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Config);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<PrivateKey, Error> {
        PrivateKey::read(path.as_ref(), None)
    }

    /// Reads an encrypted key (PKCS#8 with PBES2) from a file; an unencrypted key is accepted too.
    ///
    /// # Blocking
    ///
    /// While it reads the file and derives the decryption key: usually milliseconds, as the author of the file chose.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file cannot be read, the passphrase is wrong, or the key is not
    /// usable.
    ///
    /// ```no_run
    /// use snowpipe_streaming::{PrivateKey, Secret};
    ///
    /// let key = PrivateKey::from_encrypted_file("rsa_key.p8", &Secret::new("open sesame"))?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_encrypted_file(path: impl AsRef<Path>, passphrase: &Secret) -> Result<PrivateKey, Error> {
        PrivateKey::read(path.as_ref(), Some(passphrase))
    }

    /// Reads an unencrypted key from a text, such as the value of a variable.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the text contains no usable key; the message repeats nothing of it.
    ///
    /// ```
    /// use snowpipe_streaming::PrivateKey;
    ///
    /// let error = PrivateKey::from_pem("/etc/keys/rsa_key.p8").unwrap_err();
    /// assert!(error.to_string().contains("PrivateKey::from_file"));
    /// ```
    pub fn from_pem(text: &str) -> Result<PrivateKey, Error> {
        PrivateKey::decode(text.as_bytes(), None, TEXT)
    }

    /// Reads an encrypted key (PKCS#8 with PBES2) from a text; an unencrypted key is accepted too.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the passphrase is wrong or the text contains no usable key.
    ///
    /// ```no_run
    /// use snowpipe_streaming::{PrivateKey, Secret};
    ///
    /// # let text = String::new();
    /// let key = PrivateKey::from_encrypted_pem(&text, &Secret::new("open sesame"))?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_encrypted_pem(text: &str, passphrase: &Secret) -> Result<PrivateKey, Error> {
        PrivateKey::decode(text.as_bytes(), Some(passphrase), TEXT)
    }

    /// Reads an unencrypted key from its DER bytes: PKCS#8 (RFC 5958) or PKCS#1 (RFC 8017).
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the bytes are not a usable key.
    ///
    /// ```
    /// use snowpipe_streaming::PrivateKey;
    ///
    /// assert!(PrivateKey::from_der(&[0x30, 0x82]).unwrap_err().to_string().contains("damaged"));
    /// ```
    pub fn from_der(bytes: &[u8]) -> Result<PrivateKey, Error> {
        PrivateKey::decode(bytes, None, TEXT)
    }

    /// SHA-256 of the public key as the service shows it: `SHA256:` and base64. Compare it with `RSA_PUBLIC_KEY_FP` in the
    /// result of `DESC USER`.
    pub fn fingerprint(&self) -> &str {
        &self.checked.fingerprint
    }

    /// Length of the modulus.
    pub fn bits(&self) -> usize {
        self.checked.bits
    }

    /// RS256 over the message.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.checked.signer.sign(message)
    }

    /// The key that the file of this one contains now. `None` if that has not changed, and for a key that was not read from
    /// a regular file.
    pub(crate) fn read_again(&self) -> Result<Option<PrivateKey>, Error> {
        let Some(file) = &self.file else { return Ok(None) };
        let Some((bytes, file)) = file.read_again().map_err(|invalid| invalid.named(&file.name()))? else {
            return Ok(None);
        };
        let key =
            PrivateKey { file: Some(file.clone()), ..PrivateKey::decode(&bytes, file.passphrase(), &file.name())? };
        Ok((key.fingerprint() != self.fingerprint()).then_some(key))
    }

    fn read(path: &Path, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
        let named = format!("the private key file {}", shown_path(path));
        if is_key_text(path) {
            // As a path it would be repeated in the error.
            return Err(InvalidKey::TextForPath.named("the private key file"));
        }
        let (bytes, file) = KeyFile::read(path, passphrase).map_err(|invalid| invalid.named(&named))?;
        Ok(PrivateKey { file, ..PrivateKey::decode(&bytes, passphrase, &named)? })
    }

    fn decode(bytes: &[u8], passphrase: Option<&Secret>, named: &str) -> Result<PrivateKey, Error> {
        let checked = decode::key_in(bytes, passphrase).and_then(|key| Checked::new(&key));
        let checked = checked.map_err(|invalid| invalid.named(named))?;
        Ok(PrivateKey { checked: Arc::new(checked), file: None })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { fingerprint, bits, .. } = &*self.checked;
        f.debug_struct("PrivateKey").field("bits", bits).field("fingerprint", fingerprint).finish_non_exhaustive()
    }
}

impl Checked {
    fn new(key: &RsaPrivateKey) -> Result<Checked, InvalidKey> {
        let bits = key.n().bits();
        if bits < MIN_BITS {
            return Err(InvalidKey::Short(bits));
        }
        let public = key.to_public_key().to_public_key_der().map_err(|_| InvalidKey::Damaged)?;
        let fingerprint = format!("SHA256:{}", STANDARD.encode(Sha256::digest(public.as_bytes())));
        let pkcs1 = key.to_pkcs1_der().map_err(|_| InvalidKey::Damaged)?;
        Ok(Checked { signer: Signer::new(pkcs1.as_bytes()), fingerprint, bits })
    }
}

fn is_key_text(path: &Path) -> bool {
    let text = path.to_string_lossy();
    // In base64, every DER key of this size begins like this.
    text.contains("-----BEGIN") || text.contains('\n') || text.len() > 400 && text.trim_start().starts_with("MII")
}

const TEXT: &str = "the private key";
/// The service refuses shorter keys.
const MIN_BITS: usize = 2048;

#[cfg(test)]
mod tests;
