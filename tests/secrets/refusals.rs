//! Keys, settings and profiles that are refused before anything is sent.

use snowpipe_streaming::{Client, Credentials, PrivateKey, Profile, Secret};

use super::heard::{assert_unsaid, complain, listen, said, show};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

#[test]
fn a_key_that_is_refused_is_not_repeated() {
    listen();
    let (passphrase, other) = ("open sesame", "Swordfish-Swordfish");
    let key = PrivateKey::from_encrypted_file(format!("{KEYS}/scrypt.p8"), &Secret::new(passphrase)).unwrap();
    show(&key);
    show(&Credentials::key_pair("loader", key));
    let plain = std::fs::read_to_string(format!("{KEYS}/plain.p8")).unwrap();
    let sealed = std::fs::read_to_string(format!("{KEYS}/scrypt.p8")).unwrap();
    for text in [&plain[..200], &sealed, &plain.replace('A', "B")] {
        complain(&PrivateKey::from_pem(text).unwrap_err());
        complain(&PrivateKey::from_file(text).unwrap_err());
    }
    complain(&PrivateKey::from_encrypted_pem(&sealed, &Secret::new(other)).unwrap_err());
    let mut secrets = vec![passphrase.to_owned(), other.to_owned()];
    secrets.extend(plain.lines().chain(sealed.lines()).filter(|line| !line.starts_with('-')).map(str::to_owned));
    assert!(secrets.len() > 50, "{}", secrets.len());
    assert_unsaid(&secrets);
}

#[test]
fn a_setting_that_is_refused_is_not_repeated() {
    listen();
    let (password, token) = ("Correct-Horse-Battery", "tok-9876543210-jihgfedcba");
    for broken in ["socks5", "gopher", "http://x"] {
        let url = format!("{broken}://joe:{password}@127.0.0.1:1");
        complain(&Client::builder("a", Credentials::oauth_token(token)).proxy(url).build().unwrap_err());
    }
    complain(&Client::builder("a", Credentials::jwt(token)).build().unwrap_err());
    for broken in [
        format!(r#"{{"account": "a", "personal_access_token": "{token}""#),
        format!(r#"{{"account": ["{token}"]}}"#),
        format!(r#"{{"account": "a", "authorization_type": "PAT", "token": "{token}"}}"#),
        format!(r#"["{token}"]"#),
    ] {
        complain(&Profile::from_json(&broken).unwrap_err());
    }
    let client = Client::builder("myorg-account1", Credentials::oauth_token(token)).build().unwrap();
    show(&client);
    assert!(said("the log target ureq_proto::util writes whole requests"), "the one that says too much is named");
    assert_unsaid(&[password.to_owned(), token.to_owned()]);
}
