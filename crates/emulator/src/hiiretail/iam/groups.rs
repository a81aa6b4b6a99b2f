use serde_json::{Value, json};
use uuid::Uuid;

use super::collection::Collection;
use super::records::Group;
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::Fields;
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

pub(super) fn create(groups: &mut Collection<Group>, call: &Call<'_>, reads_left: u32) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["name"]);
    let name = fields.text("name", 1..=255).unwrap_or_default();
    let description = fields.text("description", 0..=255);
    let id = fields.text("id", 1..=255).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    fields.finish()?;
    refuse_taken_name(groups, &name, &id)?;
    let group = Group {
        id: id.clone(),
        name,
        description,
        status: "Creating",
        reads_left,
        assignments: Vec::new(),
        memberships: Vec::new(),
    };
    let body = json!(group);
    groups.add(&id, group)?;
    Ok(Response::json(201, &body))
}

pub(super) fn list(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    let page = call.sorted_page(groups.iter_mut().collect(), |group| group.name.as_str())?;
    let page: Vec<_> = page.into_iter().map(read).collect();
    Ok(Response::json(200, &json!(page)))
}

pub(super) fn get(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    Ok(Response::json(200, &read(groups.get_mut(call.id())?)))
}

/// What the body leaves out stays as it is.
pub(super) fn update(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    let (name, description) = (fields.text("name", 1..=255), fields.text("description", 0..=255));
    fields.finish()?;
    groups.get(call.id())?;
    if let Some(name) = &name {
        refuse_taken_name(groups, name, call.id())?;
    }
    let group = groups.get_mut(call.id())?;
    group.name = name.unwrap_or_else(|| std::mem::take(&mut group.name));
    group.description = description.or_else(|| group.description.take());
    Ok(Response::empty(204))
}

/// No 404 is documented for it.
pub(super) fn delete(groups: &mut Collection<Group>, call: &Call<'_>) -> Outcome {
    let _ = groups.remove(call.id());
    Ok(Response::empty(204))
}

/// Each read brings a new group nearer to its final status.
fn read(group: &mut Group) -> Value {
    if group.reads_left == 0 {
        group.status = "Created";
    }
    group.reads_left = group.reads_left.saturating_sub(1);
    json!(group)
}

fn refuse_taken_name(groups: &Collection<Group>, name: &str, own_id: &str) -> Result<(), Rejection> {
    let is_taken = groups.iter().any(|group| group.name == name && group.id != own_id);
    if is_taken { Err(Rejection::taken("group with name", name)) } else { Ok(()) }
}
