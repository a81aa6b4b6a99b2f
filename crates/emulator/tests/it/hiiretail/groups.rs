//! Groups, and the lists that can be paged, sorted and searched.

use serde_json::{Value, json};
use snowpipe_emulator::HiiRetail;

use super::{assert_empty, assert_error, logged_in, service};
use crate::support::client::Client;
use crate::support::request::Request;
use crate::support::response::Response;

const GROUPS: &str = "/api/v1/tenants/t/groups";

fn create(client: &Client, body: &str) -> Response {
    client.send(Request::post(GROUPS).json(body))
}

fn group(client: &Client, id: &str) -> Value {
    client.send(Request::get(format!("{GROUPS}/{id}"))).ok().json()
}

/// The ids of a list.
fn ids(client: &Client, query: &str) -> Vec<String> {
    let list = client.send(Request::get(format!("{GROUPS}?{query}"))).ok().json();
    list.as_array().unwrap().iter().map(|group| group["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_group_is_created_read_changed_and_deleted() {
    let service = service();
    let client = logged_in(&service);
    let created = create(&client, r#"{"name":"Tills","description":"All tills","id":"g-1"}"#);
    let mut expected = json!({"id": "g-1", "name": "Tills", "description": "All tills", "status": "Creating"});
    assert_eq!((created.status, created.json()), (201, expected.clone()));
    expected["status"] = json!("Created");
    assert_eq!(group(&client, "g-1"), expected);

    assert_empty(&client.send(Request::put(format!("{GROUPS}/g-1")).json(r#"{"name":"Registers"}"#)), 204);
    expected["name"] = json!("Registers");
    assert_eq!(group(&client, "g-1"), expected);

    let unnamed = create(&client, r#"{"name":"No id"}"#).json();
    let id = unnamed["id"].as_str().unwrap();
    assert_eq!(unnamed, json!({"id": id, "name": "No id", "status": "Creating"}));
    assert_empty(&client.send(Request::delete(format!("{GROUPS}/{id}"))), 204);
    assert_empty(&client.send(Request::delete(format!("{GROUPS}/{id}"))), 204);
    let gone = client.send(Request::get(format!("{GROUPS}/{id}")));
    assert_error(&gone, 404, "Not Found", json!(format!("group {id} not found")));
    assert_eq!(ids(&client, ""), ["g-1"]);
}

#[test]
fn a_group_that_breaks_rules_gets_a_text_for_each() {
    let service = service();
    let client = logged_in(&service);
    let long = "x".repeat(256);
    for (body, mistakes) in [
        ("{}".to_owned(), json!(["name should not be null or undefined"])),
        (
            json!({"name": long, "description": 7, "status": "Created"}).to_string(),
            json!([
                "name must have 1 to 255 characters",
                "description must be a string",
                "property status should not exist",
            ]),
        ),
    ] {
        assert_error(&create(&client, &body), 400, "Bad Request", mistakes);
    }
    assert_eq!(create(&client, &json!({"name": "ö".repeat(255)}).to_string()).status, 201);
    assert_eq!(create(&client, r#"{"name":"a","id":"a"}"#).status, 201);
    assert_eq!(create(&client, r#"{"name":"b","id":"b"}"#).status, 201);
    let taken = json!("group a already exists");
    assert_error(&create(&client, r#"{"name":"c","id":"a"}"#), 409, "Conflict", taken);
    let taken = json!("group with name a already exists");
    assert_error(&create(&client, r#"{"name":"a"}"#), 409, "Conflict", taken.clone());
    let renamed = |id: &str| client.send(Request::put(format!("{GROUPS}/{id}")).json(r#"{"name":"a"}"#));
    assert_error(&renamed("b"), 409, "Conflict", taken);
    assert_empty(&renamed("a"), 204);
    assert_error(&renamed("c"), 404, "Not Found", json!("group c not found"));
}

#[test]
fn a_list_is_a_bare_array_in_pages_sorted_and_searched_only_with_a_sort_field() {
    let service = service();
    let client = logged_in(&service);
    for (id, name) in [("1", "Bravo"), ("2", "Alpha"), ("3", "Charlie"), ("4", "alpine")] {
        assert_eq!(create(&client, &json!({"id": id, "name": name}).to_string()).status, 201);
    }
    assert_eq!(ids(&client, ""), ["1", "2", "3", "4"]);
    assert_eq!(ids(&client, "limit=2"), ["1", "2"]);
    assert_eq!(ids(&client, "limit=2&offset=3"), ["4"]);
    assert_eq!(ids(&client, "limit=2&offset=9"), Vec::<String>::new());
    assert_eq!(ids(&client, "limit=0"), Vec::<String>::new());
    assert_eq!(ids(&client, "sortBy=name"), ["2", "1", "3", "4"]);
    assert_eq!(ids(&client, "sortBy=name&direction=desc&limit=1"), ["4"]);
    assert_eq!(ids(&client, "sortBy=name&searchString=ALP"), ["2", "4"]);
    assert_eq!(ids(&client, "searchString=ALP").len(), 4, "it searches in the sort field");
    for (query, mistake) in [
        ("limit=-1", "limit must not be less than 0"),
        ("offset=x", "offset must not be less than 0"),
        ("limit=1001", "limit must not be greater than 1000"),
        ("direction=up", "direction must be one of the following values: asc, desc"),
        ("sortBy=id", "sortBy must be one of the following values: name"),
    ] {
        let refused = client.send(Request::get(format!("{GROUPS}?{query}")));
        assert_error(&refused, 400, "Bad Request", json!([mistake]));
    }
}

#[test]
fn a_list_without_a_limit_ends_after_a_thousand() {
    let service = service();
    let client = logged_in(&service);
    for number in 0..1001 {
        assert_eq!(create(&client, &format!(r#"{{"name":"g{number}","id":"{number:04}"}}"#)).status, 201);
    }
    assert_eq!(ids(&client, "").len(), 1000);
    assert_eq!(ids(&client, "offset=1000"), ["1000"]);
}

#[test]
fn a_new_group_is_creating_for_as_many_reads_as_a_test_wants() {
    let service = service();
    let client = logged_in(&service);
    service.settle_after_reads(2);
    assert_eq!(create(&client, r#"{"name":"a","id":"a"}"#).json()["status"], "Creating");
    assert_eq!(group(&client, "a")["status"], "Creating");
    let list = client.send(Request::get(GROUPS)).json();
    assert_eq!(list[0]["status"], "Creating");
    assert_eq!(group(&client, "a")["status"], "Created");
}

#[test]
fn tenants_have_groups_of_their_own_and_names_may_need_encoding() {
    let service: HiiRetail = service();
    let client = logged_in(&service);
    assert_eq!(create(&client, r#"{"name":"a","id":"a/b c"}"#).status, 201);
    assert_eq!(group(&client, "a%2Fb%20c")["id"], "a/b c");
    let other = super::service();
    assert_eq!(ids(&logged_in(&other), ""), Vec::<String>::new());
}
