use std::time::Duration;

use ::http::Method;
use serde::{Deserialize, Serialize};

use super::connection::{Operation, or_default};
use super::groups::Groups;
use super::rules;
use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};

/// A role for a group, and what it applies to.
///
/// ```
/// use snowpipe_streaming::hiiretail::RoleAssignment;
///
/// let in_two_stores = RoleAssignment::new("custom.cashier", ["bu:001", "bu:002"]);
/// let everywhere = RoleAssignment::new("iam.viewer", ["*"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    role_id: String,
    bindings: Vec<String>,
    is_custom: bool,
}

/// A role that a group has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AssignedRole {
    /// `custom.…` for a custom role, two parts such as `iam.viewer` for a built-in one.
    pub role_id: String,
    /// Whether it is one of the tenant's own.
    #[serde(default, deserialize_with = "or_default")]
    pub is_custom: bool,
    /// What it applies to: resources such as `bu:001`, or `*`.
    #[serde(default, deserialize_with = "or_default")]
    pub bindings: Vec<String>,
    /// What the role applies to by itself.
    #[serde(default, deserialize_with = "or_default")]
    pub fixed_bindings: Vec<String>,
}

/// Bindings in the place of those before.
#[derive(Serialize)]
struct Rebinding<'b> {
    bindings: &'b [String],
}

impl RoleAssignment {
    /// The role by its id, custom ones as `custom.<name>`, and at most ten bindings: ids of resources, or `*`.
    pub fn new<B: Into<String>>(role_id: impl Into<String>, bindings: impl IntoIterator<Item = B>) -> RoleAssignment {
        let role_id = role_id.into();
        let is_custom = rules::is_custom(&role_id);
        RoleAssignment { role_id, bindings: bindings.into_iter().map(Into::into).collect(), is_custom }
    }
}

/// Roles of groups. An id of two parts such as `iam.viewer` is that of a built-in role, any other that of a custom role.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl Groups {
    /// Assigns a role to a group. Needs `iam.group.assign-role`.
    ///
    /// It is sent once: an error of kind [`Unconfirmed`](ErrorKind::Unconfirmed) leaves open whether the group has it. The
    /// service may show it a little later: see [`wait_for_role`](Groups::wait_for_role). A custom role has to be named
    /// `custom.<name>` here: the service documents no error for one that it does not know.
    pub fn assign_role(&self, group_id: &str, assignment: &RoleAssignment) -> Result<(), Error> {
        let attempted = format!("assign the role {:?} to the group {group_id:?}", assignment.role_id);
        let checked = rules::assigned_role_id(&assignment.role_id).and_then(|()| rules::bindings(&assignment.bindings));
        checked.map_err(|error| error.attempting(&*attempted))?;
        let assign = self.roles_of(Method::POST, group_id, "iam.group.assign-role", attempted)?.body(assignment)?;
        self.connection.run(&assign.find_out("Groups::roles shows whether the group has it"))
    }

    /// The roles of a group. Needs `iam.group.list-roles`.
    pub fn roles(&self, group_id: &str) -> Result<Vec<AssignedRole>, Error> {
        let attempted = format!("list the roles of the group {group_id:?}");
        self.connection.fetch(&self.roles_of(Method::GET, group_id, "iam.group.list-roles", attempted)?)
    }

    /// Puts these bindings in the place of those that a role of the group has. Needs `iam.group.assign-role`.
    pub fn replace_bindings<B: Into<String>>(
        &self,
        group_id: &str,
        role_id: &str,
        bindings: impl IntoIterator<Item = B>,
    ) -> Result<(), Error> {
        let bindings: Vec<String> = bindings.into_iter().map(Into::into).collect();
        let attempted = format!("replace the bindings of the role {role_id:?} of the group {group_id:?}");
        rules::bindings(&bindings).map_err(|error| error.attempting(&*attempted))?;
        let replace = self.role_of(Method::PUT, "v2", (group_id, role_id), "iam.group.assign-role", attempted)?;
        self.connection.run(&replace.body(&Rebinding { bindings: &bindings })?)
    }

    /// Takes a role away from a group. Needs `iam.group.unassign-role`.
    pub fn unassign_role(&self, group_id: &str, role_id: &str) -> Result<(), Error> {
        self.connection.delete(&self.unassignment(group_id, role_id)?)
    }

    /// The same, if the group has the role; whether it had. Needs `iam.group.unassign-role`.
    pub fn unassign_role_if_assigned(&self, group_id: &str, role_id: &str) -> Result<bool, Error> {
        self.connection.delete_if_exists(&self.unassignment(group_id, role_id)?)
    }

    /// Waits until the service shows a role that was assigned, and returns it. Needs `iam.group.list-roles`.
    ///
    /// It asks at once, and then with growing pauses of up to two seconds, until `timeout` is over. Meanwhile the service may
    /// be unreachable or busy, or not know a new group yet (404): it is asked again, and not before the time that it names.
    ///
    /// # Errors
    ///
    /// [`Timeout`](ErrorKind::Timeout) when the service does not show the role in time. If the last look failed, the error is
    /// that failure: [`Refused`](ErrorKind::Refused) with 404, [`Unavailable`](ErrorKind::Unavailable),
    /// [`Throttled`](ErrorKind::Throttled), also when the service asks for a longer delay than is left. All
    /// [others](super::Iam#errors) end the wait at once.
    pub fn wait_for_role(&self, group_id: &str, role_id: &str, timeout: Duration) -> Result<AssignedRole, Error> {
        let attempted = format!("see the role {role_id:?} of the group {group_id:?}");
        rules::path_id("role id", role_id).map_err(|error| error.attempting(&*attempted))?;
        let mut list = self.roles_of(Method::GET, group_id, "iam.group.list-roles", attempted)?;
        let clock = &self.connection.clock;
        let deadline = clock.now().deadline(timeout);
        let mut pause = FIRST_PAUSE;
        loop {
            list.timeout = Some(deadline.left(clock.now()).max(MIN_ATTEMPT));
            let failure = match self.connection.fetch::<Vec<AssignedRole>>(&list) {
                Ok(roles) => match roles.into_iter().find(|role| role.role_id == role_id) {
                    Some(role) => return Ok(role),
                    None => None,
                },
                Err(error) if may_pass(&error) => Some(error),
                Err(error) => return Err(error),
            };
            let asked_for = failure.as_ref().and_then(Error::retry_after).unwrap_or_default();
            if !self.pause(pause, asked_for, deadline) {
                return Err(not_shown(failure, timeout).attempting(&*list.attempted));
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Whether there was time for it, or at least for a part, and for all that the service asked for.
    fn pause(&self, pause: Duration, asked_for: Duration, deadline: Deadline) -> bool {
        let left = deadline.left(self.connection.clock.now());
        if asked_for > left {
            return false;
        }
        self.connection.clock.sleep(pause.max(asked_for).min(left));
        !left.is_zero()
    }

    fn unassignment(&self, group_id: &str, role_id: &str) -> Result<Operation, Error> {
        let attempted = format!("take the role {role_id:?} from the group {group_id:?}");
        // What version 2 assigns, version 1 takes away.
        self.role_of(Method::DELETE, "v1", (group_id, role_id), "iam.group.unassign-role", attempted)
    }

    fn roles_of(
        &self,
        method: Method,
        id: &str,
        permission: &'static str,
        attempted: String,
    ) -> Result<Operation, Error> {
        rules::path_id("group id", id).map_err(|error| error.attempting(&*attempted))?;
        let path = self.connection.path("v2", ["groups", id, "roles"]);
        Ok(Operation::new(method, path, permission, attempted))
    }

    fn role_of(
        &self,
        method: Method,
        version: &str,
        (group_id, role_id): (&str, &str),
        permission: &'static str,
        attempted: String,
    ) -> Result<Operation, Error> {
        let checked = rules::path_id("group id", group_id).and_then(|()| rules::path_id("role id", role_id));
        checked.map_err(|error| error.attempting(&*attempted))?;
        let path = self.connection.path(version, ["groups", group_id, "roles", role_id]);
        let query = format!("isCustom={}", rules::is_custom(role_id));
        Ok(Operation::new(method, path, permission, attempted).query(query))
    }
}

/// Whether a later look may have another result. The session has repeated each of them where that helps.
fn may_pass(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Timeout => true,
        // A new group may be known late, as an assignment is.
        ErrorKind::Refused => error.status() == Some(404),
        _ => false,
    }
}

/// The end of a wait: the failure of the last look, or that it had no failure.
fn not_shown(failure: Option<Error>, timeout: Duration) -> Error {
    let waited = timeout.as_secs_f64();
    match failure {
        Some(failure) => failure.and_advise(&format!("this ended the wait of {waited} s")),
        None => Error::new(ErrorKind::Timeout, format!("the service did not show it within {waited} s"))
            .advise("wait longer; if it stays away, look at the role's id and assign it again"),
    }
}

/// Mostly the role is there by then.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Rare enough for a service that is late, soon enough for a person who waits.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The last look gets a response although the time is over.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);
