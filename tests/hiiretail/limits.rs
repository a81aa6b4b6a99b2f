//! Settings, ids and names that break a rule are refused with the rule, and nothing is sent.

use std::time::Duration;

use snowpipe_streaming::hiiretail::{
    Cause, CustomRoleChange, GroupChange, Iam, IamBuilder, NewCustomRole, NewGroup, NewPermission, NewRole, Ocms,
    PermissionChange, ResourceFilter, RoleAssignment, RoleChange, RolePermission,
};
use snowpipe_streaming::{Error, ErrorKind};

use super::support::{CLIENT_ID, CLIENT_SECRET, Service, TENANT};

/// The text of an error that was found before anything was sent.
fn refused<T>(result: Result<T, Error>) -> String {
    let Err(error) = result else { panic!("it was accepted") };
    assert_eq!((error.kind(), error.attempts(), error.status()), (ErrorKind::Config, 0, None), "{error}");
    assert_eq!(Cause::of(&error).code(), "invalid_request");
    error.to_string()
}

#[test]
fn settings_that_break_a_rule_are_found_when_the_client_is_built() {
    let client = || Ocms::new(CLIENT_ID, CLIENT_SECRET);
    let of = |tenant: &str, client: Ocms| Iam::builder(tenant, client);
    let with = |change: fn(IamBuilder) -> IamBuilder| change(of(TENANT, client()));
    let long = "a".repeat(256);
    for (builder, part) in [
        (
            of("", client()),
            "the tenant id \"\" is not valid: it must be 1 to 255 letters, digits, hyphens and underscores",
        ),
        (of("my.tenant", client()), "the tenant id \"my.tenant\""),
        (of(&long, client()), "the tenant id"),
        (of(TENANT, Ocms::new("", CLIENT_SECRET)), "the client id \"\""),
        (of(TENANT, Ocms::new("till 7", CLIENT_SECRET)), "the client id \"till 7\""),
        (of(TENANT, Ocms::new(long.as_str(), CLIENT_SECRET)), "the client id"),
        (of(TENANT, Ocms::new(CLIENT_ID, "")), "the client secret"),
        (
            of(TENANT, Ocms::new(CLIENT_ID, "seven77")),
            "the client secret is not valid: it must have 8 to 1024 characters",
        ),
        (of(TENANT, Ocms::new(CLIENT_ID, "s".repeat(1025))), "the client secret"),
        (of(TENANT, client().issuer("http://auth.example")), "the issuer"),
        (of(TENANT, client().issuer("auth.example")), "the issuer"),
        (of(TENANT, client().token_url("http://auth.example/t")), "the token endpoint"),
        (with(|builder| builder.api_url("http://iam.example")), "the URL of the IAM"),
        (with(|builder| builder.api_url("https://iam.example/v1")), "has a path"),
        (with(|builder| builder.timeout(Duration::from_millis(999))), "the timeout \"0.999 s\""),
        (with(|builder| builder.timeout(Duration::from_secs(301))), "it must be 1 to 300 seconds"),
        (with(|builder| builder.max_retries(11)), "the number of retries \"11\" is not valid: it must be 0 to 10"),
        (with(|builder| builder.extra_roots("no certificate")), ""),
        (with(|builder| builder.proxy("socks5://proxy.example")), "SOCKS"),
    ] {
        let text = refused(builder.build());
        assert!(text.contains(part), "{part:?} is missing in {text}");
        assert!(!text.contains("seven77") && !text.contains("ssss"), "{text}");
    }
    assert!(
        of(&long[1..], Ocms::new(&long[1..], "8letters")).build().is_ok(),
        "the longest and the shortest are accepted"
    );
}

#[test]
fn names_and_ids_that_break_a_rule_are_refused_before_anything_is_sent() {
    let service = Service::start();
    let iam = service.iam();
    let (groups, roles, permissions) = (iam.groups(), iam.custom_roles(), iam.permissions());
    let long = "a".repeat(256);
    let built_in = iam.roles();
    for (text, part) in [
        (refused(groups.create(&NewGroup::new(""))), "could not create the group \"\": the name of the group"),
        (refused(groups.create(&NewGroup::new(&*long))), "at most 255 characters (by the IAM's OpenAPI document)"),
        (refused(groups.create(&NewGroup::new("A").description(&*long))), "the description of the group"),
        (refused(groups.create(&NewGroup::new("A").id(".."))), "the group id \"..\""),
        (refused(groups.get("")), "could not get the group \"\": the group id \"\""),
        (refused(groups.delete(".")), "the group id \".\""),
        (refused(groups.delete_if_exists("..")), "the group id"),
        (refused(groups.members("")), "the group id"),
        (refused(groups.update("g", &GroupChange::new().name(""))), "the name of the group"),
        (refused(groups.update("g", &GroupChange::new().description(&*long))), "the description of the group"),
        (refused(groups.roles("")), "the group id"),
        (refused(groups.assign_role("g", &RoleAssignment::new("cashier", ["*"]))), "the role id \"cashier\""),
        (refused(groups.assign_role("", &RoleAssignment::new("custom.a", ["*"]))), "the group id"),
        (
            refused(groups.assign_role("g", &RoleAssignment::new("custom.a", ["*"; 11]))),
            "the number of bindings \"11\"",
        ),
        (refused(groups.assign_role("g", &RoleAssignment::new("custom.a", ["a/b"]))), "the binding \"a/b\""),
        (refused(groups.replace_bindings("g", "..", ["*"])), "the role id"),
        (refused(groups.replace_bindings("g", "custom.a", [""])), "the binding"),
        (refused(groups.unassign_role("g", "")), "the role id"),
        (refused(groups.unassign_role_if_assigned("", "custom.a")), "the group id"),
        (refused(groups.wait_for_role("g", "", Duration::from_secs(1))), "the role id"),
        (refused(roles.create(&NewCustomRole::new("cashier", ["pos.receipt.read"]))), "the id of the custom role"),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["read"]))), "the permission id \"read\""),
        (
            refused(roles.create(&NewCustomRole::new("custom.a", ["pos.receipt.read"]).name("ab"))),
            "the name of the role",
        ),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["iam.group.get"; 101]))), "the number of permissions"),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["pos.receipt.read"; 501]))), "and at most 500 of pos"),
        (refused(roles.get(".")), "the id of the custom role"),
        (refused(roles.delete("")), "the id of the custom role"),
        (refused(roles.update("custom.a", &CustomRoleChange::new().permissions(["x"]))), "the permission id"),
        (refused(built_in.get("custom.a")), "the id of the built-in role"),
        (refused(built_in.create(&NewRole::new("iam.viewer", ["x"]))), "the permission id"),
        (refused(built_in.update("iam.viewer", &RoleChange::new().name("a"))), "the name of the role"),
        (refused(permissions.get("pos.receipt")), "the permission id"),
        (refused(permissions.create(&NewPermission::new("pos.receipt.read").alias(format!("{long}b")))), "the alias"),
        (
            refused(permissions.update("pos.receipt.read", &PermissionChange::new().alias(format!("{long}b")))),
            "the alias",
        ),
        (refused(iam.resources().get("a/b")), "the resource id \"a/b\""),
        (refused(iam.resources().delete("__a__")), "without two pairs of underscores"),
        (refused(iam.resources().list(&ResourceFilter::new().permitting("x"))), "the permission id"),
        (refused(iam.user_groups("").list()), "the user id"),
        (refused(iam.user_groups("u").add("")), "the group id"),
        (refused(iam.user_groups("u").remove("..")), "the id of the membership"),
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn attributes_of_permissions_have_their_limits() {
    let service = Service::start();
    let roles = service.iam().custom_roles();
    let create = |permission: RolePermission| roles.create(&NewCustomRole::new("custom.a", [permission]));
    let many = (0..11)
        .fold(RolePermission::new("pos.receipt.read"), |permission, n| permission.attribute(format!("k{n}"), "v"));
    let one = |key: &str, value: &str| RolePermission::new("pos.receipt.read").attribute(key, value);
    assert!(refused(create(many)).contains("the number of attributes of a permission \"11\""));
    assert!(refused(create(one(&"k".repeat(41), "v"))).contains("at most 40 characters"));
    assert!(refused(create(one("k", &"v".repeat(257)))).contains("at most 256 characters"));
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn a_tenant_id_may_have_an_underscore() {
    let service = Service::start();
    let iam = Iam::builder("my_tenant-7", service.client()).api_url(service.url()).build().unwrap();
    iam.groups().members("g-1").unwrap();
    assert_eq!(service.api_lines(), ["GET /api/v1/tenants/my_tenant-7/groups/g-1/users"]);
    assert_eq!(service.sent()[2].header("x-tenant-id"), Some("my_tenant-7"));
}

#[test]
fn an_id_that_a_gateway_could_split_is_refused_in_every_path() {
    let service = Service::start();
    let iam = service.iam();
    let (groups, roles, of_user) = (iam.groups(), iam.custom_roles(), iam.user_groups("u"));
    for text in [
        refused(groups.create(&NewGroup::new("A").id("a/b"))),
        refused(groups.get("a/b")),
        refused(groups.update("a/b", &GroupChange::new().name("B"))),
        refused(groups.delete("a/b")),
        refused(groups.members("a/b")),
        refused(groups.roles("a/b")),
        refused(groups.assign_role("a/b", &RoleAssignment::new("custom.a", ["*"]))),
        refused(groups.replace_bindings("g", "custom.a/b", ["*"])),
        refused(groups.unassign_role("g", "custom.a/b")),
        refused(roles.create(&NewCustomRole::new("custom.a/b", ["pos.receipt.read"]))),
        refused(roles.get("custom.a/b")),
        refused(roles.update("custom.a/b", &CustomRoleChange::new().name("Abc"))),
        refused(roles.delete_if_exists("custom.a/b")),
        refused(iam.user_groups("a/b").list()),
        refused(of_user.add("a/b")),
        refused(of_user.add_with_id("g", "a/b")),
        refused(of_user.get("a/b")),
        refused(of_user.remove("a/b")),
    ] {
        assert!(
            text.contains("a/b\" is not valid: it must be ") && text.contains("no / and no control characters"),
            "{text}"
        );
        assert!(text.contains("(a rule of this client"), "{text}");
    }
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn an_error_says_whose_rule_it_is() {
    let service = Service::start();
    let iam = service.iam();
    let (groups, roles) = (iam.groups(), iam.custom_roles());
    let (document, own) = ("(by the IAM's OpenAPI document)", "(a rule of this client");
    let binding = |binding: &str| refused(groups.replace_bindings("g", "custom.a", [binding]));
    let of = |id: &str| refused(roles.create(&NewCustomRole::new(id, ["pos.receipt.read"])));
    let attribute = |key: &str| RolePermission::new("pos.receipt.read").attribute(key, "v");
    let keyed = |key: &str| refused(roles.create(&NewCustomRole::new("custom.a", [attribute(key)])));
    for (text, source) in [
        (refused(groups.create(&NewGroup::new(""))), own),
        (refused(groups.create(&NewGroup::new("a".repeat(256)))), document),
        (of("cashier"), own),
        (refused(groups.assign_role("g", &RoleAssignment::new("cashier", ["*"]))), own),
        (refused(iam.roles().get("viewer")), document),
        (refused(iam.permissions().get("read")), document),
        (binding("a/b"), own),
        (refused(groups.replace_bindings("g", "custom.a", ["*"; 11])), document),
        (refused(iam.resources().get("a/b")), document),
        (refused(iam.resources().get("a\tb")), own),
        (keyed(""), own),
        (keyed(&"k".repeat(41)), document),
    ] {
        assert!(text.contains(source), "{source} is missing in {text}");
    }
}
