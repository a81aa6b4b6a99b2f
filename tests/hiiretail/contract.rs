//! Every operation: what it sends, word for word, and what it makes of the documented success.

use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::Error;
use snowpipe_streaming::hiiretail::{
    CustomRoleChange, GroupChange, GroupStatus, Iam, NewCustomRole, NewGroup, NewPermission, NewResource, NewRole,
    PermissionChange, ResourceFilter, RoleAssignment, RoleChange, RolePermission,
};

use super::support::Service;

/// What one call sends, and what it returns for a response.
struct Exchange {
    line: String,
    body: Value,
    result: String,
}

/// The token request is looked at elsewhere.
fn exchange<T: Debug>(status: u16, response: &Value, call: impl FnOnce(&Iam) -> Result<T, Error>) -> Exchange {
    let service = Service::start();
    service.respond(status, &if response.is_null() { String::new() } else { response.to_string() });
    let result = call(&service.iam()).unwrap_or_else(|error| panic!("{error}"));
    let sent = service.sent();
    let [.., request] = &sent[..] else { panic!("nothing was sent") };
    assert_eq!(sent.len(), 3, "discovery, token and this one: {:?}", service.lines());
    assert_eq!(request.header("authorization"), Some("Bearer token-1"));
    assert_eq!(request.header("x-tenant-id"), Some("my-tenant"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("snowpipe-streaming-rust/"), "{:?}", request.headers);
    assert!(!request.headers.iter().any(|(name, _)| name.contains("snowflake")), "{:?}", request.headers);
    let content_type = (!request.body.is_empty()).then_some("application/json");
    assert_eq!(request.header("content-type"), content_type);
    let body = if request.body.is_empty() { Value::Null } else { serde_json::from_str(&request.body).unwrap() };
    Exchange { line: request.line.clone(), body, result: format!("{result:?}") }
}

impl Exchange {
    fn sends(&self, line: &str, body: Value) -> &Exchange {
        assert_eq!((self.line.as_str(), &self.body), (line, &body));
        self
    }

    fn returns(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.result.contains(part), "{part} is missing in {}", self.result);
        }
    }
}

fn group() -> Value {
    json!({"id": "g-1", "name": "Store staff", "description": "Tills", "status": "Created", "unknown": {"x": 1}})
}

fn user() -> Value {
    json!({"id": "u-1", "name": "Ann", "externalId": null, "externalProviderId": "oidc.abcde", "googleIdentity": "x",
           "scope": "Staff", "standaloneId": null, "status": "Created", "type": "Federated", "userProfileId": "p-1"})
}

#[test]
fn groups_are_created_read_changed_and_deleted() {
    let whole = NewGroup::new("Store staff").description("Tills").id("g-1");
    exchange(201, &group(), |iam| iam.groups().create(&whole))
        .sends(
            "POST /api/v1/tenants/my-tenant/groups",
            json!({"name": "Store staff", "description": "Tills", "id": "g-1"}),
        )
        .returns(&["id: \"g-1\"", "name: \"Store staff\"", "description: Some(\"Tills\")", "status: Created"]);
    exchange(201, &json!({"id": "g-2", "name": "B"}), |iam| iam.groups().create(&NewGroup::new("B")))
        .sends("POST /api/v1/tenants/my-tenant/groups", json!({"name": "B"}))
        .returns(&["id: \"g-2\"", "description: None", "status: Unstated"]);
    exchange(200, &json!([group()]), |iam| iam.groups().list().collect::<Result<Vec<_>, _>>())
        .sends("GET /api/v1/tenants/my-tenant/groups?limit=1000&offset=0", Value::Null)
        .returns(&["id: \"g-1\""]);
    exchange(200, &group(), |iam| iam.groups().get("g é"))
        .sends("GET /api/v1/tenants/my-tenant/groups/g%20%C3%A9", Value::Null);
    let change = GroupChange::new().name("New").description("");
    exchange(204, &Value::Null, |iam| iam.groups().update("g-1", &change))
        .sends("PUT /api/v1/tenants/my-tenant/groups/g-1", json!({"name": "New", "description": ""}));
    exchange(204, &Value::Null, |iam| iam.groups().delete("g-1"))
        .sends("DELETE /api/v1/tenants/my-tenant/groups/g-1", Value::Null);
    exchange(204, &Value::Null, |iam| iam.groups().delete_if_exists("g-1")).returns(&["true"]);
    exchange(200, &json!([user()]), |iam| iam.groups().members("g-1"))
        .sends("GET /api/v1/tenants/my-tenant/groups/g-1/users", Value::Null)
        .returns(&[
            "id: \"u-1\"",
            "name: Some(\"Ann\")",
            "email: None",
            "kind: Some(\"Federated\")",
            "scope: Some(\"Staff\")",
            "google_identity: Some(\"x\"), standalone_id: None",
        ]);
}

#[test]
fn any_success_is_a_success() {
    for status in [200, 201, 202, 203, 206] {
        exchange(status, &group(), |iam| iam.groups().get("g-1")).returns(&["id: \"g-1\""]);
        exchange(status, &Value::Null, |iam| iam.groups().update("g-1", &GroupChange::new().name("B")));
    }
}

#[test]
fn a_status_of_a_group_that_is_new_to_this_version_is_kept() {
    let archived = json!({"id": "g-1", "name": "A", "status": "Archived"});
    exchange(200, &archived, |iam| iam.groups().get("g-1")).returns(&["status: Other(\"Archived\")"]);
    assert_eq!(GroupStatus::from("Updating".to_owned()), GroupStatus::Updating);
}

#[test]
fn roles_are_assigned_by_version_two_and_taken_away_by_version_one() {
    let roles = "/api/v2/tenants/my-tenant/groups/g-1/roles";
    exchange(200, &Value::Null, |iam| {
        iam.groups().assign_role("g-1", &RoleAssignment::new("custom.cashier", ["bu:001", "*"]))
    })
    .sends(
        &format!("POST {roles}"),
        json!({"roleId": "custom.cashier", "bindings": ["bu:001", "*"], "isCustom": true}),
    );
    exchange(200, &Value::Null, |iam| iam.groups().assign_role("g-1", &RoleAssignment::new("iam.viewer", ["bu:001"])))
        .sends(&format!("POST {roles}"), json!({"roleId": "iam.viewer", "bindings": ["bu:001"], "isCustom": false}));
    let assigned = json!([
        {"roleId": "custom.cashier", "isCustom": true, "bindings": ["bu:001"], "fixedBindings": ["x"]},
        {"roleId": "iam.viewer", "bindings": []}
    ]);
    exchange(200, &assigned, |iam| iam.groups().roles("g-1")).sends(&format!("GET {roles}"), Value::Null).returns(&[
        "role_id: \"custom.cashier\", is_custom: true, bindings: [\"bu:001\"], fixed_bindings: [\"x\"]",
        "role_id: \"iam.viewer\", is_custom: false, bindings: [], fixed_bindings: []",
    ]);
    exchange(200, &Value::Null, |iam| iam.groups().replace_bindings("g-1", "custom.cashier", ["bu:002"]))
        .sends(&format!("PUT {roles}/custom.cashier?isCustom=true"), json!({"bindings": ["bu:002"]}));
    exchange(200, &Value::Null, |iam| iam.groups().replace_bindings("g-1", "iam.viewer", Vec::<String>::new()))
        .sends(&format!("PUT {roles}/iam.viewer?isCustom=false"), json!({"bindings": []}));
    exchange(204, &Value::Null, |iam| iam.groups().unassign_role("g-1", "custom.cash desk"))
        .sends("DELETE /api/v1/tenants/my-tenant/groups/g-1/roles/custom.cash%20desk?isCustom=true", Value::Null);
    exchange(204, &Value::Null, |iam| iam.groups().unassign_role_if_assigned("g-1", "iam.viewer"))
        .sends("DELETE /api/v1/tenants/my-tenant/groups/g-1/roles/iam.viewer?isCustom=false", Value::Null)
        .returns(&["true"]);
}

#[test]
fn custom_roles_are_created_read_changed_and_deleted() {
    let roles = "/api/v1/tenants/my-tenant/roles";
    let small = RolePermission::new("pos.receipt.refund").attribute("limit", "50");
    let cashier =
        NewCustomRole::new("custom.cashier", [RolePermission::new("pos.receipt.read"), small]).name("Cashier");
    let response = json!({"id": "custom.cashier", "permissions": [
        {"id": "pos.receipt.read", "alias": "Read receipts"},
        {"id": "pos.receipt.refund", "attributes": {"limit": "50", "odd": 7}}
    ]});
    exchange(201, &response, |iam| iam.custom_roles().create(&cashier))
        .sends(
            &format!("POST {roles}"),
            json!({"id": "custom.cashier", "name": "Cashier", "permissions": [
                {"id": "pos.receipt.read"}, {"id": "pos.receipt.refund", "attributes": {"limit": "50"}}]}),
        )
        .returns(&["alias: Some(\"Read receipts\")", "{\"limit\": \"50\", \"odd\": \"7\"}", "name: None"]);
    exchange(201, &json!([response]), |iam| iam.custom_roles().list().collect::<Result<Vec<_>, _>>())
        .sends(&format!("GET {roles}?limit=1000&offset=0"), Value::Null)
        .returns(&["id: \"custom.cashier\""]);
    exchange(200, &response, |iam| iam.custom_roles().get("custom.cashier"))
        .sends(&format!("GET {roles}/custom.cashier"), Value::Null);
    exchange(204, &Value::Null, |iam| {
        iam.custom_roles()
            .update("custom.cashier", &CustomRoleChange::new().name("Tills").permissions(["pos.receipt.read"]))
    })
    .sends(
        &format!("PUT {roles}/custom.cashier"),
        json!({"name": "Tills", "permissions": [{"id": "pos.receipt.read"}]}),
    );
    exchange(204, &Value::Null, |iam| iam.custom_roles().delete("custom.cashier"))
        .sends(&format!("DELETE {roles}/custom.cashier"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.custom_roles().delete_if_exists("custom.cashier")).returns(&["true"]);
}

#[test]
fn an_id_of_a_custom_role_that_the_service_returned_is_used_as_it_is() {
    let roles = "/api/v1/tenants/my-tenant/roles";
    let returned = json!([{"id": "Store manager", "permissions": []}]);
    exchange(201, &returned, |iam| iam.custom_roles().list().collect::<Result<Vec<_>, _>>())
        .returns(&["id: \"Store manager\""]);
    exchange(200, &returned[0], |iam| iam.custom_roles().get("Store manager"))
        .sends(&format!("GET {roles}/Store%20manager"), Value::Null);
    let change = CustomRoleChange::new().name("Manager");
    exchange(204, &Value::Null, |iam| iam.custom_roles().update("Store manager", &change))
        .sends(&format!("PUT {roles}/Store%20manager"), json!({"name": "Manager"}));
    exchange(204, &Value::Null, |iam| iam.custom_roles().delete("Store manager"))
        .sends(&format!("DELETE {roles}/Store%20manager"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.groups().unassign_role("g-1", "manager"))
        .sends("DELETE /api/v1/tenants/my-tenant/groups/g-1/roles/manager?isCustom=true", Value::Null);
    exchange(200, &Value::Null, |iam| iam.groups().replace_bindings("g-1", "manager", ["*"]))
        .sends("PUT /api/v2/tenants/my-tenant/groups/g-1/roles/manager?isCustom=true", json!({"bindings": ["*"]}));
    let assigned = json!([{"roleId": "manager", "isCustom": true, "bindings": ["*"]}]);
    let wait = Duration::from_secs(5);
    exchange(200, &assigned, |iam| iam.groups().wait_for_role("g-1", "manager", wait)).returns(&["\"manager\""]);
}

#[test]
fn built_in_roles_belong_to_no_tenant() {
    let viewer =
        json!({"id": "iam.viewer", "name": "Viewer", "permissions": ["iam.group.get"], "fixedBindings": ["*"]});
    exchange(200, &json!([viewer]), |iam| iam.roles().list().collect::<Result<Vec<_>, _>>())
        .sends("GET /api/v1/roles?limit=1000&offset=0", Value::Null)
        .returns(&["permissions: [\"iam.group.get\"]", "fixed_bindings: [\"*\"]"]);
    exchange(200, &viewer, |iam| iam.roles().get("iam.viewer")).sends("GET /api/v1/roles/iam.viewer", Value::Null);
    exchange(200, &viewer, |iam| iam.roles().with_aliases().get("iam.viewer"))
        .sends("GET /api/v1/roles/iam.viewer?returnAliases=true", Value::Null);
    let new = NewRole::new("iam.viewer", ["iam.group.get"]).name("Viewer").fixed_bindings(["*"]);
    exchange(201, &viewer, |iam| iam.roles().create(&new)).sends(
        "POST /api/v1/roles",
        json!({"id": "iam.viewer", "name": "Viewer", "permissions": ["iam.group.get"], "fixedBindings": ["*"]}),
    );
    exchange(204, &Value::Null, |iam| {
        iam.roles().update("iam.viewer", &RoleChange::new().permissions(["iam.group.list"]))
    })
    .sends("PUT /api/v1/roles/iam.viewer", json!({"permissions": ["iam.group.list"]}));
}

#[test]
fn permissions_belong_to_no_tenant() {
    let read = json!({"id": "pos.receipt.read", "description": "d", "alias": "Read receipts"});
    exchange(200, &json!([read, {"id": "a-b.cc.dd"}]), |iam| iam.permissions().list())
        .sends("GET /api/v1/permissions", Value::Null)
        .returns(&["alias: Some(\"Read receipts\")", "id: \"a-b.cc.dd\", description: None, alias: None"]);
    exchange(200, &read, |iam| iam.permissions().get("pos.receipt.read"))
        .sends("GET /api/v1/permissions/pos.receipt.read", Value::Null);
    let new = NewPermission::new("pos.receipt.read").description("d").alias("Read receipts");
    exchange(201, &read, |iam| iam.permissions().create(&new)).sends("POST /api/v1/permissions", read.clone());
    exchange(204, &Value::Null, |iam| {
        iam.permissions().update("pos.receipt.read", &PermissionChange::new().alias("R"))
    })
    .sends("PUT /api/v1/permissions/pos.receipt.read", json!({"alias": "R"}));
    exchange(204, &Value::Null, |iam| {
        iam.permissions().update("pos.receipt.read", &PermissionChange::new().description("e"))
    })
    .sends("PUT /api/v1/permissions/pos.receipt.read", json!({"description": "e"}));
}

#[test]
fn resources_are_set_read_listed_and_deleted() {
    let resources = "/api/v1/tenants/my-tenant/resources";
    let unit = json!({"id": "bu:001", "name": "Main Street", "props": {"city": "Oslo"}});
    let new = NewResource::new("Main Street").props(json!({"city": "Oslo"}));
    for status in [200, 201] {
        exchange(status, &unit, |iam| iam.resources().set("bu:001", &new))
            .sends(&format!("PUT {resources}/bu%3A001"), json!({"name": "Main Street", "props": {"city": "Oslo"}}))
            .returns(&["Main Street", "Oslo"]);
    }
    exchange(200, &unit, |iam| iam.resources().set("é ?", &NewResource::new("E")))
        .sends(&format!("PUT {resources}/%C3%A9%20%3F"), json!({"name": "E"}));
    exchange(200, &json!({"id": "bu:001", "name": "M"}), |iam| iam.resources().get("bu:001"))
        .sends(&format!("GET {resources}/bu%3A001"), Value::Null)
        .returns(&["props: Null"]);
    exchange(200, &json!([unit]), |iam| iam.resources().list(&ResourceFilter::new()))
        .sends(&format!("GET {resources}"), Value::Null);
    let filter = ResourceFilter::new().of_type("bu").permitting("pos.receipt.read");
    exchange(200, &json!([unit]), |iam| iam.resources().list(&filter))
        .sends(&format!("GET {resources}?permission=pos.receipt.read&type=bu"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.resources().delete("bu:001"))
        .sends(&format!("DELETE {resources}/bu%3A001"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.resources().delete_if_exists("bu:001")).returns(&["true"]);
}

#[test]
fn users_join_and_leave_groups() {
    let groups = "/api/v1/tenants/my-tenant/users/u-1/groups";
    let membership = json!({"documentId": "m-1", "userGroupDocumentId": "g-1"});
    exchange(201, &membership, |iam| iam.user_groups("u-1").add("g-1"))
        .sends(&format!("POST {groups}"), json!({"userGroupDocumentId": "g-1"}))
        .returns(&["id: \"m-1\", group_id: \"g-1\""]);
    exchange(201, &membership, |iam| iam.user_groups("u-1").add_with_id("g-1", "m-1"))
        .sends(&format!("POST {groups}"), json!({"userGroupDocumentId": "g-1", "documentId": "m-1"}))
        .returns(&["id: \"m-1\", group_id: \"g-1\""]);
    exchange(200, &json!([membership]), |iam| iam.user_groups("u-1").list())
        .sends(&format!("GET {groups}"), Value::Null);
    exchange(200, &membership, |iam| iam.user_groups("u-1").get("m-1"))
        .sends(&format!("GET {groups}/m-1"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.user_groups("u-1").remove("m-1"))
        .sends(&format!("DELETE {groups}/m-1"), Value::Null);
    exchange(204, &Value::Null, |iam| iam.user_groups("u-1").remove_if_exists("m-1")).returns(&["true"]);
}

#[test]
fn a_client_logs_in_with_its_audience_and_without_a_scope() {
    let service = Service::start();
    service.iam().groups().list().next();
    let sent = service.sent();
    let lines = ["GET /.well-known/openid-configuration", "POST /oauth2/token"];
    assert_eq!(service.lines()[..2], lines);
    assert_eq!(sent[0].header("authorization"), None);
    assert_eq!(sent[1].body, "grant_type=client_credentials&audience=https%3A%2F%2Fhiiretail.com");
    // till-7:Hunter2-Hunter2-Hunter2
    assert_eq!(sent[1].header("authorization"), Some("Basic dGlsbC03Okh1bnRlcjItSHVudGVyMi1IdW50ZXIy"));
    assert_eq!(sent[1].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(sent[1].header("x-tenant-id"), None);
}
