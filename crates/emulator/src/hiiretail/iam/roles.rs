//! Built-in roles, which belong to no tenant.

use serde_json::{Value, json};

use super::collection::Collection;
use super::ids;
use super::records::{Permission, Role};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::Fields;
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

pub(super) fn create(roles: &mut Collection<Role>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["id", "permissions"]);
    let id = fields.text("id", 1..=255).unwrap_or_default();
    if !ids::is_role(&id) {
        fields.mistake("id must match the documented pattern");
    }
    let name = fields.text("name", 3..=256);
    let permissions = permissions(&mut fields).unwrap_or_default();
    let fixed_bindings = fields.texts("fixedBindings");
    fields.finish()?;
    let role = Role { id: id.clone(), name, permissions, fixed_bindings };
    let body = json!(role);
    roles.add(&id, role)?;
    Ok(Response::json(201, &body))
}

pub(super) fn list(roles: &Collection<Role>, known: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    let page = call.sorted_page(roles.iter().collect(), |role| role.name.as_deref().unwrap_or_default())?;
    let page: Vec<_> = page.into_iter().map(|role| body(role, known, call)).collect::<Result<_, _>>()?;
    Ok(Response::json(200, &json!(page)))
}

pub(super) fn get(roles: &Collection<Role>, known: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_role)?;
    Ok(Response::json(200, &body(roles.get(call.id())?, known, call)?))
}

/// What the body leaves out stays as it is.
pub(super) fn update(roles: &mut Collection<Role>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_role)?;
    let mut fields = Fields::of(call.request)?;
    let name = fields.text("name", 3..=256);
    let permissions = permissions(&mut fields);
    let fixed_bindings = fields.texts("fixedBindings");
    fields.finish()?;
    let role = roles.get_mut(call.id())?;
    role.name = name.or_else(|| role.name.take());
    role.permissions = permissions.unwrap_or_else(|| std::mem::take(&mut role.permissions));
    role.fixed_bindings = fixed_bindings.or_else(|| role.fixed_bindings.take());
    Ok(Response::empty(204))
}

fn permissions(fields: &mut Fields) -> Option<Vec<String>> {
    let permissions = fields.texts("permissions")?;
    if !permissions.iter().all(|id| ids::is_permission(id)) {
        fields.mistake("each value in permissions must match the documented pattern");
    }
    Some(permissions)
}

/// With `returnAliases` the aliases stand in the place of the permissions' ids, where there are any.
fn body(role: &Role, known: &Collection<Permission>, call: &Call<'_>) -> Result<Value, Rejection> {
    let mut role = role.clone();
    if call.flag("returnAliases")? {
        for id in &mut role.permissions {
            let alias = known.find(id).and_then(|permission| permission.alias.clone());
            *id = alias.unwrap_or_else(|| std::mem::take(id));
        }
    }
    Ok(json!(role))
}
