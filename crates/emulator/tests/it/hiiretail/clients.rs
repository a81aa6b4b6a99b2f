//! The life of a client at OCMS.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use snowpipe_emulator::HiiRetail;

use super::{GRANT, anonymous, ask, assert_empty, assert_error, logged_in, service};
use crate::support::request::Request;
use crate::support::response::Response;

fn register(service: &HiiRetail, body: &Value) -> Response {
    anonymous(service).send(Request::post("/v1/registration").json(body.to_string()))
}

#[test]
fn a_client_is_registered_authorized_revoked_and_deleted() {
    let service = service();
    let wanted = json!({
        "softwareId": "till",
        "softwareVersion": "2.1.0",
        "tenantId": "t",
        "usingGlobalTemplate": true,
        "claims": {"bu": "001", "workstation": 7},
    });
    let registered = register(&service, &wanted);
    assert_eq!(registered.status, 201);
    let registered = registered.json();
    let (id, secret) = (registered["clientId"].as_str().unwrap(), registered["clientSecret"].as_str().unwrap());
    assert_eq!(registered, json!({"clientId": id, "clientSecret": secret, "status": "Pending"}));
    let claims = URL_SAFE_NO_PAD.decode(id).unwrap();
    assert_eq!(claims, b"bu=001\nworkstation=7\nsfw=till@2.1.0@t\ntid=t");
    assert_eq!(secret.len(), 64);

    let status = || ask(&service, id, secret, GRANT).status;
    assert_eq!(status(), 401);
    let client = logged_in(&service);
    assert_empty(&client.send(Request::put(format!("/v1/tenants/t/clients/{id}/authorize"))), 204);
    assert_eq!(status(), 200);
    assert_empty(&client.send(Request::put(format!("/v1/tenants/t/clients/{id}/revoke"))), 204);
    assert_eq!(status(), 401);
    assert_empty(&client.send(Request::delete(format!("/v1/tenants/t/clients/{id}"))), 204);
    let gone = client.send(Request::delete(format!("/v1/tenants/t/clients/{id}")));
    assert_error(&gone, 404, "Not Found", json!(format!("client {id} not found")));
}

#[test]
fn a_software_statement_authorizes_at_once() {
    let service = service();
    let wanted = json!({"softwareId": "a", "softwareVersion": "1", "tenantId": "t", "softwareStatement": "x.y.z"});
    let registered = register(&service, &wanted).json();
    assert_eq!(registered["status"], "Authorized");
    let (id, secret) = (registered["clientId"].as_str().unwrap(), registered["clientSecret"].as_str().unwrap());
    assert_eq!(ask(&service, id, secret, GRANT).status, 200);
    let again = register(&service, &wanted);
    assert_error(&again, 409, "Conflict", json!(format!("client {id} already exists")));
}

#[test]
fn a_registration_that_cannot_be_is_refused_with_every_mistake() {
    let service = service();
    let mistakes = json!([
        "softwareVersion should not be null or undefined",
        "tenantId should not be null or undefined",
        "property secret should not exist",
    ]);
    assert_error(&register(&service, &json!({"softwareId": "a", "secret": 1})), 400, "Bad Request", mistakes);
    let long = json!({"softwareId": "a".repeat(190), "softwareVersion": "1", "tenantId": "t"});
    let mistakes = json!(["the client id has more than 255 characters"]);
    assert_error(&register(&service, &long), 400, "Bad Request", mistakes);
}

#[test]
fn clients_are_managed_with_a_token_of_their_tenant() {
    let service = service();
    let path = "/v1/tenants/t/clients/id/revoke";
    assert_empty(&anonymous(&service).send(Request::put(path)), 403);
    service.deny(["ocm.client.revoke"]);
    assert_empty(&logged_in(&service).send(Request::put(path)), 403);
    let elsewhere = logged_in(&service).send(Request::put("/v1/tenants/other/clients/id/revoke"));
    assert_empty(&elsewhere, 403);
}
