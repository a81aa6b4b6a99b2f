use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::connection::{Connection, Operation, or_default};
use super::pages::{ListOptions, Pages};
use super::rules;
use crate::error::Error;

/// The roles that a tenant has made for itself.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::hiiretail::NewCustomRole;
///
/// let role = NewCustomRole::new("custom.cashier", ["pos.receipt.read"]).name("Cashier");
/// println!("{:?}", iam.custom_roles().create(&role)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CustomRoles {
    pub(super) connection: Arc<Connection>,
}

/// A role of the tenant's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CustomRole {
    /// `custom.<name>`, by the example in the service's document. Whatever it is, the calls take it as it is.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What it allows.
    #[serde(default, deserialize_with = "or_default")]
    pub permissions: Vec<RolePermission>,
}

/// A permission in a custom role.
///
/// ```
/// use snowpipe_streaming::hiiretail::RolePermission;
///
/// let small_sums = RolePermission::new("pos.receipt.refund").attribute("limit", "50");
/// assert_eq!(small_sums.attributes["limit"], "50");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RolePermission {
    /// Three parts, such as `pos.receipt.read`.
    pub id: String,
    /// What the permission is limited to, in words of the system that it belongs to.
    #[serde(default, deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What people call it; only in responses.
    #[serde(default, skip_serializing)]
    pub alias: Option<String>,
}

/// A custom role to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewCustomRole {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    permissions: Vec<RolePermission>,
}

/// What to change of a custom role; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CustomRoleChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<RolePermission>>,
}

impl RolePermission {
    /// A permission without attributes.
    pub fn new(id: impl Into<String>) -> RolePermission {
        RolePermission { id: id.into(), attributes: BTreeMap::new(), alias: None }
    }

    /// At most ten, with keys of 40 and values of 256 characters.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> RolePermission {
        self.attributes.insert(key.into(), value.into());
        self
    }
}

impl From<&str> for RolePermission {
    fn from(id: &str) -> RolePermission {
        RolePermission::new(id)
    }
}

impl From<String> for RolePermission {
    fn from(id: String) -> RolePermission {
        RolePermission::new(id)
    }
}

impl NewCustomRole {
    /// A role with the id `custom.<name>` and these permissions: at most 100, and 500 of `pos` besides.
    pub fn new<P: Into<RolePermission>>(
        id: impl Into<String>,
        permissions: impl IntoIterator<Item = P>,
    ) -> NewCustomRole {
        NewCustomRole { id: id.into(), name: None, permissions: permissions.into_iter().map(Into::into).collect() }
    }

    /// 3 to 256 characters.
    pub fn name(mut self, name: impl Into<String>) -> NewCustomRole {
        self.name = Some(name.into());
        self
    }

    fn check(&self) -> Result<(), Error> {
        rules::new_custom_role_id(&self.id)?;
        self.name.as_deref().map_or(Ok(()), rules::role_name)?;
        check(&self.permissions)
    }
}

impl CustomRoleChange {
    /// Changes nothing yet.
    pub fn new() -> CustomRoleChange {
        CustomRoleChange::default()
    }

    /// 3 to 256 characters.
    pub fn name(mut self, name: impl Into<String>) -> CustomRoleChange {
        self.name = Some(name.into());
        self
    }

    /// All permissions that the role has from then on.
    pub fn permissions<P: Into<RolePermission>>(
        mut self,
        permissions: impl IntoIterator<Item = P>,
    ) -> CustomRoleChange {
        self.permissions = Some(permissions.into_iter().map(Into::into).collect());
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.name.as_deref().map_or(Ok(()), rules::role_name)?;
        self.permissions.as_deref().map_or(Ok(()), check)
    }
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl CustomRoles {
    /// Creates a role. Needs `iam.custom-role.create`.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](crate::ErrorKind::Unconfirmed) leaves open whether the role exists.
    pub fn create(&self, role: &NewCustomRole) -> Result<CustomRole, Error> {
        let attempted = format!("create the custom role {:?}", role.id);
        role.check().map_err(|error| error.attempting(&*attempted))?;
        let path = self.connection.path("v1", ["roles"]);
        let create = Operation::new(Method::POST, path, "iam.custom-role.create", attempted).body(role)?;
        self.connection.fetch(&create.find_out("CustomRoles::get shows whether it exists"))
    }

    /// All custom roles. Needs `iam.custom-role.list`.
    pub fn list(&self) -> Pages<CustomRole> {
        self.list_in_pages(rules::MAX_PAGE)
    }

    /// The same, with so many to a request: 1 to 1000. The service neither searches nor sorts them.
    pub fn list_in_pages(&self, page_size: u32) -> Pages<CustomRole> {
        let path = self.connection.path("v1", ["roles"]);
        let list = (path, "iam.custom-role.list", "list the custom roles".to_owned());
        Pages::new(&self.connection, list, &ListOptions::new().page_size(page_size), "")
    }

    /// A role by its id. Needs `iam.custom-role.get`.
    pub fn get(&self, id: &str) -> Result<CustomRole, Error> {
        self.connection.fetch(&self.of(Method::GET, id, "iam.custom-role.get", "get the custom role")?)
    }

    /// Changes name or permissions. Needs `iam.custom-role.update`.
    pub fn update(&self, id: &str, change: &CustomRoleChange) -> Result<(), Error> {
        let update = self.of(Method::PUT, id, "iam.custom-role.update", "change the custom role")?;
        change.check().map_err(|error| error.attempting(&*update.attempted))?;
        self.connection.run(&update.body(change)?)
    }

    /// Deletes a role. Needs `iam.custom-role.delete`.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.connection.delete(&self.of(Method::DELETE, id, "iam.custom-role.delete", "delete the custom role")?)
    }

    /// Deletes a role, if the service knows it; whether it did. Needs `iam.custom-role.delete`.
    ///
    /// The service documents no status for a role that does not exist, so it may answer as for one that does.
    pub fn delete_if_exists(&self, id: &str) -> Result<bool, Error> {
        let delete = self.of(Method::DELETE, id, "iam.custom-role.delete", "delete the custom role")?;
        self.connection.delete_if_exists(&delete)
    }

    fn of(&self, method: Method, id: &str, permission: &'static str, act: &str) -> Result<Operation, Error> {
        let attempted = format!("{act} {id:?}");
        rules::path_id("id of the custom role", id).map_err(|error| error.attempting(&*attempted))?;
        Ok(Operation::new(method, self.connection.path("v1", ["roles", id]), permission, attempted))
    }
}

fn check(permissions: &[RolePermission]) -> Result<(), Error> {
    rules::permission_count(permissions.iter().map(|permission| permission.id.as_str()))?;
    permissions.iter().try_for_each(|permission| {
        rules::permission_id(&permission.id)?;
        rules::attributes(permission.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    })
}

/// The service documents texts; what else it may return is kept as JSON, but for null.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(values.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect())
}
