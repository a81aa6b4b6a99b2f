//! Elastic appends: at least once, from many threads.

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Batch, ErrorKind};

use crate::support::{Raw, Reply, Scripted, batch, landed, pipe_of, row};

#[test]
fn rows_of_many_threads_all_land() {
    let service = Emulator::start().unwrap();
    let elastic = pipe_of(&service).elastic();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let elastic = &elastic;
            scope.spawn(move || {
                for part in 0..5 {
                    let first = thread * 1000 + part * 100;
                    elastic.append(&batch(first..first + 100)).unwrap();
                }
            });
        }
    });
    let mut expected: Vec<_> = (0..8).flat_map(|thread| (thread * 1000..thread * 1000 + 500).map(row)).collect();
    expected.sort();
    assert_eq!(sorted_when_complete(&service, expected.len()), expected);
}

#[test]
fn a_repetition_after_a_lost_reply_may_double_rows_and_loses_none() {
    let service = Emulator::start().unwrap();
    let elastic = pipe_of(&service).elastic();
    service.inject(Fault::lose_reply(Endpoint::Elastic).times(1));
    elastic.append(&batch(1..=10)).unwrap();
    let mut rows = sorted_when_complete(&service, 20);
    rows.dedup();
    let mut expected: Vec<_> = (1..=10).map(row).collect();
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn an_outcome_that_stays_unknown_is_told_as_such() {
    let service = Raw::start(|line, _| match line {
        _ if line.contains("hostname") => Reply::Response(200, "127.0.0.1".into()),
        _ if line.contains("/oauth/token") => Reply::Response(200, "token".into()),
        _ => Reply::Cut,
    });
    let error = service.pipe().elastic().append(&batch(1..=10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(!error.is_retryable());
    let sent = service.seen("/tables/EVENTS/rows");
    assert_eq!(error.attempts() as usize, sent.len());
    assert!(sent.len() > 1);
}

/// Elastic rows land some time after they were acknowledged.
fn sorted_when_complete(service: &Emulator, count: usize) -> Vec<String> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let text = landed(service);
        let mut rows: Vec<_> = text.lines().map(String::from).collect();
        if rows.len() >= count || std::time::Instant::now() > deadline {
            rows.sort();
            return rows;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_refusal_about_a_channel_settles_no_doubt_where_there_is_none_to_ask() {
    for (status, body) in [(409, ""), (400, "{\"code\":\"STALE_PIPE_CACHE\"}")] {
        let service = Emulator::start().unwrap();
        let elastic = pipe_of(&service).elastic();
        service.inject(Fault::lose_reply(Endpoint::Elastic).times(1));
        service.inject(Fault::status(Endpoint::Elastic, status).body(body));
        let error = elastic.append(&batch(1..=10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
        assert!(!error.to_string().contains("reopen"), "{error}");
    }
}

#[test]
fn nothing_is_said_of_reopening_a_channel_where_there_is_none() {
    for (status, body) in [(409, ""), (400, "{\"code\":\"STALE_PIPE_CACHE\"}"), (200, "{\"status_code\":7}")] {
        let service = Emulator::start().unwrap();
        let elastic = pipe_of(&service).elastic();
        service.inject(Fault::status(Endpoint::Elastic, status).body(body));
        let error = elastic.append(&batch(1..=10)).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Channel, status != 200), "{error}");
        assert!(!error.to_string().contains("reopen"), "{error}");
        elastic.append(&batch(1..=10)).unwrap();
        assert_eq!(sorted_when_complete(&service, 10).len(), 10);
    }
}

#[test]
fn a_batch_that_is_stored_in_part_says_how_far_and_the_rest_can_be_appended() {
    let service = Scripted::start();
    let client = service.builder().retry_budget(std::time::Duration::from_millis(50)).build().unwrap();
    let elastic = client.table("DB", "PUBLIC", "EVENTS").elastic();
    let (mut noise, mut batch) = (fastrand::Rng::with_seed(3), Batch::new());
    for id in 1..=10 {
        let text: String = (0..900_000).map(|_| noise.alphanumeric()).collect();
        batch.push(&serde_json::json!({ "ID": id, "TEXT": text })).unwrap();
    }
    service.next("rows", 200, "{}");
    (0..100).for_each(|_| service.next("rows", 429, ""));
    let error = elastic.append(&batch).unwrap_err();
    let stored = service.seen_at("rows")[0].text().lines().count();
    assert!((1..10).contains(&stored));
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Throttled, false), "{error}");
    assert_eq!(error.rows_stored(), stored as u64);
    let said = format!("the first {stored} of 10 rows are stored: append only those after them");
    assert!(error.to_string().ends_with(&said), "{error}");

    let sent = service.seen_at("rows").len();
    let rest = batch.without_first(stored);
    assert_eq!(rest.rows(), 10 - stored);
    service.drop_script("rows");
    elastic.append(&rest).unwrap();
    let texts: String = service.seen_at("rows")[sent..].iter().map(|request| request.text()).collect();
    let ids =
        texts.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["ID"].as_u64().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), (stored as u64 + 1..=10).collect::<Vec<_>>());
}

#[test]
fn a_success_with_the_page_of_a_proxy_is_no_success() {
    let service = Scripted::start();
    service.next("rows", 200, "<html>Please log in</html>");
    let error = service.pipe().elastic().append(&batch(1..=3)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false), "{error}");
}
