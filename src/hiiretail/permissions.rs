use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, Operation, path};
use super::rules;
use crate::error::Error;

/// What roles can allow, the same for all tenants.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// let of_cash_registers = iam.permissions().list()?.into_iter().filter(|permission| permission.id.starts_with("pos."));
/// println!("{}", of_cash_registers.count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Permissions {
    pub(super) connection: Arc<Connection>,
}

/// Something that a role can allow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Permission {
    /// Three parts, such as `pos.receipt.read`.
    pub id: String,
    /// What it is for.
    pub description: Option<String>,
    /// What people call it.
    pub alias: Option<String>,
}

/// A permission to create: for those who maintain a system of Hii Retail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewPermission {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
}

/// What to change of a permission; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PermissionChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
}

impl NewPermission {
    /// A permission with an id such as `pos.receipt.read`.
    pub fn new(id: impl Into<String>) -> NewPermission {
        NewPermission { id: id.into(), description: None, alias: None }
    }

    /// What it is for.
    pub fn description(mut self, description: impl Into<String>) -> NewPermission {
        self.description = Some(description.into());
        self
    }

    /// What people call it: at most 256 characters.
    pub fn alias(mut self, alias: impl Into<String>) -> NewPermission {
        self.alias = Some(alias.into());
        self
    }
}

impl PermissionChange {
    /// Changes nothing yet.
    pub fn new() -> PermissionChange {
        PermissionChange::default()
    }

    /// What it is for.
    pub fn description(mut self, description: impl Into<String>) -> PermissionChange {
        self.description = Some(description.into());
        self
    }

    /// What people call it: at most 256 characters.
    pub fn alias(mut self, alias: impl Into<String>) -> PermissionChange {
        self.alias = Some(alias.into());
        self
    }
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl Permissions {
    /// All permissions; the service does not page them. Needs `iam.permission.list`.
    pub fn list(&self) -> Result<Vec<Permission>, Error> {
        let list = path(["api", "v1", "permissions"]);
        let attempted = "list the permissions".to_owned();
        self.connection.fetch(&Operation::new(Method::GET, list, "iam.permission.list", attempted))
    }

    /// A permission by its id. Needs `iam.permission.get`.
    pub fn get(&self, id: &str) -> Result<Permission, Error> {
        self.connection.fetch(&self.of(Method::GET, id, "iam.permission.get", "get the permission")?)
    }

    /// Creates a permission. Needs `iam.permission.create`, which few clients have.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](crate::ErrorKind::Unconfirmed) leaves open whether it exists.
    pub fn create(&self, permission: &NewPermission) -> Result<Permission, Error> {
        let attempted = format!("create the permission {:?}", permission.id);
        let checked = rules::permission_id(&permission.id)
            .and_then(|()| permission.alias.as_deref().map_or(Ok(()), rules::alias));
        checked.map_err(|error| error.attempting(&*attempted))?;
        let create = path(["api", "v1", "permissions"]);
        let create = Operation::new(Method::POST, create, "iam.permission.create", attempted).body(permission)?;
        self.connection.fetch(&create.find_out("Permissions::get shows whether it exists"))
    }

    /// Changes description or alias. Needs `iam.permission.update`, which few clients have.
    pub fn update(&self, id: &str, change: &PermissionChange) -> Result<(), Error> {
        let update = self.of(Method::PUT, id, "iam.permission.update", "change the permission")?;
        let checked = change.alias.as_deref().map_or(Ok(()), rules::alias);
        checked.map_err(|error| error.attempting(&*update.attempted))?;
        self.connection.run(&update.body(change)?)
    }

    fn of(&self, method: Method, id: &str, permission: &'static str, act: &str) -> Result<Operation, Error> {
        let attempted = format!("{act} {id:?}");
        rules::permission_id(id).map_err(|error| error.attempting(&*attempted))?;
        Ok(Operation::new(method, path(["api", "v1", "permissions", id]), permission, attempted))
    }
}
