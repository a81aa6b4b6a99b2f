//! Every operation with every status that is documented for it.

use snowpipe_streaming::hiiretail::{
    Cause, CustomRoleChange, GroupChange, Iam, NewCustomRole, NewGroup, NewPermission, NewResource, NewRole,
    PermissionChange, ResourceFilter, RoleAssignment, RoleChange,
};
use snowpipe_streaming::{Error, ErrorKind};

use super::support::Service;

type Call = fn(&Iam) -> Result<(), Error>;

/// Its name for a failure, the permission it needs, what is documented besides 400, 403 and 500, and the call.
const OPERATIONS: [(&str, &str, &[u16], Call); 37] = [
    ("create the group", "iam.group.create", &[409], |iam| iam.groups().create(&NewGroup::new("A")).map(drop)),
    ("list the groups", "iam.group.list", &[], |iam| iam.groups().list().next().unwrap().map(drop)),
    ("get the group", "iam.group.get", &[404], |iam| iam.groups().get("g-1").map(drop)),
    ("change the group", "iam.group.update", &[404, 409], |iam| {
        iam.groups().update("g-1", &GroupChange::new().name("B"))
    }),
    ("delete the group", "iam.group.delete", &[404], |iam| iam.groups().delete("g-1")),
    ("list the members of the group", "iam.group.list-users", &[404], |iam| iam.groups().members("g-1").map(drop)),
    ("assign the role", "iam.group.assign-role", &[409], |iam| {
        iam.groups().assign_role("g-1", &RoleAssignment::new("custom.a", ["*"]))
    }),
    ("list the roles of the group", "iam.group.list-roles", &[404], |iam| iam.groups().roles("g-1").map(drop)),
    ("replace the bindings of the role", "iam.group.assign-role", &[404], |iam| {
        iam.groups().replace_bindings("g-1", "custom.a", ["*"])
    }),
    ("take the role", "iam.group.unassign-role", &[404], |iam| iam.groups().unassign_role("g-1", "custom.a")),
    ("create the custom role", "iam.custom-role.create", &[409], |iam| {
        iam.custom_roles().create(&NewCustomRole::new("custom.a", ["pos.receipt.read"])).map(drop)
    }),
    ("list the custom roles", "iam.custom-role.list", &[], |iam| iam.custom_roles().list().next().unwrap().map(drop)),
    ("get the custom role", "iam.custom-role.get", &[404], |iam| iam.custom_roles().get("custom.a").map(drop)),
    ("change the custom role", "iam.custom-role.update", &[404], |iam| {
        iam.custom_roles().update("custom.a", &CustomRoleChange::new().name("Abc"))
    }),
    ("delete the custom role", "iam.custom-role.delete", &[404], |iam| iam.custom_roles().delete("custom.a")),
    ("list the built-in roles", "iam.role.list", &[], |iam| iam.roles().list().next().unwrap().map(drop)),
    ("get the built-in role", "iam.role.get", &[404], |iam| iam.roles().get("iam.viewer").map(drop)),
    ("create the built-in role", "iam.role.create", &[409], |iam| {
        iam.roles().create(&NewRole::new("iam.viewer", ["iam.group.get"])).map(drop)
    }),
    ("change the built-in role", "iam.role.update", &[404], |iam| {
        iam.roles().update("iam.viewer", &RoleChange::new().name("Abc"))
    }),
    ("list the permissions", "iam.permission.list", &[], |iam| iam.permissions().list().map(drop)),
    ("get the permission", "iam.permission.get", &[404], |iam| iam.permissions().get("pos.receipt.read").map(drop)),
    ("create the permission", "iam.permission.create", &[409], |iam| {
        iam.permissions().create(&NewPermission::new("pos.receipt.read")).map(drop)
    }),
    ("change the permission", "iam.permission.update", &[404], |iam| {
        iam.permissions().update("pos.receipt.read", &PermissionChange::new().alias("R"))
    }),
    ("set the resource", "iam.resource.set", &[], |iam| iam.resources().set("bu:1", &NewResource::new("A")).map(drop)),
    ("get the resource", "iam.resource.get", &[404], |iam| iam.resources().get("bu:1").map(drop)),
    ("delete the resource", "iam.resource.delete", &[404], |iam| iam.resources().delete("bu:1")),
    ("list the resources", "iam.resource.list", &[], |iam| iam.resources().list(&ResourceFilter::new()).map(drop)),
    ("add the user", "iam.user.assign-group", &[404], |iam| iam.user_groups("u-1").add("g-1").map(drop)),
    ("add the user", "iam.user.assign-group", &[404], |iam| iam.user_groups("u-1").add_with_id("g-1", "m-1").map(drop)),
    ("list the groups of the user", "iam.user.list-groups", &[404], |iam| iam.user_groups("u-1").list().map(drop)),
    ("get the membership", "iam.user.get", &[404], |iam| iam.user_groups("u-1").get("m-1").map(drop)),
    ("remove the membership", "iam.user.unassign-group", &[404], |iam| iam.user_groups("u-1").remove("m-1")),
    ("delete the group", "iam.group.delete", &[], |iam| iam.groups().delete_if_exists("g-1").map(drop)),
    ("delete the custom role", "iam.custom-role.delete", &[], |iam| {
        iam.custom_roles().delete_if_exists("custom.a").map(drop)
    }),
    ("delete the resource", "iam.resource.delete", &[], |iam| iam.resources().delete_if_exists("bu:1").map(drop)),
    ("take the role", "iam.group.unassign-role", &[], |iam| {
        iam.groups().unassign_role_if_assigned("g-1", "custom.a").map(drop)
    }),
    ("remove the membership", "iam.user.unassign-group", &[], |iam| {
        iam.user_groups("u-1").remove_if_exists("m-1").map(drop)
    }),
];

/// The error of each operation for one response. One client serves them all.
fn failures(status: u16, body: &str, of: impl Fn(&[u16]) -> bool) -> Vec<(&'static str, &'static str, Error)> {
    let service = Service::start();
    let iam = service.iam();
    let chosen = OPERATIONS.iter().filter(|(_, _, documented, _)| of(documented));
    let failures = chosen.map(|(name, permission, _, call)| {
        service.respond(status, body);
        (*name, *permission, call(&iam).unwrap_err())
    });
    let failures: Vec<_> = failures.collect();
    assert_eq!(service.api_lines().len(), failures.len(), "none was repeated");
    failures
}

#[test]
fn a_bad_request_names_every_mistake() {
    let body = r#"{"statusCode":400,"message":["name must be shorter","id is taken"],"error":"Bad Request"}"#;
    for (name, _, error) in failures(400, body, |_| true) {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(400)), "{name}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("could not {name}")), "{text}");
        assert!(text.contains("name must be shorter; id is taken (HTTP 400"), "{text}");
        assert_eq!(Cause::of(&error).code(), "invalid_request");
    }
}

#[test]
fn a_bare_denial_names_the_permission_and_the_tenant() {
    for (name, permission, error) in failures(403, "", |_| true) {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(403)), "{name}");
        let text = error.to_string();
        assert!(text.contains(&format!("a role with the permission {permission}, ")), "{text}");
        assert!(text.contains("OCMS client till-7 of http://") && text.ends_with("of the tenant my-tenant"), "{text}");
        assert_eq!(Cause::of(&error).code(), "invalid_client");
    }
}

#[test]
fn what_does_not_exist_and_what_stands_in_the_way_is_named() {
    for (status, word, advice) in [(404, "Not Found", "check the ids"), (409, "Conflict", "look at what is there")] {
        let body = format!(r#"{{"statusCode":{status},"message":"no such luck","error":"{word}"}}"#);
        let failures = failures(status, &body, |documented| documented.contains(&status));
        assert!(failures.len() > 5);
        for (name, _, error) in failures {
            assert_eq!(
                (error.kind(), error.status(), error.code()),
                (ErrorKind::Refused, Some(status), Some(word)),
                "{name}"
            );
            assert!(error.to_string().contains("no such luck") && error.to_string().contains(advice), "{error}");
        }
    }
}

#[test]
fn a_failure_of_the_server_leaves_open_whether_something_was_created() {
    let body = r#"{"statusCode":500,"message":"Internal Server Error"}"#;
    for (name, _, error) in failures(500, body, |_| true) {
        let creates = ["create", "assign", "add"].iter().any(|word| name.starts_with(word));
        let expected = if creates { ErrorKind::Unconfirmed } else { ErrorKind::Unavailable };
        assert_eq!((error.kind(), error.status()), (expected, Some(500)), "{name}");
        assert!(!creates || error.to_string().contains(" show"), "{error}");
        assert_eq!(Cause::of(&error).code(), "server_error");
    }
}

#[test]
fn statuses_that_are_not_documented_mean_what_http_says() {
    for (status, kind) in [
        (302, ErrorKind::Protocol),
        (410, ErrorKind::Refused),
        (412, ErrorKind::Refused),
        (413, ErrorKind::Refused),
        (429, ErrorKind::Throttled),
    ] {
        for (name, _, error) in failures(status, "", |_| true) {
            assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{name}");
        }
    }
}

#[test]
fn deleting_what_is_not_there_is_a_success_only_if_the_caller_says_so() {
    let service = Service::start();
    let iam = service.iam();
    let gone = |call: fn(&Iam) -> Result<bool, Error>| {
        service.respond(404, r#"{"statusCode":404,"message":"gone","error":"Not Found"}"#);
        call(&iam).unwrap()
    };
    assert!(!gone(|iam| iam.groups().delete_if_exists("g-1")));
    assert!(!gone(|iam| iam.custom_roles().delete_if_exists("custom.a")));
    assert!(!gone(|iam| iam.resources().delete_if_exists("bu:1")));
    assert!(!gone(|iam| iam.groups().unassign_role_if_assigned("g-1", "custom.a")));
    assert!(!gone(|iam| iam.user_groups("u-1").remove_if_exists("m-1")));
}

#[test]
fn a_client_of_another_tenant_is_told_so() {
    let service = Service::start();
    // tid=other-tenant
    let client =
        snowpipe_streaming::hiiretail::Ocms::new("dGlkPW90aGVyLXRlbmFudA", "open-sesame").issuer(service.url());
    let iam = Iam::builder("my-tenant", client).api_url(service.url()).build().unwrap();
    service.respond(403, "");
    let text = iam.groups().get("g-1").unwrap_err().to_string();
    assert!(text.ends_with("of the tenant my-tenant (its id names other-tenant)"), "{text}");
}
