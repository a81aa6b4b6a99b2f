//! Users, and their places in groups.

use serde_json::{Value, json};

use super::{assert_empty, assert_error, logged_in, service};
use crate::support::client::Client;
use crate::support::request::Request;

const USERS: &str = "/api/v1/tenants/t/users";

fn create(client: &Client, name: &str, email: &str) -> Value {
    let body = json!({"name": name, "email": email, "type": "Standalone", "scope": "Staff", "password": null});
    let response = client.send(Request::post(USERS).json(body.to_string()));
    assert_eq!(response.status, 201);
    response.json()
}

fn id(user: &Value) -> &str {
    user["id"].as_str().unwrap()
}

#[test]
fn a_user_is_created_found_changed_and_deleted() {
    let service = service();
    let client = logged_in(&service);
    let ann = create(&client, "Ann", "ann@example.com");
    let expected = json!({
        "id": ann["id"],
        "name": "Ann",
        "email": "ann@example.com",
        "externalId": null,
        "externalProviderId": null,
        "googleIdentity": ann["googleIdentity"],
        "scope": "Staff",
        "standaloneId": null,
        "status": "Created",
        "type": "Standalone",
        "userProfileId": ann["userProfileId"],
    });
    assert_eq!(ann, expected);
    let other = create(&client, "Ann", "ann.b@example.com");
    let find = |query: &str| client.send(Request::get(format!("{USERS}:find?{query}")));
    assert_eq!(find("email=ann%40example.com").ok().json(), ann);
    assert_eq!(find(&format!("name=Ann&userProfileId={}", other["userProfileId"].as_str().unwrap())).json(), other);
    assert_error(&find("name=Ann"), 409, "Conflict", json!("more than one user was found"));
    assert_error(&find("name=Bob"), 404, "Not Found", json!("user not found"));
    assert_error(&find(""), 400, "Bad Request", json!(["name, userProfileId or email is needed"]));

    let v2 = format!("/api/v2/tenants/t/users/{}", id(&ann));
    assert_empty(&client.send(Request::put(&v2).json(r#"{"name":"Anna","status":"Inactive"}"#)), 200);
    let changed = client.send(Request::get(format!("{USERS}/{}", id(&ann)))).ok().json();
    assert_eq!((&changed["name"], &changed["status"]), (&json!("Anna"), &json!("Inactive")));
    let password = Request::put(format!("{v2}/password")).json(r#"{"newPassword":"new"}"#);
    assert_empty(&client.send(password), 204);
    assert_empty(&client.send(Request::delete(&v2)), 204);
    let gone = json!(format!("user {} not found", id(&ann)));
    assert_error(&client.send(Request::delete(&v2)), 404, "Not Found", gone);
}

#[test]
fn lists_of_users_hide_names_unless_certain_users_are_asked_for() {
    let service = service();
    let client = logged_in(&service);
    let ann = create(&client, "Ann", "ann@example.com");
    let list = |query: &str| client.send(Request::get(format!("{USERS}?{query}")));
    let hidden = list("").ok().json();
    assert_eq!((&hidden[0]["id"], hidden[0].get("name"), hidden[0].get("email")), (&ann["id"], None, None));
    let google = ann["googleIdentity"].as_str().unwrap();
    assert_eq!(list(&format!("googleUserId={google}&includePii=true")).json(), json!([ann]));
    assert_eq!(list("externalId=x&includePii=true").json(), json!([]));
    let mistake = json!(["includePii needs googleUserId or externalId"]);
    assert_error(&list("includePii=true"), 400, "Bad Request", mistake);
}

#[test]
fn a_user_that_cannot_be_created_is_refused() {
    let service = service();
    let client = logged_in(&service);
    let wrong = json!({"email": "ann", "type": "Federated"});
    let refused = client.send(Request::post(USERS).json(wrong.to_string()));
    let mistakes = json!([
        "scope should not be null or undefined",
        "email must be an email",
        "type must be one of the following values: Standalone",
    ]);
    assert_error(&refused, 400, "Bad Request", mistakes);
    create(&client, "Ann", "ann@example.com");
    let twice = json!({"email": "ann@example.com", "type": "Standalone", "scope": "Staff"});
    let refused = client.send(Request::post(USERS).json(twice.to_string()));
    assert_error(&refused, 409, "Conflict", json!("user with email ann@example.com already exists"));
}

#[test]
fn a_user_joins_groups_and_leaves_them() {
    let service = service();
    let client = logged_in(&service);
    let ann = create(&client, "Ann", "ann@example.com");
    let group = Request::post("/api/v1/tenants/t/groups").json(r#"{"name":"g","id":"g"}"#);
    assert_eq!(client.send(group).status, 201);
    let links = format!("{USERS}/{}/groups", id(&ann));
    let join = |body: &str| client.send(Request::post(&links).json(body));

    let joined = join(r#"{"userGroupDocumentId":"g","documentId":"link"}"#);
    let link = json!({"documentId": "link", "userGroupDocumentId": "g"});
    assert_eq!((joined.status, joined.json()), (201, link.clone()));
    assert_eq!(join(r#"{"userGroupDocumentId":"g"}"#).json(), link, "once more changes nothing");
    assert_eq!(client.send(Request::get(&links)).ok().json(), json!([link]));
    assert_eq!(client.send(Request::get(format!("{links}/link"))).ok().json(), link);
    let members = || client.send(Request::get("/api/v1/tenants/t/groups/g/users")).ok().json();
    assert_eq!(members(), json!([ann]));

    assert_error(&join(r#"{"userGroupDocumentId":"x"}"#), 404, "Not Found", json!("group x not found"));
    let nobody = client.send(Request::get(format!("{USERS}/nobody/groups")));
    assert_error(&nobody, 404, "Not Found", json!("user nobody not found"));
    assert_empty(&client.send(Request::delete(format!("{links}/link"))), 204);
    let gone = json!("group link link not found");
    assert_error(&client.send(Request::delete(format!("{links}/link"))), 404, "Not Found", gone.clone());
    assert_error(&client.send(Request::get(format!("{links}/link"))), 404, "Not Found", gone);
    assert_eq!(members(), json!([]));

    assert_eq!(join(r#"{"userGroupDocumentId":"g"}"#).status, 201);
    assert_empty(&client.send(Request::delete(format!("/api/v2/tenants/t/users/{}", id(&ann)))), 204);
    assert_eq!(members(), json!([]));
}
