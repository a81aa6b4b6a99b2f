//! Named Channels: opening, appending in order, commits, status, dropping.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_emulator::{Emulator, Endpoint, Fault};

use crate::support::client::{Client, append_request};
use crate::support::request::Request;
use crate::support::{TABLE, UUID, eventually, prompt};

const STALE: &str = "STALE_CONTINUATION_TOKEN_SEQUENCER";

#[test]
fn a_new_channel_has_the_whole_status_with_the_right_types() {
    let emulator = prompt();
    let response = Client::scoped(&emulator).try_open("load-1", "{}").json();
    let created = response["channel_status"]["created_on_ms"].clone();
    assert!(created.is_i64());
    assert_eq!(
        response["channel_status"],
        json!({
            "database_name": "DEMO",
            "schema_name": "PUBLIC",
            "pipe_name": "FLIGHTS-STREAMING",
            "channel_name": "load-1",
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": null,
            "created_on_ms": created,
            "rows_inserted": 0,
            "rows_parsed": 0,
            "rows_error_count": 0,
            "last_error_offset_upper_bound": null,
            "last_error_message": null,
            "last_error_timestamp_ms": null,
            "snowflake_avg_processing_latency_ms": 0,
        })
    );
    assert!(response["next_continuation_token"].is_string());
}

#[test]
fn rows_land_byte_for_byte_and_the_offset_follows() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let first = client.open("c");
    let query = format!("startOffsetToken=1&endOffsetToken=2&continuationToken={first}&requestId={UUID}&retryCount=0");
    let second = client.append(&query, b"{\"A\": 1.50}\n\n{\"A\":\"\xc3\xa9\"}\n").next_token();
    client.append(&format!("offsetToken=3&continuationToken={second}"), b"{\"A\":3}").next_token();
    assert_eq!(emulator.rows(TABLE), "{\"A\": 1.50}\n{\"A\":\"é\"}\n{\"A\":3}\n".as_bytes());
    let status = client.status();
    assert_eq!(status["last_committed_offset_token"], "3");
    assert_eq!(status["rows_inserted"], 3);
    assert_eq!(status["rows_parsed"], 3);
    let landed = client.inspect("rows?table=demo.public.%22FLIGHTS%22");
    assert_eq!(landed.body, emulator.rows(TABLE));
}

#[test]
fn a_replayed_append_gets_the_earlier_response_and_lands_once() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let first = client.open("c");
    emulator.inject(Fault::lose_reply(Endpoint::Append));
    let query = format!("endOffsetToken=1&continuationToken={first}&requestId={UUID}&retryCount=");
    assert!(client.try_send(append_request(&format!("{query}0"), b"{}\n")).is_none());
    assert_eq!(emulator.requests().pop().unwrap().status, None);
    let again = || client.append(&format!("{query}1"), b"{}\n");
    let second = again().next_token();
    assert_eq!(again().next_token(), second);
    assert_eq!(emulator.rows(TABLE), b"{}\n");
    client.append(&format!("continuationToken={second}"), b"{\"b\":2}\n").next_token();
    again().assert_refused(400, STALE);
    assert_eq!(emulator.rows(TABLE), b"{}\n{\"b\":2}\n");
}

#[test]
fn stale_and_missing_tokens_are_refused() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let append = |token: &str| client.append(&format!("continuationToken={token}"), b"{}\n");
    let first = client.open("c");
    append(&first).next_token();
    append(&first).assert_refused(400, STALE);
    append("").assert_refused(400, STALE);
    let reopened = client.open("C");
    let again = client.open("c");
    append(&reopened).assert_refused(400, STALE);
    assert!(emulator.steal_channel("DEMO.PUBLIC.FLIGHTS-STREAMING", "c"));
    append(&again).assert_refused(400, STALE);
    append("nonsense").assert_refused(400, "ERR_INVALID_CONTINUATION_TOKEN");
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn one_of_many_concurrent_openers_wins() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| client.open("c"))).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    let accepted =
        tokens.iter().filter(|token| client.append(&format!("continuationToken={token}"), b"{}\n").status == 200);
    assert_eq!(accepted.count(), 1);
}

#[test]
fn reopening_discards_what_is_not_committed_or_refuses() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let first = client.open("c");
    let query = format!("endOffsetToken=1&continuationToken={first}");
    let second = client.append(&query, b"{\"a\":1}\n").next_token();
    assert_eq!(client.committed_offset(), "1");
    emulator.hold_commits(true);
    client.append(&format!("endOffsetToken=2&continuationToken={second}"), b"{\"a\":2}\n").next_token();
    assert_eq!(client.committed_offset(), "1");
    let guarded = client.try_open("c", r#"{"fail_on_uncommitted_rows":true}"#);
    guarded.assert_refused(409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA");
    let forced = client.try_open("c", r#"{"fail_on_uncommitted_rows":false}"#).json();
    assert_eq!(forced["channel_status"]["last_committed_offset_token"], "1");
    assert_eq!(client.control("commits", r#"{"hold":false}"#).status, 200);
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n");
    let guarded = client.try_open("c", r#"{"offset_token":"77","fail_on_uncommitted_rows":true}"#).json();
    assert_eq!(guarded["channel_status"]["last_committed_offset_token"], "77");
}

#[test]
fn commits_come_after_the_delay() {
    let emulator = Emulator::builder().commit_delay(Duration::from_millis(50)).start().unwrap();
    let client = Client::scoped(&emulator);
    let first = client.open("c");
    client.append(&format!("endOffsetToken=9&continuationToken={first}"), b"{}\n").next_token();
    eventually(|| client.committed_offset() == "9");
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn rows_that_cannot_land_are_counted_and_the_count_survives_reopening() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    emulator.reject_rows_containing("poison");
    let first = client.open("c");
    let body = b"{\"a\":1}\n[2]\n{\"a\":\"\xff\"}\n{\"a\":\"poison\"}\n{\"a\":5}\n";
    client.append(&format!("endOffsetToken=5&continuationToken={first}"), body).next_token();
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n{\"a\":5}\n");
    let reopened = client.try_open("c", "{}").json()["channel_status"].clone();
    assert_eq!(reopened["rows_error_count"], 3);
    assert_eq!(reopened["rows_inserted"], 2);
    assert_eq!(reopened["last_committed_offset_token"], "5");
    assert_eq!(reopened["last_error_offset_upper_bound"], "5");
    assert!(reopened["last_error_message"].is_string());
    assert!(reopened["last_error_timestamp_ms"].is_i64());
    assert_eq!(client.control("rejections", r#"{"containing":"other"}"#).status, 200);
    let next = client.open("c");
    client.append(&format!("endOffsetToken=6&continuationToken={next}"), b"{\"a\":\"poison\"}\n").next_token();
    assert_eq!(client.status()["rows_error_count"], 3);
}

#[test]
fn names_differ_by_case_only_when_quoted_and_in_lists() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let open = |pipe: &str| {
        let target = format!("/v2/streaming/databases/demo/schemas/public/pipes/{pipe}/channels/c");
        client.send(Request::put(target).json("{}"))
    };
    assert_eq!(open("flights-streaming").json()["channel_status"]["pipe_name"], "FLIGHTS-STREAMING");
    assert!(client.status().is_object());
    let quoted = open("%22my%20t-STREAMING%22").json();
    assert_eq!(quoted["channel_status"]["pipe_name"], "my t-STREAMING");
    let unknown = "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    open("%22my%20t-streaming%22").assert_refused(404, unknown);
    open("MYPIPE").assert_refused(404, unknown);
    let listed = client.statuses(&["c", "C", "unknown", "ELASTIC"]);
    let names: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(names, ["ELASTIC", "c"]);
}

#[test]
fn declared_pipes_feed_their_table() {
    let emulator = Emulator::builder().pipe("mypipe", "flights").commit_delay(Duration::ZERO).start().unwrap();
    let target = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/pipes/MYPIPE/channels/ELASTIC/rows";
    Client::scoped(&emulator).send(Request::post(target).rows(b"{}\n")).ok();
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn dropping_forgets_the_channel_and_its_offset() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    let gone = "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    client.drop_channel("c").assert_refused(404, gone);
    let first = client.open("c");
    client.append(&format!("endOffsetToken=1&continuationToken={first}"), b"{}\n").next_token();
    assert_eq!(client.drop_channel("c").status, 200);
    let append = || client.append(&format!("continuationToken={first}"), b"{}\n");
    append().assert_refused(404, gone);
    let again = client.try_open("c", "{}").json();
    assert_eq!(again["channel_status"]["last_committed_offset_token"], Value::Null);
    assert_eq!(append().status, 400);
    let expire = r#"{"action":"expire","pipe":"DEMO.PUBLIC.FLIGHTS-STREAMING","channel":"c"}"#;
    assert_eq!(client.control("channels", expire).status, 200);
    assert_eq!(client.control("channels", expire).status, 404);
    assert_eq!(client.status(), Value::Null);
}
