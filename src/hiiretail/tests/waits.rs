//! Waiting for a role that was assigned.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::hiiretail::{AssignedRole, Cause};
use crate::http::Stage;

const ROLES: &str = "https://iam.example/api/v2/tenants/my-tenant/groups/g-1/roles";
const SHOWN: &str = r#"[{"roleId":"custom.a","isCustom":true,"bindings":["*"]}]"#;
const NO_GROUP: &str = r#"{"statusCode":404,"message":"group g-1 not found","error":"Not Found"}"#;

/// The wait of so many seconds, and how many it took.
fn awaited(script: &Script, wait: u64) -> (Result<AssignedRole, Error>, u64, Arc<FakeClock>) {
    let (iam, clock) = scripted(script, builder());
    iam.token().unwrap();
    let began = clock.now();
    let result = iam.groups().wait_for_role("g-1", "custom.a", Duration::from_secs(wait));
    (result, seconds(&clock, began), clock)
}

fn times(script: &Script, count: usize, status: u16, body: &str) {
    (0..count).for_each(|_| _ = script.respond(status, body));
}

#[test]
fn a_role_is_awaited_with_growing_pauses() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, "[]").respond(200, "[]").respond(200, "[]");
    script.respond(
        200,
        r#"[{"roleId":"iam.viewer","bindings":[]},{"roleId":"custom.a","isCustom":true,"bindings":["*"]}]"#,
    );
    let (iam, clock) = scripted(&script, builder());
    let role = iam.groups().wait_for_role("g-1", "custom.a", Duration::from_secs(10)).unwrap();
    assert_eq!((role.bindings, role.is_custom), (vec!["*".to_owned()], true));
    assert_eq!(clock.slept(), [100, 200, 400].map(Duration::from_millis));
    assert_eq!(script.lines()[1..], vec![format!("GET {ROLES}"); 4]);
}

#[test]
fn a_role_that_does_not_come_ends_the_wait_in_time() {
    let script = Script::default();
    script.respond(200, TOKEN);
    for _ in 0..20 {
        script.respond(200, "[]");
    }
    let (iam, clock) = scripted(&script, builder());
    let began = clock.now();
    let error = iam.groups().wait_for_role("g-1", "custom.a", Duration::from_secs(5)).unwrap_err();
    assert_eq!((error.kind(), seconds(&clock, began)), (ErrorKind::Timeout, 5));
    assert_eq!(clock.slept().last(), Some(&Duration::ZERO), "it looks once more when the time is over");
    let text = error.to_string();
    assert!(
        text.starts_with("could not see the role \"custom.a\" of the group \"g-1\": the service did not show it"),
        "{text}"
    );
}

#[test]
fn a_wait_of_no_time_looks_once() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(200, "[]").respond(200, "[]");
    let (iam, _) = scripted(&script, builder());
    let error = iam.groups().wait_for_role("g-1", "custom.a", Duration::ZERO).unwrap_err();
    assert_eq!((error.kind(), script.lines().len()), (ErrorKind::Timeout, 2));
}

#[test]
fn a_wait_goes_on_while_the_group_is_not_known_yet_or_the_service_fails() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(404, NO_GROUP).respond(404, NO_GROUP);
    // More than one look repeats.
    times(&script, 5, 503, "");
    times(&script, 5, 429, "");
    (0..5).for_each(|_| _ = script.fail(Stage::Connecting));
    // As long as one look may take.
    script.hang().hang().respond(200, "[]").respond(200, SHOWN);
    let (result, _, _) = awaited(&script, 200);
    assert_eq!(result.unwrap().bindings, ["*"]);
    assert_eq!(script.lines()[1..], vec![format!("GET {ROLES}"); 21]);
}

#[test]
fn a_wait_that_ends_with_a_failure_returns_that_failure() {
    for (status, body, kind, cause) in [
        (404, NO_GROUP, ErrorKind::Refused, Cause::Configuration),
        (503, "", ErrorKind::Unavailable, Cause::ServerError),
        (429, "", ErrorKind::Throttled, Cause::RateLimit),
    ] {
        let script = Script::default();
        script.respond(200, TOKEN).respond(200, "[]");
        times(&script, 100, status, body);
        let (result, seconds, _) = awaited(&script, 5);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.status(), Cause::of(&error)), (kind, Some(status), cause), "{error}");
        // The last look has a second of its own.
        assert!((5..=6).contains(&seconds), "{status}: {seconds} s");
        let text = error.to_string();
        assert!(text.starts_with("could not see the role \"custom.a\" of the group \"g-1\": "), "{text}");
        assert!(text.ends_with("; this ended the wait of 5 s"), "{text}");
    }
}

#[test]
fn a_failure_before_the_last_look_is_forgotten() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(404, NO_GROUP);
    times(&script, 20, 200, "[]");
    let error = awaited(&script, 5).0.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Timeout, None));
}

#[test]
fn what_waiting_cannot_mend_ends_the_wait_at_once() {
    for (status, body) in [(403, ""), (400, r#"{"message":["no"]}"#), (200, "{}")] {
        let script = Script::default();
        script.respond(200, TOKEN).respond(status, body).respond(200, SHOWN);
        let (result, seconds, _) = awaited(&script, 60);
        assert_eq!((result.unwrap_err().status(), seconds), (Some(status), 0));
    }
}

#[test]
fn a_delay_that_the_service_asks_for_is_kept_or_ends_the_wait() {
    for (timeout, wait, shown) in [(30, 60, true), (300, 39, false), (30, 39, false)] {
        let script = Script::default();
        script.respond(200, TOKEN).respond_with(429, &[("retry-after", "40")], "").respond(200, SHOWN);
        let (iam, clock) = scripted(&script, builder().timeout(Duration::from_secs(timeout)));
        iam.token().unwrap();
        let result = iam.groups().wait_for_role("g-1", "custom.a", Duration::from_secs(wait));
        assert_eq!(result.is_ok(), shown);
        assert_eq!(clock.slept(), if shown { vec![Duration::from_secs(40)] } else { vec![] });
        if let Err(error) = result {
            assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Throttled, Some(Duration::from_secs(40))));
        }
    }
}
