use serde_json::{Value, json};
use uuid::Uuid;

use super::collection::Collection;
use super::records::{Tenant, User};
use crate::hiiretail::call::Call;
use crate::hiiretail::fields::{ANY_LENGTH, Fields};
use crate::hiiretail::rejection::{Outcome, Rejection};
use crate::http::response::Response;

/// Only standalone users of the staff can be created.
pub(super) fn create(users: &mut Collection<User>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["email", "type", "scope"]);
    let email = email(&mut fields).unwrap_or_default();
    for (name, only) in [("type", STANDALONE), ("scope", STAFF)] {
        if fields.text(name, ANY_LENGTH).is_some_and(|value| value != only) {
            fields.mistake(format!("{name} must be one of the following values: {only}"));
        }
    }
    let name = fields.text("name", ANY_LENGTH).unwrap_or_default();
    fields.text("password", ANY_LENGTH);
    fields.finish()?;
    if users.iter().any(|user| user.email == email) {
        return Err(Rejection::taken("user with email", &email));
    }
    let user = new_user(name, email);
    let body = json!(user);
    users.add(&user.id.clone(), user)?;
    Ok(Response::json(201, &body))
}

/// Without names and addresses, unless they are asked for of certain users.
pub(super) fn list(users: &Collection<User>, call: &Call<'_>) -> Outcome {
    let (google, external) = (call.parameter("googleUserId"), call.parameter("externalId"));
    let with_names = call.flag("includePii")?;
    if with_names && google.is_none() && external.is_none() {
        return Err(Rejection::invalid("includePii needs googleUserId or externalId"));
    }
    let is_wanted = |user: &&User| {
        google.is_none_or(|id| id == user.google_identity) && external.is_none_or(|id| Some(id) == user.external_id())
    };
    let body = |user: &User| {
        let mut body = json!(user);
        if let Some(fields) = body.as_object_mut().filter(|_| !with_names) {
            fields.retain(|name, _| name != "name" && name != "email");
        }
        body
    };
    Ok(Response::json(200, &users.iter().filter(is_wanted).map(body).collect::<Value>()))
}

pub(super) fn find(users: &Collection<User>, call: &Call<'_>) -> Outcome {
    let (name, email) = (call.parameter("name"), call.parameter("email"));
    let profile = call.parameter("userProfileId");
    if name.or(email).or(profile).is_none() {
        return Err(Rejection::invalid("name, userProfileId or email is needed"));
    }
    let mut found = users.iter().filter(|user| {
        name.is_none_or(|name| name == user.name)
            && email.is_none_or(|email| email == user.email)
            && profile.is_none_or(|profile| profile == user.user_profile_id)
    });
    match (found.next(), found.next()) {
        (None, _) => Err(Rejection::Missing("user not found".to_owned())),
        (Some(user), None) => Ok(Response::json(200, &json!(user))),
        (Some(_), Some(_)) => Err(Rejection::Conflict("more than one user was found".to_owned())),
    }
}

pub(super) fn get(users: &Collection<User>, call: &Call<'_>) -> Outcome {
    Ok(Response::json(200, &json!(users.get(call.id())?)))
}

/// What the body leaves out stays as it is.
pub(super) fn update(users: &mut Collection<User>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    let (name, email) = (fields.text("name", ANY_LENGTH), email(&mut fields));
    let status = match fields.text("status", ANY_LENGTH).as_deref() {
        None => None,
        Some("Active") => Some("Created"),
        Some("Inactive") => Some("Inactive"),
        Some(_) => {
            fields.mistake("status must be one of the following values: Active, Inactive");
            None
        }
    };
    fields.finish()?;
    let user = users.get_mut(call.id())?;
    user.name = name.unwrap_or_else(|| std::mem::take(&mut user.name));
    user.email = email.unwrap_or_else(|| std::mem::take(&mut user.email));
    user.status = status.unwrap_or(user.status);
    Ok(Response::empty(200))
}

/// The user leaves all groups.
pub(super) fn delete(tenant: &mut Tenant, call: &Call<'_>) -> Outcome {
    tenant.users.remove(call.id())?;
    for group in tenant.groups.iter_mut() {
        group.memberships.retain(|membership| membership.user != call.id());
    }
    Ok(Response::empty(204))
}

/// The password is not kept: nobody logs in with it here.
pub(super) fn reset_password(users: &Collection<User>, call: &Call<'_>) -> Outcome {
    let mut fields = Fields::of(call.request)?;
    fields.require(&["newPassword"]);
    fields.text("newPassword", ANY_LENGTH);
    fields.finish()?;
    users.get(call.id())?;
    Ok(Response::empty(204))
}

impl User {
    fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }
}

fn new_user(name: String, email: String) -> User {
    let id = || Uuid::new_v4().simple().to_string();
    User {
        id: id(),
        name,
        email,
        external_id: None,
        external_provider_id: None,
        google_identity: id(),
        scope: STAFF,
        standalone_id: None,
        status: "Created",
        kind: STANDALONE,
        user_profile_id: id(),
    }
}

fn email(fields: &mut Fields) -> Option<String> {
    let email = fields.text("email", ANY_LENGTH)?;
    if email.split_once('@').is_none_or(|(name, host)| name.is_empty() || host.is_empty()) {
        fields.mistake("email must be an email");
    }
    Some(email)
}

const STANDALONE: &str = "Standalone";
const STAFF: &str = "Staff";
