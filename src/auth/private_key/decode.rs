//! Reads an RSA key from any accepted form.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use zeroize::Zeroizing;

use super::invalid::InvalidKey;
use crate::secret::Secret;

/// Reads the content of a file or a variable: PEM, base64 or DER.
pub(super) fn key_in(bytes: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey, InvalidKey> {
    let Some(given) = text_in(bytes) else {
        return key_in_der(bytes, passphrase);
    };
    let text = normalised(&given);
    if text.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if !text.contains(BEGIN) {
        let der =
            bare(&text).ok_or_else(|| if is_path(&given) { InvalidKey::PathForText } else { InvalidKey::NotAKey })?;
        return key_in_der(&der, passphrase);
    }
    key_in_der(&armoured(&text)?, passphrase)
}

/// `None` for DER, which begins with the tag of a sequence and a length that no text has in that place.
fn text_in(bytes: &[u8]) -> Option<Zeroizing<String>> {
    match bytes {
        // Windows tools write UTF-16.
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [SEQUENCE, 0x80..=0xff, ..] => None,
        _ => std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned())),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Zeroizing<String>> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for character in char::decode_utf16(units) {
        text.push(character.ok()?);
    }
    Some(text)
}

/// Without byte order mark and quotes, and with real line ends for those that were escaped in a variable.
fn normalised(text: &str) -> Zeroizing<String> {
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '"' | '\'' | '`');
    let mut rest = text.trim_matches(around);
    let mut out = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // Any other backslash continues a line, or escapes a slash in JSON.
        if let Some(after) = rest.strip_prefix(['n', 'r']) {
            out.push('\n');
            rest = after;
        }
    }
    out.push_str(rest.trim_end_matches(around));
    out
}

/// The block with the private key, or why there is none.
fn armoured(text: &str) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
    if text.contains("DEK-Info") || text.contains("4,ENCRYPTED") {
        return Err(InvalidKey::LegacyEncryption);
    }
    if !text.contains("-----END ") {
        return Err(InvalidKey::Truncated);
    }
    // In PEM, an empty line would end the headers.
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tidy = Zeroizing::new(lines.join("\n"));
    let blocks = pem::parse_many(tidy.as_bytes()).map_err(|_| InvalidKey::Damaged)?;
    let mut blocks: Vec<_> =
        blocks.into_iter().map(|block| (block.tag().to_owned(), Zeroizing::new(block.into_contents()))).collect();
    if let Some(at) = blocks.iter().position(|(tag, _)| tag.ends_with("PRIVATE KEY")) {
        let (tag, contents) = blocks.swap_remove(at);
        return match tag.as_str() {
            "OPENSSH PRIVATE KEY" => Err(InvalidKey::OpenSsh),
            "EC PRIVATE KEY" => Err(InvalidKey::EllipticCurve),
            "DSA PRIVATE KEY" => Err(InvalidKey::NotRsa),
            _ => Ok(contents),
        };
    }
    let has = |end: &str| blocks.iter().any(|(tag, _)| tag.ends_with(end));
    Err(if has("PUBLIC KEY") {
        InvalidKey::Public
    } else if has("CERTIFICATE") {
        InvalidKey::Certificate
    } else if blocks.is_empty() {
        InvalidKey::Damaged
    } else {
        InvalidKey::NotAKey
    })
}

/// The body of a PEM file without its first and last line, as the official SDK expects it.
fn bare(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(text.chars().filter(|c| !c.is_whitespace()));
    let mut der = Zeroizing::new(Vec::with_capacity(packed.len()));
    BASE64.decode_vec(packed.as_bytes(), &mut der).ok()?;
    (der.first() == Some(&SEQUENCE)).then_some(der)
}

fn is_path(text: &str) -> bool {
    let text = text.trim();
    text.len() < 300 && !text.contains('\n') && (text.contains(['/', '\\', '.']) || text.starts_with('~'))
}

/// Judges by the structure, not by the label in the PEM: labels get mixed up when files are edited.
fn key_in_der(der: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey, InvalidKey> {
    if der.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if let Ok(sealed) = Sealed::read(der) {
        let passphrase = passphrase.ok_or(InvalidKey::PassphraseMissing)?;
        return sealed.open(der, passphrase);
    }
    open_key(der)
}

fn open_key(der: &[u8]) -> Result<RsaPrivateKey, InvalidKey> {
    if let Ok(info) = PrivateKeyInfo::from_der(der) {
        return match info.algorithm.oid {
            RSA => rsa_key(info.private_key),
            RSA_PSS => Err(InvalidKey::RsaPss),
            EC => Err(InvalidKey::EllipticCurve),
            ED25519 | ED448 | X25519 | X448 => Err(InvalidKey::Edwards),
            _ => Err(InvalidKey::NotRsa),
        };
    }
    if matches!(elements(der).as_deref(), Ok([Tag::Integer, Tag::Integer, Tag::Integer, ..])) {
        return rsa_key(der);
    }
    Err(match elements(der).as_deref() {
        Ok([Tag::Sequence, Tag::BitString]) | Ok([Tag::Integer, Tag::Integer]) => InvalidKey::Public,
        Ok([Tag::Sequence, Tag::Sequence, Tag::BitString]) => InvalidKey::Certificate,
        Ok([Tag::Integer, Tag::OctetString, ..]) => InvalidKey::EllipticCurve,
        Ok(_) => InvalidKey::NotAKey,
        Err(_) if der.first() == Some(&SEQUENCE) => InvalidKey::Damaged,
        Err(_) => InvalidKey::NotAKey,
    })
}

/// `pkcs1` is RSAPrivateKey of RFC 8017, appendix A.1.2.
fn rsa_key(pkcs1: &[u8]) -> Result<RsaPrivateKey, InvalidKey> {
    if is_multi_prime(pkcs1) {
        return Err(InvalidKey::MultiPrime);
    }
    RsaPrivateKey::from_pkcs1_der(pkcs1).map_err(|_| InvalidKey::Damaged)
}

/// Then its version is 1; with two primes it is 0.
fn is_multi_prime(pkcs1: &[u8]) -> bool {
    let version = SliceReader::new(pkcs1).and_then(|mut reader| {
        reader.sequence(|inner| {
            let version = u8::decode(inner)?;
            inner.read_slice(inner.remaining_len())?;
            Ok(version)
        })
    });
    version == Ok(1)
}

/// The tags directly inside the outer sequence.
fn elements(der: &[u8]) -> pkcs8::der::Result<Vec<Tag>> {
    let mut reader = SliceReader::new(der)?;
    let tags = reader.sequence(|inner| {
        let mut tags = Vec::new();
        while !inner.is_finished() {
            let element = AnyRef::decode(inner)?;
            tags.push(element.tag());
        }
        Ok(tags)
    })?;
    reader.finish(tags)
}

/// EncryptedPrivateKeyInfo (RFC 5958, section 3), before its scheme is known to be supported.
struct Sealed {
    scheme: ObjectIdentifier,
}

impl Sealed {
    fn read(der: &[u8]) -> pkcs8::der::Result<Sealed> {
        let mut reader = SliceReader::new(der)?;
        let scheme = reader.sequence(|inner| {
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            OctetStringRef::decode(inner)?;
            Ok(algorithm.oid)
        })?;
        reader.finish(Sealed { scheme })
    }

    fn open(&self, der: &[u8], passphrase: &Secret) -> Result<RsaPrivateKey, InvalidKey> {
        if self.scheme != PBES2 {
            let bytes = self.scheme.as_bytes();
            let is_pbes1 = bytes.starts_with(PKCS5_ARC) || bytes.starts_with(PKCS12_PBE_ARC);
            return Err(if is_pbes1 { InvalidKey::Pbes1 } else { InvalidKey::UnknownEncryption });
        }
        let sealed = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| InvalidKey::UnknownEncryption)?;
        if is_too_slow(&sealed.encryption_algorithm) {
            return Err(InvalidKey::SlowEncryption);
        }
        // About one wrong passphrase in 256 passes the padding check, and then the result is noise instead of DER.
        let opened = sealed.decrypt(passphrase.expose()).map_err(|_| InvalidKey::WrongPassphrase)?;
        open_key(opened.as_bytes())
    }
}

/// A damaged or malicious file can ask for hours of work, or for more memory than there is.
fn is_too_slow(scheme: &EncryptionScheme<'_>) -> bool {
    let Some(kdf) = scheme.pbes2().map(|parameters| &parameters.kdf) else {
        return false;
    };
    let iterations = kdf.pbkdf2().map_or(0, |pbkdf2| pbkdf2.iteration_count);
    let bytes = kdf.scrypt().map_or(0, |scrypt| {
        let lanes = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
        scrypt.cost_parameter.saturating_mul(128).saturating_mul(lanes)
    });
    iterations > MAX_ITERATIONS || bytes > MAX_SCRYPT_BYTES
}

const BEGIN: &str = "-----BEGIN ";
const SEQUENCE: u8 = 0x30;

/// A second or two of PBKDF2; current recommendations are around 600,000.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Memory for scrypt; current recommendations need an eighth of it.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const X448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.111");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");

/// 1.2.840.113549.1.5, whose other members are PBES1 (RFC 8018, appendix A.3).
const PKCS5_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// 1.2.840.113549.1.12.1: PBES1 with another key derivation (RFC 7292, appendix C).
const PKCS12_PBE_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];

/// Padding gets lost when a key is copied by hand or through a shell.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
