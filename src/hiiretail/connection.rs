use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ::http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::ocms::AUDIENCE;
use crate::clock::{Clock, ServerClock};
use crate::error::{Error, ErrorKind};
use crate::http::{Limits, Replay, Request, Response};
use crate::session::Session;

/// What a client and all its handles share: the session, the tenant, and how long a call may take.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) tenant: String,
    /// The client and its server. Nothing secret.
    pub(super) identity: String,
    /// The tenant that the client id names, if it is another.
    pub(super) other_tenant: Option<String>,
    /// The audience of its tokens, if it is not the IAM's default.
    pub(super) other_audience: Option<String>,
    /// Of a whole call.
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) server_clock: Arc<ServerClock>,
}

/// One request to the IAM.
#[derive(Debug)]
pub(super) struct Operation {
    /// For errors, after "could not".
    pub(super) attempted: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Option<Vec<u8>>,
    /// What the client needs for it; empty if that is not known.
    pub(super) permission: Cow<'static, str>,
    /// How to find out whether it was applied when its response is lost.
    pub(super) find_out: &'static str,
    /// If it is shorter than that of every call.
    pub(super) timeout: Option<Duration>,
}

impl Operation {
    pub(super) fn new(method: Method, path: String, permission: &'static str, attempted: String) -> Operation {
        let (query, body, find_out, timeout) = (String::new(), None, "", None);
        Operation { attempted, method, path, query, body, permission: permission.into(), find_out, timeout }
    }

    pub(super) fn query(mut self, query: impl Into<String>) -> Operation {
        self.query = query.into();
        self
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Operation, Error> {
        let body = serde_json::to_vec(body).map_err(|error| {
            let reason = "the body cannot be written as JSON; nothing was sent";
            Error::new(ErrorKind::Config, reason).attempting(&*self.attempted).with_source(error)
        })?;
        self.body = Some(body);
        Ok(self)
    }

    pub(super) fn find_out(mut self, how: &'static str) -> Operation {
        self.find_out = how;
        self
    }

    /// Creating twice is not the same as once; reading, replacing and deleting are (RFC 9110, section 9.2.2).
    fn replay(&self) -> Replay {
        let is_idempotent = [Method::GET, Method::PUT, Method::DELETE, Method::HEAD].contains(&self.method);
        if is_idempotent { Replay::Safe } else { Replay::Once }
    }
}

impl Connection {
    /// The path of something of this tenant: `/api/v1/tenants/<tenant>/…`, each segment encoded.
    pub(super) fn path<'s>(&'s self, version: &'s str, segments: impl IntoIterator<Item = &'s str>) -> String {
        path(["api", version, "tenants", &self.tenant].into_iter().chain(segments))
    }

    pub(super) fn send(&self, operation: &Operation) -> Result<Response, Error> {
        let mut request = Request::new(operation.method.clone(), &*operation.path, &*operation.attempted)
            .query(operation.query.clone())
            .replay(operation.replay());
        request.timeout = Some(operation.timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout)));
        if let Some(body) = &operation.body {
            request = request.body("application/json", body);
        }
        self.session.send(&request).map_err(|error| self.explain(error, operation))
    }

    /// What the response holds.
    pub(super) fn fetch<T: DeserializeOwned>(&self, operation: &Operation) -> Result<T, Error> {
        read(&self.send(operation)?, operation)
    }

    /// Of a response that holds nothing that is needed.
    pub(super) fn run(&self, operation: &Operation) -> Result<(), Error> {
        self.send(operation).map(drop)
    }

    /// Deletes something that has to be there. If it is gone, an attempt whose response was lost did it.
    pub(super) fn delete(&self, operation: &Operation) -> Result<(), Error> {
        match self.run(operation) {
            Err(error) if is_gone(&error) && error.follows_doubt() => Ok(()),
            result => result,
        }
    }

    /// Whether there was something to delete.
    pub(super) fn delete_if_exists(&self, operation: &Operation) -> Result<bool, Error> {
        match self.run(operation) {
            // What an attempt before the last one may have deleted was there.
            Err(error) if is_gone(&error) => Ok(error.follows_doubt()),
            result => result.map(|()| true),
        }
    }

    /// Those of a call that starts now.
    pub(super) fn limits(&self) -> Limits {
        Limits::until(self.clock.now().deadline(self.timeout))
    }

    fn explain(&self, error: Error, operation: &Operation) -> Error {
        match (error.kind(), error.status()) {
            (ErrorKind::Unconfirmed, _) if !operation.find_out.is_empty() => error.and_advise(operation.find_out),
            (ErrorKind::Refused, Some(403)) if !error.has_advice() => error.advise(self.denied(&operation.permission)),
            _ => error,
        }
    }

    /// The service gives no reason.
    fn denied(&self, permission: &str) -> String {
        let Connection { tenant, identity, .. } = self;
        let permission = match permission {
            "" => "the permission that this needs".to_owned(),
            permission => format!("the permission {permission}"),
        };
        let other = match &self.other_tenant {
            Some(other) => format!(" (its id names {other})"),
            None => String::new(),
        };
        let audience = match &self.other_audience {
            Some(audience) => format!(", and the audience {audience}, which is not the default, {AUDIENCE}"),
            None => String::new(),
        };
        format!(
            "check that {identity} has a role with {permission}, and that it is a client of the tenant {tenant}{other}{audience}"
        )
    }
}

fn is_gone(error: &Error) -> bool {
    error.status() == Some(404)
}

/// Encoded segments, each behind a slash.
pub(super) fn path<'s>(segments: impl IntoIterator<Item = &'s str>) -> String {
    segments.into_iter().map(|segment| format!("/{}", encoded(segment))).collect()
}

/// `name=value`, encoded, for a query.
pub(super) fn pair(name: &str, value: &str) -> String {
    format!("{}={}", encoded(name), encoded(value))
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The content of a success. An empty body is JSON's null, for callers that accept it.
pub(super) fn read<T: DeserializeOwned>(response: &Response, operation: &Operation) -> Result<T, Error> {
    let body = if response.body.is_empty() { b"null" } else { response.body.as_slice() };
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let done = if operation.replay() == Replay::Once { "it was done, but " } else { "" };
        let reason = format!("{done}the response is not what the service documents ({place})");
        Error::new(ErrorKind::Protocol, reason)
            .with_status(response.status)
            .attempting(&*operation.attempted)
            .advise("check the URL of the API; a proxy may respond in its place")
    })
}

/// For a field of a response that may be missing: null counts as absent, as everywhere in responses.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(field: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(field)?.unwrap_or_default())
}

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_of_a_path_is_encoded_by_itself() {
        assert_eq!(
            path(["api", "v1", "a/b", "bu:001", "é ?#%", "a-._~"]),
            "/api/v1/a%2Fb/bu%3A001/%C3%A9%20%3F%23%25/a-._~"
        );
        assert_eq!(pair("search string", "a&b=c+d"), "search%20string=a%26b%3Dc%2Bd");
    }

    #[test]
    fn what_creates_or_changes_in_part_is_sent_once_and_the_rest_may_be_repeated() {
        let replay = |method| Operation::new(method, String::new(), "", String::new()).replay();
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert_eq!(replay(method), Replay::Safe);
        }
        for method in [Method::POST, Method::PATCH] {
            assert_eq!(replay(method), Replay::Once);
        }
    }
}
