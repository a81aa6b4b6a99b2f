//! Groups, roles and permissions of Hii Retail: a blocking client of its IAM, with the tokens of OCMS.
//!
//! ```no_run
//! use snowpipe_streaming::hiiretail::Iam;
//!
//! let iam = Iam::from_environment()?;
//! for group in iam.groups().list() {
//!     println!("{}", group?.name);
//! }
//! # Ok::<(), snowpipe_streaming::Error>(())
//! ```
//!
//! A group that may use the cash registers of one store:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use snowpipe_streaming::hiiretail::{Environment, Iam, NewCustomRole, NewGroup, Ocms, RoleAssignment};
//!
//! let client = Ocms::new("my-client-id", "my-client-secret");
//! let iam = Iam::builder("my-tenant", client).environment(Environment::Test).build()?;
//! let group = iam.groups().create(&NewGroup::new("Store staff"))?;
//! iam.custom_roles().create(&NewCustomRole::new("custom.cashier", ["pos.receipt.read"]).name("Cashier"))?;
//! iam.groups().assign_role(&group.id, &RoleAssignment::new("custom.cashier", ["bu:001"]))?;
//! iam.groups().wait_for_role(&group.id, "custom.cashier", Duration::from_secs(10))?;
//! # Ok::<(), snowpipe_streaming::Error>(())
//! ```
//!
//! The feature `hiiretail` switches it on. Who needs nothing else leaves the rest out:
//! `default-features = false, features = ["hiiretail"]`.
//!
//! # Environment variables
//!
//! [`Iam::from_environment`] reads them; [`IamBuilder::from_environment`] lets calls of the program win over them.
//!
//! | variable | meaning |
//! |---|---|
//! | `HIIRETAIL_TENANT_ID` | the tenant; required |
//! | `HIIRETAIL_CLIENT_ID` | the client; required |
//! | `HIIRETAIL_CLIENT_SECRET` or `HIIRETAIL_CLIENT_SECRET_FILE` | its secret, or a file with it that is read again when it changes; required |
//! | `HIIRETAIL_ENVIRONMENT` | `production` (default), `test`, `staging` or `development` |
//! | `HIIRETAIL_TIMEOUT_SECONDS` or `HIIRETAIL_TIMEOUT` | how long a call may take: `30`, `30s`, `2m`; default 30 seconds |
//! | `HIIRETAIL_MAX_RETRIES` | how often a request is repeated: 0 to 10; default 3 |
//! | `HIIRETAIL_API_URL` or `HIIRETAIL_BASE_URL` | the IAM, if it is not the environment's |
//! | `HIIRETAIL_AUTH_URL` | the issuer, if it is not the environment's |
//! | `HIIRETAIL_TOKEN_URL` | the token endpoint, without discovery |
//! | `HIIRETAIL_CA_FILE` | a file with PEM certificates of authorities to trust in addition to the bundled ones |
//! | `HIIRETAIL_SCOPES` | scopes to request, with commas between them; default none |
//! | `HIIRETAIL_AUDIENCE` | the audience, if it is not `https://hiiretail.com` |
//!
//! An empty variable counts as unset. One that cannot be read is an error, never a default.

mod assignments;
mod cause;
mod connection;
mod custom_roles;
mod dialect;
mod environment;
mod groups;
mod iam;
mod ocms;
mod pages;
mod permissions;
mod raw_request;
mod resources;
mod roles;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod user;
mod user_groups;
mod variables;

pub use self::assignments::{AssignedRole, RoleAssignment};
pub use self::cause::Cause;
pub use self::custom_roles::{CustomRole, CustomRoleChange, CustomRoles, NewCustomRole, RolePermission};
pub use self::environment::Environment;
pub use self::groups::{Group, GroupChange, Groups, NewGroup};
pub use self::iam::{Iam, IamBuilder};
pub use self::ocms::Ocms;
pub use self::pages::{ListOptions, Order, Pages};
pub use self::permissions::{NewPermission, Permission, PermissionChange, Permissions};
pub use self::raw_request::{Method, RawRequest};
pub use self::resources::{NewResource, Resource, ResourceFilter, Resources};
pub use self::roles::{NewRole, Role, RoleChange, Roles};
pub use self::status::GroupStatus;
pub use self::user::User;
pub use self::user_groups::{Membership, UserGroups};
