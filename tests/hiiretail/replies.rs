//! Responses that are not what the service documents.

use std::fmt::Debug;

use serde_json::{Value, json};
use snowpipe_streaming::hiiretail::{Cause, Iam, Method, NewGroup, ResourceFilter, RoleAssignment};
use snowpipe_streaming::{Error, ErrorKind};

use super::support::Service;

const STRANGE: [&str; 7] = ["", "7", "null", "\"text\"", "[[]]", r#"{"data":[]}"#, r#"[{"name":"A"}]"#];

/// The text of an error about a response that was not understood, which shows nothing of it.
fn strange<T>(body: &str, call: impl FnOnce(&Iam) -> Result<T, Error>) -> String {
    let service = Service::start();
    service.respond(200, body);
    let Err(error) = call(&service.iam()) else { panic!("{body} was understood") };
    assert_eq!(
        (error.kind(), error.status(), Cause::of(&error)),
        (ErrorKind::Protocol, Some(200), Cause::Unknown),
        "{body}"
    );
    assert_eq!(service.api_lines().len(), 1);
    let text = error.to_string();
    assert!(text.contains("the response is not what the service documents (line "), "{text}");
    assert!(!text.contains("Sign in") && !format!("{error:?}").contains("Sign in"), "{text}");
    text
}

#[test]
fn a_response_of_another_shape_is_an_error_that_shows_none_of_it() {
    for body in STRANGE {
        assert!(strange(body, |iam| iam.groups().list().collect::<Result<Vec<_>, _>>()).contains("list the groups"));
        strange(body, |iam| iam.groups().get("g-1"));
        strange(body, |iam| iam.groups().roles("g-1"));
        strange(body, |iam| iam.custom_roles().get("custom.a"));
        strange(body, |iam| iam.permissions().list());
    }
}

#[test]
fn of_what_was_created_the_error_says_that_it_was() {
    let text = strange("\"Sign in\"", |iam| iam.groups().create(&NewGroup::new("A")));
    assert!(text.contains("could not create the group \"A\": it was done, but the response is not"), "{text}");
}

#[test]
fn what_needs_no_content_ignores_it() {
    for body in STRANGE {
        let service = Service::start();
        service.respond(200, body);
        service.iam().groups().delete("g-1").unwrap();
    }
}

#[test]
fn a_page_of_a_proxy_is_no_success() {
    type Call = fn(&Iam) -> Result<(), Error>;
    let calls: [Call; 5] = [
        |iam| iam.groups().list().next().unwrap().map(drop),
        |iam| iam.groups().create(&NewGroup::new("A")).map(drop),
        |iam| iam.groups().delete("g-1"),
        |iam| iam.groups().assign_role("g-1", &RoleAssignment::new("iam.viewer", ["*"])),
        |iam| iam.request(Method::Put, "/api/v1/x").send(),
    ];
    for call in calls {
        let service = Service::start();
        service.respond(200, "<!DOCTYPE html><title>Sign in</title>");
        let error = call(&service.iam()).unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Protocol, Some(200)));
        let text = error.to_string();
        assert!(text.contains(" responded with a page, which the IAM never does (HTTP 200)"), "{text}");
        assert!(text.ends_with("whether a proxy or a gateway responds in place of the IAM"), "{text}");
    }
}

#[test]
fn a_page_of_a_proxy_is_no_denial_of_the_service() {
    for status in [400, 401, 403, 404, 503] {
        let service = Service::start();
        service.respond(status, "<html><title>Blocked</title><body>by <b>policy</b> 7</body></html>");
        service.respond(status, "<html><title>Blocked</title></html>");
        let error = service.iam().groups().get("g-1").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("does not look like the service's: Blocked"), "{text}");
        assert!(!text.contains("permission") && !text.contains('<'), "{text}");
    }
}

#[test]
fn errors_of_every_shape_are_shown() {
    for (body, shown) in [
        (r#"{"statusCode":400,"message":["a","b"]}"#, "a; b (HTTP 400"),
        (r#"{"message":"one"}"#, "one (HTTP 400"),
        (r#"{"error":{"code":"INVALID_REQUEST","message":"two","request_id":"r"}}"#, "two (HTTP 400, INVALID_REQUEST"),
        (r#"{"message":{"x":1}}"#, "refused the request without a reason (HTTP 400"),
        (r#"{"message":[]}"#, "refused the request without a reason (HTTP 400"),
        ("[1,2]", "HTTP 400"),
        ("", "the service refused the request (HTTP 400"),
    ] {
        let service = Service::start();
        service.respond(400, body);
        let error = service.iam().groups().get("g-1").unwrap_err();
        assert!(error.to_string().contains(shown), "{body}: {error}");
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let stated = fields.into_iter().filter(|(_, value)| !value.is_null());
            stated.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The same, whether what is null is null or left out.
fn same<T: Debug>(body: Value, call: impl Fn(&Iam) -> Result<T, Error>) {
    let service = Service::start();
    service.respond(200, &body.to_string()).respond(200, &without_nulls(body.clone()).to_string());
    let iam = service.iam();
    let [null, absent] = [call(&iam), call(&iam)].map(|result| format!("{:?}", result.expect("it is understood")));
    assert_eq!(null, absent, "{body}");
}

#[test]
fn null_counts_as_absent() {
    let group = json!({"id": "g-1", "name": "A", "description": null, "status": null});
    same(group.clone(), |iam| iam.groups().get("g-1"));
    same(json!([group]), |iam| iam.groups().list().collect::<Result<Vec<_>, _>>());
    same(
        json!([{"id": "u-1", "name": null, "email": null, "externalId": null, "externalProviderId": null,
                "userProfileExternalUserId": null, "googleIdentity": null, "scope": null, "standaloneId": null,
                "status": null, "type": null, "userProfileId": null}]),
        |iam| iam.groups().members("g-1"),
    );
    same(json!([{"roleId": "iam.viewer", "isCustom": null, "bindings": null, "fixedBindings": null}]), |iam| {
        iam.groups().roles("g-1")
    });
    same(json!({"id": "custom.a", "name": null, "permissions": null}), |iam| iam.custom_roles().get("custom.a"));
    for attributes in [json!(null), json!({"limit": null, "shift": "day"})] {
        let permission = json!({"id": "pos.receipt.read", "attributes": attributes, "alias": null});
        same(json!({"id": "custom.a", "permissions": [permission]}), |iam| iam.custom_roles().get("custom.a"));
    }
    same(json!({"id": "iam.viewer", "name": null, "permissions": null, "fixedBindings": null}), |iam| {
        iam.roles().get("iam.viewer")
    });
    same(json!([{"id": "pos.receipt.read", "description": null, "alias": null}]), |iam| iam.permissions().list());
    same(json!([{"id": "bu:1", "name": "A", "props": null}]), |iam| iam.resources().list(&ResourceFilter::new()));
}

#[test]
fn null_for_what_must_be_there_is_an_error() {
    strange(r#"{"id":null,"name":"A"}"#, |iam| iam.groups().get("g-1"));
    strange(r#"[{"roleId":null}]"#, |iam| iam.groups().roles("g-1"));
    strange(r#"{"documentId":"m-1","userGroupDocumentId":null}"#, |iam| iam.user_groups("u-1").get("m-1"));
}
