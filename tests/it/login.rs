//! Who is trusted with a credential, and what happens when it is refused.

use std::time::Duration;

use snowpipe_streaming::{Client, ClockOffset, Credentials, ErrorKind, PrivateKey};

use crate::support::{Scripted, batch, builder_of, client_of};
use snowpipe_emulator::Emulator;

#[test]
fn a_refused_scoped_token_is_renewed_once_and_the_request_sent_once_more() {
    let service = Scripted::start();
    let client = service.client();
    let mut channel = client.table("DB", "S", "T").channel("c").open().unwrap();
    service.next("rows", 401, r#"{"code":"390318","message":"expired"}"#);
    channel.append(&batch(1..=1)).unwrap();
    let appends = service.seen_at("rows");
    assert_eq!(appends.len(), 2);
    assert_ne!(appends[0].header("authorization"), appends[1].header("authorization"));
    assert_eq!(appends[0].query("requestId"), appends[1].query("requestId"));
    assert_eq!(appends[0].body, appends[1].body);
    assert_eq!(appends[1].query("retryCount"), Some("1"));
    assert_eq!(service.seen_at("token").len(), 2);
    assert_eq!((client.counters().renewals, client.counters().retries), (1, 1));
}

#[test]
fn a_token_refused_twice_is_an_error_after_one_renewal() {
    let service = Scripted::start();
    service.next("open", 401, "");
    service.next("open", 401, "");
    let error = service.pipe().channel("c").open().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Credentials, 2));
    assert_eq!(service.seen_at("token").len(), 2);
}

#[test]
fn a_scoped_token_that_no_header_can_carry_is_an_error_at_once_and_not_kept() {
    let service = Scripted::start();
    service.next("token", 200, "\u{feff}t\u{f6}ken-abcdefgh");
    let client = service.client();
    let error = client.table("DB", "S", "T").channel("c").open().unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Protocol, Some(200), 1), "{error}");
    let said = "the response has a token that a header cannot carry";
    assert!(error.to_string().contains(said) && !error.to_string().contains("ken-abc"), "{error}");
    assert_eq!((service.seen_at("token").len(), service.seen_at("open").len()), (1, 0));
    client.table("DB", "S", "T").channel("c").open().unwrap();
}

#[test]
fn a_permission_that_is_missing_costs_no_renewal() {
    let service = Scripted::start();
    service.next("open", 403, r#"{"code":"ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED","message":"m"}"#);
    let error = service.pipe().channel("c").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!((service.seen_at("token").len(), service.seen_at("open").len()), (1, 1));
}

#[test]
fn a_login_that_fails_is_not_about_a_channel() {
    for endpoint in ["hostname", "token"] {
        for (status, body, kind) in [
            (409, "", ErrorKind::Refused),
            (410, "", ErrorKind::Unavailable),
            (400, r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#, ErrorKind::Refused),
            (200, r#"{"status_code":7,"message":"m"}"#, ErrorKind::Refused),
        ] {
            let service = Scripted::start();
            service.next(endpoint, status, body);
            let error = service.client().token().unwrap_err();
            assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{endpoint} {status} {body}: {error}");
            assert_eq!(service.seen_at(endpoint).len(), 1, "the login token was not refused");
        }
    }
}

#[test]
fn no_token_goes_to_a_host_outside_the_service() {
    for host in ["evil.example", "127.0.0.2", "x.snowflakecomputing.com.evil.example"] {
        let service = Scripted::start();
        service.next("hostname", 200, host);
        let error = service.pipe().channel("c").open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(host), "{error}");
        assert_eq!(service.seen().len(), 1, "nothing was sent after the host was named");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Scripted::start();
    for status in [301, 302, 303, 307, 308] {
        let service = Scripted::start();
        service.next_with("token", status, "", &[("location", &elsewhere.url())]);
        let error = service.pipe().channel("c").open().unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(status)));
        assert!(error.to_string().contains("redirect"), "{error}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn credentials_do_not_travel_in_the_clear() {
    let login = || Credentials::oauth_token("login-token");
    let error = Client::builder("org-acct", login()).url("http://example.com").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("use https://"), "{error}");
}

#[test]
fn a_key_pair_logs_in_without_any_token_endpoint_of_its_own() {
    let service = Emulator::start().unwrap();
    let client = client_of(&service);
    client.table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    let calls: Vec<_> =
        service.requests().into_iter().map(|seen| format!("{} {} {:?}", seen.method, seen.path, seen.status)).collect();
    assert_eq!(
        calls,
        [
            "GET /v2/streaming/hostname Some(200)",
            "POST /oauth/token Some(200)",
            "PUT /v2/streaming/databases/DEMO/schemas/PUBLIC/pipes/EVENTS-STREAMING/channels/c Some(200)",
        ]
    );
}

#[test]
fn the_wrong_key_is_reported_with_everything_that_helps() {
    let service = Emulator::start().unwrap();
    let key = PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap();
    let fingerprint = key.fingerprint().to_string();
    let credentials = Credentials::key_pair(service.user(), key);
    let client = Client::builder(service.account(), credentials).url(service.url()).build().unwrap();
    let error = client.token().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("390144")));
    let text = error.to_string();
    for fact in [service.account(), service.user(), &fingerprint, "DESC USER", "clock"] {
        assert!(text.contains(fact), "{fact} is missing in {text}");
    }
}

#[test]
fn a_server_clock_far_off_is_learned_and_corrected() {
    for seconds in [-600, 600] {
        let service = Emulator::start().unwrap();
        service.set_clock_offset(seconds);
        let client = client_of(&service);
        client.token().unwrap();
        let difference = match client.clock_offset() {
            ClockOffset::ServerAhead(difference) if seconds > 0 => difference,
            ClockOffset::ServerBehind(difference) if seconds < 0 => difference,
            other => panic!("{other:?}"),
        };
        assert!(difference.abs_diff(Duration::from_secs(600)) < Duration::from_secs(2), "{difference:?}");
    }
}

#[test]
fn a_refresh_always_reaches_the_network() {
    let service = Emulator::start().unwrap();
    let client = builder_of(&service).build().unwrap();
    let first = client.token().unwrap();
    client.refresh().unwrap();
    client.refresh().unwrap();
    assert_ne!(client.token().unwrap(), first);
    let exchanges = service.requests().into_iter().filter(|seen| seen.path == "/oauth/token").count();
    assert_eq!(exchanges, 3);
}

#[test]
fn threads_that_meet_an_empty_cache_share_one_exchange() {
    let service = Emulator::start().unwrap();
    let client = client_of(&service);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| client.token().unwrap());
        }
    });
    let exchanges = service.requests().into_iter().filter(|seen| seen.path == "/oauth/token").count();
    assert_eq!(exchanges, 1);
}

#[test]
fn a_given_token_that_is_refused_is_reported_in_the_words_of_the_service_and_not_tried_again_at_once() {
    let service = Scripted::start();
    for _ in 0..2 {
        service.next("hostname", 401, r#"{"code":"394400","message":"Programmatic access token is invalid."}"#);
    }
    let client = service.builder().build().unwrap();
    let error = client.token().unwrap_err();
    assert_eq!((error.kind(), error.code(), error.status()), (ErrorKind::Credentials, Some("394400"), Some(401)));
    assert!(error.request_id().is_some());
    assert!(error.to_string().contains("which is never renewed"), "{error}");
    let again = client.token().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Credentials);
    assert_eq!(service.seen().len(), 1, "{again}");
}
