//! Resources, such as business units.

use serde_json::json;

use super::{assert_empty, assert_error, logged_in, service};
use crate::support::request::Request;

const RESOURCES: &str = "/api/v1/tenants/t/resources";

#[test]
fn a_resource_is_created_replaced_read_and_deleted() {
    let service = service();
    let client = logged_in(&service);
    let path = format!("{RESOURCES}/bu:001");
    let set = |body: &str| {
        let response = client.send(Request::put(&path).json(body));
        (response.status, response.json())
    };
    let expected = json!({"id": "bu:001", "name": "Store 1", "props": {"city": "Oslo"}});
    assert_eq!(set(r#"{"name":"Store 1","props":{"city":"Oslo"}}"#), (201, expected));
    assert_eq!(set(r#"{"name":"Store 1","props":null}"#).1, json!({"id": "bu:001", "name": "Store 1", "props": null}));
    let expected = json!({"id": "bu:001", "name": "Store"});
    assert_eq!(set(r#"{"name":"Store"}"#), (200, expected.clone()));
    assert_eq!(client.send(Request::get(&path)).ok().json(), expected);
    assert_empty(&client.send(Request::delete(&path)), 204);
    let gone = json!("resource bu:001 not found");
    assert_error(&client.send(Request::delete(&path)), 404, "Not Found", gone.clone());
    assert_error(&client.send(Request::get(&path)), 404, "Not Found", gone);
}

#[test]
fn the_id_of_a_resource_follows_the_documented_pattern() {
    let service = service();
    let client = logged_in(&service);
    for id in ["..", "a%2Fb", "__x__", &"x".repeat(1501)] {
        let refused = client.send(Request::put(format!("{RESOURCES}/{id}")).json(r#"{"name":"n"}"#));
        assert_error(&refused, 400, "Bad Request", json!(["id must match the documented pattern"]));
    }
    let unnamed = client.send(Request::put(format!("{RESOURCES}/a")).json("{}"));
    assert_error(&unnamed, 400, "Bad Request", json!(["name should not be null or undefined"]));
}

#[test]
fn resources_are_listed_by_type_and_under_a_permission() {
    let service = service();
    let client = logged_in(&service);
    for id in ["bu:001", "bu:002", "bus:1"] {
        assert_eq!(client.send(Request::put(format!("{RESOURCES}/{id}")).json(r#"{"name":"n"}"#)).status, 201);
    }
    let list = client.send(Request::get(format!("{RESOURCES}?type=bu"))).ok();
    assert_eq!(list.json(), json!([{"id": "bu:001", "name": "n"}, {"id": "bu:002", "name": "n"}]));
    assert_eq!(list.header("x-pagination-total"), Some("2"));
    assert_eq!(list.header("x-pagination-has-more"), Some("false"));
    assert_eq!(client.send(Request::get(RESOURCES)).json().as_array().unwrap().len(), 3);

    let under = |permission: &str| client.send(Request::get(format!("{RESOURCES}?permission={permission}")));
    assert_eq!(under("pos.receipt.void").status, 200);
    assert_error(&under("void"), 400, "Bad Request", json!(["id must match the documented pattern"]));
    service.deny(["pos.receipt.void"]);
    assert_empty(&under("pos.receipt.void"), 403);
}

#[test]
fn more_resources_than_fit_on_a_page_are_returned_by_skip() {
    let service = service();
    let client = logged_in(&service);
    for id in ["bu:001", "bu:002", "bu:003", "pos:1"] {
        assert_eq!(client.send(Request::put(format!("{RESOURCES}/{id}")).json(r#"{"name":"n"}"#)).status, 201);
    }
    service.resources_per_page(2);
    for (skip, ids, has_more) in [("0", "bu:001 bu:002", "true"), ("2", "bu:003", "false"), ("7", "", "false")] {
        let page = client.send(Request::get(format!("{RESOURCES}?type=bu&skip={skip}"))).ok();
        let list = page.json();
        let found: Vec<_> = list.as_array().unwrap().iter().map(|resource| resource["id"].as_str().unwrap()).collect();
        assert_eq!((found.join(" "), page.header("x-pagination-has-more")), (ids.to_owned(), Some(has_more)));
        assert_eq!((page.header("x-pagination-skip"), page.header("x-pagination-take")), (Some(skip), Some("2")));
        assert_eq!(page.header("x-pagination-total"), Some("3"));
    }
    let refused = client.send(Request::get(format!("{RESOURCES}?skip=x")));
    assert_error(&refused, 400, "Bad Request", json!(["skip must not be less than 0"]));
}
