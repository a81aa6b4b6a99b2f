//! No secret, and no eight characters of one, in any text that the client makes, although the service repeats what it was sent.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt::Debug;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use snowpipe_streaming::hiiretail::{Cause, Iam, Method, NewGroup, Ocms};
use snowpipe_streaming::{Error, Secret};

use super::support::{CLIENT_SECRET, Service, TENANT};

/// Everything that was said, by all tests of this binary.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The server of the test runs in this process; and one target of ureq dumps whole requests, of which a client warns.
        let ours = ["snowpipe_streaming", "ureq", "rustls"];
        if ours.iter().any(|name| record.target().starts_with(name)) && record.target() != "ureq_proto::util" {
            say(format!("{} {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

fn say(text: String) {
    SAID.lock().unwrap().push(text);
}

fn show(value: &impl Debug) {
    say(format!("{value:?} {value:#?}"));
}

fn complain(error: &Error) {
    show(error);
    say(format!("{error} {} {:?}", Cause::of(error).hint(), error.code()));
    let mut cause = error.source();
    while let Some(error) = cause {
        say(format!("{error} {error:?}"));
        cause = error.source();
    }
}

/// What the token endpoint says if it repeats the credentials it got, raw and as they were sent.
fn echo_of_login() -> String {
    let text = format!("you sent {CLIENT_SECRET} as {BASIC}");
    format!(r#"{{"error":"denied {BASIC}","error_description":"{text}","message":["{text}"]}}"#)
}

/// The same of the IAM, which sees the token alone.
fn echo_of_call() -> String {
    format!(r#"{{"error":"denied {TOKEN}","message":["you sent {TOKEN}","as Bearer {TOKEN}"]}}"#)
}

const TOKEN: &str = "eyJ-access-token-of-the-client-0123456789";
/// till-7:Hunter2-Hunter2-Hunter2
const BASIC: &str = "dGlsbC03Okh1bnRlcjItSHVudGVyMi1IdW50ZXIy";

fn use_up(iam: &Iam) {
    show(iam);
    show(&iam.groups());
    show(&iam.groups().list());
    show(&iam.request(Method::Post, "/api/v1/x").body(&"x"));
    for result in [iam.groups().get("g-1").map(drop), iam.groups().create(&NewGroup::new("A")).map(drop)] {
        complain(&result.unwrap_err());
    }
    show(&iam.counters());
}

#[test]
fn nothing_that_is_said_holds_eight_characters_of_a_secret() {
    log::set_logger(&Listener).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for status in [400, 401, 403, 404, 409, 429, 500] {
        let service = Service::start();
        service
            .respond_to_login(200, &format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600}}"#));
        for _ in 0..4 {
            service.respond(status, &echo_of_call());
            service.respond_to_login(status, &echo_of_login());
        }
        let builder = service.builder();
        show(&builder);
        show(&service.client());
        use_up(&builder.build().unwrap());
    }
    let service = Service::start();
    service.respond_to_login(401, &echo_of_login());
    use_up(&service.iam());
    show(&Secret::new(CLIENT_SECRET));
    // tid=other-tenant
    let foreign = Ocms::new("dGlkPW90aGVyLXRlbmFudA", CLIENT_SECRET).issuer(service.url());
    service.discover(404, "");
    Iam::builder(TENANT, foreign).api_url(service.url()).build().unwrap().token().unwrap();

    let said = SAID.lock().unwrap().join("\n");
    assert!(said.contains("ureq") && said.contains("could not create the group"), "the log was heard");
    for warning in ["discovery failed; using http://127.0.0.1:", "its client names the tenant \"other-tenant\""] {
        assert!(said.contains(warning), "{warning:?} was not said");
    }
    let heard: HashSet<&[u8]> = said.as_bytes().windows(8).collect();
    // The id of the client, with which the credential begins, is no secret.
    for secret in [CLIENT_SECRET, TOKEN, &BASIC[10..]] {
        if let Some(slice) = secret.as_bytes().windows(8).find(|slice| heard.contains(slice)) {
            let slice = std::str::from_utf8(slice).unwrap();
            panic!("{slice:?} was said: {:?}", said.lines().find(|line| line.contains(slice)));
        }
    }
}
