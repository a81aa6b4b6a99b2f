use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, Operation, or_default, path};
use super::pages::{ListOptions, Pages};
use super::rules;
use crate::error::Error;

/// The roles that come with Hii Retail, the same for all tenants.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// for role in iam.roles().list() {
///     println!("{}", role?.id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Roles {
    pub(super) connection: Arc<Connection>,
    names: PermissionNames,
}

/// How permissions are named in responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermissionNames {
    Ids,
    Aliases,
}

/// A built-in role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Role {
    /// Two parts, such as `iam.viewer`.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What it allows, by ids; by aliases after [`Roles::with_aliases`].
    #[serde(default, deserialize_with = "or_default")]
    pub permissions: Vec<String>,
    /// What it applies to, whatever is bound to it.
    #[serde(default, deserialize_with = "or_default")]
    pub fixed_bindings: Vec<String>,
}

/// A built-in role to create: for those who maintain a system of Hii Retail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRole {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_bindings: Option<Vec<String>>,
}

/// What to change of a built-in role; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_bindings: Option<Vec<String>>,
}

impl NewRole {
    /// A role with an id such as `iam.viewer` and these permissions.
    pub fn new<P: Into<String>>(id: impl Into<String>, permissions: impl IntoIterator<Item = P>) -> NewRole {
        let permissions = permissions.into_iter().map(Into::into).collect();
        NewRole { id: id.into(), name: None, permissions, fixed_bindings: None }
    }

    /// 3 to 256 characters.
    pub fn name(mut self, name: impl Into<String>) -> NewRole {
        self.name = Some(name.into());
        self
    }

    /// What it applies to, whatever is bound to it.
    pub fn fixed_bindings<B: Into<String>>(mut self, bindings: impl IntoIterator<Item = B>) -> NewRole {
        self.fixed_bindings = Some(bindings.into_iter().map(Into::into).collect());
        self
    }

    fn check(&self) -> Result<(), Error> {
        rules::built_in_role_id(&self.id)?;
        self.name.as_deref().map_or(Ok(()), rules::role_name)?;
        self.permissions.iter().try_for_each(|id| rules::permission_id(id))
    }
}

impl RoleChange {
    /// Changes nothing yet.
    pub fn new() -> RoleChange {
        RoleChange::default()
    }

    /// 3 to 256 characters.
    pub fn name(mut self, name: impl Into<String>) -> RoleChange {
        self.name = Some(name.into());
        self
    }

    /// All permissions that the role has from then on.
    pub fn permissions<P: Into<String>>(mut self, permissions: impl IntoIterator<Item = P>) -> RoleChange {
        self.permissions = Some(permissions.into_iter().map(Into::into).collect());
        self
    }

    /// What it applies to from then on, whatever is bound to it.
    pub fn fixed_bindings<B: Into<String>>(mut self, bindings: impl IntoIterator<Item = B>) -> RoleChange {
        self.fixed_bindings = Some(bindings.into_iter().map(Into::into).collect());
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.name.as_deref().map_or(Ok(()), rules::role_name)?;
        self.permissions.iter().flatten().try_for_each(|id| rules::permission_id(id))
    }
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl Roles {
    pub(super) fn new(connection: Arc<Connection>) -> Roles {
        Roles { connection, names: PermissionNames::Ids }
    }

    /// Names permissions by what people call them in what [`list`](Roles::list) and [`get`](Roles::get) return. One without
    /// an alias keeps its id.
    pub fn with_aliases(mut self) -> Roles {
        self.names = PermissionNames::Aliases;
        self
    }

    /// All built-in roles. Needs `iam.role.list`.
    pub fn list(&self) -> Pages<Role> {
        self.list_with(&ListOptions::new())
    }

    /// Built-in roles, searched and sorted by name. Needs `iam.role.list`.
    pub fn list_with(&self, options: &ListOptions) -> Pages<Role> {
        let list = (path(["api", "v1", "roles"]), "iam.role.list", "list the built-in roles".to_owned());
        Pages::new(&self.connection, list, options, self.names_query())
    }

    /// A role by its id. Needs `iam.role.get`.
    pub fn get(&self, id: &str) -> Result<Role, Error> {
        let get = self.of(Method::GET, id, "iam.role.get", "get the built-in role")?;
        self.connection.fetch(&get.query(self.names_query()))
    }

    /// Creates a role. Needs `iam.role.create`, which few clients have.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](crate::ErrorKind::Unconfirmed) leaves open whether the role exists.
    pub fn create(&self, role: &NewRole) -> Result<Role, Error> {
        let attempted = format!("create the built-in role {:?}", role.id);
        role.check().map_err(|error| error.attempting(&*attempted))?;
        let create = Operation::new(Method::POST, path(["api", "v1", "roles"]), "iam.role.create", attempted);
        self.connection.fetch(&create.body(role)?.find_out("Roles::get shows whether it exists"))
    }

    /// Changes a role. Needs `iam.role.update`, which few clients have.
    pub fn update(&self, id: &str, change: &RoleChange) -> Result<(), Error> {
        let update = self.of(Method::PUT, id, "iam.role.update", "change the built-in role")?;
        change.check().map_err(|error| error.attempting(&*update.attempted))?;
        self.connection.run(&update.body(change)?)
    }

    fn names_query(&self) -> &'static str {
        match self.names {
            PermissionNames::Ids => "",
            PermissionNames::Aliases => "returnAliases=true",
        }
    }

    fn of(&self, method: Method, id: &str, permission: &'static str, act: &str) -> Result<Operation, Error> {
        let attempted = format!("{act} {id:?}");
        rules::built_in_role_id(id).map_err(|error| error.attempting(&*attempted))?;
        Ok(Operation::new(method, path(["api", "v1", "roles", id]), permission, attempted))
    }
}
