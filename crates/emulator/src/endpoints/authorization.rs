//! The embedded authorization server: its metadata, its public key, and access tokens for its client.

use std::io;

use serde_json::json;

use crate::http::request::{Parameters, Request};
use crate::http::response::Response;
use crate::service::Service;

pub(super) fn metadata(service: &Service) -> Response {
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

pub(super) fn jwks(service: &Service) -> Response {
    match service.credentials.access.jwks() {
        Ok(keys) => Response::json(200, &keys),
        Err(error) => server_error(&error),
    }
}

/// Responds in the form of RFC 6749, errors included.
pub(super) fn token(service: &Service, request: &Request, now_ms: i64) -> Response {
    let is_form = request.content_type().as_deref() == Some("application/x-www-form-urlencoded");
    let form = std::str::from_utf8(&request.body).ok().filter(|_| is_form);
    let Some(form) = form.map(Parameters::parse) else {
        return refuse(400, "invalid_request", "A form is expected.");
    };
    let credentials = &service.credentials;
    if !credentials.oauth_client.authenticates(request, &form) {
        let refused = refuse(401, "invalid_client", "Unknown client, or wrong secret.");
        return refused.with_header("WWW-Authenticate", "Basic realm=\"emulator\"");
    }
    if form.get("grant_type") != Some("client_credentials") {
        return refuse(400, "unsupported_grant_type", "Only client_credentials is.");
    }
    let scope = form.get("scope");
    let token = match credentials.access.issue(credentials.user(), scope.unwrap_or_default(), now_ms) {
        Ok(token) => token,
        Err(error) => return server_error(&error),
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

/// There is no signing key, for example because the state folder cannot be written.
fn server_error(error: &io::Error) -> Response {
    refuse(500, "server_error", &error.to_string())
}

fn refuse(status: u16, error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    Response::json(status, &body).with_header("Cache-Control", "no-store")
}
