//! Roles of groups.

use serde_json::{Value, json};
use snowpipe_emulator::HiiRetail;

use super::{assert_empty, assert_error, logged_in, service};
use crate::support::client::Client;
use crate::support::request::Request;
use crate::support::response::Response;

const V1: &str = "/api/v1/tenants/t/groups/g/roles";
const V2: &str = "/api/v2/tenants/t/groups/g/roles";

/// A client of a tenant with the group `g` and the role `custom.r`.
fn prepared(service: &HiiRetail) -> Client {
    let client = logged_in(service);
    let group = Request::post("/api/v1/tenants/t/groups").json(r#"{"name":"g","id":"g"}"#);
    assert_eq!(client.send(group).status, 201);
    let role = Request::post("/api/v1/tenants/t/roles").json(r#"{"id":"custom.r","permissions":[]}"#);
    assert_eq!(client.send(role).status, 201);
    client
}

fn assign(client: &Client, body: &str) -> Response {
    client.send(Request::post(V2).json(body))
}

fn list(client: &Client) -> Value {
    client.send(Request::get(V2)).ok().json()
}

#[test]
fn a_role_is_assigned_listed_bound_anew_and_unassigned() {
    let service = service();
    let client = prepared(&service);
    assert_empty(&assign(&client, r#"{"roleId":"custom.r","isCustom":true,"bindings":["bu:001"]}"#), 200);
    assert_empty(&assign(&client, r#"{"roleId":"pos.cashier","bindings":["*"]}"#), 200);
    let cashier = json!({"roleId": "pos.cashier", "isCustom": false, "bindings": ["*"], "fixedBindings": ["bu:001"]});
    let custom = json!({"roleId": "custom.r", "isCustom": true, "bindings": ["bu:001"]});
    assert_eq!(list(&client), json!([custom, cashier]));

    let replaced = Request::put(format!("{V2}/custom.r?isCustom=true")).json(r#"{"bindings":["bu:002","bu:003"]}"#);
    assert_empty(&client.send(replaced), 200);
    assert_eq!(list(&client)[0]["bindings"], json!(["bu:002", "bu:003"]));

    let without_flag = client.send(Request::delete(format!("{V1}/custom.r")));
    assert_error(&without_flag, 404, "Not Found", json!("role binding custom.r not found"));
    assert_empty(&client.send(Request::delete(format!("{V1}/custom.r?isCustom=true"))), 204);
    assert_eq!(list(&client), json!([cashier]));
    let again = client.send(Request::delete(format!("{V1}/custom.r?isCustom=true")));
    assert_error(&again, 404, "Not Found", json!("role binding custom.r not found"));
    let unbound = client.send(Request::put(format!("{V2}/custom.r?isCustom=true")).json(r#"{"bindings":[]}"#));
    assert_error(&unbound, 404, "Not Found", json!("role binding custom.r not found"));
}

#[test]
fn an_assignment_that_cannot_be_is_refused() {
    let service = service();
    let client = prepared(&service);
    let eleven = vec!["bu:001"; 11];
    for (body, mistakes) in [
        (json!({}), json!(["roleId should not be null or undefined", "bindings should not be null or undefined"])),
        (json!({"roleId": "iam.admin", "bindings": eleven}), json!(["bindings must contain no more than 10 elements"])),
        (
            json!({"roleId": "iam.admin", "bindings": ["001"]}),
            json!(["each value in bindings must be * or a resource such as bu:001"]),
        ),
        (json!({"roleId": "iam.admin", "bindings": [1]}), json!(["each value in bindings must be a string"])),
        (json!({"roleId": "custom.r", "bindings": ["*"]}), json!(["role custom.r does not exist"])),
        (json!({"roleId": "r", "isCustom": true, "bindings": ["*"]}), json!(["custom role r does not exist"])),
        (
            json!({"roleId": "iam.admin", "isCustom": "no", "bindings": ["*"]}),
            json!(["isCustom must be a boolean value"]),
        ),
    ] {
        assert_error(&assign(&client, &body.to_string()), 400, "Bad Request", mistakes);
    }
    let elsewhere =
        Request::post("/api/v2/tenants/t/groups/x/roles").json(r#"{"roleId":"iam.admin","bindings":["*"]}"#);
    assert_error(&client.send(elsewhere), 400, "Bad Request", json!(["group x does not exist"]));
    assert_error(
        &client.send(Request::get("/api/v2/tenants/t/groups/x/roles")),
        404,
        "Not Found",
        json!("group x not found"),
    );
    assert_empty(&assign(&client, r#"{"roleId":"iam.admin","bindings":["*"]}"#), 200);
    let twice = assign(&client, r#"{"roleId":"iam.admin","bindings":["bu:001"]}"#);
    assert_error(&twice, 409, "Conflict", json!("role binding iam.admin already exists"));
    let flag = client.send(Request::delete(format!("{V1}/iam.admin?isCustom=maybe")));
    assert_error(&flag, 400, "Bad Request", json!(["isCustom must be a boolean value"]));
}

#[test]
fn a_new_assignment_is_missing_in_as_many_lists_as_a_test_wants() {
    let service = service();
    let client = prepared(&service);
    service.settle_after_reads(2);
    assert_empty(&assign(&client, r#"{"roleId":"iam.admin","bindings":["*"]}"#), 200);
    assert_eq!(list(&client), json!([]));
    assert_eq!(list(&client), json!([]));
    assert_eq!(list(&client), json!([{"roleId": "iam.admin", "isCustom": false, "bindings": ["*"]}]));
}

#[test]
fn a_group_loses_a_custom_role_that_is_deleted() {
    let service = service();
    let client = prepared(&service);
    assert_empty(&assign(&client, r#"{"roleId":"custom.r","isCustom":true,"bindings":["*"]}"#), 200);
    assert_empty(&client.send(Request::delete("/api/v1/tenants/t/roles/custom.r")), 204);
    assert_eq!(list(&client), json!([]));
}
