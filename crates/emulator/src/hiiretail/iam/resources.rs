use serde_json::json;

use super::collection::Collection;
use super::ids;
use super::records::Resource;
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::{ANY_LENGTH, Fields};
use crate::hiiretail::rejection::Outcome;
use crate::http::response::Response;

/// Creates or replaces, and the status says which.
pub(super) fn set(resources: &mut Collection<Resource>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_resource)?;
    let mut fields = Fields::of(call.request)?;
    fields.require(&["name"]);
    let name = fields.text("name", ANY_LENGTH).unwrap_or_default();
    let props = fields.any("props");
    fields.finish()?;
    let resource = Resource { id: call.id().to_owned(), name, props };
    let body = json!(resource);
    let status = if resources.set(call.id(), resource).is_some() { 200 } else { 201 };
    Ok(Response::json(status, &body))
}

pub(super) fn get(resources: &Collection<Resource>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_resource)?;
    Ok(Response::json(200, &json!(resources.get(call.id())?)))
}

pub(super) fn delete(resources: &mut Collection<Resource>, call: &Call<'_>) -> Outcome {
    ids::check(call.id(), ids::is_resource)?;
    resources.remove(call.id())?;
    Ok(Response::empty(204))
}

/// Those of one type, which is what stands before the first colon, or all. No paging is documented, and yet the response
/// has the headers of a page: what is beyond the largest page is asked for by `skip`, as it is for tenants.
pub(super) fn list(resources: &Collection<Resource>, call: &Call<'_>, largest_page: usize) -> Outcome {
    if let Some(permission) = call.parameter("permission") {
        ids::check(permission, ids::is_permission)?;
    }
    let wanted = call.parameter("type");
    let is_wanted = |resource: &&Resource| wanted.is_none_or(|kind| resource.id.split(':').next() == Some(kind));
    let list: Vec<_> = resources.iter().filter(is_wanted).collect();
    let (total, skipped) = (list.len(), call.number("skip", 0)?);
    let page: Vec<_> = list.into_iter().skip(skipped).take(largest_page).collect();
    let has_more = skipped.saturating_add(page.len()) < total;
    Ok(Response::json(200, &json!(page))
        .with_header("X-Pagination-Total", &total.to_string())
        .with_header("X-Pagination-Skip", &skipped.to_string())
        .with_header("X-Pagination-Take", &largest_page.min(total).to_string())
        .with_header("X-Pagination-Has-More", &has_more.to_string()))
}
