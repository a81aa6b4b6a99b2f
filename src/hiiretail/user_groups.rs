use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, Operation};
use super::rules;
use crate::error::Error;

/// The groups that a user is in.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// let of_user = iam.user_groups("user-1");
/// let membership = of_user.add("group-1")?;
/// of_user.remove(&membership.id)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UserGroups {
    pub(super) connection: Arc<Connection>,
    pub(super) user_id: String,
}

/// That a user is in a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Membership {
    /// Its own id, which [`UserGroups::get`] and [`UserGroups::remove`] take: not the group's.
    #[serde(rename = "documentId")]
    pub id: String,
    /// The group.
    #[serde(rename = "userGroupDocumentId")]
    pub group_id: String,
}

/// A group to join.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMembership<'m> {
    user_group_document_id: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_id: Option<&'m str>,
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl UserGroups {
    /// Adds the user to a group. Needs `iam.user.assign-group`.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](crate::ErrorKind::Unconfirmed) leaves open whether the user is in it.
    pub fn add(&self, group_id: &str) -> Result<Membership, Error> {
        self.join(&NewMembership { user_group_document_id: group_id, document_id: None })
    }

    /// The same, with an id for the membership; [`add`](UserGroups::add) lets the service make one.
    ///
    /// The service does not document what it does with an id that is taken, or for a user who is in the group already: the
    /// membership that is returned has the id that counts.
    pub fn add_with_id(&self, group_id: &str, membership_id: &str) -> Result<Membership, Error> {
        self.join(&NewMembership { user_group_document_id: group_id, document_id: Some(membership_id) })
    }

    /// The groups of the user. Needs `iam.user.list-groups`.
    pub fn list(&self) -> Result<Vec<Membership>, Error> {
        let attempted = format!("list the groups of the user {:?}", self.user_id);
        self.connection.fetch(&self.operation(Method::GET, [], "iam.user.list-groups", attempted)?)
    }

    /// One of them, by the id of the membership. Needs `iam.user.get`.
    pub fn get(&self, membership_id: &str) -> Result<Membership, Error> {
        let attempted = format!("get the membership {membership_id:?} of the user {:?}", self.user_id);
        self.connection.fetch(&self.operation(Method::GET, [membership_id], "iam.user.get", attempted)?)
    }

    /// Removes the user from a group, by the id of the membership. Needs `iam.user.unassign-group`.
    pub fn remove(&self, membership_id: &str) -> Result<(), Error> {
        self.connection.delete(&self.removal(membership_id)?)
    }

    /// The same, if there is such a membership; whether there was. Needs `iam.user.unassign-group`.
    pub fn remove_if_exists(&self, membership_id: &str) -> Result<bool, Error> {
        self.connection.delete_if_exists(&self.removal(membership_id)?)
    }

    fn join(&self, membership: &NewMembership<'_>) -> Result<Membership, Error> {
        let group_id = membership.user_group_document_id;
        let attempted = format!("add the user {:?} to the group {group_id:?}", self.user_id);
        let own_id = membership.document_id.map_or(Ok(()), |id| rules::path_id("id of the membership", id));
        let checked = rules::path_id("group id", group_id).and(own_id);
        checked.map_err(|error| error.attempting(&*attempted))?;
        let add = self.operation(Method::POST, [], "iam.user.assign-group", attempted)?.body(membership)?;
        self.connection.fetch(&add.find_out("UserGroups::list shows whether the user is in it"))
    }

    fn removal(&self, membership_id: &str) -> Result<Operation, Error> {
        let attempted = format!("remove the membership {membership_id:?} of the user {:?}", self.user_id);
        self.operation(Method::DELETE, [membership_id], "iam.user.unassign-group", attempted)
    }

    fn operation<const N: usize>(
        &self,
        method: Method,
        membership: [&str; N],
        permission: &'static str,
        attempted: String,
    ) -> Result<Operation, Error> {
        let checked = rules::path_id("user id", &self.user_id)
            .and_then(|()| membership.iter().try_for_each(|id| rules::path_id("id of the membership", id)));
        checked.map_err(|error| error.attempting(&*attempted))?;
        let segments = ["users", &self.user_id, "groups"].into_iter().chain(membership);
        Ok(Operation::new(method, self.connection.path("v1", segments), permission, attempted))
    }
}
