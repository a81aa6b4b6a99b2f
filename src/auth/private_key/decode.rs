//! Reads an RSA key from any accepted form.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use zeroize::Zeroizing;

use super::invalid::InvalidKey;
use super::sealed::Sealed;
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
    if text.contains(BEGIN) {
        return key_in_der(&armoured(&text)?, passphrase);
    }
    match bare(&text) {
        Some(der) => key_in_der(&der, passphrase),
        None => {
            Err(foreign(&text).unwrap_or(if is_path(&given) { InvalidKey::PathForText } else { InvalidKey::NotAKey }))
        }
    }
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
    let blocks = blocks(text).ok_or(InvalidKey::Damaged)?;
    if let Some((tag, body)) = blocks.iter().find(|(tag, _)| tag.ends_with("PRIVATE KEY")) {
        return match *tag {
            "OPENSSH PRIVATE KEY" => Err(InvalidKey::OpenSsh),
            "EC PRIVATE KEY" => Err(InvalidKey::EllipticCurve),
            "DSA PRIVATE KEY" => Err(InvalidKey::NotRsa),
            _ => body_of(body).ok_or(InvalidKey::Damaged),
        };
    }
    let has = |words: &str| blocks.iter().any(|(tag, _)| tag.contains(words));
    Err(if has("PGP ") {
        InvalidKey::Pgp
    } else if has("PUBLIC KEY") {
        InvalidKey::Public
    } else if has("CERTIFICATE") {
        InvalidKey::Certificate
    } else {
        InvalidKey::NotAKey
    })
}

/// Label and body of each block; `None` if one does not end. Nothing is copied.
fn blocks(text: &str) -> Option<Vec<(&str, &str)>> {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((_, begun)) = rest.split_once(BEGIN) {
        let (label, after) = begun.split_once("-----")?;
        let (body, after) = after.split_once(&*format!("-----END {label}-----"))?;
        blocks.push((label, body));
        rest = after;
    }
    Some(blocks)
}

/// The bytes of a block, whose headers (RFC 1421) are skipped.
fn body_of(block: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(String::with_capacity(block.len()));
    body.extend(block.lines().filter(|line| !line.contains(':')));
    decoded(&body)
}

/// What other tools write as text.
fn foreign(text: &str) -> Option<InvalidKey> {
    let is_ssh_kind = |word: &str| SSH_KINDS.iter().any(|kind| word.starts_with(kind));
    let mut words = text.split_whitespace().zip(text.split_whitespace().skip(1));
    if words.any(|(kind, body)| is_ssh_kind(kind) && body.starts_with("AAAA")) || text.contains("SSH2 PUBLIC KEY") {
        return Some(InvalidKey::Public);
    }
    match text.as_bytes().first() {
        _ if text.starts_with("PuTTY-User-Key-File") => Some(InvalidKey::Putty),
        Some(b'{' | b'[') => Some(InvalidKey::Json),
        Some(b'<') => Some(InvalidKey::Markup),
        _ => None,
    }
}

/// The body of a PEM file without its first and last line, as the official SDK expects it.
fn bare(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decoded(text).filter(|der| der.first() == Some(&SEQUENCE))
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(text.chars().filter(|c| !c.is_whitespace()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(packed.len()));
    BASE64.decode_vec(packed.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
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
        return open_key(&sealed.open(passphrase)?);
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
        Ok([Tag::Integer, Tag::Sequence]) | Ok([Tag::Integer, Tag::Sequence, Tag::Sequence]) => InvalidKey::Pkcs12,
        _ if der.starts_with(ENDLESS_PKCS12) => InvalidKey::Pkcs12,
        _ if der.starts_with(JAVA_KEY_STORE) => InvalidKey::JavaKeyStore,
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

const BEGIN: &str = "-----BEGIN ";
const SEQUENCE: u8 = 0x30;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const X448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.111");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");

/// The first words of a line in `authorized_keys` or a `.pub` file.
const SSH_KINDS: [&str; 3] = ["ssh-", "ecdsa-sha2-", "sk-"];
/// PFX (RFC 7292, section 4) whose length is not stated, as some tools write it: a sequence with the version 3.
const ENDLESS_PKCS12: &[u8] = &[SEQUENCE, 0x80, 0x02, 0x01, 0x03];
const JAVA_KEY_STORE: &[u8] = &[0xfe, 0xed, 0xfe, 0xed];

/// Padding gets lost when a key is copied by hand or through a shell.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
