//! Custom roles, built-in roles and permissions.

use serde_json::{Value, json};

use super::{assert_empty, assert_error, logged_in, service};
use crate::support::client::Client;
use crate::support::request::Request;

const CUSTOM: &str = "/api/v1/tenants/t/roles";

#[track_caller]
fn assert_mistakes(client: &Client, path: &str, body: &Value, mistakes: Value) {
    let refused = client.send(Request::post(path).json(body.to_string()));
    assert_error(&refused, 400, "Bad Request", mistakes);
}

#[test]
fn a_custom_role_has_aliases_in_responses_only() {
    let service = service();
    let client = logged_in(&service);
    let permissions = r#"[{"id":"pos.receipt.print","attributes":{"k":"v"}},{"id":"iam.group.get"}]"#;
    let body = format!(r#"{{"id":"custom.printer","name":"Printer","permissions":{permissions}}}"#);
    let created = client.send(Request::post(CUSTOM).json(body.clone()));
    let expected = json!({
        "id": "custom.printer",
        "name": "Printer",
        "permissions": [
            {"id": "pos.receipt.print", "attributes": {"k": "v"}, "alias": "Print receipts"},
            {"id": "iam.group.get"},
        ],
    });
    assert_eq!((created.status, created.json()), (201, expected.clone()));
    let path = format!("{CUSTOM}/custom.printer");
    assert_eq!(client.send(Request::get(&path)).ok().json(), expected);
    let list = client.send(Request::get(CUSTOM));
    assert_eq!((list.status, list.json()), (201, json!([expected])), "201, as documented");
    assert_eq!(client.send(Request::get(format!("{CUSTOM}?offset=1"))).json(), json!([]));

    let taken = client.send(Request::post(CUSTOM).json(body));
    assert_error(&taken, 409, "Conflict", json!("custom role custom.printer already exists"));
    assert_empty(&client.send(Request::put(&path).json(r#"{"permissions":[]}"#)), 204);
    let emptied = json!({"id": "custom.printer", "name": "Printer", "permissions": []});
    assert_eq!(client.send(Request::get(&path)).json(), emptied);
    for _ in 0..2 {
        assert_empty(&client.send(Request::delete(&path)), 204);
    }
    let gone = json!("custom role custom.printer not found");
    assert_error(&client.send(Request::get(&path)), 404, "Not Found", gone.clone());
    assert_error(&client.send(Request::put(&path).json("{}")), 404, "Not Found", gone);
}

#[test]
fn a_custom_role_that_breaks_rules_gets_a_text_for_each() {
    let service = service();
    let client = logged_in(&service);
    let mistakes = json!([
        "permissions should not be null or undefined",
        "id must have the form custom.<name>",
        "name must have 3 to 256 characters",
    ]);
    assert_mistakes(&client, CUSTOM, &json!({"id": "printer", "name": "ab"}), mistakes);
    let with = |permissions: Value| json!({"id": "custom.r", "permissions": permissions});
    let mistakes = json!(["permissions: id iam.group must match the documented pattern"]);
    assert_mistakes(&client, CUSTOM, &with(json!([{"id": "iam.group"}])), mistakes);
    let mistakes = json!(["permissions: unknown field `alias`, expected `id` or `attributes`"]);
    assert_mistakes(&client, CUSTOM, &with(json!([{"id": "iam.group.get", "alias": "a"}])), mistakes);

    let attributes = json!(["attributes must be an object with up to 10 keys of 40 characters and values of 256"]);
    let eleven: Value = (0..11).map(|n| (n.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for wrong in [json!({"k".repeat(41): "v"}), json!({"k": "v".repeat(257)}), eleven] {
        let permissions = json!([{"id": "iam.group.get", "attributes": wrong}]);
        assert_mistakes(&client, CUSTOM, &with(permissions), attributes.clone());
    }
    let many = |system: &str, count: usize| vec![json!({"id": format!("{system}.group.get")}); count];
    let mistakes = json!(["permissions must contain no more than 100 elements, and 500 of pos"]);
    assert_mistakes(&client, CUSTOM, &with(json!(many("iam", 101))), mistakes.clone());
    assert_mistakes(&client, CUSTOM, &with(json!(many("pos", 501))), mistakes);
    let most = with(json!([many("iam", 100), many("pos", 500)].concat()));
    assert_eq!(client.send(Request::post(CUSTOM).json(most.to_string())).status, 201);
}

#[test]
fn built_in_roles_belong_to_no_tenant() {
    let service = service();
    let client = logged_in(&service);
    let roles = |query: &str| client.send(Request::get(format!("/api/v1/roles{query}"))).ok().json();
    let cashier = json!({
        "id": "pos.cashier",
        "name": "Cashier",
        "permissions": ["pos.receipt.print", "pos.receipt.void"],
        "fixedBindings": ["bu:001"],
    });
    assert_eq!(roles("/pos.cashier"), cashier);
    assert_eq!(roles("/pos.cashier?returnAliases=true")["permissions"], json!(["Print receipts", "pos.receipt.void"]));
    assert_eq!(roles("?sortBy=name&searchString=cash"), json!([cashier]));
    assert_eq!(roles("?offset=1&limit=1")[0]["id"], "iam.viewer");

    let created = r#"{"id":"abc.new-role","permissions":["abc.thing.get"],"fixedBindings":["*"]}"#;
    let response = client.send(Request::post("/api/v1/roles").json(created));
    assert_eq!((response.status, response.text().to_owned()), (201, roles("/abc.new-role").to_string()));
    let again = client.send(Request::post("/api/v1/roles").json(created));
    assert_error(&again, 409, "Conflict", json!("role abc.new-role already exists"));
    assert_empty(&client.send(Request::put("/api/v1/roles/abc.new-role").json(r#"{"name":"New role"}"#)), 204);
    let expected = json!({
        "id": "abc.new-role", "name": "New role", "permissions": ["abc.thing.get"], "fixedBindings": ["*"],
    });
    assert_eq!(roles("/abc.new-role"), expected);
    let absent = client.send(Request::put("/api/v1/roles/abc.none").json("{}"));
    assert_error(&absent, 404, "Not Found", json!("role abc.none not found"));
    let pattern = json!(["id must match the documented pattern"]);
    assert_error(&client.send(Request::get("/api/v1/roles/custom.r")), 400, "Bad Request", pattern);
    let mistakes = json!(["id must match the documented pattern", "permissions must be an array"]);
    assert_mistakes(&client, "/api/v1/roles", &json!({"id": "abcd.role", "permissions": "all"}), mistakes);
}

#[test]
fn permissions_come_as_one_list() {
    let service = service();
    let client = logged_in(&service);
    let all = client.send(Request::get("/api/v1/permissions")).ok().json();
    let all = all.as_array().unwrap();
    assert!(all.contains(&json!({"id": "iam.group.assign-role"})), "{all:?}");
    assert!(all.contains(&json!({"id": "pos.receipt.print", "alias": "Print receipts"})));

    let created = json!({"id": "abc.thing.get", "description": "Reads things", "alias": "Things"});
    let response = client.send(Request::post("/api/v1/permissions").json(created.to_string()));
    assert_eq!((response.status, response.json()), (201, created.clone()));
    let again = client.send(Request::post("/api/v1/permissions").json(created.to_string()));
    assert_error(&again, 409, "Conflict", json!("permission abc.thing.get already exists"));
    let path = "/api/v1/permissions/abc.thing.get";
    assert_empty(&client.send(Request::put(path).json(r#"{"alias":"Thing"}"#)), 204);
    let changed = json!({"id": "abc.thing.get", "description": "Reads things", "alias": "Thing"});
    assert_eq!(client.send(Request::get(path)).ok().json(), changed);
    let absent = client.send(Request::get("/api/v1/permissions/abc.thing.set"));
    assert_error(&absent, 404, "Not Found", json!("permission abc.thing.set not found"));
    let mistakes = json!(["id must match the documented pattern", "alias must have 0 to 256 characters"]);
    assert_mistakes(&client, "/api/v1/permissions", &json!({"id": "x", "alias": "a".repeat(257)}), mistakes);
}
