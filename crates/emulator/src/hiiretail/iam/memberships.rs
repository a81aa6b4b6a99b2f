//! Users in groups: as lists of a group's users, and as a user's links to groups.

use serde_json::{Value, json};
use uuid::Uuid;

use super::records::{Group, Membership, Tenant};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::Fields;
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

pub(super) fn users_of_group(tenant: &Tenant, call: &Call<'_>) -> Outcome {
    let memberships = &tenant.groups.get(call.id())?.memberships;
    let users: Vec<_> = memberships.iter().filter_map(|membership| tenant.users.find(&membership.user)).collect();
    Ok(Response::json(200, &json!(users)))
}

/// A user who is in the group already keeps the link: no 409 is documented.
pub(super) fn join(tenant: &mut Tenant, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["userGroupDocumentId"]);
    let group = fields.text("userGroupDocumentId", 1..=255).unwrap_or_default();
    let id = fields.text("documentId", 1..=255);
    fields.finish()?;
    let user = tenant.users.get(call.id())?.id.clone();
    let group = tenant.groups.get_mut(&group)?;
    if !group.memberships.iter().any(|membership| membership.user == user) {
        let id = id.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        group.memberships.push(Membership { id, user });
    }
    let link = group.memberships.iter().find(|membership| membership.user == call.id());
    Ok(Response::json(201, &json!(link.map(|membership| body(group, membership)))))
}

pub(super) fn list(tenant: &Tenant, call: &Call<'_>) -> Outcome {
    tenant.users.get(call.id())?;
    Ok(Response::json(200, &links(tenant, call).map(|(group, link)| body(group, link)).collect::<Value>()))
}

pub(super) fn get(tenant: &Tenant, call: &Call<'_>) -> Outcome {
    let (group, link) =
        links(tenant, call).find(|(_, link)| link.id == call.second_id()).ok_or_else(|| absent(call))?;
    Ok(Response::json(200, &body(group, link)))
}

pub(super) fn leave(tenant: &mut Tenant, call: &Call<'_>) -> Outcome {
    let is_it = |membership: &Membership| membership.user == call.id() && membership.id == call.second_id();
    let group = tenant.groups.iter_mut().find(|group| group.memberships.iter().any(is_it));
    group.ok_or_else(|| absent(call))?.memberships.retain(|membership| !is_it(membership));
    Ok(Response::empty(204))
}

/// The groups of a user, with the user's place in each.
fn links<'t>(tenant: &'t Tenant, call: &'t Call<'_>) -> impl Iterator<Item = (&'t Group, &'t Membership)> {
    let pairs = tenant.groups.iter().flat_map(|group| group.memberships.iter().map(move |link| (group, link)));
    pairs.filter(|(_, link)| link.user == call.id())
}

fn body(group: &Group, membership: &Membership) -> Value {
    json!({"documentId": membership.id, "userGroupDocumentId": group.id})
}

fn absent(call: &Call<'_>) -> Rejection {
    Rejection::missing("group link", call.second_id())
}
