mod builder;

use std::fmt;
use std::sync::Arc;

use super::connection::Connection;
use super::custom_roles::CustomRoles;
use super::groups::Groups;
use super::ocms::Ocms;
use super::permissions::Permissions;
use super::raw_request::{Method, RawRequest};
use super::resources::Resources;
use super::roles::Roles;
use super::user_groups::UserGroups;
use crate::clock::ClockOffset;
use crate::error::Error;
use crate::secret::Secret;
use crate::session::Counters;

pub use self::builder::IamBuilder;

/// A client of Hii Retail's IAM for one tenant.
///
/// Clones are cheap and share tokens and connections; any number of threads may use one. It starts no thread.
///
/// # Tokens
///
/// The access token is fetched by the first call that needs one, and kept until shortly before it expires. Then one call
/// renews it while the others go on with the old one. A token that the service refuses earlier is renewed, and the request
/// sent once more. The IAM documents 403 alone, without a reason, for an expired token and for a missing permission: such a
/// response renews a token that is older than a minute, once in its lifetime. A younger token that was revoked shows as a
/// denial until then: [`Iam::refresh`] fetches another at once.
///
/// # Blocking
///
/// Every call blocks until the service has responded, at most for [`timeout`](IamBuilder::timeout): half a minute by default.
/// That covers all of it: the token, the request, and its repetitions while the service is busy or unreachable, of which there
/// are at most [`max_retries`](IamBuilder::max_retries). What creates or assigns is not repeated once it may have been applied.
///
/// # Errors
///
/// Every call may end in
/// [`Config`](crate::ErrorKind::Config) (an id, a name or a setting breaks a rule; nothing was sent),
/// [`Credentials`](crate::ErrorKind::Credentials) (OCMS refuses the client, or the IAM its token),
/// [`Refused`](crate::ErrorKind::Refused) (400, 404 or 409; 403: a permission is missing, the tenant is another, or a young
/// token was revoked; without a status: the certificate is not trusted, or the proxy refuses),
/// [`Throttled`](crate::ErrorKind::Throttled), [`Unavailable`](crate::ErrorKind::Unavailable),
/// [`Timeout`](crate::ErrorKind::Timeout),
/// [`Unconfirmed`](crate::ErrorKind::Unconfirmed) (it may have been created or assigned, and the response was lost) or
/// [`Protocol`](crate::ErrorKind::Protocol) (the response was not understood).
/// [`Cause`](super::Cause) has the codes of Hii Retail's own tools for them.
#[derive(Clone)]
pub struct Iam {
    pub(super) connection: Arc<Connection>,
}

impl Iam {
    /// Starts to configure a client for a tenant.
    pub fn builder(tenant: impl Into<String>, client: Ocms) -> IamBuilder {
        IamBuilder::new(tenant.into(), client)
    }

    /// A client as the `HIIRETAIL_…` variables describe it; [the module](super#environment-variables) lists them.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config): a variable is missing or wrong. The message names it.
    ///
    /// ```no_run
    /// use snowpipe_streaming::hiiretail::Iam;
    ///
    /// let iam = Iam::from_environment()?;
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn from_environment() -> Result<Iam, Error> {
        IamBuilder::from_environment()?.build()
    }

    /// Groups, their members and their roles.
    pub fn groups(&self) -> Groups {
        Groups { connection: Arc::clone(&self.connection) }
    }

    /// The roles of the tenant's own.
    pub fn custom_roles(&self) -> CustomRoles {
        CustomRoles { connection: Arc::clone(&self.connection) }
    }

    /// The roles that come with Hii Retail.
    pub fn roles(&self) -> Roles {
        Roles::new(Arc::clone(&self.connection))
    }

    /// What roles can allow.
    pub fn permissions(&self) -> Permissions {
        Permissions { connection: Arc::clone(&self.connection) }
    }

    /// What roles can be bound to.
    pub fn resources(&self) -> Resources {
        Resources { connection: Arc::clone(&self.connection) }
    }

    /// The groups of a user.
    pub fn user_groups(&self, user_id: impl Into<String>) -> UserGroups {
        UserGroups { connection: Arc::clone(&self.connection), user_id: user_id.into() }
    }

    /// A call that is missing above. `{tenant}` in the path stands for the tenant.
    pub fn request(&self, method: Method, path: impl Into<String>) -> RawRequest {
        RawRequest::new(Arc::clone(&self.connection), method, path.into())
    }

    /// The tenant that it is for.
    pub fn tenant(&self) -> &str {
        &self.connection.tenant
    }

    /// The current access token, for requests that are not made through this library; fetched if there is none.
    ///
    /// # Blocking
    ///
    /// Not at all while there is a valid token; otherwise as [every call](Iam#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every call](Iam#errors).
    pub fn token(&self) -> Result<Secret, Error> {
        self.connection.session.tokens().bearer(|| self.connection.limits())
    }

    /// Discards the token and fetches another, whatever its age. Always reaches the network: two calls in a row fetch twice.
    ///
    /// It is the way out when a token of less than a minute is revoked: the IAM refuses it by a 403 without a reason, which is
    /// taken for a missing permission.
    ///
    /// # Blocking
    ///
    /// As [every call](Iam#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every call](Iam#errors).
    pub fn refresh(&self) -> Result<(), Error> {
        self.connection.session.tokens().refresh(self.connection.limits()).map(drop)
    }

    /// How far the IAM's clock is from this machine's, by its latest response.
    pub fn clock_offset(&self) -> ClockOffset {
        self.connection.server_clock.offset(self.connection.clock.now())
    }

    /// What this client and its clones have done so far: requests, retries and renewals.
    pub fn counters(&self) -> Counters {
        self.connection.session.counters().snapshot()
    }
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam")
            .field("tenant", &self.connection.tenant)
            .field("client", &self.connection.identity)
            .finish_non_exhaustive()
    }
}
