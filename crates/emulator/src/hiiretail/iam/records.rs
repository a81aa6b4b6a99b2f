//! What the IAM keeps, with the names and the optional fields of the documented bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collection::Collection;

/// All that belongs to one tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) groups: Collection<Group>,
    pub(super) custom_roles: Collection<CustomRole>,
    pub(super) resources: Collection<Resource>,
    pub(super) users: Collection<User>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            groups: Collection::of("group"),
            custom_roles: Collection::of("custom role"),
            resources: Collection::of("resource"),
            users: Collection::of("user"),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) status: &'static str,
    /// The reads until it is `Created`.
    #[serde(skip)]
    pub(super) reads_left: u32,
    #[serde(skip)]
    pub(super) assignments: Vec<Assignment>,
    #[serde(skip)]
    pub(super) memberships: Vec<Membership>,
}

/// A role of a group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assignment {
    pub(super) role_id: String,
    pub(super) is_custom: bool,
    pub(super) bindings: Vec<String>,
    /// The lists that it is still missing in.
    #[serde(skip)]
    pub(super) reads_left: u32,
}

/// A user's place in a group.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) user: String,
}

#[derive(Debug, Serialize)]
pub(super) struct CustomRole {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) permissions: Vec<GrantedPermission>,
}

/// A permission in a custom role, as requests have it: responses add the alias.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantedPermission {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<BTreeMap<String, String>>,
}

/// A role that every tenant has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Role {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fixed_bindings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Permission {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) name: String,
    /// Any JSON; null is a value, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) props: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) external_id: Option<String>,
    pub(super) external_provider_id: Option<String>,
    pub(super) google_identity: String,
    pub(super) scope: &'static str,
    pub(super) standalone_id: Option<String>,
    pub(super) status: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) user_profile_id: String,
}
