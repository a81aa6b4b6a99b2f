//! The operations of both services: one row each, with the request that asks for it and the permission that it needs.

use percent_encoding::percent_decode_str;

macro_rules! operations {
    ($($name:ident $word:literal: $method:ident $path:literal, $permission:literal;)*) => {
        /// An operation of OCMS or of the IAM, where a [`Fault`](crate::Fault) can happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = concat!("`", stringify!($method), " ", $path, "`")] $name,)*
        }

        impl Operation {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// The name that faults injected over HTTP use.
            ///
            /// ```
            /// use snowpipe_emulator::hiiretail::Operation;
            /// assert_eq!(Operation::CreateGroup.name(), "create-group");
            /// ```
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The permission that a token needs for it; empty for those of OCMS that take no token.
            pub(super) fn permission(self) -> &'static str {
                match self { $(Self::$name => $permission),* }
            }

            /// Whether its path begins with a tenant.
            pub(super) fn is_of_tenant(self) -> bool {
                self.path().contains("/{t}/")
            }

            fn method(self) -> &'static str {
                match self { $(Self::$name => stringify!($method)),* }
            }

            fn path(self) -> &'static str {
                match self { $(Self::$name => $path),* }
            }
        }
    };
}

operations! {
    Discovery "discovery": GET "/.well-known/openid-configuration", "";
    Jwks "jwks": GET "/.well-known/jwks.json", "";
    Token "token": POST "/oauth2/token", "";
    Register "register": POST "/v1/registration", "";
    AuthorizeClient "authorize-client": PUT "/v1/tenants/{t}/clients/{id}/authorize", "ocm.client.authorize";
    RevokeClient "revoke-client": PUT "/v1/tenants/{t}/clients/{id}/revoke", "ocm.client.revoke";
    DeleteClient "delete-client": DELETE "/v1/tenants/{t}/clients/{id}", "ocm.client.delete";

    CreateGroup "create-group": POST "/api/v1/tenants/{t}/groups", "iam.group.create";
    ListGroups "list-groups": GET "/api/v1/tenants/{t}/groups", "iam.group.list";
    GetGroup "get-group": GET "/api/v1/tenants/{t}/groups/{id}", "iam.group.get";
    UpdateGroup "update-group": PUT "/api/v1/tenants/{t}/groups/{id}", "iam.group.update";
    DeleteGroup "delete-group": DELETE "/api/v1/tenants/{t}/groups/{id}", "iam.group.delete";
    ListMembers "list-members": GET "/api/v1/tenants/{t}/groups/{id}/users", "iam.group.list-users";

    AssignRole "assign-role": POST "/api/v2/tenants/{t}/groups/{id}/roles", "iam.group.assign-role";
    ListAssignments "list-assignments": GET "/api/v2/tenants/{t}/groups/{id}/roles", "iam.group.list-roles";
    ReplaceBindings "replace-bindings":
        PUT "/api/v2/tenants/{t}/groups/{id}/roles/{role}", "iam.group.assign-role";
    UnassignRole "unassign-role":
        DELETE "/api/v1/tenants/{t}/groups/{id}/roles/{role}", "iam.group.unassign-role";

    CreateCustomRole "create-custom-role": POST "/api/v1/tenants/{t}/roles", "iam.custom-role.create";
    ListCustomRoles "list-custom-roles": GET "/api/v1/tenants/{t}/roles", "iam.custom-role.list";
    GetCustomRole "get-custom-role": GET "/api/v1/tenants/{t}/roles/{id}", "iam.custom-role.get";
    UpdateCustomRole "update-custom-role": PUT "/api/v1/tenants/{t}/roles/{id}", "iam.custom-role.update";
    DeleteCustomRole "delete-custom-role": DELETE "/api/v1/tenants/{t}/roles/{id}", "iam.custom-role.delete";

    CreateRole "create-role": POST "/api/v1/roles", "iam.role.create";
    ListRoles "list-roles": GET "/api/v1/roles", "iam.role.list";
    GetRole "get-role": GET "/api/v1/roles/{id}", "iam.role.get";
    UpdateRole "update-role": PUT "/api/v1/roles/{id}", "iam.role.update";

    CreatePermission "create-permission": POST "/api/v1/permissions", "iam.permission.create";
    ListPermissions "list-permissions": GET "/api/v1/permissions", "iam.permission.list";
    GetPermission "get-permission": GET "/api/v1/permissions/{id}", "iam.permission.get";
    UpdatePermission "update-permission": PUT "/api/v1/permissions/{id}", "iam.permission.update";

    SetResource "set-resource": PUT "/api/v1/tenants/{t}/resources/{id}", "iam.resource.set";
    GetResource "get-resource": GET "/api/v1/tenants/{t}/resources/{id}", "iam.resource.get";
    DeleteResource "delete-resource": DELETE "/api/v1/tenants/{t}/resources/{id}", "iam.resource.delete";
    ListResources "list-resources": GET "/api/v1/tenants/{t}/resources", "iam.resource.list";

    JoinGroup "join-group": POST "/api/v1/tenants/{t}/users/{user}/groups", "iam.user.assign-group";
    ListMemberships "list-memberships": GET "/api/v1/tenants/{t}/users/{user}/groups", "iam.user.list-groups";
    GetMembership "get-membership": GET "/api/v1/tenants/{t}/users/{user}/groups/{id}", "iam.user.get";
    LeaveGroup "leave-group":
        DELETE "/api/v1/tenants/{t}/users/{user}/groups/{id}", "iam.user.unassign-group";

    CreateUser "create-user": POST "/api/v1/tenants/{t}/users", "iam.user.create";
    ListUsers "list-users": GET "/api/v1/tenants/{t}/users", "iam.user.list";
    FindUser "find-user": GET "/api/v1/tenants/{t}/users:find", "iam.user.find";
    GetUser "get-user": GET "/api/v1/tenants/{t}/users/{id}", "iam.user.get";
    UpdateUser "update-user": PUT "/api/v2/tenants/{t}/users/{id}", "iam.user.update";
    DeleteUser "delete-user": DELETE "/api/v2/tenants/{t}/users/{id}", "iam.user.delete";
    ResetPassword "reset-password": PUT "/api/v2/tenants/{t}/users/{id}/password", "iam.user.password-reset";
}

/// What a request leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The operation, and the decoded names in its path: the tenant comes first where there is one.
    To(Operation, Vec<String>),
    /// There is something at this path, but not for this method.
    OtherMethod,
    Nowhere,
}

impl Route {
    pub(super) fn find(method: &str, path: &str) -> Self {
        let mut route = Self::Nowhere;
        for operation in Operation::ALL {
            if let Some(names) = names_in(operation.path(), path) {
                if operation.method() == method {
                    return Self::To(*operation, names);
                }
                route = Self::OtherMethod;
            }
        }
        route
    }

    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::To(operation, _) => Some(*operation),
            Self::OtherMethod | Self::Nowhere => None,
        }
    }
}

/// The names that stand in `path` where the pattern has braces. A slash that was percent-encoded is part of its name.
fn names_in(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut names = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(names),
            (Some(pattern), Some(segment)) => {
                let segment = percent_decode_str(segment).decode_utf8().ok()?;
                if !pattern.starts_with('{') {
                    (pattern == segment).then_some(())?;
                } else if segment.is_empty() {
                    return None;
                } else {
                    names.push(segment.into_owned());
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_leads_to_its_operation_with_the_names_decoded() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let find = Route::find("DELETE", "/api/v1/tenants/t/groups/a%2Fb%20c/roles/custom.r");
        assert_eq!(find, Route::To(Operation::UnassignRole, names(&["t", "a/b c", "custom.r"])));
        let find = Route::find("GET", "/api/v1/tenants/t/users%3Afind");
        assert_eq!(find, Route::To(Operation::FindUser, names(&["t"])));
        assert_eq!(Route::find("DELETE", "/api/v2/tenants/t/groups/g/roles/r"), Route::OtherMethod);
        assert_eq!(Route::find("GET", "/api/v1/tenants/t/groups/"), Route::Nowhere);
        assert_eq!(Route::find("GET", "/api/v1/tenants/t/groups/%FF"), Route::Nowhere);
    }
}
