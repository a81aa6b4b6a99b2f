//! Lists that come in pages.

use super::*;
use crate::error::ErrorKind;
use crate::hiiretail::{Group, ListOptions, Order, ResourceFilter};

const GROUPS: &str = "https://iam.example/api/v1/tenants/my-tenant/groups";

fn page(ids: std::ops::Range<usize>) -> String {
    let items: Vec<_> = ids.map(|id| format!(r#"{{"id":"g-{id}","name":"Group {id}","status":"Created"}}"#)).collect();
    format!("[{}]", items.join(","))
}

fn ids(groups: Vec<Group>) -> String {
    groups.into_iter().map(|group| group.id).collect::<Vec<_>>().join(" ")
}

fn two() -> ListOptions {
    ListOptions::new().page_size(2)
}

#[test]
fn a_page_shorter_than_asked_for_is_the_last() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..2)).respond(201, &page(2..4)).respond(200, &page(4..5));
    let (iam, _) = scripted(&script, builder());
    let groups: Result<Vec<_>, _> = iam.groups().list_with(&two()).collect();
    assert_eq!(ids(groups.unwrap()), "g-0 g-1 g-2 g-3 g-4");
    let expected = [0, 2, 4].map(|offset| format!("GET {GROUPS}?limit=2&offset={offset}"));
    assert_eq!(script.lines()[1..], expected);
}

#[test]
fn a_list_that_ends_with_a_full_page_takes_one_more_request() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..2)).respond(200, "[]");
    let (iam, _) = scripted(&script, builder());
    assert_eq!(iam.groups().list_with(&two()).count(), 2);
    assert_eq!(script.lines().len(), 3);
}

#[test]
fn nothing_is_sent_before_the_first_item_is_asked_for_and_a_page_only_when_it_is_needed() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..2));
    let (iam, _) = scripted(&script, builder());
    let mut groups = iam.groups().list_with(&two());
    assert_eq!(script.lines().len(), 0);
    groups.next().unwrap().unwrap();
    groups.next().unwrap().unwrap();
    assert_eq!(script.lines().len(), 2);
}

#[test]
fn an_error_ends_the_list() {
    let script = Script::default();
    script
        .respond(200, TOKEN)
        .respond(200, &page(0..2))
        .respond(400, r#"{"message":["no"]}"#)
        .respond(200, &page(2..4));
    let (iam, _) = scripted(&script, builder());
    let mut groups = iam.groups().list_with(&two()).skip(2);
    assert_eq!(groups.next().unwrap().unwrap_err().kind(), ErrorKind::Refused);
    assert!(groups.next().is_none() && groups.next().is_none());
    assert_eq!(script.lines().len(), 3);
}

#[test]
fn a_service_that_does_not_turn_the_page_is_noticed() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..2)).respond(200, &page(0..2)).respond(200, &page(0..2));
    let (iam, _) = scripted(&script, builder());
    let results: Vec<_> = iam.groups().list_with(&two()).collect();
    assert_eq!((results.len(), script.lines().len()), (3, 3));
    let error = results.into_iter().next_back().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("the same page twice"), "{error}");
}

#[test]
fn pages_that_come_in_turns_are_an_error_that_says_what_to_do() {
    let script = Script::default();
    script.respond(200, TOKEN);
    for _ in 0..3 {
        script.respond(200, &page(0..2)).respond(200, &page(2..4)).respond(200, &page(4..6));
    }
    let (iam, _) = scripted(&script, builder());
    let error = iam.groups().list_with(&two()).collect::<Result<Vec<_>, _>>().unwrap_err();
    assert_eq!((error.kind(), script.lines().len()), (ErrorKind::Protocol, 5));
    assert!(error.to_string().ends_with("; ask for pages of 1000, or get what you need by its id"), "{error}");
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..1000)).respond(200, &page(0..1000));
    let (iam, _) = scripted(&script, builder());
    let error = iam.groups().list().last().unwrap().unwrap_err();
    assert!(error.to_string().ends_with("; get what you need by its id"), "{error}");
}

#[test]
fn a_service_that_ignores_the_limit_has_returned_everything() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, &page(0..5));
    let (iam, _) = scripted(&script, builder());
    assert_eq!(iam.groups().list_with(&two()).count(), 5);
    assert_eq!(script.lines().len(), 2);
}

#[test]
fn a_search_and_an_order_name_the_field_they_are_about() {
    let options = ListOptions::new().search("Main Street & Co").order(Order::Descending).page_size(50).offset(100);
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, "[]").respond(200, "[]").respond(200, "[]");
    let (iam, _) = scripted(&script, builder());
    assert_eq!(iam.groups().list_with(&options).count(), 0);
    assert_eq!(iam.roles().with_aliases().list_with(&ListOptions::new().order(Order::Ascending)).count(), 0);
    assert_eq!(iam.roles().list().count(), 0);
    let roles = "https://iam.example/api/v1/roles";
    assert_eq!(
        script.lines()[1..],
        [
            format!(
                "GET {GROUPS}?searchString=Main%20Street%20%26%20Co&direction=desc&sortBy=name&limit=50&offset=100"
            ),
            format!("GET {roles}?direction=asc&sortBy=name&returnAliases=true&limit=1000&offset=0"),
            format!("GET {roles}?limit=1000&offset=0"),
        ]
    );
}

fn more(script: &Script, has_more: &str, ids: &[&str]) {
    let items: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}","name":"A"}}"#)).collect();
    script.respond_with(200, &[("x-pagination-has-more", has_more)], &format!("[{}]", items.join(",")));
}

#[test]
fn resources_of_which_the_service_says_that_there_are_more_are_asked_for() {
    let script = Script::default();
    script.respond(200, TOKEN);
    more(&script, "true", &["bu:1", "bu:2"]);
    more(&script, "false", &["bu:3"]);
    let (iam, _) = scripted(&script, builder());
    let all = iam.resources().list(&ResourceFilter::new().of_type("bu")).unwrap();
    assert_eq!(all.iter().map(|resource| resource.id.as_str()).collect::<Vec<_>>(), ["bu:1", "bu:2", "bu:3"]);
    let resources = "https://iam.example/api/v1/tenants/my-tenant/resources";
    assert_eq!(script.lines()[1..], [format!("GET {resources}?type=bu"), format!("GET {resources}?type=bu&skip=2")]);
}

#[test]
fn a_list_of_resources_that_stays_incomplete_is_an_error() {
    for second in [&["bu:1", "bu:2"][..], &[]] {
        let script = Script::default();
        script.respond(200, TOKEN);
        more(&script, "true", &["bu:1", "bu:2"]);
        more(&script, "true", second);
        let (iam, _) = scripted(&script, builder());
        let error = iam.resources().list(&ResourceFilter::new()).unwrap_err();
        assert_eq!((error.kind(), script.lines().len()), (ErrorKind::Protocol, 3));
        assert!(error.to_string().contains("more than the 2 resources it returned"), "{error}");
    }
}

#[test]
fn a_page_size_that_breaks_its_rule_is_the_first_and_only_result() {
    let script = Script::default();
    let (iam, _) = scripted(&script, builder());
    for size in [0, 1001] {
        let results: Vec<_> = iam.groups().list_with(&ListOptions::new().page_size(size)).collect();
        assert_eq!(results.len(), 1);
        assert!(results[0].as_ref().unwrap_err().to_string().contains("could not list the groups: the page size"));
    }
    assert_eq!(iam.custom_roles().list_in_pages(0).count(), 1);
    assert_eq!(script.lines().len(), 0);
}
