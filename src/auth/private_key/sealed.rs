//! Opens an encrypted key.

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{self, Decode, Reader, SliceReader, Tag};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Pbkdf2Params};
use pkcs8::spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::invalid::InvalidKey;
use crate::secret::Secret;

/// EncryptedPrivateKeyInfo (RFC 5958, section 3), before its scheme is known to be supported.
pub(super) struct Sealed<'k> {
    scheme: AlgorithmIdentifierRef<'k>,
    data: &'k [u8],
}

impl<'k> Sealed<'k> {
    pub(super) fn read(der: &'k [u8]) -> der::Result<Sealed<'k>> {
        let mut reader = SliceReader::new(der)?;
        let sealed = reader.sequence(|inner| {
            let scheme = AlgorithmIdentifierRef::decode(inner)?;
            Ok(Sealed { scheme, data: OctetStringRef::decode(inner)?.as_bytes() })
        })?;
        reader.finish(sealed)
    }

    /// The DER of the key.
    pub(super) fn open(&self, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
        if self.scheme.oid != PBES2 {
            let bytes = self.scheme.oid.as_bytes();
            let is_pbes1 = bytes.starts_with(PKCS5_ARC) || bytes.starts_with(PKCS12_PBE_ARC);
            return Err(if is_pbes1 { InvalidKey::Pbes1 } else { InvalidKey::UnknownEncryption });
        }
        let parameters = self.scheme.parameters.map(pbes2).and_then(Result::ok).ok_or(InvalidKey::UnknownEncryption)?;
        if is_too_slow(&parameters.kdf) {
            return Err(InvalidKey::SlowEncryption);
        }
        let mut buffer = Zeroizing::new(self.data.to_vec());
        // About one wrong passphrase in 256 passes the padding check, and then the result is noise instead of DER.
        let opened = parameters.decrypt_in_place(passphrase.expose(), &mut buffer);
        let length = opened.map_err(|_| InvalidKey::WrongPassphrase)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// PBES2-params (RFC 8018, appendix A.4).
fn pbes2(parameters: AnyRef<'_>) -> der::Result<Parameters<'_>> {
    parameters.sequence(|inner| {
        let kdf = AlgorithmIdentifierRef::decode(inner)?;
        let encryption = AlgorithmIdentifierRef::decode(inner)?.try_into()?;
        let kdf = match kdf.oid {
            PBKDF2 => Kdf::Pbkdf2(pbkdf2(kdf.parameters.ok_or_else(|| Tag::Sequence.value_error())?)?),
            _ => kdf.try_into()?,
        };
        Ok(Parameters { kdf, encryption })
    })
}

/// PBKDF2-params (RFC 8018, appendix A.2). GnuTLS leaves out the NULL that belongs to the hash function.
fn pbkdf2(parameters: AnyRef<'_>) -> der::Result<Pbkdf2Params<'_>> {
    parameters.sequence(|inner| {
        let salt = OctetStringRef::decode(inner)?.as_bytes();
        let (iteration_count, key_length) = (inner.decode()?, inner.decode()?);
        let prf = Option::<AlgorithmIdentifierRef<'_>>::decode(inner)?;
        let prf = prf.map(|prf| AlgorithmIdentifierRef { parameters: prf.parameters.or(Some(AnyRef::NULL)), ..prf });
        let prf = prf.map(TryInto::try_into).transpose()?.unwrap_or_default();
        Ok(Pbkdf2Params { salt, iteration_count, key_length, prf })
    })
}

/// A damaged or malicious file can ask for hours of work, or for more memory than there is.
fn is_too_slow(kdf: &Kdf<'_>) -> bool {
    let iterations = kdf.pbkdf2().map_or(0, |pbkdf2| pbkdf2.iteration_count);
    let bytes = kdf.scrypt().map_or(0, |scrypt| {
        let lanes = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
        scrypt.cost_parameter.saturating_mul(128).saturating_mul(lanes)
    });
    iterations > MAX_ITERATIONS || bytes > MAX_SCRYPT_BYTES
}

/// A second or two of PBKDF2; current recommendations are around 600,000.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Memory for scrypt; current recommendations need an eighth of it.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
/// 1.2.840.113549.1.5, whose other members are PBES1 (RFC 8018, appendix A.3).
const PKCS5_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// 1.2.840.113549.1.12.1: PBES1 with another key derivation (RFC 7292, appendix C).
const PKCS12_PBE_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
