use std::cmp::Ordering;

use super::operation::Operation;
use super::rejection::Rejection;
use crate::http::request::{Parameters, Request};

/// A request whose operation is known.
pub(super) struct Call<'r> {
    pub(super) request: &'r Request,
    pub(super) now_ms: i64,
    /// The one in the path, where the operation belongs to one.
    pub(super) tenant: Option<String>,
    names: Vec<String>,
    parameters: Parameters,
}

impl<'r> Call<'r> {
    pub(super) fn new(request: &'r Request, operation: Operation, mut names: Vec<String>, now_ms: i64) -> Self {
        let tenant = operation.is_of_tenant().then(|| names.remove(0));
        Self { request, now_ms, tenant, names, parameters: request.parameters() }
    }

    /// What the path names below the tenant: the first thing.
    pub(super) fn id(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// And the one below that.
    pub(super) fn second_id(&self) -> &str {
        self.names.get(1).map_or("", String::as_str)
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// A parameter that is `false` when it is absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Rejection> {
        match self.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Rejection::invalid(format!("{name} must be a boolean value"))),
        }
    }

    /// A parameter that counts something.
    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, Rejection> {
        match self.parameter(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Rejection::invalid(format!("{name} must not be less than 0"))),
        }
    }

    /// Of all things the page that `limit` and `offset` name.
    pub(super) fn page<T>(&self, mut all: Vec<T>) -> Result<Vec<T>, Rejection> {
        let (limit, offset) = (self.number("limit", MAX_PAGE)?, self.number("offset", 0)?);
        if limit > MAX_PAGE {
            return Err(Rejection::invalid(format!("limit must not be greater than {MAX_PAGE}")));
        }
        all.drain(..offset.min(all.len()));
        all.truncate(limit);
        Ok(all)
    }

    /// The same after sorting and searching by name, which both need `sortBy`.
    pub(super) fn sorted_page<T>(&self, mut all: Vec<T>, name: fn(&T) -> &str) -> Result<Vec<T>, Rejection> {
        let compare: fn(&str, &str) -> Ordering = match self.parameter("direction") {
            None | Some("asc") => |left, right| left.cmp(right),
            Some("desc") => |left, right| right.cmp(left),
            Some(_) => return Err(Rejection::invalid("direction must be one of the following values: asc, desc")),
        };
        match self.parameter("sortBy") {
            None => return self.page(all),
            Some("name") => {}
            Some(_) => return Err(Rejection::invalid("sortBy must be one of the following values: name")),
        }
        if let Some(wanted) = self.parameter("searchString").map(str::to_lowercase) {
            all.retain(|one| name(one).to_lowercase().contains(&wanted));
        }
        all.sort_by(|left, right| compare(name(left), name(right)));
        self.page(all)
    }
}

/// The documented default, taken as the largest page, too.
const MAX_PAGE: usize = 1000;
