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
        (of("", client()), "the tenant id \"\" is not valid: it must be 1 to 255 letters, digits and hyphens"),
        (of("my_tenant", client()), "the tenant id \"my_tenant\""),
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
        (refused(groups.create(&NewGroup::new(&*long))), "1 to 255 characters (by the IAM's OpenAPI document)"),
        (refused(groups.create(&NewGroup::new("A").description(&*long))), "the description of the group"),
        (refused(groups.create(&NewGroup::new("A").id(".."))), "the group id \"..\""),
        (refused(groups.get("")), "could not get the group \"\": the group id \"\""),
        (refused(groups.delete(".")), "the group id \".\""),
        (refused(groups.delete_if_exists("..")), "the group id"),
        (refused(groups.members("")), "the group id"),
        (refused(groups.update("g", &GroupChange::new().name(""))), "the name of the group"),
        (refused(groups.update("g", &GroupChange::new().description(&*long))), "the description of the group"),
        (refused(groups.roles("")), "the group id"),
        (refused(groups.assign_role("g", &RoleAssignment::new("cashier", ["*"]))), "the id of the built-in role"),
        (refused(groups.assign_role("", &RoleAssignment::new("custom.a", ["*"]))), "the group id"),
        (
            refused(groups.assign_role("g", &RoleAssignment::new("custom.a", ["*"; 11]))),
            "the number of bindings \"11\"",
        ),
        (refused(groups.assign_role("g", &RoleAssignment::new("custom.a", ["a/b"]))), "the binding \"a/b\""),
        (refused(groups.replace_bindings("g", "custom.", ["*"])), "the id of the custom role"),
        (refused(groups.replace_bindings("g", "custom.a", [""])), "the binding"),
        (refused(groups.unassign_role("g", "x")), "the id of the built-in role"),
        (refused(groups.unassign_role_if_assigned("", "custom.a")), "the group id"),
        (refused(groups.wait_for_role("g", "", Duration::from_secs(1))), "the id of the built-in role"),
        (refused(roles.create(&NewCustomRole::new("cashier", ["pos.receipt.read"]))), "the id of the custom role"),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["read"]))), "the permission id \"read\""),
        (
            refused(roles.create(&NewCustomRole::new("custom.a", ["pos.receipt.read"]).name("ab"))),
            "the name of the role",
        ),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["iam.group.get"; 101]))), "the number of permissions"),
        (refused(roles.create(&NewCustomRole::new("custom.a", ["pos.receipt.read"; 501]))), "and at most 500 of pos"),
        (refused(roles.get("iam.viewer")), "the id of the custom role"),
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
    assert!(refused(create(one(&"k".repeat(41), "v"))).contains("1 to 40 characters"));
    assert!(refused(create(one("k", &"v".repeat(257)))).contains("at most 256 characters"));
    assert_eq!(service.lines().len(), 0);
}
