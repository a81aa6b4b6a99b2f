//! The token endpoint: the grant `client_credentials`, as RFC 6749 has it.

use serde_json::json;

use super::Ocms;
use super::clients::ClientState;
use crate::hiiretail::call::Call;
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::request::Parameters;
use crate::http::response::Response;
use crate::identity::oauth_client::basic;

pub(crate) fn token(ocms: &Ocms, call: &Call<'_>) -> Outcome {
    if let Some(retry_after) = ocms.rate_limit.lock().pop_front() {
        return Err(Rejection::RateLimited { retry_after });
    }
    let is_form = call.request.content_type().as_deref() == Some("application/x-www-form-urlencoded");
    let form = std::str::from_utf8(&call.request.body).ok().filter(|_| is_form);
    let form = Parameters::parse(form.ok_or_else(|| invalid_request("A form is expected."))?);
    let client_id = authenticate(ocms, call, &form)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(refuse(400, "unsupported_grant_type", "Only client_credentials is.")),
        None => return Err(invalid_request("grant_type is missing.")),
    }
    let scopes = form.get("scope").unwrap_or_default();
    if scopes.split_whitespace().any(|scope| !is_known(scope)) {
        return Err(refuse(403, "invalid_scope", "The client may not ask for this scope."));
    }
    let token = ocms.tokens.issue(&client_id, form.get("audience"), scopes, call.now_ms);
    let token = token.map_err(|_| refuse(500, "server_error", "The token cannot be signed."))?;
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": ocms.tokens.lifetime_seconds(),
        "scope": scopes,
    });
    Ok(Response::json(200, &body).with_header("Cache-Control", "no-store").with_header("Pragma", "no-cache"))
}

/// The client that the request authenticates as, by header or by form, and never by both.
fn authenticate(ocms: &Ocms, call: &Call<'_>, form: &Parameters) -> Result<String, Rejection> {
    let in_form = form.get("client_id").zip(form.get("client_secret"));
    let (id, secret) = match (call.request.header("authorization"), in_form) {
        (Some(_), _) if form.get("client_secret").is_some() => {
            return Err(invalid_request("The client authenticates in two ways at once."));
        }
        (Some(header), _) => basic(header).ok_or_else(|| invalid_client("not HTTP Basic"))?,
        (None, Some((id, secret))) => (id.to_owned(), secret.to_owned()),
        (None, None) => return Err(invalid_client("no credentials")),
    };
    match ocms.clients.find(&id) {
        None => Err(invalid_client("unknown client")),
        Some(client) if client.secret != secret => Err(invalid_client("wrong secret")),
        Some(client) if client.state == ClientState::Pending => Err(invalid_client("the client is Pending")),
        Some(client) if client.state == ClientState::Revoked => Err(invalid_client("the client is Revoked")),
        Some(client) => Ok(client.id),
    }
}

/// Those that Hii Retail's own clients have been seen to ask for.
fn is_known(scope: &str) -> bool {
    let scope = scope.to_ascii_lowercase();
    ["iam:", "iam.", "hiiretail:"].iter().any(|start| scope.starts_with(start))
}

/// The response is the same whatever the reason: a client cannot tell a wrong secret from a missing authorization.
fn invalid_client(reason: &str) -> Rejection {
    Rejection::Oauth {
        status: 401,
        error: "invalid_client",
        description: "Client authentication failed.",
        reason: reason.to_owned(),
    }
}

fn invalid_request(description: &'static str) -> Rejection {
    refuse(400, "invalid_request", description)
}

fn refuse(status: u16, error: &'static str, description: &'static str) -> Rejection {
    Rejection::Oauth { status, error, description, reason: format!("{error}: {description}") }
}
