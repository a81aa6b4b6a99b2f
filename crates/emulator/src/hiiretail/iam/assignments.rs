//! Roles of groups: assigned and listed in v2 of the API, unassigned in v1.

use serde_json::{Value, json};

use super::collection::Collection;
use super::ids;
use super::records::{Assignment, Group, Role, Tenant};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::Fields;
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

/// No 404 is documented for it, so an unknown group or role is an invalid request.
pub(super) fn assign(tenant: &mut Tenant, roles: &Collection<Role>, call: &Call<'_>, reads_left: u32) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["roleId", "bindings"]);
    let role_id = fields.text("roleId", 1..=255).unwrap_or_default();
    let is_custom = fields.flag("isCustom").unwrap_or_default();
    let bindings = bindings(&mut fields);
    fields.finish()?;
    let is_known = match is_custom {
        true => tenant.custom_roles.find(&role_id).is_some(),
        false => roles.find(&role_id).is_some(),
    };
    if !is_known {
        let kind = if is_custom { "custom role" } else { "role" };
        return Err(Rejection::invalid(format!("{kind} {role_id} does not exist")));
    }
    let group = tenant.groups.get_mut(call.id());
    let group = group.map_err(|_| Rejection::invalid(format!("group {} does not exist", call.id())))?;
    if group.assignments.iter().any(|known| known.role_id == role_id && known.is_custom == is_custom) {
        return Err(Rejection::taken("role binding", &role_id));
    }
    group.assignments.push(Assignment { role_id, is_custom, bindings, reads_left });
    Ok(Response::empty(200))
}

/// A new assignment is not in the list until it was read often enough.
pub(super) fn list(groups: &mut Collection<Group>, roles: &Collection<Role>, call: &Call<'_>) -> Outcome {
    let mut list = Vec::new();
    for assignment in &mut groups.get_mut(call.id())?.assignments {
        if assignment.reads_left == 0 {
            list.push(with_fixed_bindings(assignment, roles));
        }
        assignment.reads_left = assignment.reads_left.saturating_sub(1);
    }
    Ok(Response::json(200, &json!(list)))
}

pub(super) fn replace_bindings(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["bindings"]);
    let bindings = bindings(&mut fields);
    fields.finish()?;
    let (group, place) = find(groups, call)?;
    group.assignments[place].bindings = bindings;
    Ok(Response::empty(200))
}

pub(super) fn unassign(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    let (group, place) = find(groups, call)?;
    group.assignments.remove(place);
    Ok(Response::empty(204))
}

/// The group, and the place of the assignment that the path and `isCustom` name.
fn find<'g>(groups: &'g mut Collection<Group>, call: &Call<'_>) -> Result<(&'g mut Group, usize), Rejection> {
    let is_custom = call.flag("isCustom")?;
    let group = groups.get_mut(call.id())?;
    let is_it = |known: &Assignment| known.role_id == call.second_id() && known.is_custom == is_custom;
    let place = group.assignments.iter().position(is_it);
    place.map(|place| (group, place)).ok_or_else(|| Rejection::missing("role binding", call.second_id()))
}

fn bindings(fields: &mut Fields) -> Vec<String> {
    let bindings = fields.texts("bindings").unwrap_or_default();
    if bindings.len() > MOST_BINDINGS {
        fields.mistake(format!("bindings must contain no more than {MOST_BINDINGS} elements"));
    }
    if !bindings.iter().all(|binding| ids::is_binding(binding)) {
        fields.mistake("each value in bindings must be * or a resource such as bu:001");
    }
    bindings
}

/// Those of a built-in role come with it.
fn with_fixed_bindings(assignment: &Assignment, roles: &Collection<Role>) -> Value {
    let mut body = json!(assignment);
    let role = roles.find(&assignment.role_id).filter(|_| !assignment.is_custom);
    if let Some(fixed) = role.and_then(|role| role.fixed_bindings.as_ref()) {
        body["fixedBindings"] = json!(fixed);
    }
    body
}

/// As documented.
const MOST_BINDINGS: usize = 10;
