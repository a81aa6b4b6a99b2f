//! The life of a client: registered, authorized, revoked, deleted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Ocms;
use super::clients::{Client, ClientState, new_secret};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::{ANY_LENGTH, Fields};
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

/// Any statement counts as one that approves the client.
pub(crate) fn register(ocms: &Ocms, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["softwareId", "softwareVersion", "tenantId"]);
    let software = fields.text("softwareId", 1..=255).unwrap_or_default();
    let version = fields.text("softwareVersion", 1..=255).unwrap_or_default();
    let tenant = fields.text("tenantId", 1..=255).unwrap_or_default();
    fields.flag("usingGlobalTemplate");
    let claims = fields.any("claims").unwrap_or_default();
    let state = match fields.text("softwareStatement", ANY_LENGTH) {
        Some(_) => ClientState::Authorized,
        None => ClientState::Pending,
    };
    let id = client_id(&claims, &software, &version, &tenant);
    if id.len() > LONGEST_ID {
        fields.mistake(format!("the client id has more than {LONGEST_ID} characters"));
    }
    fields.finish()?;
    let client = Client { id, secret: new_secret(), tenant, state };
    if !ocms.clients.add(client.clone()) {
        return Err(Rejection::taken("client", &client.id));
    }
    Ok(Response::json(201, &json!({"clientId": client.id, "clientSecret": client.secret, "status": state})))
}

pub(crate) fn change_state(ocms: &Ocms, call: &Call<'_>, state: ClientState) -> Outcome {
    let client = of_tenant(ocms, call)?;
    ocms.clients.change(&client.id, |client| client.state = state);
    Ok(Response::empty(204))
}

pub(crate) fn delete(ocms: &Ocms, call: &Call<'_>) -> Outcome {
    let client = of_tenant(ocms, call)?;
    ocms.clients.remove(&client.id);
    Ok(Response::empty(204))
}

fn of_tenant(ocms: &Ocms, call: &Call<'_>) -> Result<Client, Rejection> {
    let client = ocms.clients.find(call.id()).filter(|client| Some(&client.tenant) == call.tenant.as_ref());
    client.ok_or_else(|| Rejection::missing("client", call.id()))
}

/// The id says what was registered: a claim to a line, unpadded base64url.
pub(crate) fn client_id(claims: &Value, software: &str, version: &str, tenant: &str) -> String {
    let mut lines: Vec<_> = claims.as_object().into_iter().flatten().map(claim).collect();
    lines.push(format!("sfw={software}@{version}@{tenant}"));
    lines.push(format!("tid={tenant}"));
    URL_SAFE_NO_PAD.encode(lines.join("\n"))
}

fn claim((name, value): (&String, &Value)) -> String {
    match value {
        Value::String(value) => format!("{name}={value}"),
        other => format!("{name}={other}"),
    }
}

/// The limit that OCMS names.
const LONGEST_ID: usize = 255;
