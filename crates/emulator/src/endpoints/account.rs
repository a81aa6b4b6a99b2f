//! The account host: the name of the ingest host, a scoped token for it, and telemetry.

use serde_json::json;

use crate::http::request::{Parameters, Request};
use crate::http::response::Response;
use crate::identity::credentials::{Login, Method};
use crate::refusal::Refusal;
use crate::service::{HOST, Service};

pub(super) fn hostname(service: &Service, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    service.credentials.login(request, now_ms)?;
    let form = service.forms.lock().words;
    Ok(form.response("hostname", HOST))
}

/// The official SDK sends telemetry and logs errors when it cannot, so it is accepted and ignored.
pub(super) fn telemetry(service: &Service, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    service.credentials.login(request, now_ms)?;
    let body = json!({"code": null, "data": "Log Received", "message": null, "success": true});
    Ok(Response::json(200, &body))
}

/// Exchanges an account credential for a scoped token.
pub(super) fn exchange(service: &Service, request: &Request, now_ms: i64) -> Result<Response, Refusal> {
    if request.content_type().as_deref() != Some("application/x-www-form-urlencoded") {
        return Err(Refusal::new(
            415,
            "ERR_UNSUPPORTED_MEDIA_TYPE",
            "Content-Type must be application/x-www-form-urlencoded.",
        ));
    }
    let form = std::str::from_utf8(&request.body)
        .map(Parameters::parse)
        .map_err(|_| Refusal::malformed("The form is not UTF-8."))?;
    let login = log_in(service, request, &form, now_ms)?;
    let role = requested_role(form.get("scope"))?.or(login.role);
    let user = service.credentials.user();
    let token = service.credentials.scoped.issue(user, HOST, role, now_ms);
    let form = service.forms.lock().words;
    Ok(form.response("token", &token))
}

/// Checks the credential, which is the bearer or in the form. Each kind of credential has its own grant.
fn log_in(service: &Service, request: &Request, form: &Parameters, now_ms: i64) -> Result<Login, Refusal> {
    let credentials = &service.credentials;
    let method = match (form.get("grant_type"), form.get("subject_token_type")) {
        (Some(JWT_BEARER), _) => Method::KeyPair,
        (Some(TOKEN_EXCHANGE), Some(PROGRAMMATIC)) => Method::ProgrammaticAccessToken,
        (Some(TOKEN_EXCHANGE), Some(ACCESS)) => Method::AccessToken,
        _ => return Err(unsupported_grant()),
    };
    let field = if method == Method::KeyPair { "assertion" } else { "subject_token" };
    // The header decides. What the form has counts only without one.
    let login = match form.get(field).filter(|_| request.bearer().is_none()) {
        Some(token) => credentials.verify(method, token, now_ms)?,
        None => credentials.login(request, now_ms)?,
    };
    // A bearer has a kind of its own, which the grant has to fit.
    if login.method == method { Ok(login) } else { Err(unsupported_grant()) }
}

fn unsupported_grant() -> Refusal {
    Refusal::new(
        400,
        "unsupported_grant_type",
        format!(
            "grant_type must be {JWT_BEARER} for a key pair, or {TOKEN_EXCHANGE} with a subject_token_type of {PROGRAMMATIC} \
             or {ACCESS} for such a token."
        ),
    )
}

/// Reads the role from `<host>`, `<host> session:role:<ROLE>` or `session:role:<ROLE>`.
fn requested_role(scope: Option<&str>) -> Result<Option<String>, Refusal> {
    let mut role = None;
    let mut named = false;
    for part in scope.unwrap_or_default().split_whitespace() {
        named = true;
        let wanted = part.strip_prefix(ROLE_SCOPE);
        if wanted.is_some_and(|name| !name.is_empty()) && role.is_none() {
            role = Some(part.to_owned());
        } else if !part.eq_ignore_ascii_case(HOST) {
            return Err(invalid_scope(part));
        }
    }
    if named { Ok(role) } else { Err(invalid_scope("")) }
}

fn invalid_scope(part: &str) -> Refusal {
    Refusal::new(400, "invalid_scope", format!("The scope {part:?} is not known; expected {HOST:?}."))
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const PROGRAMMATIC: &str = "programmatic_access_token";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ROLE_SCOPE: &str = "session:role:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_this_host_and_perhaps_a_role() {
        let role = |scope: &str| requested_role(Some(scope)).map_err(|refusal| refusal.status);
        assert_eq!(role("127.0.0.1"), Ok(None));
        let named = Some("session:role:R".to_owned());
        assert_eq!(role("127.0.0.1 session:role:R"), Ok(named.clone()));
        assert_eq!(role("session:role:R"), Ok(named));
        for wrong in ["", "other", "127.0.0.1:80", "127.0.0.1 session:role:", "127.0.0.1 x"] {
            assert_eq!(role(wrong), Err(400), "{wrong}");
        }
        assert!(requested_role(None).is_err());
    }
}
