//! Control endpoints, and what of them is also in Rust.

use serde_json::json;
use snowpipe_emulator::{ErrorForm, WordForm};

use crate::support::client::{Client, JWT_EXCHANGE};
use crate::support::request::Request;
use crate::support::{UUID, prompt};

#[test]
fn responses_come_in_their_other_forms_on_request() {
    let emulator = prompt();
    let client = Client::with_jwt(&emulator);
    let refused = || {
        let request = Request::get("/v2/streaming/hostname").header("Accept", "*/*");
        let response = Client::anonymous(&emulator).send(request);
        (response.status, response.text().to_owned())
    };
    assert_eq!(client.control("answers", r#"{"words":"object","errors":"error_code"}"#).status, 200);
    assert_eq!(client.hostname().text(), r#"{"hostname":"127.0.0.1"}"#);
    let token = client.exchange(JWT_EXCHANGE).json()["token"].clone();
    assert_eq!(Client::with_token(&emulator, token.as_str().unwrap()).try_open("c", "{}").status, 200);
    let message = "Authorization header not found in the request data.";
    assert_eq!(refused(), (401, json!({"error_code": "390101", "message": message}).to_string()));
    assert_eq!(client.control("answers", r#"{"words":"string","errors":"string"}"#).status, 200);
    assert_eq!(client.hostname().text(), r#""127.0.0.1""#);
    assert_eq!(refused(), (401, r#""390101""#.to_owned()));
    emulator.answer_errors_as(ErrorForm::Text);
    assert_eq!(refused(), (401, "Unauthorized".to_owned()));
    emulator.answer_errors_as(ErrorForm::Error);
    assert_eq!(refused(), (401, json!({"error": "390101", "message": message}).to_string()));
    emulator.answer_errors_as(ErrorForm::Empty);
    assert_eq!(refused(), (401, String::new()));
    emulator.answer_words_as(WordForm::Text);
    assert_eq!(client.hostname().text(), "127.0.0.1");
    assert_eq!(client.control("answers", r#"{"words":"xml"}"#).status, 400);
}

#[test]
fn it_says_when_it_listens() {
    let emulator = prompt();
    let response = Client::anonymous(&emulator).send(Request::get("/_emulator/health"));
    assert_eq!((response.status, response.text()), (200, "{}"));
}

#[test]
fn it_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&prompt());
}

#[test]
fn malformed_control_requests_get_a_message() {
    let emulator = prompt();
    let client = Client::anonymous(&emulator);
    for (action, body) in [
        ("faults", r#"{"endpoint":"append","status":"x"}"#),
        ("faults", r#"{"endpoint":"nowhere","status":500}"#),
        ("faults", "no json"),
        ("commits", r#"{"hold":"yes"}"#),
        ("commits", "{}"),
        ("tokens", r#"{"revoke":"all"}"#),
        ("tokens", "{}"),
        ("rejections", r#"{"contains":"x"}"#),
        ("channels", r#"{"action":"steal","pipe":"P","channel":"c"}"#),
        ("clock", r#"{"offset_seconds":"1"}"#),
        ("nothing", "{}"),
        ("rows", ""),
    ] {
        let response = client.control(action, body);
        assert!((400..500).contains(&response.status), "{action} {body}");
        assert!(response.json()["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
    assert_eq!(client.inspect("rows").status, 400);
    assert_eq!(client.inspect("rows?table=A.B").status, 400);
    let unknown = client.inspect("rows?table=A.B.C");
    assert_eq!((unknown.status, unknown.body.len()), (200, 0));
}

#[test]
fn the_log_holds_every_request_and_no_secret() {
    let emulator = prompt();
    let login = Client::with_jwt(&emulator);
    let form = format!("{JWT_EXCHANGE}&assertion={}", login.token());
    let client = Client::with_token(&emulator, login.exchange(&form).text());
    client.try_open(&format!("c?requestId={UUID}"), "{}");
    Client::anonymous(&emulator).send(Request::get("/nowhere?a=b").header("Cookie", "secret"));
    let log = client.inspect("requests");
    for secret in [login.token(), client.token(), "secret"] {
        assert!(!log.text().contains(secret));
    }
    let log = log.json();
    let log = log.as_array().unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[0]["path"], "/oauth/token");
    assert_eq!(log[0]["body_bytes"], form.len());
    assert_eq!(log[1]["method"], "PUT");
    assert_eq!(log[1]["query"], format!("requestId={UUID}"));
    assert_eq!(log[1]["headers"]["accept"], "application/json");
    assert_eq!(log[1]["status"], 200);
    assert!(log[1]["at_ms"].is_i64());
    assert_eq!(log[2]["status"], 404);
}
