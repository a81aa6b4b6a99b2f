//! A secret that changes in its file.

use super::*;
use crate::auth::client_secret::ClientSecret;

/// A client whose secret is in a file, which says "first".
fn of_file() -> (tempfile::NamedTempFile, ClientCredentials) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first-secret\n").unwrap();
    let client = ClientCredentials::at("https://auth.example/t", "id", ClientSecret::from_file(file.path()));
    (file, client)
}

fn secrets_sent(setup: &Setup) -> Vec<String> {
    let decoded = |value: &str| STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap();
    let sent = setup.script.sent().into_iter();
    sent.map(|sent| String::from_utf8(decoded(sent.headers["authorization"].to_str().unwrap())).unwrap()).collect()
}

#[test]
fn a_secret_that_changed_in_its_file_is_used_when_the_old_one_is_refused() {
    for (status, body) in [(401, r#"{"error":"invalid_client"}"#), (400, r#"{"error":"invalid_client"}"#), (401, "")] {
        let setup = Setup::new();
        let (file, client) = of_file();
        let source = setup.source(&client).unwrap();
        std::fs::write(file.path(), "other-secret").unwrap();
        setup.script.respond(200, ISSUED).respond(status, body).respond(200, ISSUED).respond(200, ISSUED);
        for _ in 0..3 {
            source.fetch(Limits::unlimited()).unwrap();
        }
        let expected = ["id:first-secret", "id:first-secret", "id:other-secret", "id:other-secret"];
        assert_eq!(secrets_sent(&setup), expected, "as long as the old one works it is used");
    }
}

#[test]
fn a_secret_that_did_not_change_is_sent_once() {
    let setup = Setup::new();
    let (_file, client) = of_file();
    setup.script.respond(401, r#"{"error":"invalid_client"}"#);
    let error = setup.source(&client).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), error.attempts(), setup.script.lines().len()), (ErrorKind::Credentials, 1, 1));
}

#[test]
fn a_secret_that_changed_is_not_sent_when_the_time_of_the_call_is_over() {
    let setup = Setup::new();
    let (file, client) = of_file();
    let source = setup.source(&client).unwrap();
    std::fs::write(file.path(), "other-secret").unwrap();
    setup.script.respond(401, r#"{"error":"invalid_client"}"#);
    let limits = Limits { retries: setup.clock.now().deadline(Duration::ZERO), ..Limits::unlimited() };
    assert_eq!(source.fetch(limits).unwrap_err().kind(), ErrorKind::Credentials);
    assert_eq!(secrets_sent(&setup), ["id:first-secret"]);
}

#[test]
fn a_refused_request_is_no_reason_to_read_the_secret_again() {
    let setup = Setup::new();
    let (file, client) = of_file();
    let source = setup.source(&client).unwrap();
    std::fs::write(file.path(), "other-secret").unwrap();
    setup.script.respond(400, r#"{"error":"invalid_request"}"#);
    source.fetch(Limits::unlimited()).unwrap_err();
    assert_eq!(secrets_sent(&setup), ["id:first-secret"]);
}

#[test]
fn a_file_that_vanishes_leaves_the_refusal_of_the_server() {
    let setup = Setup::new();
    let (file, client) = of_file();
    let source = setup.source(&client).unwrap();
    let path = file.path().display().to_string();
    drop(file);
    setup.script.respond(401, r#"{"error":"invalid_client","error_description":"so it is"}"#);
    let error = source.fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("invalid_client")));
    let shown = error.to_string();
    assert!(shown.contains("so it is") && shown.contains(&format!("{path} does not exist")), "{shown}");
}

#[test]
fn a_file_that_is_missing_is_found_before_anything_is_sent() {
    let setup = Setup::new();
    let client = ClientCredentials::at("https://auth.example/t", "id", ClientSecret::from_file("no/such/file"));
    let error = setup.source(&client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("no/such/file does not exist"), "{error}");
    assert_eq!(client.check().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn neither_the_old_secret_nor_the_new_one_is_shown_when_the_server_repeats_them() {
    let setup = Setup::new();
    let (file, client) = of_file();
    let source = setup.source(&client).unwrap();
    std::fs::write(file.path(), "other-secret").unwrap();
    let pairs = ["id:first-secret", "id:other-secret"].map(|pair| STANDARD.encode(pair));
    let body = format!(
        r#"{{"error":"invalid_client","error_description":"first-secret other-secret {} {}"}}"#,
        pairs[0], pairs[1]
    );
    setup.script.respond(401, &body).respond(401, &body);
    let error = source.fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.attempts(), setup.script.lines().len()), (2, 2));
    let shown = format!("{error} {error:?}");
    for secret in ["first-se", "other-se", "rst-secret", "her-secret", &pairs[0][8..16], &pairs[1][8..16]] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
