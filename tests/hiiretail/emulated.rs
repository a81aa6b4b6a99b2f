//! The client against the emulator: whole stories, real lifetimes, and faults that only a real socket has.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use snowpipe_emulator::hiiretail::{ClientState, DiscoveryForm, Operation, TokenRefusal};
use snowpipe_emulator::{Fault, HiiRetail};
use snowpipe_streaming::hiiretail::{
    Cause, CustomRoleChange, GroupChange, GroupStatus, Iam, IamBuilder, ListOptions, Method, NewCustomRole, NewGroup,
    NewResource, Ocms, ResourceFilter, RoleAssignment,
};
use snowpipe_streaming::{ClockOffset, Error, ErrorKind};

fn builder(service: &HiiRetail) -> IamBuilder {
    let client = Ocms::new(service.client_id(), service.client_secret()).issuer(service.url());
    let builder = Iam::builder(service.tenant(), client).api_url(service.url());
    match service.ca_pem() {
        Some(authority) => builder.extra_roots(authority),
        None => builder,
    }
}

fn start() -> (HiiRetail, Iam) {
    let service = HiiRetail::start().unwrap();
    let iam = builder(&service).build().unwrap();
    (service, iam)
}

fn asked(service: &HiiRetail, method: &str, end: &str) -> usize {
    service.requests().iter().filter(|request| request.method == method && request.path.ends_with(end)).count()
}

#[test]
fn a_group_gets_a_role_on_a_store_and_all_is_cleaned_up() {
    let service = HiiRetail::builder().tls().start().unwrap();
    let iam = builder(&service).build().unwrap();
    iam.resources().set("bu:001", &NewResource::new("Main Street")).unwrap();
    assert_eq!(iam.resources().list(&ResourceFilter::new().of_type("bu")).unwrap()[0].name, "Main Street");
    let group = iam.groups().create(&NewGroup::new("Store staff").description("Tills")).unwrap();
    let role = NewCustomRole::new("custom.cashier", ["pos.receipt.print"]).name("Cashier");
    assert_eq!(iam.custom_roles().create(&role).unwrap().id, "custom.cashier");
    iam.groups().assign_role(&group.id, &RoleAssignment::new("custom.cashier", ["bu:001"])).unwrap();
    iam.groups().assign_role(&group.id, &RoleAssignment::new("iam.viewer", ["*"])).unwrap();
    iam.groups().replace_bindings(&group.id, "custom.cashier", ["bu:001", "bu:002"]).unwrap();
    let assigned = iam.groups().wait_for_role(&group.id, "custom.cashier", Duration::from_secs(5)).unwrap();
    assert_eq!((assigned.bindings.len(), assigned.is_custom), (2, true));
    iam.groups().update(&group.id, &GroupChange::new().name("Staff")).unwrap();
    iam.custom_roles().update("custom.cashier", &CustomRoleChange::new().name("Till")).unwrap();
    assert_eq!(iam.groups().get(&group.id).unwrap().name, "Staff");
    assert_eq!(iam.groups().members(&group.id).unwrap(), []);
    assert!(iam.groups().unassign_role_if_assigned(&group.id, "custom.cashier").unwrap());
    assert!(!iam.groups().unassign_role_if_assigned(&group.id, "custom.cashier").unwrap());
    iam.groups().unassign_role(&group.id, "iam.viewer").unwrap();
    assert_eq!(iam.groups().roles(&group.id).unwrap(), []);
    iam.custom_roles().delete("custom.cashier").unwrap();
    iam.groups().delete(&group.id).unwrap();
    assert!(
        iam.resources().delete_if_exists("bu:001").unwrap() && !iam.resources().delete_if_exists("bu:001").unwrap()
    );
    assert_eq!((iam.groups().list().count(), iam.custom_roles().list().count()), (0, 0));
    assert_eq!(service.token_requests(), 1);
}

#[test]
fn lists_are_read_to_the_end_in_pages() {
    let (service, iam) = start();
    for number in 0..25 {
        iam.groups().create(&NewGroup::new(format!("Group {number:02}")).id(format!("g-{number:02}"))).unwrap();
    }
    let names = |options: &ListOptions| {
        let groups: Result<Vec<_>, Error> = iam.groups().list_with(options).collect();
        groups.unwrap().into_iter().map(|group| group.name).collect::<Vec<_>>()
    };
    let before = asked(&service, "GET", "/groups");
    assert_eq!(names(&ListOptions::new().page_size(10)).len(), 25);
    assert_eq!(asked(&service, "GET", "/groups") - before, 3);
    assert_eq!(names(&ListOptions::new().search("Group 1").page_size(3)).len(), 10);
    assert_eq!(names(&ListOptions::new().offset(20)).len(), 5);
    assert!(iam.roles().list().count() >= 3 && iam.permissions().list().unwrap().len() > 10);
    assert_eq!(iam.roles().get("iam.viewer").unwrap().id, "iam.viewer");
}

#[test]
fn resources_that_fit_on_no_page_are_read_to_the_end() {
    let (service, iam) = start();
    for number in 1..=5 {
        iam.resources().set(&format!("bu:{number}"), &NewResource::new(format!("Store {number}"))).unwrap();
    }
    iam.resources().set("pos:1", &NewResource::new("Till")).unwrap();
    service.resources_per_page(2);
    let stores = iam.resources().list(&ResourceFilter::new().of_type("bu")).unwrap();
    let names: Vec<_> = stores.into_iter().map(|store| store.name).collect();
    assert_eq!(names, ["Store 1", "Store 2", "Store 3", "Store 4", "Store 5"]);
    let lists = service.requests().into_iter().filter(|request| request.path.ends_with("/resources"));
    let queries: Vec<_> = lists.map(|request| request.query).collect();
    assert_eq!(queries, ["type=bu", "type=bu&skip=2", "type=bu&skip=4"]);
}

/// Calls from eight threads until ten tokens of two seconds were used up. Returns how many tokens there were, and what failed.
fn outlive_ten_tokens(service: &HiiRetail, iam: &Iam) -> (usize, Vec<Error>) {
    let (tokens, failures) = (Mutex::new(HashSet::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while tokens.lock().unwrap().len() <= 10 && failures.lock().unwrap().is_empty() {
                    if let Err(error) = iam.groups().list().collect::<Result<Vec<_>, _>>() {
                        failures.lock().unwrap().push(error);
                    }
                    tokens.lock().unwrap().insert(iam.token().unwrap().expose().to_owned());
                    // A pace, so that the test does not take the machine for itself.
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    assert_eq!(service.token_requests(), tokens.lock().unwrap().len(), "every token that was fetched was used");
    (service.token_requests(), failures.into_inner().unwrap())
}

#[test]
fn eight_threads_outlive_ten_tokens_of_two_seconds_in_both_forms_of_a_refusal() {
    let stories = [TokenRefusal::Forbidden, TokenRefusal::Unauthorized].map(|refusal| {
        thread::spawn(move || {
            let service = HiiRetail::builder().token_lifetime(Duration::from_secs(2)).start().unwrap();
            service.refuse_tokens_as(refusal);
            let (iam, begin) = (builder(&service).build().unwrap(), Instant::now());
            let (fetched, failures) = outlive_ten_tokens(&service, &iam);
            assert!(failures.is_empty(), "{refusal:?}: {}", failures[0]);
            // The service ends its tokens on whole seconds: each lives one to two of them.
            let lifetimes = begin.elapsed().as_secs() as usize + 1;
            assert!(fetched <= lifetimes + 1, "{refusal:?}: {fetched} tokens in {lifetimes} s");
        })
    });
    stories.into_iter().for_each(|story| story.join().unwrap());
}

#[test]
fn a_creation_whose_response_is_lost_is_not_repeated() {
    let (service, iam) = start();
    service.inject(Fault::lose_reply(Operation::CreateGroup));
    let error = iam.groups().create(&NewGroup::new("Store staff")).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unconfirmed, 1));
    assert_eq!(iam.groups().list_with(&ListOptions::new().search("Store staff")).count(), 1, "it was done");
    service.inject(Fault::status(Operation::AssignRole, 500));
    let error = iam.groups().assign_role("g-1", &RoleAssignment::new("iam.viewer", ["*"])).unwrap_err();
    assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Unconfirmed, Cause::ServerError));
    assert_eq!(asked(&service, "POST", "/groups") + asked(&service, "POST", "/roles"), 2);
}

#[test]
fn what_replaces_and_deletes_is_repeated_when_its_response_is_lost() {
    let (service, iam) = start();
    let group = iam.groups().create(&NewGroup::new("A")).unwrap();
    service.inject(Fault::lose_reply(Operation::UpdateGroup));
    service.inject(Fault::status(Operation::DeleteGroup, 503).times(2));
    iam.groups().update(&group.id, &GroupChange::new().name("B")).unwrap();
    assert_eq!(iam.groups().get(&group.id).unwrap().name, "B");
    iam.groups().delete(&group.id).unwrap();
    assert_eq!(asked(&service, "DELETE", &group.id), 3);
}

#[test]
fn a_role_that_shows_late_is_awaited_and_a_new_group_is_seen_as_new() {
    let (service, iam) = start();
    service.settle_after_reads(3);
    let group = iam.groups().create(&NewGroup::new("A")).unwrap();
    assert_eq!(group.status, GroupStatus::Creating);
    iam.groups().assign_role(&group.id, &RoleAssignment::new("iam.viewer", ["*"])).unwrap();
    assert_eq!(iam.groups().roles(&group.id).unwrap(), []);
    let role = iam.groups().wait_for_role(&group.id, "iam.viewer", Duration::from_secs(20)).unwrap();
    assert_eq!((role.role_id.as_str(), role.is_custom), ("iam.viewer", false));
}

#[test]
fn a_wrong_secret_and_a_client_that_is_not_authorized_look_alike_and_are_explained() {
    let service = HiiRetail::start().unwrap();
    let wrong = Ocms::new(service.client_id(), "not-the-secret").issuer(service.url());
    let wrong = Iam::builder(service.tenant(), wrong).api_url(service.url()).build().unwrap();
    let mut errors = vec![wrong.groups().get("g-1").unwrap_err()];
    for state in [ClientState::Pending, ClientState::Revoked] {
        assert!(service.set_client_state(service.client_id(), state));
        errors.push(builder(&service).build().unwrap().groups().get("g-1").unwrap_err());
    }
    for error in errors {
        assert_eq!(
            (error.kind(), error.status(), error.code()),
            (ErrorKind::Credentials, Some(401), Some("invalid_client"))
        );
        let (text, id) = (error.to_string(), service.client_id());
        assert!(text.contains("Pending or Revoked") && !text.contains("not-the"), "{text}");
        assert!(text.contains(&format!("the client {id} of the tenant emulator-tenant")), "{text}");
    }
    assert_eq!(service.token_requests(), 3);
}

#[test]
fn a_client_revoked_meanwhile_is_found_by_the_next_call_that_needs_a_token() {
    let (service, iam) = start();
    assert_eq!(iam.groups().list().count(), 0);
    service.refuse_tokens_as(TokenRefusal::Unauthorized);
    service.set_client_state(service.client_id(), ClientState::Revoked);
    service.expire_tokens();
    let error = iam.groups().get("g-1").unwrap_err();
    assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Credentials, Cause::Credentials));
    assert_eq!(service.token_requests(), 2);
}

#[test]
fn a_wrong_tenant_and_a_missing_permission_are_denied_with_what_to_check() {
    let (service, iam) = start();
    let client = Ocms::new(service.client_id(), service.client_secret()).issuer(service.url());
    let other = Iam::builder("another-tenant", client).api_url(service.url()).build().unwrap();
    let text = other.groups().get("g-1").unwrap_err().to_string();
    assert!(text.ends_with("of the tenant another-tenant (its id names emulator-tenant)"), "{text}");
    service.deny(["iam.group.create"]);
    let error = iam.groups().create(&NewGroup::new("A")).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(403)));
    assert!(error.to_string().contains("the permission iam.group.create"), "{error}");
    let unaddressed =
        Ocms::new(service.client_id(), service.client_secret()).issuer(service.url()).audience("https://x");
    let unaddressed = Iam::builder(service.tenant(), unaddressed).api_url(service.url()).build().unwrap();
    let error = unaddressed.groups().get("g-1").unwrap_err();
    assert_eq!(error.status(), Some(403));
    let text = error.to_string();
    assert!(text.contains("the audience https://x") && text.contains("default, https://hiiretail.com"), "{text}");
    let text = other.groups().get("g-1").unwrap_err().to_string();
    assert!(!text.contains("audience"), "{text}");
}

#[test]
fn a_limited_rate_is_waited_out() {
    let (service, iam) = start();
    service.limit_rate(1, Duration::from_secs(1));
    assert_eq!(iam.groups().list().count(), 0);
    assert_eq!(service.token_requests(), 2);
}

#[test]
fn every_form_of_a_document_leads_to_a_token_of_the_issuer() {
    for form in [
        DiscoveryForm::Usual,
        DiscoveryForm::TrailingSlash,
        DiscoveryForm::NoGrantTypes,
        DiscoveryForm::OtherGrantTypes,
        DiscoveryForm::Issuer("https://evil.example".into()),
        DiscoveryForm::TokenEndpoint("https://evil.example/oauth2/token".into()),
        DiscoveryForm::TokenEndpoint("http://evil.example/oauth2/token".into()),
        DiscoveryForm::Absent,
        DiscoveryForm::Oversized,
    ] {
        let (service, iam) = start();
        service.discover_as(form.clone());
        iam.token().unwrap();
        assert_eq!(service.token_requests(), 1, "{form:?}");
    }
}

#[test]
fn a_service_that_is_not_there_ends_in_time_and_names_its_host() {
    let client = Ocms::new("till-7", "open-sesame").issuer("http://127.0.0.1:9");
    let iam = Iam::builder("my-tenant", client).api_url("http://127.0.0.1:9").max_retries(1).build().unwrap();
    let error = iam.groups().get("g-1").unwrap_err();
    assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Unavailable, Cause::Network));
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}

#[test]
fn a_server_that_is_not_trusted_and_a_proxy_that_refuses_are_matters_of_the_network() {
    let service = HiiRetail::builder().tls().start().unwrap();
    let client = Ocms::new(service.client_id(), service.client_secret()).token_url(format!("{}/t", service.url()));
    let untrusted = Iam::builder(service.tenant(), client).api_url(service.url()).build().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let refusals = thread::spawn(move || {
        let (connection, _) = proxy.accept().unwrap();
        let mut head = BufReader::new(&connection).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        assert_eq!(head.next().unwrap(), "CONNECT auth.example:443 HTTP/1.1");
        head.for_each(drop);
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        (&connection).write_all(refusal).unwrap();
    });
    let client = Ocms::new("till-7", "open-sesame").token_url("https://auth.example/t");
    let refused = Iam::builder("my-tenant", client).api_url("https://iam.example").proxy(url).build().unwrap();
    for (iam, part) in [(untrusted, "not from a trusted authority"), (refused, "the proxy demands a user")] {
        let error = iam.groups().get("g-1").unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, None), "{error}");
        assert_eq!((Cause::of(&error).code(), error.is_retryable()), ("network_error", false));
        assert!(error.to_string().contains(part), "{error}");
    }
    refusals.join().unwrap();
}

#[test]
fn a_group_with_an_id_of_the_callers_is_not_created_twice() {
    let (service, iam) = start();
    let group = NewGroup::new("Store staff").id("staff");
    service.inject(Fault::lose_reply(Operation::CreateGroup));
    assert_eq!(iam.groups().create(&group).unwrap_err().kind(), ErrorKind::Unconfirmed);
    let error = iam.groups().create(&group).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(409)));
    assert_eq!(iam.groups().get("staff").unwrap().name, "Store staff");
}

#[test]
fn the_clock_of_the_service_is_known_from_its_responses() {
    let (service, iam) = start();
    service.set_clock_offset(-120);
    iam.groups().list().next();
    assert!(matches!(iam.clock_offset(), ClockOffset::ServerBehind(_)), "{:?}", iam.clock_offset());
    assert_eq!(iam.tenant(), service.tenant());
}

#[test]
fn a_user_joins_a_group_by_a_membership_with_an_id_of_the_callers() {
    let (_service, iam) = start();
    let group = iam.groups().create(&NewGroup::new("Store staff")).unwrap();
    let user = json!({"email": "ann@example.com", "type": "Standalone", "scope": "Staff"});
    let create = iam.request(Method::Post, "/api/v1/tenants/{tenant}/users").body(&user);
    let user = create.send::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
    let of_user = iam.user_groups(user.as_str());
    assert_eq!(of_user.add_with_id(&group.id, "m-1").unwrap().id, "m-1");
    assert_eq!(of_user.get("m-1").unwrap().group_id, group.id);
    assert_eq!(iam.groups().members(&group.id).unwrap()[0].id, user);
    of_user.remove("m-1").unwrap();
    assert_eq!(of_user.list().unwrap(), []);
}
