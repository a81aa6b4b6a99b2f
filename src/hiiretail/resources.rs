use std::sync::Arc;

use ::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connection::{Connection, Operation, pair, read};
use super::rules;
use crate::error::{Error, ErrorKind};

/// What roles can be bound to, such as the business units of a tenant.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::hiiretail::{NewResource, ResourceFilter};
///
/// iam.resources().set("bu:001", &NewResource::new("Main Street"))?;
/// let units = iam.resources().list(&ResourceFilter::new().of_type("bu"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Resources {
    pub(super) connection: Arc<Connection>,
}

/// Something that a role can be bound to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Resource {
    /// Such as `bu:001`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Any JSON that is kept with it; null if there is none.
    #[serde(default)]
    pub props: Value,
}

/// The content of a resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewResource {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    props: Option<Value>,
}

/// Which resources to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceFilter {
    kind: Option<String>,
    permission: Option<String>,
}

impl NewResource {
    /// A resource with this name.
    pub fn new(name: impl Into<String>) -> NewResource {
        NewResource { name: name.into(), props: None }
    }

    /// Any JSON to keep with it.
    pub fn props(mut self, props: impl Into<Value>) -> NewResource {
        self.props = Some(props.into());
        self
    }
}

impl ResourceFilter {
    /// All of them.
    pub fn new() -> ResourceFilter {
        ResourceFilter::default()
    }

    /// Only those of a type, which their ids begin with: `bu` for business units.
    pub fn of_type(mut self, kind: impl Into<String>) -> ResourceFilter {
        self.kind = Some(kind.into());
        self
    }

    /// Only those for which the client has this permission.
    pub fn permitting(mut self, permission: impl Into<String>) -> ResourceFilter {
        self.permission = Some(permission.into());
        self
    }
}

/// Every call blocks and fails as [every call](super::Iam#blocking) does.
#[allow(clippy::missing_errors_doc, reason = "the errors are those of every call of the client")]
impl Resources {
    /// Creates a resource, or puts this content in the place of the one before. Needs `iam.resource.set`.
    pub fn set(&self, id: &str, resource: &NewResource) -> Result<Resource, Error> {
        let set = self.of(Method::PUT, id, "iam.resource.set", "set the resource")?;
        self.connection.fetch(&set.body(resource)?)
    }

    /// A resource by its id. Needs `iam.resource.get`.
    pub fn get(&self, id: &str) -> Result<Resource, Error> {
        self.connection.fetch(&self.of(Method::GET, id, "iam.resource.get", "get the resource")?)
    }

    /// Deletes a resource. Needs `iam.resource.delete`.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.connection.delete(&self.of(Method::DELETE, id, "iam.resource.delete", "delete the resource")?)
    }

    /// Deletes a resource, if it exists; whether it did. Needs `iam.resource.delete`.
    pub fn delete_if_exists(&self, id: &str) -> Result<bool, Error> {
        self.connection.delete_if_exists(&self.of(Method::DELETE, id, "iam.resource.delete", "delete the resource")?)
    }

    /// The resources that a filter lets through. Needs `iam.resource.list`, and the permission that the filter names.
    ///
    /// The service says in a header whether there are more than it has returned, but documents no way to ask for them: they
    /// are asked for by `skip`, as those of other lists of the service. If that does not bring them, it is an error of kind
    /// [`Protocol`](crate::ErrorKind::Protocol).
    pub fn list(&self, filter: &ResourceFilter) -> Result<Vec<Resource>, Error> {
        let attempted = "list the resources";
        let checked = filter.permission.as_deref().map_or(Ok(()), rules::permission_id);
        checked.map_err(|error| error.attempting(attempted))?;
        let permission = filter.permission.as_deref().map(|id| pair("permission", id));
        let kind = filter.kind.as_deref().map(|kind| pair("type", kind));
        let query: Vec<_> = permission.into_iter().chain(kind).collect();
        let mut list = Operation::new(Method::GET, self.path([]), "iam.resource.list", attempted.to_owned());
        if let Some(id) = &filter.permission {
            list.permission = format!("iam.resource.list and {id}").into();
        }
        self.all(list, &query)
    }

    fn all(&self, mut list: Operation, query: &[String]) -> Result<Vec<Resource>, Error> {
        let mut resources: Vec<Resource> = Vec::new();
        loop {
            let skip = (!resources.is_empty()).then(|| format!("skip={}", resources.len()));
            list.query = query.iter().cloned().chain(skip).collect::<Vec<_>>().join("&");
            let response = self.connection.send(&list)?;
            let page: Vec<Resource> = read(&response, &list)?;
            let has_more = response.header(HAS_MORE).is_some_and(|more| more.trim().eq_ignore_ascii_case("true"));
            let is_repeated = page.first().is_some_and(|first| resources.iter().any(|known| known.id == first.id));
            if is_repeated || has_more && page.is_empty() {
                return Err(incomplete(resources.len()).attempting(list.attempted));
            }
            resources.extend(page);
            if !has_more {
                return Ok(resources);
            }
        }
    }

    fn path<const N: usize>(&self, id: [&str; N]) -> String {
        self.connection.path("v1", ["resources"].into_iter().chain(id))
    }

    fn of(&self, method: Method, id: &str, permission: &'static str, act: &str) -> Result<Operation, Error> {
        let attempted = format!("{act} {id:?}");
        rules::resource_id(id).map_err(|error| error.attempting(&*attempted))?;
        Ok(Operation::new(method, self.path([id]), permission, attempted))
    }
}

fn incomplete(count: usize) -> Error {
    let reason = format!(
        "the service says that there are more than the {count} resources it returned, and does not return them"
    );
    Error::new(ErrorKind::Protocol, reason).advise("ask for those of one type or with one permission")
}

/// Whether another page follows: `true` or `false`.
const HAS_MORE: &str = "x-pagination-has-more";
