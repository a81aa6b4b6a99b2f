//! From any acceptable form of a key to a checked RSA key.

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

use super::refusal::Refusal;
use crate::secret::Secret;

/// Reads what a file or a variable holds: PEM, base64 or DER, in whatever state it arrived.
pub(super) fn key_in(bytes: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey, Refusal> {
    let Some(given) = text_in(bytes) else {
        return key_in_der(bytes, passphrase);
    };
    let text = normalised(&given);
    if text.is_empty() {
        return Err(Refusal::Empty);
    }
    if !text.contains(BEGIN) {
        let der = bare(&text).ok_or_else(|| if is_path(&given) { Refusal::PathForText } else { Refusal::NotAKey })?;
        return key_in_der(&der, passphrase);
    }
    key_in_der(&armoured(&text)?, passphrase)
}

/// Nothing for DER, which begins with the tag of a sequence and a length that no text has at that place.
fn text_in(bytes: &[u8]) -> Option<Zeroizing<String>> {
    match bytes {
        // Windows tools write text so.
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

/// Without byte order mark and quotes; line ends that were escaped on their way through a variable are line ends again.
fn normalised(text: &str) -> Zeroizing<String> {
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '"' | '\'' | '`');
    let mut rest = text.trim_matches(around);
    let mut out = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // Any other backslash continued a line, or escaped a slash in JSON.
        if let Some(after) = rest.strip_prefix(['n', 'r']) {
            out.push('\n');
            rest = after;
        }
    }
    out.push_str(rest.trim_end_matches(around));
    out
}

/// The private block, or the reason why there is none.
fn armoured(text: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    if text.contains("DEK-Info") || text.contains("4,ENCRYPTED") {
        return Err(Refusal::LegacyEncryption);
    }
    if !text.contains("-----END ") {
        return Err(Refusal::Truncated);
    }
    // An empty line would end what PEM takes for headers.
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tidy = Zeroizing::new(lines.join("\n"));
    let blocks = pem::parse_many(tidy.as_bytes()).map_err(|_| Refusal::Damaged)?;
    let mut blocks: Vec<_> =
        blocks.into_iter().map(|block| (block.tag().to_owned(), Zeroizing::new(block.into_contents()))).collect();
    if let Some(at) = blocks.iter().position(|(tag, _)| tag.ends_with("PRIVATE KEY")) {
        let (tag, contents) = blocks.swap_remove(at);
        return match tag.as_str() {
            "OPENSSH PRIVATE KEY" => Err(Refusal::OpenSsh),
            "EC PRIVATE KEY" => Err(Refusal::EllipticCurve),
            "DSA PRIVATE KEY" => Err(Refusal::NotRsa),
            _ => Ok(contents),
        };
    }
    let has = |end: &str| blocks.iter().any(|(tag, _)| tag.ends_with(end));
    Err(if has("PUBLIC KEY") {
        Refusal::Public
    } else if has("CERTIFICATE") {
        Refusal::Certificate
    } else if blocks.is_empty() {
        Refusal::Damaged
    } else {
        Refusal::NotAKey
    })
}

/// The body of a PEM file without its first and last line, as the official SDK wants it.
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

/// By structure, not by the label it came under: labels are mixed up by hand.
fn key_in_der(der: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey, Refusal> {
    if der.is_empty() {
        return Err(Refusal::Empty);
    }
    if let Ok(sealed) = Sealed::read(der) {
        let passphrase = passphrase.ok_or(Refusal::PassphraseMissing)?;
        return sealed.open(der, passphrase);
    }
    open_key(der)
}

fn open_key(der: &[u8]) -> Result<RsaPrivateKey, Refusal> {
    if let Ok(info) = PrivateKeyInfo::from_der(der) {
        return match info.algorithm.oid {
            RSA => rsa_key(info.private_key),
            RSA_PSS => Err(Refusal::RsaPss),
            EC => Err(Refusal::EllipticCurve),
            ED25519 | ED448 | X25519 | X448 => Err(Refusal::Edwards),
            _ => Err(Refusal::NotRsa),
        };
    }
    if matches!(elements(der).as_deref(), Ok([Tag::Integer, Tag::Integer, Tag::Integer, ..])) {
        return rsa_key(der);
    }
    Err(match elements(der).as_deref() {
        Ok([Tag::Sequence, Tag::BitString]) | Ok([Tag::Integer, Tag::Integer]) => Refusal::Public,
        Ok([Tag::Sequence, Tag::Sequence, Tag::BitString]) => Refusal::Certificate,
        Ok([Tag::Integer, Tag::OctetString, ..]) => Refusal::EllipticCurve,
        Ok(_) => Refusal::NotAKey,
        Err(_) if der.first() == Some(&SEQUENCE) => Refusal::Damaged,
        Err(_) => Refusal::NotAKey,
    })
}

/// `pkcs1` is RSAPrivateKey of RFC 8017, appendix A.1.2.
fn rsa_key(pkcs1: &[u8]) -> Result<RsaPrivateKey, Refusal> {
    if is_multi_prime(pkcs1) {
        return Err(Refusal::MultiPrime);
    }
    RsaPrivateKey::from_pkcs1_der(pkcs1).map_err(|_| Refusal::Damaged)
}

/// Its version is 1 then; two primes have version 0.
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

/// EncryptedPrivateKeyInfo (RFC 5958, section 3), its scheme not yet understood.
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

    fn open(&self, der: &[u8], passphrase: &Secret) -> Result<RsaPrivateKey, Refusal> {
        if self.scheme != PBES2 {
            let bytes = self.scheme.as_bytes();
            let is_pbes1 = bytes.starts_with(PKCS5_ARC) || bytes.starts_with(PKCS12_PBE_ARC);
            return Err(if is_pbes1 { Refusal::Pbes1 } else { Refusal::UnknownEncryption });
        }
        let sealed = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| Refusal::UnknownEncryption)?;
        if is_absurdly_slow(&sealed.encryption_algorithm) {
            return Err(Refusal::SlowEncryption);
        }
        // A wrong passphrase passes the padding check once in some hundred times, and then yields noise instead of DER.
        let opened = sealed.decrypt(passphrase.expose()).map_err(|_| Refusal::WrongPassphrase)?;
        open_key(opened.as_bytes())
    }
}

/// A damaged or malicious file can ask for hours of work, or for more memory than there is.
fn is_absurdly_slow(scheme: &EncryptionScheme<'_>) -> bool {
    let Some(kdf) = scheme.pbes2().map(|parameters| &parameters.kdf) else {
        return false;
    };
    let iterations = kdf.pbkdf2().map_or(0, |pbkdf2| pbkdf2.iteration_count);
    let bytes = kdf.scrypt().map_or(0, |scrypt| {
        let lanes = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
        scrypt.cost_parameter.saturating_mul(128).saturating_mul(lanes)
    });
    iterations > MOST_ITERATIONS || bytes > MOST_BYTES
}

const BEGIN: &str = "-----BEGIN ";
const SEQUENCE: u8 = 0x30;

/// A second or two of PBKDF2; recommendations of the day stand at six hundred thousand.
const MOST_ITERATIONS: u32 = 10_000_000;
/// Written and read by scrypt; recommendations of the day stand at an eighth of it.
const MOST_BYTES: u64 = 1 << 30;

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
/// 1.2.840.113549.1.12.1: PBES1 by another derivation (RFC 7292, appendix C).
const PKCS12_PBE_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];

/// Padding goes missing in hands and shells.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
