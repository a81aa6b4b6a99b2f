use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::{Connection, Operation, encoded, pair};
use super::rules;
use crate::error::{Error, ErrorKind};

/// The method of a [`RawRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Reads; repeated after a failure.
    Get,
    /// Creates or starts something; sent again only if it cannot have been applied.
    Post,
    /// Replaces; repeated after a failure.
    Put,
    /// Changes a part; sent again only if it cannot have been applied.
    Patch,
    /// Deletes; repeated after a failure.
    Delete,
}

/// A call that the typed client lacks, with the same tokens, tenant, retries and errors.
///
/// ```no_run
/// # fn example(iam: &snowpipe_streaming::hiiretail::Iam) -> Result<(), snowpipe_streaming::Error> {
/// use serde_json::Value;
/// use snowpipe_streaming::hiiretail::Method;
///
/// let users: Value = iam.request(Method::Get, "/api/v1/tenants/{tenant}/users").query("includePii", "false").send()?;
/// let user: Value = iam.request(Method::Get, "/api/v1/tenants/{tenant}/users/{id}").set("id", "user 1").send()?;
/// # Ok(())
/// # }
/// ```
pub struct RawRequest {
    connection: Arc<Connection>,
    method: Method,
    path: String,
    values: Vec<(String, String)>,
    query: Vec<String>,
    body: Option<Result<Vec<u8>, Error>>,
}

impl RawRequest {
    pub(super) fn new(connection: Arc<Connection>, method: Method, path: String) -> RawRequest {
        let values = vec![("tenant".to_owned(), connection.tenant.clone())];
        RawRequest { connection, method, path, values, query: Vec::new(), body: None }
    }

    /// Puts a value, percent-encoded, in the place of `{name}` in the path: one segment of it.
    ///
    /// A value with `/` is refused, because many gateways decode `%2F`; who needs one writes it in the path.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> RawRequest {
        self.values.push((name.into(), value.into()));
        self
    }

    /// Adds a pair to the query; both sides are percent-encoded here.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> RawRequest {
        self.query.push(pair(name, value));
        self
    }

    /// The body, sent as JSON.
    #[must_use]
    pub fn body(mut self, body: &impl Serialize) -> RawRequest {
        let bytes = serde_json::to_vec(body).map_err(|error| {
            Error::new(ErrorKind::Config, "the body cannot be written as JSON; nothing was sent").with_source(error)
        });
        self.body = Some(bytes);
        self
    }

    /// Sends it and reads the response as JSON. An empty response is null: take it as `()` or `serde_json::Value`.
    ///
    /// # Blocking
    ///
    /// As [every call](super::Iam#blocking).
    ///
    /// # Errors
    ///
    /// Those of [every call](super::Iam#errors), and [`Config`](ErrorKind::Config) for a path that cannot be sent.
    pub fn send<T: DeserializeOwned>(self) -> Result<T, Error> {
        let attempted = format!("send {} {}", self.method.name(), self.path);
        let path = self.filled().map_err(|error| error.attempting(&*attempted))?;
        let body = self.body.transpose().map_err(|error| error.attempting(&*attempted))?;
        let mut operation = Operation::new(self.method.of_http(), path, "", attempted).query(self.query.join("&"));
        operation.body = body;
        let operation = operation.find_out("read what it should have changed");
        self.connection.fetch(&operation)
    }

    fn filled(&self) -> Result<String, Error> {
        let mut path = self.path.clone();
        for (index, (name, value)) in self.values.iter().enumerate() {
            // The tenant, which comes first, need not be in it.
            if index > 0 && !path.contains(&format!("{{{name}}}")) {
                return Err(refuse(&format!("the path has no {{{name}}} for which a value was given")));
            }
            if !rules::is_segment(value) {
                let what = "is empty, . or .., or has a / or a control character in it";
                return Err(refuse(&format!("the value of {{{name}}} {what}")));
            }
            path = path.replace(&format!("{{{name}}}"), &encoded(value));
        }
        let is_sound =
            path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sound || path.contains(['?', '#', '\\']) {
            return Err(refuse("the path does not begin with one slash, or has a query, a fragment or a space in it"));
        }
        if path.contains(['{', '}']) {
            return Err(refuse("the path has a {name} without a value"));
        }
        // Servers resolve encoded dots and slashes as well.
        let plain = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
        if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(refuse("the path has a dot segment"));
        }
        Ok(path)
    }
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    fn of_http(self) -> ::http::Method {
        match self {
            Method::Get => ::http::Method::GET,
            Method::Post => ::http::Method::POST,
            Method::Put => ::http::Method::PUT,
            Method::Patch => ::http::Method::PATCH,
            Method::Delete => ::http::Method::DELETE,
        }
    }
}

/// Without the body, which may be confidential.
impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

fn refuse(reason: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{reason}; nothing was sent"))
        .advise("give a path such as /api/v1/tenants/{tenant}/users, and query and values by their calls")
}
