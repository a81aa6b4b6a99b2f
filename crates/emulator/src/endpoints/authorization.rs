//! The embedded authorization server: discovery, its public keys, and access tokens for its client.

use std::io;

use serde_json::json;

use crate::http::request::{Parameters, Request};
use crate::http::response::Response;
use crate::service::Service;

pub(crate) fn discover(service: &Service) -> Response {
    let issuer = service.credentials.access.issuer();
    let body = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
    });
    Response::json(200, &body)
}

pub(crate) fn keys(service: &Service) -> Response {
    match service.credentials.access.published_keys() {
        Ok(keys) => Response::json(200, &keys),
        Err(why) => unable(&why),
    }
}

/// Answers in the form of RFC 6749, errors included.
pub(crate) fn token(service: &Service, request: &Request, now_ms: i64) -> Response {
    let is_form = request.content_type().as_deref() == Some("application/x-www-form-urlencoded");
    let form = std::str::from_utf8(&request.body).ok().filter(|_| is_form);
    let Some(form) = form.map(Parameters::parse) else {
        return error(400, "invalid_request", "A form is expected.");
    };
    let credentials = &service.credentials;
    if !credentials.client.is_proven_by(request, &form) {
        let refused = error(401, "invalid_client", "Unknown client, or wrong secret.");
        return refused.with_header("WWW-Authenticate", "Basic realm=\"emulator\"");
    }
    if form.get("grant_type") != Some("client_credentials") {
        return error(400, "unsupported_grant_type", "Only client_credentials is.");
    }
    let scope = form.get("scope");
    let token = match credentials.access.issue(credentials.user(), scope.unwrap_or_default(), now_ms) {
        Ok(token) => token,
        Err(why) => return unable(&why),
    };
    let mut body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": credentials.access.lifetime_seconds(),
    });
    if let Some(scope) = scope {
        body["scope"] = scope.into();
    }
    Response::json(200, &body).with_header("Cache-Control", "no-store").with_header("Pragma", "no-cache")
}

/// There is no key, as when the state folder cannot be written.
fn unable(why: &io::Error) -> Response {
    error(500, "server_error", &why.to_string())
}

fn error(status: u16, error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    Response::json(status, &body).with_header("Cache-Control", "no-store")
}
