//! A caller's bound on time holds, whichever part of the service is silent or slow.

use std::time::{Duration, Instant};

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{
    Channel, CheckOutcome, CheckStep, Client, ClientCredentials, Credentials, Error, ErrorKind, Loader,
};

use crate::support::{Raw, Reply, TextFile, batch, builder_of, landed, row, rows};

const OPENED: &str = r#"{"next_continuation_token":"0_1","channel_status":{"last_committed_offset_token":null}}"#;

/// Half a minute and more, where the caller waits for 200 ms: what ends sooner was ended by the caller's bound.
const PATIENCE: Duration = Duration::from_secs(30);

/// A healthy service but for its responses to these requests; `None` is a healthy response.
fn service(fault: impl Fn(&str, usize) -> Option<Reply> + Send + Sync + 'static) -> Raw {
    Raw::start(move |line, before| {
        let body = match line {
            _ if line.contains("hostname") => "127.0.0.1".into(),
            _ if line.contains("/oauth/token") => format!("token-{before}"),
            // An authorization server's: the next request needs another.
            _ if line.contains("/grant") => r#"{"access_token":"a","token_type":"Bearer","expires_in":0}"#.into(),
            _ if line.starts_with("PUT") => OPENED.into(),
            _ => r#"{"channel_statuses":{}}"#.into(),
        };
        fault(line, before).unwrap_or(Reply::Response(200, body))
    })
}

fn is_status(line: &str) -> bool {
    line.contains(":bulk-channel-status")
}

fn open(service: &Raw) -> Channel {
    let client = service.builder().response_timeout(PATIENCE).retry_budget(PATIENCE).build().unwrap();
    client.table("DB", "PUBLIC", "EVENTS").channel("load-1").open().unwrap()
}

/// The error of a wait of 200 ms, which ends in time: even such a wait gives its one look a second.
fn waited(channel: &mut Channel) -> Error {
    let began = Instant::now();
    let error = channel.wait_for_commit(1, Duration::from_millis(200)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}: {error}", began.elapsed());
    error
}

#[test]
fn a_wait_for_a_commit_ends_in_time_although_the_status_is_silent_or_drips() {
    for reply in [|| Reply::Silence, || Reply::Drip(200), || Reply::Drip(503)] {
        let service = service(move |line, _| is_status(line).then(reply));
        let error = waited(&mut open(&service));
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.is_retryable());
        let expected = "could not ask for the status of channel load-1 of pipe DB.PUBLIC.EVENTS-STREAMING: \
                        the time allowed for waiting ended before a response had arrived";
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(service.seen(":bulk-channel-status").len(), 1, "the one request was cut off");
    }
}

#[test]
fn a_wait_for_a_commit_ends_in_time_although_the_service_fails_all_the_while() {
    let service = service(|line, _| is_status(line).then(|| Reply::Response(503, String::new())));
    let error = waited(&mut open(&service));
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unavailable, Some(503)), "{error}");
}

#[test]
fn a_wait_for_a_commit_ends_in_time_although_a_refused_token_cannot_be_renewed() {
    for endpoint in ["hostname", "/oauth/token"] {
        for reply in [|| Reply::Silence, || Reply::Drip(200)] {
            let service = service(move |line, before| match line {
                _ if is_status(line) => Some(Reply::Response(401, String::new())),
                _ if line.contains(endpoint) && before > 0 => Some(reply()),
                _ => None,
            });
            let error = waited(&mut open(&service));
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert!(error.to_string().contains("the time allowed for waiting ended"), "{error}");
        }
    }
}

#[test]
fn a_wait_for_a_commit_ends_in_time_although_an_authorization_server_is_silent() {
    // A discovery that is silent leaves time for the given endpoint, whose token is refused like the first.
    let kinds = [ErrorKind::Timeout, ErrorKind::Credentials];
    for (endpoint, kind) in ["/grant", "/.well-known/openid-configuration"].into_iter().zip(kinds) {
        let service = service(move |line, before| match line {
            _ if is_status(line) => Some(Reply::Response(401, String::new())),
            // Each of the two requests of a login takes one.
            _ if line.contains(endpoint) && before > 1 => Some(Reply::Silence),
            _ => None,
        });
        let client = match endpoint {
            "/grant" => ClientCredentials::at(format!("{}/grant", service.url()), "loader", "open sesame"),
            // Its first response names no issuer, which fails the discovery at once.
            _ => ClientCredentials::of_issuer(service.url(), "loader", "open sesame")
                .fallback(format!("{}/grant", service.url())),
        };
        let client = Client::builder("testorg-acct", Credentials::client_credentials(client)).url(service.url());
        let client = client.response_timeout(PATIENCE).build().unwrap();
        let mut channel = client.table("DB", "PUBLIC", "EVENTS").channel("load-1").open().unwrap();
        let error = waited(&mut channel);
        assert_eq!(error.kind(), kind, "{endpoint}: {error}");
    }
}

#[test]
fn a_wait_ends_in_time_while_another_thread_waits_longer_for_the_token() {
    let service = service(|line, before| match line {
        _ if is_status(line) => Some(Reply::Response(401, String::new())),
        _ if line.contains("hostname") && before > 0 => Some(Reply::Silence),
        _ => None,
    });
    let client = service.builder().response_timeout(Duration::from_secs(6)).retry_budget(Duration::ZERO);
    let pipe = client.build().unwrap().table("DB", "PUBLIC", "EVENTS");
    let mut channel = pipe.channel("load-1").open().unwrap();
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| pipe.statuses(&["other"]).unwrap_err());
        while service.seen("hostname").len() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(waited(&mut channel).kind(), ErrorKind::Timeout);
        // The short wait ended alone: the fetch that it had joined went on, until the response timeout ended it.
        assert!(!patient.is_finished());
        assert_eq!(patient.join().unwrap().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_check_of_a_login_ends_in_time_although_a_server_drips() {
    let service = service(|line, _| line.contains("hostname").then_some(Reply::Drip(200)));
    let began = Instant::now();
    let report = service.builder().response_timeout(PATIENCE).build().unwrap().check();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let CheckOutcome::Failed(error) = report.outcome(CheckStep::AccountHost) else { panic!("{report}") };
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn the_longest_duration_is_a_valid_setting_everywhere() {
    let service = Emulator::start().unwrap();
    let client = builder_of(&service)
        .connect_timeout(Duration::MAX)
        .response_timeout(Duration::MAX)
        .retry_budget(Duration::MAX)
        .retry_pause(Duration::MAX)
        .build()
        .unwrap();
    let pipe = client.table("DEMO", "PUBLIC", "EVENTS");
    let mut channel = pipe.channel("first").open_timeout(Duration::MAX).open().unwrap();
    channel.append(&batch(1..=2)).unwrap();
    channel.wait_for_commit(2, Duration::MAX).unwrap();

    let mut writer = pipe.channel("second").open().unwrap().into_writer();
    writer = writer.max_age(Duration::MAX);
    writer.write_json(row(3).as_bytes(), 3).unwrap();
    writer.tick().unwrap();
    writer.close(Duration::MAX).unwrap();

    let file = TextFile::new(rows(4..=5));
    Loader::new(&pipe, "third").open_timeout(Duration::MAX).commit_timeout(Duration::MAX).load(file.source()).unwrap();
    assert!(client.check().is_ok());
    assert_eq!(landed(&service), rows(1..=5));
}
