//! What ids, names and settings must be like: checked before anything is sent, as pure functions.
//!
//! The rules are those of the IAM's OpenAPI document, and, for the client's own settings, of the founding plan. What they leave
//! open and this client refuses nevertheless is named as its own rule.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{Error, ErrorKind, looks_secret, shown};

/// Plans of Hii Retail's own tools allow the underscore or leave it out; in a path and in a header it means itself.
pub(super) fn tenant_id(id: &str) -> Result<(), Error> {
    setting_id("tenant id", id)
}

/// As OCMS makes them: base64url without padding.
pub(super) fn client_id(id: &str) -> Result<(), Error> {
    setting_id("client id", id)
}

fn setting_id(what: &str, id: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_good = has_length(id, 1..=MAX_ID) && id.bytes().all(is_allowed);
    verdict(is_good, what, id, "1 to 255 letters, digits, hyphens and underscores", SETTINGS)
}

/// Without one, the IAM refuses every token.
pub(super) fn audience(audience: &str) -> Result<(), Error> {
    verdict(!audience.trim().is_empty(), "audience", audience, "a text that is not blank", OWN)
}

/// Says nothing of the secret itself.
pub(super) fn client_secret(secret: &str) -> Result<(), Error> {
    if secret.contains(['\n', '\r']) {
        let reason = "the client secret has a line break in it, and nothing but one line end of a file is taken off";
        return Err(Error::new(ErrorKind::Config, reason)
            .advise("give the secret alone, on one line and without white space; nothing was sent"));
    }
    if has_length(secret, SECRET_LENGTH) {
        return Ok(());
    }
    let reason = format!("the client secret is not valid: it must have 8 to 1024 characters ({SETTINGS})");
    Err(Error::new(ErrorKind::Config, reason).advise("give the secret that OCMS issued; nothing was sent"))
}

pub(super) fn timeout(timeout: Duration) -> Result<(), Error> {
    let is_good = (MIN_TIMEOUT..=MAX_TIMEOUT).contains(&timeout);
    verdict(is_good, "timeout", &format!("{} s", timeout.as_secs_f64()), "1 to 300 seconds", SETTINGS)
}

pub(super) fn max_retries(retries: u32) -> Result<(), Error> {
    verdict(retries <= MAX_RETRIES, "number of retries", &retries.to_string(), "0 to 10", SETTINGS)
}

pub(super) fn page_size(size: u32) -> Result<(), Error> {
    let demand = "1 to 1000";
    verdict((1..=MAX_PAGE).contains(&size), "page size", &size.to_string(), demand, DEFAULT_PAGE)
}

pub(super) fn group_name(name: &str) -> Result<(), Error> {
    verdict(!name.is_empty(), "name of the group", name, "1 to 255 characters", OWN)?;
    verdict(has_length(name, 0..=MAX_TEXT), "name of the group", name, "at most 255 characters", DOCUMENT)
}

pub(super) fn group_description(text: &str) -> Result<(), Error> {
    verdict(has_length(text, 0..=MAX_TEXT), "description of the group", text, "at most 255 characters", DOCUMENT)
}

pub(super) fn role_name(name: &str) -> Result<(), Error> {
    verdict(has_length(name, ROLE_NAME_LENGTH), "name of the role", name, "3 to 256 characters", DOCUMENT)
}

pub(super) fn alias(alias: &str) -> Result<(), Error> {
    verdict(has_length(alias, 0..=MAX_ALIAS), "alias of the permission", alias, "at most 256 characters", DOCUMENT)
}

/// An id without a documented form: any that can be one segment of a path.
pub(super) fn path_id(what: &str, id: &str) -> Result<(), Error> {
    let demand = "one segment of a path: not empty, not . or .., no / and no control characters";
    verdict(is_segment(id), what, id, demand, OWN_OF_PATHS)
}

/// Whether servers and gateways leave it as it is when it comes percent-encoded: many decode `%2F`, and resolve dots.
pub(super) fn is_segment(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && !id.contains('/') && !id.contains(char::is_control)
}

pub(super) fn permission_id(id: &str) -> Result<(), Error> {
    let parts: Vec<_> = id.split('.').collect();
    let is_good = match parts[..] {
        [system, resource, action] => {
            is_word(system, 3..=3) && is_word(resource, PERMISSION_PART) && is_word(action, PERMISSION_PART)
        }
        _ => false,
    };
    let demand = "three parts with dots between them, such as pos.receipt.read: 3, 2 to 16 and 2 to 16 lower-case letters \
                  or hyphens, none beginning with a hyphen";
    verdict(is_good, "permission id", id, demand, DOCUMENT)
}

pub(super) fn built_in_role_id(id: &str) -> Result<(), Error> {
    let demand = "two parts with a dot between them, such as iam.viewer: 3 and 2 to 30 lower-case letters or hyphens, none \
                  beginning with a hyphen";
    verdict(!is_custom(id), "id of the built-in role", id, demand, DOCUMENT)
}

/// Of a role to create. The service shows the form by an example, and demands none.
pub(super) fn new_custom_role_id(id: &str) -> Result<(), Error> {
    let demand = "custom. and a name with no / and no control characters, such as custom.cashier";
    verdict(is_named_custom(id), "id of the custom role", id, demand, OWN_OF_EXAMPLE)
}

/// Of a role to assign, of either sort. The service documents neither a form nor an error for a role that does not exist.
pub(super) fn assigned_role_id(id: &str) -> Result<(), Error> {
    let demand = "custom. and a name with no / and no control characters, such as custom.cashier, or that of a built-in role, \
                  such as iam.viewer";
    verdict(!is_custom(id) || is_named_custom(id), "role id", id, demand, OWN_OF_EXAMPLE)
}

/// Built-in roles have a documented form; what has another is a custom role.
pub(super) fn is_custom(role_id: &str) -> bool {
    !role_id.split_once('.').is_some_and(|(system, role)| is_word(system, 3..=3) && is_word(role, 2..=30))
}

fn is_named_custom(id: &str) -> bool {
    id.strip_prefix("custom.").is_some_and(|name| !name.is_empty()) && is_segment(id)
}

pub(super) fn resource_id(id: &str) -> Result<(), Error> {
    verdict(is_resource(id), "resource id", id, RESOURCE, DOCUMENT)?;
    verdict(!id.contains(char::is_control), "resource id", id, "without control characters", OWN)
}

/// At most ten of them (documented), each a resource or all (of which there are examples).
pub(super) fn bindings(bindings: &[String]) -> Result<(), Error> {
    let count = bindings.len();
    verdict(count <= MAX_BINDINGS, "number of bindings", &count.to_string(), "at most 10", DOCUMENT)?;
    let each = bindings.iter().filter(|binding| *binding != "*");
    each.into_iter().try_for_each(|binding| {
        let demand = format!("* for everything, or a resource id: {RESOURCE}");
        verdict(is_resource(binding) && !binding.contains(char::is_control), "binding", binding, &demand, OWN)
    })
}

/// Those of the cash registers have a limit of their own.
pub(super) fn permission_count<'p>(ids: impl Iterator<Item = &'p str>) -> Result<(), Error> {
    let (pos, others): (Vec<_>, Vec<_>) = ids.partition(|id| id.starts_with("pos."));
    let demand = "at most 100 permissions, and at most 500 of pos besides";
    let shown = format!("{} and {} of pos", others.len(), pos.len());
    verdict(others.len() <= MAX_PERMISSIONS && pos.len() <= MAX_POS, "number of permissions", &shown, demand, DOCUMENT)
}

pub(super) fn attributes<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Error> {
    let pairs: Vec<_> = pairs.collect();
    let count = pairs.len();
    let demand = "at most 10";
    verdict(count <= MAX_ATTRIBUTES, "number of attributes of a permission", &count.to_string(), demand, DOCUMENT)?;
    pairs.into_iter().try_for_each(|(key, value)| {
        verdict(!key.is_empty(), "key of the attribute", key, "1 to 40 characters", OWN)?;
        verdict(has_length(key, 0..=MAX_KEY), "key of the attribute", key, "at most 40 characters", DOCUMENT)?;
        verdict(has_length(value, 0..=MAX_VALUE), "value of the attribute", value, "at most 256 characters", DOCUMENT)
    })
}

fn is_resource(id: &str) -> bool {
    let is_reserved = id.match_indices("__").next().is_some_and(|(at, _)| id[at + 2..].contains("__"));
    has_length(id, 1..=MAX_RESOURCE) && !matches!(id, "." | "..") && !id.contains('/') && !is_reserved
}

fn is_word(text: &str, length: RangeInclusive<usize>) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    has_length(text, length) && text.bytes().all(is_allowed) && !text.starts_with('-')
}

fn has_length(text: &str, length: RangeInclusive<usize>) -> bool {
    // Bytes bound the characters, so that counting ends soon.
    text.len() <= length.end() * 4 && length.contains(&text.chars().count())
}

fn verdict(is_good: bool, what: &str, value: &str, demand: &str, source: &str) -> Result<(), Error> {
    if is_good {
        return Ok(());
    }
    let value = match value.trim() {
        // A setting may have got the value of another.
        secret if source == SETTINGS && looks_secret(secret) => shown(secret),
        // Space around it may be what is wrong.
        _ => format!("{:?}", value.chars().take(MAX_SHOWN).collect::<String>()),
    };
    let reason = format!("the {what} {value} is not valid: it must be {demand} ({source})");
    Err(Error::new(ErrorKind::Config, reason).advise("correct it; nothing was sent"))
}

const DOCUMENT: &str = "by the IAM's OpenAPI document";
const DEFAULT_PAGE: &str = "by the default of the IAM, which documents no larger page";
const SETTINGS: &str = "by the limits of the client's settings";
const OWN: &str = "a rule of this client, where the IAM documents none";
const OWN_OF_PATHS: &str = "a rule of this client, as servers and gateways resolve the others";
const OWN_OF_EXAMPLE: &str = "a rule of this client, after the example in the IAM's OpenAPI document";
const RESOURCE: &str = "1 to 1500 characters without /, not . or .., and without two pairs of underscores";

/// OCMS puts the registered claims into it, and cuts there.
const MAX_ID: usize = 255;
/// OCMS issues 64 hexadecimal digits; the plan allows for others.
const SECRET_LENGTH: RangeInclusive<usize> = 8..=1024;
/// Less does not cover a login and a request.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// A person or a job waits no longer for one call.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// More attempts than that are a second call.
const MAX_RETRIES: u32 = 10;
/// The service's default. It documents no largest page; a longer one that it cut short would look like the last.
pub(super) const MAX_PAGE: u32 = 1000;
/// Of a group's name and of its description.
const MAX_TEXT: usize = 255;
const ROLE_NAME_LENGTH: RangeInclusive<usize> = 3..=256;
/// Of the alias of a permission.
const MAX_ALIAS: usize = 256;
const PERMISSION_PART: RangeInclusive<usize> = 2..=16;
/// That of a document's name in the service's database.
const MAX_RESOURCE: usize = 1500;
/// For each role of a group.
const MAX_BINDINGS: usize = 10;
/// Of a custom role, those of cash registers excepted.
const MAX_PERMISSIONS: usize = 100;
/// Permissions of cash registers are many and fine.
const MAX_POS: usize = 500;
/// Of each permission in a custom role.
const MAX_ATTRIBUTES: usize = 10;
/// Of an attribute.
const MAX_KEY: usize = 40;
/// Of an attribute.
const MAX_VALUE: usize = 256;
/// Enough to recognise what was given.
const MAX_SHOWN: usize = 60;

#[cfg(test)]
mod tests;
