//! What the IAM refuses before it looks at the request: tokens, tenants, permissions.

use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::HiiRetail;
use snowpipe_emulator::hiiretail::TokenRefusal;

use super::{anonymous, ask, assert_empty, assert_error, logged_in, service, token};
use crate::support::client::Client;
use crate::support::request::Request;

const GROUPS: &str = "/api/v1/tenants/t/groups";

fn last_refusal(service: &HiiRetail) -> String {
    service.requests().pop().unwrap().refusal.unwrap()
}

#[test]
fn a_token_without_the_audience_is_issued_and_opens_nothing() {
    let service = service();
    for form in ["grant_type=client_credentials", "grant_type=client_credentials&audience=https%3A%2F%2Fhiiretail.co"] {
        let granted = ask(&service, "id", "secret", form).ok().json();
        let client = Client::at(service.url(), granted["access_token"].as_str().unwrap());
        assert_empty(&client.send(Request::get(GROUPS)), 403);
        assert_eq!(last_refusal(&service), "the audience of the token is not https://hiiretail.com");
    }
}

#[test]
fn an_expired_or_unknown_token_is_a_bare_403_or_a_401_as_the_test_wants() {
    let service = service();
    let old = logged_in(&service);
    assert_eq!(old.send(Request::get(GROUPS)).status, 200);
    service.expire_tokens();
    let stranger = Client::at(service.url(), &token(&super::service()));
    let cases = [
        (&old, "the token is expired"),
        (&stranger, "the token is unknown"),
        (&anonymous(&service), "there is no bearer token"),
    ];
    for (client, reason) in cases {
        service.refuse_tokens_as(TokenRefusal::Forbidden);
        assert_empty(&client.send(Request::get(GROUPS)), 403);
        assert_eq!(last_refusal(&service), reason);
        service.refuse_tokens_as(TokenRefusal::Unauthorized);
        let refused = client.send(Request::get(GROUPS));
        assert_eq!((refused.status, refused.json()), (401, json!({"error": "invalid_token"})));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    assert_eq!(logged_in(&service).send(Request::get(GROUPS)).status, 200, "the next one is good");
}

#[test]
fn a_token_expires_by_the_clock_of_the_service() {
    let service = HiiRetail::builder().tenant("t").client("id", "secret").token_lifetime(Duration::from_secs(3600));
    let service = service.start().unwrap();
    let client = logged_in(&service);
    service.set_clock_offset(3000);
    assert_eq!(client.send(Request::get(GROUPS)).status, 200);
    service.set_clock_offset(3600);
    assert_empty(&client.send(Request::get(GROUPS)), 403);
    service.set_token_lifetime(Duration::from_secs(120));
    let granted = ask(&service, "id", "secret", super::GRANT).json();
    assert_eq!(granted["expires_in"], 120);
}

#[test]
fn a_token_is_good_for_its_own_tenant_and_its_permissions() {
    let service = service();
    let client = logged_in(&service);
    assert_empty(&client.send(Request::get("/api/v1/tenants/other/groups")), 403);
    assert_eq!(last_refusal(&service), "the token is of another tenant");
    service.deny(["iam.group.list"]);
    assert_empty(&client.send(Request::get(GROUPS)), 403);
    assert_eq!(last_refusal(&service), "the token has no permission iam.group.list");
    assert_eq!(client.send(Request::get("/api/v1/roles")).status, 200);
    service.deny(Vec::<String>::new());
    assert_eq!(client.send(Request::get(GROUPS)).status, 200);
}

#[test]
fn a_client_that_was_deleted_leaves_no_good_token() {
    let service = service();
    let client = logged_in(&service);
    assert_empty(&client.send(Request::delete("/v1/tenants/t/clients/id")), 204);
    assert_empty(&client.send(Request::get(GROUPS)), 403);
    assert_eq!(last_refusal(&service), "the client is deleted");
}

#[test]
fn what_is_not_offered_is_refused() {
    let service = service();
    let client = logged_in(&service);
    let nowhere = client.send(Request::get("/iam/v1/groups"));
    assert_error(&nowhere, 404, "Not Found", json!("Cannot GET /iam/v1/groups"));
    let method = anonymous(&service).send(Request::get("/oauth2/token"));
    assert_error(&method, 404, "Not Found", json!("Cannot GET /oauth2/token"));
    assert_empty(&client.send(Request::delete("/api/v2/tenants/t/groups/g/roles/iam.admin")), 403);
    for path in [GROUPS, "/api/v1/roles/iam.viewer", "/api/v2/tenants/t/groups/g/roles/iam.admin"] {
        let method = client.send(Request::new("PATCH", path).body("{}"));
        assert_error(&method, 404, "Not Found", json!(format!("Cannot PATCH {path}")));
    }
    for (content_type, body) in [("application/json", "["), ("application/json", "[]"), ("text/plain", "{}")] {
        let request = Request::post(GROUPS).header("Content-Type", content_type).body(body);
        let mistake = json!(["the body must be a JSON object of type application/json"]);
        assert_error(&client.send(request), 400, "Bad Request", mistake);
    }
}
