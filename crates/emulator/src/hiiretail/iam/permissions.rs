use serde_json::json;

use super::collection::Collection;
use super::ids;
use super::records::Permission;
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::{ANY_LENGTH, Fields};
use crate::hiiretail::rejection::Outcome;
use crate::http::response::Response;

pub(super) fn create(permissions: &mut Collection<Permission>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["id"]);
    let id = fields.text("id", 1..=255).unwrap_or_default();
    if !ids::is_permission(&id) {
        fields.mistake("id must match the documented pattern");
    }
    let (description, alias) = (fields.text("description", ANY_LENGTH), fields.text("alias", 0..=256));
    fields.finish()?;
    let permission = Permission { id: id.clone(), description, alias };
    let body = json!(permission);
    permissions.add(&id, permission)?;
    Ok(Response::json(201, &body))
}

/// All of them: no paging is documented.
pub(super) fn list(permissions: &Collection<Permission>) -> Outcome {
    Ok(Response::json(200, &json!(permissions.iter().collect::<Vec<_>>())))
}

pub(super) fn get(permissions: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_permission)?;
    Ok(Response::json(200, &json!(permissions.get(call.id())?)))
}

/// What the body leaves out stays as it is.
pub(super) fn update(permissions: &mut Collection<Permission>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_permission)?;
    let mut fields = Fields::of(call.request)?;
    let (description, alias) = (fields.text("description", ANY_LENGTH), fields.text("alias", 0..=256));
    fields.finish()?;
    let permission = permissions.get_mut(call.id())?;
    permission.description = description.or_else(|| permission.description.take());
    permission.alias = alias.or_else(|| permission.alias.take());
    Ok(Response::empty(204))
}
