use super::*;
use crate::error::ErrorKind;

const PASSPHRASE: &str = "open sesame";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

fn fingerprint() -> String {
    format!("SHA256:{}", text("fingerprint.txt").trim())
}

fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.contains("-----")).collect()
}

/// The error contains `says`, is a matter of configuration, and repeats no eight characters of the key.
fn assert_refused(result: Result<PrivateKey, Error>, says: &str, key: &str) {
    let error = result.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert_eq!(error.kind(), ErrorKind::Config, "{shown}");
    assert!(shown.contains(says), "{says:?} is not in {shown}");
    for line in key.lines().filter(|line| !line.contains(['-', ':'])) {
        for slice in line.as_bytes().windows(8) {
            let slice = std::str::from_utf8(slice).unwrap();
            assert!(!shown.contains(slice), "{slice:?} is in {shown}");
        }
    }
}

#[test]
fn a_key_is_read_in_every_accepted_form() {
    let plain = text("plain.p8");
    let lines: Vec<&str> = plain.lines().collect();
    let forms = [
        ("as made", plain.clone()),
        ("byte order mark", format!("\u{feff}{plain}")),
        ("double quotes", format!("\"{plain}\"")),
        ("single quotes", format!("'{}'", plain.trim())),
        ("indented", lines.iter().map(|line| format!("    {line}\n")).collect()),
        ("Windows line ends", plain.replace('\n', "\r\n")),
        ("escaped line ends", plain.replace('\n', "\\n")),
        ("escaped Windows line ends", plain.replace('\n', "\\r\\n")),
        ("quoted and escaped", format!("\"{}\"", plain.replace('\n', "\\n"))),
        ("spaces for line ends", lines.join(" ")),
        ("one line", format!("{}{}{}", lines[0], body(&plain), lines[lines.len() - 1])),
        ("blank lines", plain.replace('\n', "\n\n")),
        ("text around", format!("Bag Attributes\n  name: x\n{plain}\nthe end\n")),
        ("bare base64", body(&plain)),
        ("bare wrapped base64", lines[1..lines.len() - 1].join("\n")),
        ("bare base64 without padding", body(&plain).trim_end_matches('=').to_owned()),
        ("public key first", text("public.pem") + &plain),
        ("certificate first", text("certificate.pem") + &plain),
        ("certificate last", plain.clone() + &text("certificate.pem")),
        ("in JSON", format!("{{\"private_key\": {:?}}}", plain)),
        ("PKCS#1", text("pkcs1.pem")),
        ("PKCS#1 under the wrong label", text("pkcs1.pem").replace("RSA PRIVATE", "PRIVATE")),
        ("bare PKCS#1", body(&text("pkcs1.pem"))),
    ];
    for (form, text) in forms {
        let key = PrivateKey::from_pem(&text).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!((key.fingerprint(), key.bits()), (fingerprint().as_str(), 2048), "{form}");
    }
}

#[test]
fn a_key_is_read_from_files_of_text_and_of_der() {
    for name in ["plain.p8", "pkcs1.pem", "plain.der"] {
        assert_eq!(PrivateKey::from_file(fixture(name)).unwrap().fingerprint(), fingerprint(), "{name}");
    }
    let der = std::fs::read(fixture("plain.der")).unwrap();
    assert_eq!(PrivateKey::from_der(&der).unwrap().fingerprint(), fingerprint());
    let wide: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text("plain.p8").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(PrivateKey::decode(&wide, None, "UTF-16").unwrap().fingerprint(), fingerprint());
}

#[test]
fn longer_keys_are_read() {
    assert_eq!(PrivateKey::from_file(fixture("plain-3072.p8")).unwrap().bits(), 3072);
    assert_eq!(PrivateKey::from_file(fixture("plain-4096.p8")).unwrap().bits(), 4096);
}

#[test]
fn an_encrypted_key_is_read_with_every_modern_scheme() {
    let passphrase = Secret::new(PASSPHRASE);
    for name in
        ["aes256-sha256.p8", "aes128-sha1.p8", "aes192-sha512.p8", "des3-sha256.p8", "des3-sha1.p8", "scrypt.p8"]
    {
        let key = PrivateKey::from_encrypted_file(fixture(name), &passphrase);
        assert_eq!(key.unwrap_or_else(|error| panic!("{name}: {error}")).fingerprint(), fingerprint(), "{name}");
    }
    let bare = body(&text("aes256-sha256.p8"));
    assert_eq!(PrivateKey::from_encrypted_pem(&bare, &passphrase).unwrap().fingerprint(), fingerprint());
}

/// The same DER, with every sequence as `change` leaves its elements.
fn rewritten(der: &[u8], change: fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let content = &der[if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) }..];
    if der[0] != 0x30 {
        return der.to_vec();
    }
    let (mut elements, mut rest) = (Vec::new(), content);
    while !rest.is_empty() {
        let header = if rest[1] < 0x80 { 2 } else { 2 + usize::from(rest[1] & 0x7f) };
        let length = match header {
            2 => usize::from(rest[1]),
            _ => rest[2..header].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        elements.push(rewritten(&rest[..header + length], change));
        rest = &rest[header + length..];
    }
    change(&mut elements);
    let content = elements.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match content.len() {
        0..0x80 => vec![0x30, length[1]],
        0x80..0x100 => vec![0x30, 0x81, length[1]],
        _ => vec![0x30, 0x82, length[0], length[1]],
    };
    [header, content].concat()
}

#[test]
fn an_encrypted_key_is_read_although_its_hash_function_has_no_parameter() {
    for name in ["aes256-sha256.p8", "aes192-sha512.p8", "des3-sha256.p8"] {
        let der = STANDARD.decode(body(&text(name))).unwrap();
        assert_eq!(rewritten(&der, |_| {}), der, "{name}");
        // As GnuTLS writes it.
        let bare = rewritten(&der, |elements| {
            // 1.2.840.113549.2, the arc of HMAC, after tag and length.
            if elements.len() == 2 && elements[0].get(2..9) == Some(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02]) {
                elements.pop();
            }
        });
        assert_eq!(bare.len(), der.len() - 2, "{name}");
        let key = PrivateKey::from_encrypted_pem(&STANDARD.encode(bare), &Secret::new(PASSPHRASE));
        assert_eq!(key.unwrap_or_else(|error| panic!("{name}: {error}")).fingerprint(), fingerprint());
    }
}

#[test]
fn a_passphrase_for_an_unencrypted_key_does_no_harm() {
    let key = PrivateKey::from_encrypted_file(fixture("plain.p8"), &Secret::new("whatever")).unwrap();
    assert_eq!(key.fingerprint(), fingerprint());
}

#[test]
fn an_encrypted_key_needs_its_passphrase() {
    let sealed = text("aes256-sha256.p8");
    assert_refused(PrivateKey::from_pem(&sealed), "is encrypted and no passphrase was given", &sealed);
    assert_refused(PrivateKey::from_pem(&body(&sealed)), "is encrypted and no passphrase was given", &sealed);
    for wrong in ["open sesam", "", "open sesame\n"] {
        let result = PrivateKey::from_encrypted_pem(&sealed, &Secret::new(wrong));
        assert_refused(result, "the passphrase is wrong, or the key is damaged", &sealed);
    }
}

#[test]
fn a_damaged_encrypted_key_is_refused_although_its_passphrase_is_right() {
    let der = STANDARD.decode(body(&text("aes256-sha256.p8"))).unwrap();
    for (at, says) in [(der.len() / 2, "is damaged"), (der.len() - 1, "or the key is damaged")] {
        let mut damaged = der.clone();
        damaged[at] ^= 1;
        let result = PrivateKey::from_encrypted_pem(&STANDARD.encode(&damaged), &Secret::new(PASSPHRASE));
        assert_refused(result, says, "");
    }
}

#[test]
fn a_key_that_would_take_hours_to_decrypt_is_refused() {
    use pkcs8::EncryptedPrivateKeyInfo;
    use pkcs8::der::Encode;
    use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Pbkdf2Params, ScryptParams};

    let (salt, iv) = ([1; 16], [2; 16]);
    let pbkdf2 = Pbkdf2Params::hmac_with_sha256(20_000_000, &salt).unwrap();
    let scrypt = |cost_parameter, block_size| ScryptParams {
        salt: &salt,
        cost_parameter,
        block_size,
        parallelization: 1,
        key_length: None,
    };
    for kdf in [Kdf::from(pbkdf2), Kdf::from(scrypt(1 << 40, 8)), Kdf::from(scrypt(u64::MAX, u16::MAX))] {
        let mut parameters = Parameters::pbkdf2_sha256_aes256cbc(1, &salt, &iv).unwrap();
        parameters.kdf = kdf;
        let info = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &[0; 32] };
        let text = STANDARD.encode(info.to_der().unwrap());
        assert_refused(PrivateKey::from_encrypted_pem(&text, &Secret::new(PASSPHRASE)), "hours or gigabytes", "");
    }
}

/// Bytes changed, lost and doubled at random: the result is read or refused.
#[test]
fn no_damage_makes_reading_a_key_panic() {
    let passphrase = Secret::new(PASSPHRASE);
    let mut random = fastrand::Rng::with_seed(7);
    let sealed = STANDARD.decode(body(&text("aes256-sha256.p8"))).unwrap();
    let scrypt = STANDARD.decode(body(&text("scrypt.p8"))).unwrap();
    let forms = [std::fs::read(fixture("plain.der")).unwrap(), text("pkcs1.pem").into_bytes(), sealed, scrypt];
    for round in 0..800 {
        let mut bytes = forms[round % forms.len()].clone();
        for _ in 0..random.usize(1..4) {
            // The decisive bytes are mostly at the beginning.
            let end = if random.bool() { 120 } else { bytes.len() };
            let at = random.usize(..end.min(bytes.len()));
            match random.u8(..4) {
                0 => bytes.truncate(at + 1),
                1 => bytes.insert(at, random.u8(..)),
                _ => bytes[at] = random.u8(..),
            }
        }
        if let Ok(key) = PrivateKey::decode(&bytes, Some(&passphrase), TEXT) {
            assert!(key.sign(b"message").is_ok());
        }
    }
}

#[test]
fn a_wrong_passphrase_that_passes_the_padding_check_is_refused() {
    let sealed = text("aes256-sha256.p8");
    for n in 0..300 {
        let result = PrivateKey::from_encrypted_pem(&sealed, &Secret::new(format!("guess {n}")));
        assert_refused(result, "the passphrase is wrong, or the key is damaged", "");
    }
}

#[test]
fn each_unusable_key_is_refused_with_its_own_reason_and_advice() {
    let passphrase = Secret::new(PASSPHRASE);
    for (name, says, advice) in [
        ("legacy-encrypted.pem", "DEK-Info", "openssl pkcs8 -topk8"),
        ("pbes1-sha1-3des.p8", "PBES1", "openssl pkcs8 -topk8"),
        ("short.p8", "only 1024 bits", "openssl genrsa 2048"),
        ("three-primes.p8", "more than two primes", "openssl genrsa 2048"),
        ("ec.p8", "elliptic-curve", "openssl genrsa 2048"),
        ("ec-sec1.pem", "elliptic-curve", "openssl genrsa 2048"),
        ("ed25519.p8", "Ed25519", "openssl genrsa 2048"),
        ("pss.p8", "RSA-PSS", "openssl genrsa 2048"),
        ("public.pem", "is a public key", "give the private key"),
        ("certificate.pem", "is a certificate", "give the private key"),
    ] {
        let key = text(name);
        assert_refused(PrivateKey::from_encrypted_file(fixture(name), &passphrase), says, &key);
        assert_refused(PrivateKey::from_encrypted_file(fixture(name), &passphrase), advice, &key);
        assert_refused(PrivateKey::from_encrypted_file(fixture(name), &passphrase), name, &key);
        if name != "legacy-encrypted.pem" {
            assert_refused(PrivateKey::from_encrypted_pem(&body(&key), &passphrase), says, &key);
        }
    }
}

#[test]
fn anything_but_a_key_is_refused_with_a_hint() {
    let plain = text("plain.p8");
    let cut = &plain[..plain.len() / 2];
    let lost_end = format!("{cut}\n-----END PRIVATE KEY-----\n");
    let open_ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    for (text, says) in [
        ("", "is empty"),
        (" \n\"\" ", "is empty"),
        ("/etc/keys/rsa_key.p8", "PrivateKey::from_file"),
        ("rsa_key.p8", "PrivateKey::from_file"),
        ("C:\\keys\\rsa_key.p8", "PrivateKey::from_file"),
        ("correct horse battery staple", "neither PEM nor base64 nor DER"),
        (cut, "no END line"),
        (&lost_end, "damaged or cut off"),
        (&body(cut), "damaged or cut off"),
        (open_ssh, "ssh-keygen -p -m PKCS8"),
        ("-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----", "neither PEM"),
    ] {
        assert_refused(PrivateKey::from_pem(text), says, &plain);
    }
    assert_refused(PrivateKey::from_der(&[]), "is empty", "");
    assert_refused(PrivateKey::from_der(&[0x30, 0x03, 0x02, 0x01, 0x00]), "neither PEM", "");
}

#[test]
fn what_other_tools_write_is_named_for_what_it_is() {
    // PFX: a sequence of the version 3, the content, and its authentication.
    let content = [&[0x30, 0x81, 0x80][..], &[0; 0x80]].concat();
    let mac = [0x30, 0x00];
    let pfx = |rest: &[u8]| [&[0x30, 0x81, 0x03 + rest.len() as u8, 0x02, 0x01, 0x03], rest].concat();
    let ssh = "AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 loader@example";
    for (given, says) in [
        (format!("ssh-rsa {ssh}").into_bytes(), "is a public key; give the private key"),
        (format!("ssh-ed25519 {ssh}\n").into_bytes(), "is a public key; give the private key"),
        (format!("from=\"10.0.0.0/8\" ecdsa-sha2-nistp256 {ssh}\n").into_bytes(), "is a public key"),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----".to_vec(), "is a public key"),
        (b"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPublic-Lines: 6\n".to_vec(), "puttygen"),
        (br#"{"kty":"RSA","n":"0vx7","d":"X4cT"}"#.to_vec(), "is JSON, such as a JWK"),
        (br#"{"keys":[{"kty":"RSA"}]}"#.to_vec(), "is JSON, such as a JWK"),
        (b"<RSAKeyValue><Modulus>0vx7</Modulus></RSAKeyValue>".to_vec(), "is XML or HTML"),
        (pfx(&content), "openssl pkcs12"),
        (pfx(&[&content[..], &mac].concat()), "openssl pkcs12"),
        (STANDARD.encode(pfx(&content)).into_bytes(), "is a PKCS#12 file"),
        (vec![0x30, 0x80, 0x02, 0x01, 0x03, 0x30, 0x80], "is a PKCS#12 file"),
        (vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2], "keytool"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdG\n=x1y2\n-----END PGP PRIVATE KEY BLOCK-----".to_vec(), "PGP"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----".to_vec(), "certificate"),
    ] {
        let path = std::env::temp_dir().join(format!("foreign-key-{}", std::process::id()));
        std::fs::write(&path, &given).unwrap();
        assert_refused(PrivateKey::from_file(&path), says, "");
        std::fs::remove_file(path).unwrap();
        if let Ok(text) = std::str::from_utf8(&given) {
            assert_refused(PrivateKey::from_pem(text), says, "");
        }
    }
}

#[test]
fn a_token_given_for_the_path_of_a_key_is_not_repeated() {
    for token in
        ["eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl", "ver:1-hint:1234-ETMsDgAAAX", "pat-0123456789-abcdef"]
    {
        let error = PrivateKey::from_file(token).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(token.as_bytes().windows(8).all(|part| !shown.contains(str::from_utf8(part).unwrap())), "{shown}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    assert_refused(PrivateKey::from_file("no/such.p8"), "no/such.p8 cannot be read: there is no such file", "");
    assert_refused(PrivateKey::from_file(env!("CARGO_MANIFEST_DIR")), "it is a directory", "");
}

#[test]
fn the_text_of_a_key_given_for_a_path_is_not_repeated() {
    let plain = text("plain.p8");
    for given in [plain.clone(), plain.replace('\n', "\\n"), body(&plain)] {
        assert_refused(PrivateKey::from_file(&given), "PrivateKey::from_pem", &plain);
    }
}

#[test]
fn a_key_shows_its_fingerprint_and_nothing_secret() {
    let key = PrivateKey::from_file(fixture("plain.p8")).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("PrivateKey {{ bits: 2048, fingerprint: {:?}, .. }}", fingerprint()));
}

#[test]
fn a_signature_verifies_with_the_public_key() {
    use rsa::pkcs1v15::{Signature, VerifyingKey};
    use rsa::pkcs8::DecodePublicKey;
    use rsa::signature::Verifier;

    let public = rsa::RsaPublicKey::from_public_key_pem(&text("public.pem")).unwrap();
    let verifier = VerifyingKey::<Sha256>::new(public);
    for name in ["plain.p8", "pkcs1.pem"] {
        let signature = PrivateKey::from_file(fixture(name)).unwrap().sign(b"message").unwrap();
        verifier.verify(b"message", &Signature::try_from(&signature[..]).unwrap()).unwrap();
    }
}
