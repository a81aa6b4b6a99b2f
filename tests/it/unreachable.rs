//! What is said of servers that cannot be reached, respond too slowly or with too much: which host, which port, how long.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use log::Level;
use snowpipe_streaming::{Client, ClientBuilder, Credentials, ErrorKind};

use crate::support::{Raw, Reply, batch, logged};

const OPENED: &str = r#"{"next_continuation_token":"0_1","channel_status":{"last_committed_offset_token":null}}"#;

fn builder(url: impl Into<String>) -> ClientBuilder {
    Client::builder("myorg-account1", Credentials::oauth_token("login-token")).url(url)
}

/// Where nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A healthy service but for its responses to these requests.
fn service(fault: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Raw {
    Raw::start(move |line, _| {
        let healthy = match line {
            _ if line.contains("hostname") => "127.0.0.1",
            _ if line.contains("/oauth/token") => "scoped-token",
            _ => OPENED,
        };
        fault(line).unwrap_or(Reply::Response(200, healthy.into()))
    })
}

#[test]
fn a_refused_port_is_tried_until_the_budget_ends_and_named_in_one_warning_and_the_error() {
    let place = closed_port();
    assert!(logged(Level::Warn, &place).is_empty());
    let client = builder(format!("http://{place}")).retry_budget(Duration::from_secs(2));
    let error = client.retry_pause(Duration::from_millis(50)).build().unwrap().token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let shown = error.to_string();
    assert!(
        shown.starts_with(&format!("could not find the ingest host: no connection to {place}: connection refused (")),
        "{shown}"
    );
    assert!(shown.ends_with("; check the network and the account URL"), "{shown}");
    let expected = format!(
        "still trying to find the ingest host: no connection to {place}: connection refused; this goes on for at most "
    );
    let said = logged(Level::Warn, &place);
    assert!(said.len() == 1 && said[0].starts_with(&expected) && said[0].ends_with(" s"), "{said:?}");
}

#[test]
fn a_pause_of_zero_ends_with_the_budget_and_is_no_busy_loop() {
    let client = builder(format!("http://{}", closed_port())).retry_budget(Duration::from_millis(300));
    let error = client.retry_pause(Duration::ZERO).build().unwrap().token().unwrap_err();
    assert!((2..=31).contains(&error.attempts()), "{error}");
}

#[test]
fn a_host_that_does_not_exist_is_named_within_seconds() {
    // No resolver can look such a name up, so that none is asked.
    let host = format!("{}.invalid", "a".repeat(70));
    let began = Instant::now();
    let error = builder(format!("https://{host}")).no_proxy().build().unwrap().token().unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?} of a budget of two minutes", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected =
        format!("could not find the ingest host: no connection to {host}:443: there is no host of this name (");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_body_that_drips_ends_soon_after_a_short_budget_and_a_person_learns_why() {
    let service = service(|line| line.contains("hostname").then_some(Reply::Drip(200)));
    let place = service.url().replace("http://", "");
    assert!(logged(Level::Warn, &place).is_empty());
    let began = Instant::now();
    let client = builder(service.url()).retry_budget(Duration::from_millis(100));
    let error = client.build().unwrap().token().unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("no response from {place}: no progress in time")), "{error}");
    let said = logged(Level::Warn, &place);
    let expected = format!("still trying to find the ingest host: the response from {place} arrives slowly; ");
    assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
}

#[test]
fn no_token_goes_to_another_host_unencrypted() {
    for name in ["x.snowflakecomputing.com", "127.0.0.1.snowflakecomputing.cn"] {
        let service = Raw::start(move |_, _| Reply::Response(200, name.into()));
        let error = service.builder().build().unwrap().token().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Protocol, false), "{error}");
        let said = format!("the connection to the host {name:?} would not be encrypted");
        assert!(error.to_string().contains(&said), "{error}");
        assert_eq!((service.seen("hostname").len(), service.seen("/oauth/token").len()), (1, 0));
    }
}

#[test]
fn a_host_name_and_a_token_are_short_and_what_is_longer_is_not_asked_for_again() {
    for endpoint in ["hostname", "/oauth/token"] {
        let service = service(move |line| line.contains(endpoint).then(|| Reply::Response(200, "x".repeat(100_000))));
        let error = service.builder().build().unwrap().token().unwrap_err();
        assert_eq!((error.kind(), error.attempts(), error.is_retryable()), (ErrorKind::Protocol, 1, false), "{error}");
        let place = service.url().replace("http://", "");
        assert!(
            error.to_string().contains(&format!("the response from {place} is longer than 65536 bytes")),
            "{error}"
        );
        assert_eq!(service.seen(endpoint).len(), 1);
    }
}

#[test]
fn a_long_error_is_cut_and_its_status_counts() {
    for (status, kind) in [(400, ErrorKind::Refused), (429, ErrorKind::Throttled), (503, ErrorKind::Unavailable)] {
        // More than any response may have.
        let page = || format!("<html>{}</html>", "too much ".repeat(2_000_000));
        let service = service(move |line| line.contains("/channels/").then(|| Reply::Response(status, page())));
        let client = service.builder().retry_budget(Duration::ZERO).response_timeout(Duration::from_secs(20));
        let pipe = client.build().unwrap().table("DB", "PUBLIC", "EVENTS");
        let error = pipe.channel("c").open().unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
    }
}

#[test]
fn an_append_whose_success_is_too_long_to_read_is_in_doubt_and_sent_once() {
    let service = service(|line| line.contains("/rows").then(|| Reply::Response(200, " ".repeat(17 << 20))));
    let client = service.builder().response_timeout(Duration::from_secs(20)).build().unwrap();
    let mut channel = client.table("DB", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    let error = channel.append(&batch(1..=3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
    assert!(error.to_string().contains("is longer than 16777216 bytes"), "{error}");
    assert_eq!(service.seen("/rows").len(), 1);
}

#[test]
fn a_name_forges_no_line_in_the_log() {
    let service = service(|line| line.contains("/channels/").then(|| Reply::Response(400, String::new())));
    assert!(logged(Level::Debug, "forgery").is_empty());
    let name = "forgery\nERROR the disk is full\u{1b}[31m";
    service.pipe().channel(name).open().unwrap_err();
    let mut writer = self::service(|_| None).pipe().channel(name).open().unwrap().into_writer();
    writer.write_json(br#"{"ID":1}"#, 1).unwrap();
    drop(writer);
    assert_eq!(logged(Level::Warn, r"a writer of channel forgery\nERROR the disk is full").len(), 1);
    let said = logged(Level::Debug, "forgery");
    assert!(!said.is_empty());
    for line in said {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
