use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, Operation, or_default};
use super::pages::{ListOptions, Pages};
use super::rules;
use super::status::GroupStatus;
use super::user::User;
use crate::error::Error;

/// The groups of a tenant, their members, and the roles that are assigned to them.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::hiiretail::{NewGroup, RoleAssignment};
///
/// let group = iam.groups().create(&NewGroup::new("Store staff"))?;
/// iam.groups().assign_role(&group.id, &RoleAssignment::new("iam.viewer", ["bu:001"]))?;
/// assert!(iam.groups().delete_if_exists(&group.id)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Groups {
    pub(super) connection: Arc<Connection>,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// Made by the service, or given when it was created.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// How far the service is with it.
    #[serde(default, deserialize_with = "or_default")]
    pub status: GroupStatus,
}

/// A group to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewGroup {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// What to change of a group; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl NewGroup {
    /// A group with this name: 1 to 255 characters.
    pub fn new(name: impl Into<String>) -> NewGroup {
        NewGroup { name: name.into(), description: None, id: None }
    }

    /// At most 255 characters.
    pub fn description(mut self, description: impl Into<String>) -> NewGroup {
        self.description = Some(description.into());
        self
    }

    /// The id to give it. Default: the service makes one.
    ///
    /// With an id of the caller's, a second attempt to create the group is refused (409) instead of making another.
    pub fn id(mut self, id: impl Into<String>) -> NewGroup {
        self.id = Some(id.into());
        self
    }

    fn check(&self) -> Result<(), Error> {
        rules::group_name(&self.name)?;
        self.description.as_deref().map_or(Ok(()), rules::group_description)?;
        self.id.as_deref().map_or(Ok(()), |id| rules::path_id("group id", id))
    }
}

impl GroupChange {
    /// Changes nothing yet.
    pub fn new() -> GroupChange {
        GroupChange::default()
    }

    /// 1 to 255 characters.
    pub fn name(mut self, name: impl Into<String>) -> GroupChange {
        self.name = Some(name.into());
        self
    }

    /// At most 255 characters.
    pub fn description(mut self, description: impl Into<String>) -> GroupChange {
        self.description = Some(description.into());
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.name.as_deref().map_or(Ok(()), rules::group_name)?;
        self.description.as_deref().map_or(Ok(()), rules::group_description)
    }
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl Groups {
    /// Creates a group, and returns it with its id. Needs `iam.group.create`.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](crate::ErrorKind::Unconfirmed) leaves open whether the group exists.
    pub fn create(&self, group: &NewGroup) -> Result<Group, Error> {
        let attempted = format!("create the group {:?}", group.name);
        let path = self.connection.path("v1", ["groups"]);
        group.check().map_err(|error| error.attempting(&*attempted))?;
        let create = Operation::new(Method::POST, path, "iam.group.create", attempted).body(group)?;
        self.connection.fetch(&create.find_out("Groups::list_with and a search for the name show it"))
    }

    /// All groups. Needs `iam.group.list`.
    pub fn list(&self) -> Pages<Group> {
        self.list_with(&ListOptions::new())
    }

    /// Groups, searched and sorted by name. Needs `iam.group.list`.
    pub fn list_with(&self, options: &ListOptions) -> Pages<Group> {
        let list = (self.connection.path("v1", ["groups"]), "iam.group.list", "list the groups".to_owned());
        Pages::new(&self.connection, list, options, "")
    }

    /// A group by its id. Needs `iam.group.get`.
    pub fn get(&self, id: &str) -> Result<Group, Error> {
        self.connection.fetch(&self.of(Method::GET, id, "iam.group.get", "get the group")?)
    }

    /// Changes name or description. Needs `iam.group.update`.
    pub fn update(&self, id: &str, change: &GroupChange) -> Result<(), Error> {
        let update = self.of(Method::PUT, id, "iam.group.update", "change the group")?;
        change.check().map_err(|error| error.attempting(&*update.attempted))?;
        self.connection.run(&update.body(change)?)
    }

    /// Deletes a group. Needs `iam.group.delete`.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.connection.delete(&self.of(Method::DELETE, id, "iam.group.delete", "delete the group")?)
    }

    /// Deletes a group, if the service knows it; whether it did. Needs `iam.group.delete`.
    ///
    /// The service documents no status for a group that does not exist, so it may answer as for one that does.
    pub fn delete_if_exists(&self, id: &str) -> Result<bool, Error> {
        self.connection.delete_if_exists(&self.of(Method::DELETE, id, "iam.group.delete", "delete the group")?)
    }

    /// The users in a group. Needs `iam.group.list-users`.
    ///
    /// [`UserGroups`](super::UserGroups) adds and removes them.
    pub fn members(&self, id: &str) -> Result<Vec<User>, Error> {
        let mut list = self.of(Method::GET, id, "iam.group.list-users", "list the members of the group")?;
        list.path = self.connection.path("v1", ["groups", id, "users"]);
        self.connection.fetch(&list)
    }

    fn of(&self, method: Method, id: &str, permission: &'static str, act: &str) -> Result<Operation, Error> {
        let attempted = format!("{act} {id:?}");
        rules::path_id("group id", id).map_err(|error| error.attempting(&*attempted))?;
        Ok(Operation::new(method, self.connection.path("v1", ["groups", id]), permission, attempted))
    }
}
