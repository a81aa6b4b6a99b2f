//! What goes wrong on purpose.

use std::time::Duration;

use snowpipe_emulator::Fault;
use snowpipe_emulator::hiiretail::Operation;

use super::{GRANT, anonymous, ask, logged_in, service};
use crate::support::request::Request;

const GROUPS: &str = "/api/v1/tenants/t/groups";

#[test]
fn a_fault_happens_at_its_operation_as_often_as_it_says() {
    let service = service();
    let client = logged_in(&service);
    let body = r#"{"statusCode":500,"message":"Internal Server Error"}"#;
    service.inject(Fault::status(Operation::ListGroups, 500).body(body).times(2));
    assert_eq!(client.send(Request::get("/api/v1/roles")).status, 200, "another operation");
    for _ in 0..2 {
        let failed = client.send(Request::get(GROUPS));
        assert_eq!((failed.status, failed.text()), (500, body));
    }
    assert_eq!(client.send(Request::get(GROUPS)).status, 200);
    let page = "<html><title>Sign in</title></html>";
    service.inject(Fault::status(Operation::Token, 200).body(page).header("Content-Type", "text/html"));
    let html = ask(&service, "id", "secret", GRANT);
    assert_eq!((html.header("content-type"), html.text()), (Some("text/html"), page));
}

#[test]
fn a_connection_is_lost_before_or_after_the_request_is_carried_out() {
    let service = service();
    let client = logged_in(&service);
    let create = |name: &str| client.try_send(Request::post(GROUPS).json(format!(r#"{{"name":"{name}"}}"#)));
    let count = || client.send(Request::get(GROUPS)).json().as_array().unwrap().len();
    service.inject(Fault::drop_connection(Operation::CreateGroup));
    assert!(create("a").is_none());
    assert_eq!(count(), 0);
    service.inject(Fault::lose_reply(Operation::CreateGroup));
    assert!(create("a").is_none());
    assert_eq!(count(), 1);
    service.inject(Fault::truncate(Operation::CreateGroup));
    assert!(create("b").is_none());
    assert_eq!(count(), 2);
    service.inject(Fault::delay(Operation::CreateGroup, Duration::from_millis(1)));
    assert_eq!(create("c").unwrap().status, 201);
    let statuses: Vec<_> = service.requests().iter().map(|request| request.status).collect();
    let (token, read) = (Some(200), Some(200));
    assert_eq!(statuses, [token, None, read, None, read, Some(201), read, Some(201)]);
}

#[test]
fn faults_that_are_left_can_be_removed() {
    let service = service();
    service.inject(Fault::status(Operation::Discovery, 503).times(9));
    let discover = || anonymous(&service).send(Request::get("/.well-known/openid-configuration")).status;
    assert_eq!(discover(), 503);
    service.clear_faults();
    assert_eq!(discover(), 200);
}

#[test]
#[should_panic(expected = "status 99")]
fn a_fault_that_is_no_http_is_refused() {
    service().inject(Fault::status(Operation::Token, 99));
}
