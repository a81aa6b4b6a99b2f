use ::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, ErrorKind};
use crate::http::{Failure, Response, page};
use crate::secret::Secret;
use crate::session::{Dialect, Problem, bearer, by_status};

/// The IAM: a plain bearer API whose requests also name the tenant.
#[derive(Debug)]
pub(super) struct HiiRetailDialect {
    tenant: HeaderValue,
}

impl HiiRetailDialect {
    pub(super) fn new(tenant: &str) -> Result<HiiRetailDialect, Error> {
        let tenant = HeaderValue::from_str(tenant)
            .map_err(|_| Error::new(ErrorKind::Config, "the tenant id cannot be sent in a header"))?;
        Ok(HiiRetailDialect { tenant })
    }
}

impl Dialect for HiiRetailDialect {
    fn authorize(&self, token: &Secret) -> Result<HeaderMap, Failure> {
        let mut headers = bearer(token)?;
        headers.insert(TENANT, self.tenant.clone());
        Ok(headers)
    }

    /// A page is of a proxy or a gateway: the request may never have reached the IAM.
    fn hidden_failure(&self, response: &Response) -> Option<Error> {
        let is_page = page::is_page(&String::from_utf8_lossy(&response.body));
        let reason = || format!("{} responded with a page, which the IAM never does", response.route);
        is_page.then(|| {
            Error::new(ErrorKind::Protocol, reason()).with_status(response.status).advise(self.stranger_advice())
        })
    }

    fn meaning(&self, status: u16, _code: &str) -> (ErrorKind, &'static str) {
        match status {
            // Where the token is good, what is missing is a grant. The call adds which.
            403 => (ErrorKind::Refused, ""),
            404 => (ErrorKind::Refused, "check the ids: it does not exist, or not in this tenant"),
            409 => {
                (ErrorKind::Refused, "look at what is there; it exists already, or something else stands against it")
            }
            400 => (ErrorKind::Refused, "correct what the service names; repeating it will not help"),
            _ => by_status(status),
        }
    }

    /// The IAM sends JSON or nothing; a proxy or a gateway a page.
    fn is_own(&self, response: &Response, problem: &Problem) -> bool {
        response.body.is_empty() || problem.is_of_an_api()
    }

    fn stranger_advice(&self) -> &'static str {
        "check the environment, and whether a proxy or a gateway responds in place of the IAM"
    }

    fn unreachable_advice(&self) -> &'static str {
        "check the network, and the environment that was chosen"
    }
}

const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_token_and_tenant_and_nothing_else() {
        let headers = HiiRetailDialect::new("my-tenant").unwrap().authorize(&"abc".into()).unwrap();
        assert_eq!(
            (headers.len(), &headers["authorization"], &headers["x-tenant-id"]),
            (2, &"Bearer abc".parse().unwrap(), &"my-tenant".parse().unwrap())
        );
        assert!(headers["authorization"].is_sensitive());
    }
}
