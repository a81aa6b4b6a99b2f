//! Calls that the typed client lacks.

use serde_json::{Value, json};
use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::hiiretail::{Cause, Method};

use super::support::Service;

#[test]
fn a_path_is_filled_with_the_tenant_and_with_encoded_values() {
    let service = Service::start();
    service
        .respond(200, r#"[{"id":"u-1"}]"#)
        .respond(200, r#"{"id":"u?1"}"#)
        .respond(204, "")
        .respond(204, "")
        .respond(201, "7");
    let iam = service.iam();
    let users: Value =
        iam.request(Method::Get, "/api/v1/tenants/{tenant}/users").query("includePii", "a&b").send().unwrap();
    assert_eq!(users, json!([{"id": "u-1"}]));
    let get = iam.request(Method::Get, "/api/v1/tenants/{tenant}/users/{id}").set("id", "u?1");
    assert_eq!(get.send::<Value>().unwrap()["id"], "u?1");
    iam.request(Method::Delete, "/api/v2/tenants/{tenant}/users/{id}").set("id", "é").send::<()>().unwrap();
    let put =
        iam.request(Method::Put, "/api/v2/tenants/{tenant}/users/u-1/password").body(&json!({"newPassword": "x"}));
    assert_eq!(put.send::<Value>().unwrap(), Value::Null);
    let find = iam.request(Method::Patch, "/api/v1/tenants/{tenant}/users:find").query("a b", "c").query("d", "");
    assert_eq!(find.send::<u8>().unwrap(), 7);
    assert_eq!(
        service.api_lines(),
        [
            "GET /api/v1/tenants/my-tenant/users?includePii=a%26b",
            "GET /api/v1/tenants/my-tenant/users/u%3F1",
            "DELETE /api/v2/tenants/my-tenant/users/%C3%A9",
            "PUT /api/v2/tenants/my-tenant/users/u-1/password",
            "PATCH /api/v1/tenants/my-tenant/users:find?a%20b=c&d=",
        ]
    );
    let sent = service.sent();
    let put = &sent[5];
    assert_eq!((put.body.as_str(), put.header("content-type")), (r#"{"newPassword":"x"}"#, Some("application/json")));
    assert!(sent[2..].iter().all(|request| request.header("x-tenant-id") == Some("my-tenant")));
}

#[test]
fn a_value_without_a_place_in_the_path_is_refused() {
    let service = Service::start();
    for (path, name) in [("/api/v1/users/7", "id"), ("/api/v1/tenants/{tenant}/users", "tenant")] {
        let error = service.iam().request(Method::Get, path).set(name, "7").send::<()>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(&format!("the path has no {{{name}}} for which")), "{error}");
    }
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn a_path_that_could_lead_elsewhere_is_refused() {
    let service = Service::start();
    let iam = service.iam();
    for path in [
        "",
        "api/v1/roles",
        "//evil.example/x",
        "https://evil.example/x",
        "/api/../x",
        "/api/./x",
        "/api/%2e%2E/x",
        "/api/.%2e",
        "/api/x%2F..",
        "/api/..%2fx",
        "/api/v1/roles?limit=1",
        "/api/v1/roles#x",
        "/api/v1/a b",
        "/api/v1/\r\nX: y",
        "/api\\v1",
        "/api/v1/{id}",
    ] {
        let error = iam.request(Method::Get, path).send::<Value>().unwrap_err();
        assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Config, Cause::Configuration), "{path:?}");
        assert!(error.to_string().contains("nothing was sent"), "{error}");
    }
    for value in ["", ".", "..", "a/b", "../x", "a\tb"] {
        assert!(iam.request(Method::Get, "/api/v1/roles/{id}").set("id", value).send::<Value>().is_err(), "{value:?}");
    }
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn errors_are_those_of_the_typed_calls() {
    let service = Service::start();
    service
        .respond(403, "")
        .respond(500, r#"{"message":"Internal Server Error"}"#)
        .respond(500, "")
        .respond(200, "<html>");
    let iam = service.iam();
    let call = |method| iam.request(method, "/api/v1/tenants/{tenant}/users").send::<Value>().unwrap_err();
    let denied = call(Method::Get);
    assert_eq!(denied.kind(), ErrorKind::Refused);
    let text = denied.to_string();
    assert!(text.starts_with("could not send GET /api/v1/tenants/{tenant}/users: "), "{text}");
    assert!(text.contains("the permission that this needs"), "{text}");
    assert_eq!(call(Method::Post).kind(), ErrorKind::Unconfirmed, "creating is not repeated");
    assert_eq!(call(Method::Delete).kind(), ErrorKind::Unavailable);
    assert_eq!(call(Method::Get).kind(), ErrorKind::Protocol);
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let service = Service::start();
    let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = service.iam().request(Method::Post, "/api/v1/x").body(&odd).send::<Value>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(service.lines().len(), 0);
}

#[test]
fn a_slash_in_a_segment_is_sent_where_the_path_itself_has_it_encoded() {
    let service = Service::start();
    service.iam().request(Method::Get, "/api/v1/x/a%2Fb").send::<Value>().unwrap();
    assert_eq!(service.api_lines(), ["GET /api/v1/x/a%2Fb"]);
}
