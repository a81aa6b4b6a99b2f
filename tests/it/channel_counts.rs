//! What the counts of a channel say: rows that a service without offsets has stored, and rows that it could not store.

use std::time::Duration;

use snowpipe_streaming::{Channel, ErrorKind};

use crate::support::{Scripted, batch, row};

const SOON: Duration = Duration::from_secs(20);

/// A response to an open, with these fields in the channel's status.
fn opened(status: &str) -> String {
    format!(r#"{{"next_continuation_token":"0_1","channel_status":{{{status}}}}}"#)
}

/// The same of a channel that has rows and no offset.
fn opened_with(rows: u64) -> String {
    opened(&format!(r#""last_committed_offset_token":null,"created_on_ms":1,"rows_inserted":{rows}"#))
}

/// The same of a channel that has rejected rows.
fn opened_after(rejected: u64) -> String {
    opened(&format!(r#""last_committed_offset_token":null,"created_on_ms":1,"rows_error_count":{rejected}"#))
}

fn committed(offset: u64, rejected: u64) -> String {
    format!(
        r#"{{"channel_statuses":{{"LOAD-1":{{"last_committed_offset_token":"{offset}","rows_error_count":{rejected}}}}}}}"#
    )
}

fn open_after(service: &Scripted, body: &str) -> Channel {
    service.next("open", 200, body);
    service.pipe().channel("load-1").open().unwrap()
}

/// Of a wait that finds this offset committed.
fn rejected_at(service: &Scripted, channel: &mut Channel, offset: u64, rejected: u64) -> u64 {
    service.next("status", 200, &committed(offset, rejected));
    channel.wait_for_commit(offset, SOON).map_or_else(|error| error.rows_rejected(), |()| 0)
}

#[test]
fn rows_that_were_stored_without_their_offset_are_not_to_be_sent_again() {
    for (before, after) in [(0, 5), (5, 10)] {
        let service = Scripted::start();
        let mut channel = open_after(&service, &opened_with(before));
        channel.append(&batch(1..=5)).unwrap();
        service.next("open", 200, &opened_with(after));
        let error = channel.recover().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false), "{error}");
        assert!(error.to_string().contains("has stored 5 rows of it and reports no offset"), "{error}");
        service.next("open", 200, &opened_with(after));
        assert_eq!(channel.recover().unwrap_err().to_string(), error.to_string(), "asking again proves nothing");
        service.next("open", 200, &opened_with(after));
        channel.reopen().unwrap();
        service.next("open", 200, &opened_with(after));
        assert!(channel.recover().unwrap().is_complete());
    }
}

#[test]
fn rows_without_an_offset_from_before_the_opening_prove_nothing_of_what_was_sent() {
    let service = Scripted::start();
    let mut channel = open_after(&service, &opened_with(5));
    channel.append(&batch(1..=5)).unwrap();
    service.next("open", 200, &opened_with(5));
    assert_eq!(channel.recover().unwrap().rest_of(&batch(1..=5)).unwrap().rows(), 5);

    let service = Scripted::start();
    let mut writer = open_after(&service, &opened_with(5)).into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.next("rows", 400, r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#);
    service.next("open", 200, &opened_with(5));
    writer.flush().unwrap();
    assert_eq!(service.seen_at("rows").len(), 2);
}

#[test]
fn a_writer_whose_rows_were_stored_without_their_offset_ends_and_gives_them_back() {
    let service = Scripted::start();
    let mut writer = open_after(&service, &opened_with(0)).into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.next("rows", 400, r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#);
    service.next("open", 200, &opened_with(1));
    let error = writer.flush().unwrap_err();
    assert!(error.to_string().contains("has stored 1 row of it and reports no offset"), "{error}");
    assert_eq!((error.kind(), service.seen_at("rows").len()), (ErrorKind::Unconfirmed, 1));
    let left = writer.into_uncommitted().unwrap();
    assert_eq!(left.rows(), 1);
}

#[test]
fn rejected_rows_are_reported_once_although_a_reopening_lags() {
    let service = Scripted::start();
    let mut channel = open_after(&service, &opened_after(0));
    channel.append(&batch(1..=3)).unwrap();
    assert_eq!(rejected_at(&service, &mut channel, 3, 3), 3);
    service.next("open", 200, &opened(r#""last_committed_offset_token":"3","created_on_ms":1"#));
    channel.reopen().unwrap();
    assert_eq!(rejected_at(&service, &mut channel, 3, 3), 0);
    assert_eq!(rejected_at(&service, &mut channel, 3, 4), 1);
}

#[test]
fn rejected_rows_that_were_seen_are_reported_although_a_reopening_lags() {
    let service = Scripted::start();
    let mut channel = open_after(&service, &opened_after(0));
    channel.append(&batch(1..=3)).unwrap();
    service.next("status", 200, &committed(3, 2));
    channel.status().unwrap();
    for expected in [2, 0] {
        service.next(
            "open",
            200,
            &opened(r#""last_committed_offset_token":"3","rows_error_count":1,"created_on_ms":1"#),
        );
        channel.reopen().unwrap();
        assert_eq!(rejected_at(&service, &mut channel, 3, 1), expected);
    }
}

#[test]
fn the_reason_for_a_rejected_row_comes_from_the_status_that_counts_it() {
    let service = Scripted::start();
    let mut writer = open_after(&service, &opened_after(0)).into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.next("status", 200, &committed(1, 0));
    writer.commit(SOON).unwrap();
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    service.next("rows", 400, r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#);
    let fields =
        r#""last_committed_offset_token":"1","created_on_ms":1,"rows_error_count":1,"last_error_message":"no date""#;
    service.next("open", 200, &opened(fields));
    service.next("status", 200, &committed(2, 0));
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 1));
    assert!(error.to_string().contains("all is committed, but 1 row was rejected, the last: no date"), "{error}");
}
