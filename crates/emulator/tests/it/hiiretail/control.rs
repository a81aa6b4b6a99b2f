//! The control endpoints.

use serde_json::json;

use super::{GRANT, anonymous, ask, assert_empty, logged_in, service};
use crate::support::request::Request;

const GROUPS: &str = "/api/v1/tenants/t/groups";

#[test]
fn everything_can_be_set_over_http() {
    let service = service();
    let control = |action: &str, body: &str| {
        let response = anonymous(&service).control(action, body);
        assert_eq!((response.status, response.text()), (200, "{}"), "{body}");
    };
    assert_eq!(anonymous(&service).inspect("health").status, 200);
    let client = logged_in(&service);

    control("settings", r#"{"denied_permissions":["iam.group.list"]}"#);
    assert_empty(&client.send(Request::get(GROUPS)), 403);
    control("settings", r#"{"denied_permissions":[],"refuse_tokens_as":"unauthorized"}"#);
    control("tokens", r#""expire""#);
    assert_eq!(client.send(Request::get(GROUPS)).status, 401);

    control("settings", r#"{"token_lifetime_seconds":5,"discover_as":"trailing_slash","settle_after_reads":1}"#);
    assert_eq!(ask(&service, "id", "secret", GRANT).json()["expires_in"], 5);
    control("settings", r#"{"discover_as":{"issuer":"https://elsewhere.example"}}"#);
    let document = anonymous(&service).send(Request::get("/.well-known/openid-configuration")).json();
    assert_eq!(document["issuer"], "https://elsewhere.example");
    control("settings", r#"{"clock_offset_seconds":-60,"resources_per_page":1}"#);

    control("clients", r#"{"id":"id","state":"Revoked"}"#);
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 401);
    control("clients", r#"{"id":"id","state":"Authorized"}"#);
    control("rate-limit", r#"{"times":1,"retry_after":3}"#);
    assert_eq!(ask(&service, "id", "secret", GRANT).json()["retry_after"], 3);
    control("faults", r#"{"endpoint":"token","status":503}"#);
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 503);
    control("faults", r#"{"endpoint":"token","action":"lose_reply","times":9}"#);
    assert_eq!(anonymous(&service).send(Request::delete("/_emulator/faults")).status, 200);
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 200);
}

#[test]
fn the_log_is_read_and_emptied_over_http() {
    let service = service();
    assert_eq!(logged_in(&service).send(Request::get(GROUPS)).status, 200);
    let log = anonymous(&service).inspect("requests").json();
    let paths: Vec<_> = log.as_array().unwrap().iter().map(|request| request["path"].clone()).collect();
    assert_eq!(paths, [json!("/oauth2/token"), json!(GROUPS)]);
    assert_eq!(anonymous(&service).send(Request::delete("/_emulator/requests")).status, 200);
    assert_eq!(anonymous(&service).inspect("requests").json(), json!([]));
}

#[test]
fn a_control_request_that_means_nothing_is_refused() {
    let service = service();
    let message = |action: &str, body: &str, status: u16| {
        let response = anonymous(&service).control(action, body);
        assert_eq!(response.status, status);
        response.json()["message"].as_str().unwrap().to_owned()
    };
    assert!(message("setting", "{}", 404).contains("settings"));
    assert!(message("health", "", 405).contains("method"));
    assert!(message("settings", r#"{"clock":1}"#, 400).contains("clock_offset_seconds"));
    assert!(message("tokens", r#""burn""#, 400).contains("expire"));
    assert!(message("clients", r#"{"id":"x","state":"Pending"}"#, 404).contains("\"x\""));
    let names = message("faults", r#"{"endpoint":"append","status":503}"#, 400);
    assert!(names.contains("create-group") && !names.contains("filebuffer"), "{names}");
}
