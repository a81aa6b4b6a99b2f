use serde_json::{Value, json};

use super::collection::Collection;
use super::ids;
use super::records::{CustomRole, GrantedPermission, Permission, Tenant};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::Fields;
use crate::hiiretail::rejection::Outcome;
use crate::http::response::Response;

pub(super) fn create(tenant: &mut Tenant, permissions: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["id", "permissions"]);
    let id = fields.text("id", 1..=255).unwrap_or_default();
    if !ids::is_custom_role(&id) {
        fields.mistake("id must have the form custom.<name>");
    }
    let name = fields.text("name", 3..=256);
    let granted = granted(&mut fields).unwrap_or_default();
    fields.finish()?;
    let role = CustomRole { id: id.clone(), name, permissions: granted };
    let body = with_aliases(&role, permissions);
    tenant.custom_roles.add(&id, role)?;
    Ok(Response::json(201, &body))
}

/// The documented status is 201.
pub(super) fn list(tenant: &Tenant, permissions: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    let page = call.page(tenant.custom_roles.iter().collect())?;
    let page: Vec<_> = page.into_iter().map(|role| with_aliases(role, permissions)).collect();
    Ok(Response::json(201, &json!(page)))
}

pub(super) fn get(tenant: &Tenant, permissions: &Collection<Permission>, call: &Call<'_>) -> Outcome {
    Ok(Response::json(200, &with_aliases(tenant.custom_roles.get(call.id())?, permissions)))
}

/// What the body leaves out stays as it is.
pub(super) fn update(tenant: &mut Tenant, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    let (name, granted) = (fields.text("name", 3..=256), granted(&mut fields));
    fields.finish()?;
    let role = tenant.custom_roles.get_mut(call.id())?;
    role.name = name.or_else(|| role.name.take());
    role.permissions = granted.unwrap_or_else(|| std::mem::take(&mut role.permissions));
    Ok(Response::empty(204))
}

/// No 404 is documented for it. Groups lose the role.
pub(super) fn delete(tenant: &mut Tenant, call: &Call<'_>) -> Outcome {
    let _ = tenant.custom_roles.remove(call.id());
    for group in tenant.groups.iter_mut() {
        group.assignments.retain(|assignment| !assignment.is_custom || assignment.role_id != call.id());
    }
    Ok(Response::empty(204))
}

/// The permissions of a body, with a text for each rule that one of them breaks.
fn granted(fields: &mut Fields) -> Option<Vec<GrantedPermission>> {
    let mut granted = Vec::new();
    for value in fields.array("permissions")? {
        match serde_json::from_value::<GrantedPermission>(value) {
            Ok(permission) => granted.push(permission),
            Err(error) => fields.mistake(format!("permissions: {error}")),
        }
    }
    for permission in &granted {
        if !ids::is_permission(&permission.id) {
            fields.mistake(format!("permissions: id {} must match the documented pattern", permission.id));
        }
        if !permission.attributes.iter().all(|attributes| {
            let is_short = |(key, value): (&String, &String)| key.chars().count() <= 40 && value.chars().count() <= 256;
            attributes.len() <= 10 && attributes.iter().all(is_short)
        }) {
            fields.mistake("attributes must be an object with up to 10 keys of 40 characters and values of 256");
        }
    }
    let (pos, others): (Vec<_>, Vec<_>) = granted.iter().partition(|permission| permission.id.starts_with("pos."));
    if others.len() > MOST_PERMISSIONS || pos.len() > MOST_POS_PERMISSIONS {
        fields.mistake(format!(
            "permissions must contain no more than {MOST_PERMISSIONS} elements, and {MOST_POS_PERMISSIONS} of pos"
        ));
    }
    Some(granted)
}

/// As responses have it: with the alias of each permission that has one.
fn with_aliases(role: &CustomRole, permissions: &Collection<Permission>) -> Value {
    let mut body = json!(role);
    for granted in body["permissions"].as_array_mut().into_iter().flatten() {
        let id = granted["id"].as_str().unwrap_or_default();
        if let Some(alias) = permissions.find(id).and_then(|permission| permission.alias.clone()) {
            granted["alias"] = alias.into();
        }
    }
    body
}

/// As documented.
const MOST_PERMISSIONS: usize = 100;
/// As documented.
const MOST_POS_PERMISSIONS: usize = 500;
