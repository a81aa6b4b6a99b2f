//! Connections that are cut, truncated, answered early or not at all.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use snowpipe_streaming::ErrorKind;

use crate::support::{Raw, Reply, batch};

const OPENED: &str = r#"{"next_continuation_token":"0_1","channel_status":{"last_committed_offset_token":null}}"#;
const APPENDED: &str = r#"{"next_continuation_token":"0_2"}"#;

/// A healthy service but for its answers to appends.
fn service(rows: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Raw {
    Raw::start(move |line, before| match line {
        _ if line.contains("hostname") => Reply::Response(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") => Reply::Response(200, format!("token-{before}")),
        _ if line.starts_with("PUT") => Reply::Response(200, OPENED.into()),
        _ => rows(before),
    })
}

fn retry_counts(service: &Raw) -> Vec<String> {
    let counts = service.seen("/rows").into_iter();
    counts.map(|line| line.split("retryCount=").nth(1).unwrap().split(' ').next().unwrap().to_string()).collect()
}

fn request_ids(service: &Raw) -> usize {
    let ids = service.seen("/rows").into_iter();
    let ids: std::collections::HashSet<_> =
        ids.map(|line| line.split("requestId=").nth(1).unwrap()[..36].to_string()).collect();
    ids.len()
}

#[test]
fn sixty_four_threads_refused_at_once_cost_one_exchange_and_send_once_more_each() {
    let together = Arc::new(Barrier::new(64));
    let service = Raw::start(move |line, before| match line {
        _ if line.contains("hostname") => Reply::Response(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") => Reply::Response(200, format!("token-{before}")),
        _ if line.contains("retryCount=0") => {
            // Nobody is refused before all have sent the same token.
            together.wait();
            Reply::Response(401, String::new())
        }
        _ => Reply::Response(200, OPENED.into()),
    });
    let client = service.builder().response_timeout(Duration::from_secs(60)).build().unwrap();
    client.token().unwrap();
    let pipe = client.table("DB", "PUBLIC", "EVENTS");
    thread::scope(|scope| {
        for id in 0..64 {
            let pipe = &pipe;
            scope.spawn(move || pipe.channel(format!("c{id}")).open().map(drop).unwrap());
        }
    });
    let opens: Vec<_> = (0..64).flat_map(|id| service.seen(&format!("/channels/c{id}"))).collect();
    let again = opens.iter().filter(|line| line.contains("retryCount=1")).count();
    assert_eq!((opens.len(), again), (128, 64));
    assert_eq!(service.seen("/oauth/token").len(), 2, "the first token and one in its place");
    assert_eq!(client.counters().renewals, 64, "each of them had its token renewed");
}

#[test]
fn a_connection_that_was_closed_between_two_requests_is_replaced() {
    let service = Raw::start(|line, before| match line {
        _ if line.contains("hostname") => Reply::Early(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") => Reply::Response(200, format!("token-{before}")),
        _ => Reply::Response(200, OPENED.into()),
    });
    service.pipe().channel("c").open().unwrap();
    for path in ["/hostname", "/oauth/token", "/channels/c"] {
        // Where the close is noticed only by the write, the request is sent again; it arrives once all the same.
        let seen = service.seen(path);
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

#[test]
fn a_cut_connection_is_followed_by_the_same_request() {
    let service = service(|before| if before < 2 { Reply::Cut } else { Reply::Response(200, APPENDED.into()) });
    let mut channel = service.pipe().channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    assert_eq!(retry_counts(&service), ["0", "1", "2"]);
    assert_eq!(request_ids(&service), 1);
}

#[test]
fn a_truncated_answer_is_no_answer() {
    let service = service(|before| match before {
        0 => Reply::Truncated(200, APPENDED.into()),
        _ => Reply::Response(200, APPENDED.into()),
    });
    let mut channel = service.pipe().channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    assert_eq!(retry_counts(&service), ["0", "1"]);
}

#[test]
fn a_service_that_falls_silent_leaves_the_outcome_unconfirmed() {
    let service = service(|_| Reply::Silence);
    let mut channel = service.pipe().channel("c").open().unwrap();
    let error = channel.append(&batch(1..=10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(error.to_string().contains("may have been applied"), "{error}");
    assert_eq!(channel.append(&batch(1..=10)).unwrap_err().kind(), ErrorKind::Channel, "the handle is in doubt");
}

#[test]
fn a_success_that_cannot_be_understood_leaves_the_outcome_unconfirmed() {
    for body in ["", "{}", "null", "<html>"] {
        let service = service(move |_| Reply::Response(200, body.into()));
        let mut channel = service.pipe().channel("c").open().unwrap();
        assert_eq!(channel.append(&batch(1..=10)).unwrap_err().kind(), ErrorKind::Unconfirmed, "{body:?}");
    }
}

#[test]
fn a_refusal_before_the_body_was_read_is_healed_by_a_new_token() {
    // The response is lost in the broken connection whenever the body is larger than the buffers between.
    let tokens = std::sync::atomic::AtomicUsize::new(0);
    let service = Raw::start(move |line, before| match line {
        _ if line.contains("hostname") => Reply::Response(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") => {
            tokens.store(before + 1, std::sync::atomic::Ordering::SeqCst);
            Reply::Response(200, format!("token-{before}"))
        }
        _ if line.starts_with("PUT") => Reply::Response(200, OPENED.into()),
        _ if tokens.load(std::sync::atomic::Ordering::SeqCst) < 2 => Reply::Early(401, "{}".into()),
        _ => Reply::Response(200, APPENDED.into()),
    });
    let mut noise = fastrand::Rng::with_seed(3);
    let text: String = (0..3_900_000).map(|_| noise.alphanumeric()).collect();
    let mut large = snowpipe_streaming::Batch::new();
    large.push_json(format!("{{\"A\":\"{text}\"}}").as_bytes()).unwrap();
    let mut channel = service.pipe().channel("c").open().unwrap();
    channel.append(&large).unwrap();
    assert_eq!(service.seen("/oauth/token").len(), 2);
}

#[test]
fn a_service_out_of_reach_is_told_with_the_attempts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = snowpipe_streaming::Client::builder("o-a", snowpipe_streaming::Credentials::oauth_token("t"))
        .url(url)
        .retry_budget(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = client.token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with("could not find the ingest host: "), "{error}");
    assert!(error.attempts() >= 1);
}

#[test]
fn a_question_is_never_in_doubt() {
    let service = Raw::start(|line, before| match line {
        _ if line.contains("hostname") => Reply::Response(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") && before == 0 => Reply::Response(200, "token".into()),
        _ if line.contains("/oauth/token") => Reply::Response(403, "{\"code\":\"394304\"}".into()),
        _ => Reply::Response(if before == 0 { 503 } else { 401 }, String::new()),
    });
    let error = service.pipe().channel("c").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
}
