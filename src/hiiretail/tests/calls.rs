//! One call: its token, its repetitions, its end.

use super::*;
use crate::error::ErrorKind;
use crate::hiiretail::{Cause, NewGroup, ResourceFilter, RoleAssignment};
use crate::http::Stage;

const API: &str = "https://iam.example/api/v1/tenants/my-tenant";

#[test]
fn a_creation_is_sent_once_when_it_may_have_been_applied_and_the_error_says_how_to_find_out() {
    let script = Script::default();
    script.respond(200, TOKEN).fail(Stage::Receiving).respond(201, r#"{"id":"g-1","name":"Staff"}"#);
    let (iam, _) = scripted(&script, builder());
    let error = iam.groups().create(&NewGroup::new("Staff")).unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.is_retryable()), (ErrorKind::Unconfirmed, 1, false));
    assert_eq!(script.lines()[1..], [format!("POST {API}/groups")]);
    let text = error.to_string();
    assert!(text.contains("could not create the group \"Staff\"") && text.contains("Groups::list_with"), "{text}");
}

#[test]
fn an_assignment_is_not_repeated_after_a_failure_of_the_server() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(500, r#"{"statusCode":500,"message":"Internal Server Error"}"#);
    let (iam, _) = scripted(&script, builder());
    let error = iam.groups().assign_role("g-1", &RoleAssignment::new("custom.a", ["*"])).unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), Cause::of(&error)),
        (ErrorKind::Unconfirmed, Some(500), Cause::ServerError)
    );
    assert!(
        error.to_string().contains("Internal Server Error") && error.to_string().contains("Groups::roles"),
        "{error}"
    );
    assert_eq!(script.lines().len(), 2);
}

#[test]
fn what_was_not_sent_or_not_taken_is_repeated_also_when_it_creates() {
    let script = Script::default();
    script.respond(200, TOKEN).fail(Stage::Connecting).respond(429, "").respond(201, r#"{"id":"g-1","name":"Staff"}"#);
    let (iam, _) = scripted(&script, builder());
    assert_eq!(iam.groups().create(&NewGroup::new("Staff")).unwrap().id, "g-1");
    assert_eq!(script.lines().len(), 4);
}

#[test]
fn a_creation_with_a_refused_token_is_sent_once_more() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(401, "").respond(200, ANOTHER).respond(201, r#"{"id":"g-1","name":"Staff"}"#);
    let (iam, _) = scripted(&script, builder());
    assert_eq!(iam.groups().create(&NewGroup::new("Staff")).unwrap().id, "g-1");
    let bearers = script.sent().into_iter().filter_map(|sent| sent.headers.get("authorization").cloned());
    let bearers: Vec<_> = bearers.filter(|bearer| !bearer.as_bytes().starts_with(b"Basic")).collect();
    assert_eq!(bearers, ["Bearer token-1", "Bearer token-2"]);
}

#[test]
fn reading_replacing_and_deleting_are_repeated_three_times_by_default() {
    for (retries, requests) in [(None, 4), (Some(0), 1), (Some(10), 11)] {
        let script = Script::default();
        script.respond(200, TOKEN);
        for _ in 0..20 {
            script.respond(503, "");
        }
        let builder = retries.map_or(builder(), |retries| builder().max_retries(retries));
        let (iam, _) = scripted(&script, builder.timeout(Duration::from_secs(300)));
        let error = iam.groups().delete("g-1").unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, requests));
        assert_eq!(script.lines().len(), 1 + requests as usize);
        assert_eq!(Cause::of(&error).code(), "server_error");
    }
}

#[test]
fn what_is_gone_when_its_deletion_is_repeated_was_deleted() {
    let script = Script::default();
    script.respond(200, TOKEN).fail(Stage::Receiving).respond(404, "{}").fail(Stage::Receiving).respond(404, "{}");
    script.respond(404, "{}").respond(404, "{}");
    let (iam, _) = scripted(&script, builder());
    iam.resources().delete("bu:001").unwrap();
    assert!(iam.resources().delete_if_exists("bu:001").unwrap());
    assert!(!iam.resources().delete_if_exists("bu:001").unwrap());
    assert_eq!(iam.resources().delete("bu:001").unwrap_err().status(), Some(404));
}

#[test]
fn what_no_attempt_can_have_deleted_was_not_there() {
    const GONE: &str = r#"{"statusCode":404,"message":"gone","error":"Not Found"}"#;
    let script = Script::default();
    script.respond(200, TOKEN).respond(401, "").respond(200, ANOTHER).respond(404, GONE);
    let (iam, _) = scripted(&script, builder());
    let error = iam.resources().delete("bu:001").unwrap_err();
    assert_eq!((error.status(), error.attempts()), (Some(404), 2));
    let script = Script::default();
    script.respond(200, TOKEN).respond(429, "").respond(404, GONE);
    let (iam, _) = scripted(&script, builder());
    assert!(!iam.resources().delete_if_exists("bu:001").unwrap());
    let script = Script::default();
    script.respond(200, TOKEN).respond(404, "").respond(404, "").respond(404, "").respond(404, "");
    let (iam, _) = scripted(&script, builder());
    assert!(!iam.resources().delete_if_exists("bu:001").unwrap(), "four empty responses say that it was never there");
}

#[test]
fn a_denied_list_names_the_permission_that_its_filter_asks_for() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(403, "");
    let (iam, _) = scripted(&script, builder());
    let error = iam.resources().list(&ResourceFilter::new().permitting("pos.receipt.read")).unwrap_err();
    assert!(error.to_string().contains("the permission iam.resource.list and pos.receipt.read"), "{error}");
}

#[test]
fn the_token_request_has_the_same_bounds() {
    let script = Script::default();
    for _ in 0..20 {
        script.respond(503, "");
    }
    let (iam, _) = scripted(&script, builder().max_retries(2));
    let error = iam.groups().get("g-1").unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, 3));
    assert_eq!(script.lines(), vec!["POST https://auth.example/oauth2/token"; 3]);
}

#[test]
fn the_timeout_bounds_token_request_and_repetitions_together() {
    let script = Script::default();
    script.hang().respond(200, TOKEN).hang().hang().hang().hang();
    let (iam, clock) = scripted(&script, builder().timeout(Duration::from_secs(90)));
    let began = clock.now();
    let error = iam.groups().get("g-1").unwrap_err();
    assert_eq!((error.kind(), seconds(&clock, began)), (ErrorKind::Timeout, 90));
}

#[test]
fn a_delay_in_the_body_of_a_refused_token_request_is_kept() {
    let script = Script::default();
    script.respond(429, r#"{"error":"rate_limited","retry_after":7}"#).respond(200, TOKEN).respond(200, "[]");
    let (iam, clock) = scripted(&script, builder());
    assert_eq!(iam.user_groups("u-1").list().unwrap(), []);
    assert_eq!(clock.slept(), [Duration::from_secs(7)]);
}

#[test]
fn a_longer_delay_than_the_call_may_take_is_reported() {
    let script = Script::default();
    script.respond(429, r#"{"error":"rate_limited","retry_after":70}"#);
    let (iam, clock) = scripted(&script, builder());
    let error = iam.user_groups("u-1").list().unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Throttled, Some(Duration::from_secs(70))));
    assert_eq!((clock.slept().len(), Cause::of(&error)), (0, Cause::RateLimit));
}
