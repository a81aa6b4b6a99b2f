//! The documented patterns of ids, and the texts that go with a breach.

use crate::hiiretail::rejection::Rejection;

/// `^[a-z][-a-z]{2}\.[a-z][-a-z]{1,15}\.[a-z][-a-z]{1,15}$`
pub(super) fn is_permission(id: &str) -> bool {
    let parts: Vec<_> = id.split('.').collect();
    matches!(parts[..], [system, resource, action]
        if is_part(system, 3, 3) && is_part(resource, 2, 16) && is_part(action, 2, 16))
}

/// `^[a-z][-a-z]{2}\.[a-z][-a-z]{1,29}$`
pub(super) fn is_role(id: &str) -> bool {
    id.split_once('.').is_some_and(|(system, role)| is_part(system, 3, 3) && is_part(role, 2, 30))
}

/// `custom.` and a name: the form is known from an example only.
pub(super) fn is_custom_role(id: &str) -> bool {
    id.strip_prefix("custom.").is_some_and(|name| !name.is_empty() && !name.contains('/')) && id.len() <= 255
}

/// `^(?!\.\.?$)(?!.*__.*__)([^/]{1,1500})$`
pub(super) fn is_resource(id: &str) -> bool {
    let has_reserved_form = id.split_once("__").is_some_and(|(_, rest)| rest.contains("__"));
    let is_short = (1..=1500).contains(&id.chars().count());
    is_short && !has_reserved_form && !id.contains('/') && !matches!(id, "." | "..")
}

/// `*`, or a resource with its type, such as `bu:001`.
pub(super) fn is_binding(text: &str) -> bool {
    text == "*" || text.split_once(':').is_some_and(|(kind, id)| !kind.is_empty() && !id.is_empty())
}

pub(super) fn check(id: &str, rule: fn(&str) -> bool) -> Result<(), Rejection> {
    if rule(id) { Ok(()) } else { Err(Rejection::invalid("id must match the documented pattern")) }
}

fn is_part(part: &str, least: usize, most: usize) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c == '-';
    (least..=most).contains(&part.len()) && !part.starts_with('-') && part.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_their_patterns() {
        for good in ["iam.group.create", "pos.a-.bb", "a--.aaaaaaaaaaaaaaaa.aa"] {
            assert!(is_permission(good), "{good}");
        }
        for bad in ["iam.group", "iamm.group.get", "iam.g.get", "-am.group.get", "Iam.group.get", "iam.group.get.x", ""]
        {
            assert!(!is_permission(bad), "{bad}");
        }
        assert!(is_role("iam.admin") && !is_role("custom.admin") && !is_role("iam.a"));
        assert!(is_custom_role("custom.r") && !is_custom_role("r") && !is_custom_role("custom."));
        for good in ["bu:001", "a__b", "...", "é"] {
            assert!(is_resource(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a__b__", "____", &"x".repeat(1501)] {
            assert!(!is_resource(bad), "{bad}");
        }
        assert!(is_binding("*") && is_binding("bu:001") && !is_binding("bu:") && !is_binding("001"));
    }
}
