//! Statuses that lag, lack a channel, come in other forms, or tell of a channel that was deleted and created again.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Writer};

use crate::support::{Scripted, batch, landed, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";

/// A response to an open, with these fields in the channel's status.
fn opened(status: &str) -> String {
    format!(r#"{{"next_continuation_token":"0_1","channel_status":{{{status}}}}}"#)
}

/// A response to a request for statuses.
fn status(status: &str) -> String {
    format!(r#"{{"channel_statuses":{{"LOAD-1":{{{status}}}}}}}"#)
}

fn opens(service: &Emulator) -> usize {
    service.requests().iter().filter(|request| request.method == "PUT").count()
}

fn committed(offset: u64, rejected: u64) -> String {
    status(&format!(r#""last_committed_offset_token":"{offset}","rows_error_count":{rejected}"#))
}

#[test]
fn an_open_that_does_not_say_what_is_committed_is_not_understood() {
    for body in [
        r#"{"next_continuation_token":"0_1"}"#.to_string(),
        r#"{"next_continuation_token":"0_1","channel_status":null}"#.to_string(),
        opened(""),
        opened(r#""channel_status_code":"SUCCESS","rows_inserted":3"#),
        opened(r#""last_committed_offset_token":{"token":"7"}"#),
    ] {
        let service = Scripted::start();
        service.next("open", 200, &body);
        let error = service.pipe().channel("load-1").open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}: {error}");
    }
}

#[test]
fn an_open_says_what_is_committed_in_many_forms() {
    for (body, offset) in [
        (r#""last_committed_offset_token":null"#, None),
        (r#""last_committed_offset_token":7"#, Some(7.into())),
        (r#""last_commited_offset_token":"7","last_committed_offset_token":"7""#, Some(7.into())),
        (
            r#""last_committed_offset_token":"7","rows_error_count":1,"rows_errors":1,"rows_inserted":-1,
               "rows_parsed":2.5,"last_error_message":{"text":"m"},"last_error_offset_upper_bound":[1]"#,
            Some(7.into()),
        ),
    ] {
        let service = Scripted::start();
        service.next("open", 200, &opened(body));
        let channel = service.pipe().channel("load-1").open().unwrap();
        assert_eq!(channel.committed_offset(), offset.as_ref(), "{body}");
    }
}

#[test]
fn a_status_code_that_is_no_code_is_no_usable_channel() {
    for code in [r#"{"code":"SUCCESS"}"#, "[]", "true"] {
        let service = Scripted::start();
        let body = format!(r#""channel_status_code":{code},"last_committed_offset_token":null"#);
        service.next("open", 200, &opened(&body));
        assert_eq!(service.pipe().channel("load-1").open().unwrap_err().kind(), ErrorKind::Refused, "{code}");
    }
}

#[test]
fn a_status_that_lags_takes_no_commit_back_and_accuses_nobody() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.append(&batch(4..=6)).unwrap();
    for (body, expected) in [(committed(3, 0), 3), (committed(6, 0), 6), (committed(3, 0), 6), (status(""), 6)] {
        service.next("status", 200, &body);
        channel.status().unwrap();
        assert_eq!(channel.committed_offset(), Some(&expected.into()), "{body}");
    }
    service.next("open", 200, &opened(r#""last_committed_offset_token":"3""#));
    let recovery = channel.recover().unwrap();
    assert_eq!((recovery.is_complete(), recovery.committed_offset()), (true, Some(&6.into())));
}

#[test]
fn an_open_that_lags_proves_nothing_of_what_is_in_flight() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.append(&batch(4..=6)).unwrap();
    service.next("status", 200, &committed(6, 0));
    channel.status().unwrap();
    channel.append(&batch(7..=9)).unwrap();
    service.next("open", 200, &opened(r#""last_committed_offset_token":"3""#));
    let error = channel.recover().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(error.to_string().contains("it reports offset 3 as committed, and reported 6 before"), "{error}");
    service.next("open", 200, &opened(r#""last_committed_offset_token":"9""#));
    assert!(channel.recover().unwrap().is_complete(), "nothing was forgotten");
}

#[test]
fn rejected_rows_are_counted_once_although_statuses_come_out_of_order() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    let counted = [2, 0, 2, 3].map(|rejected| {
        service.next("status", 200, &committed(3, rejected));
        channel.wait_for_commit(3, SOON).map_or_else(|error| error.rows_rejected(), |()| 0)
    });
    assert_eq!(counted, [2, 0, 0, 1]);
}

#[test]
fn rejected_rows_that_a_status_showed_are_told_by_the_next_wait_although_its_own_lags() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    service.next("status", 200, &committed(3, 2));
    channel.status().unwrap();
    service.next("status", 200, &status(""));
    let error = channel.wait_for_commit_where(|offset| offset == Some(&3.into()), SOON).unwrap_err();
    assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 2));
    service.next("status", 200, &committed(3, 2));
    channel.wait_for_commit(3, SOON).unwrap();
}

#[test]
fn a_channel_that_a_response_lacks_is_looked_for_again() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    let absent = r#"{"channel_statuses":{}}"#;
    [absent, r#"{"channel_statuses":{"LOAD-1":null}}"#].iter().for_each(|body| service.next("status", 200, body));
    service.next("status", 200, &committed(3, 0));
    channel.wait_for_commit(3, SOON).unwrap();
    assert_eq!((service.seen_at("status").len(), service.seen_at("open").len()), (3, 1));
    let error = channel.status().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Channel);
    assert_eq!(service.seen_at("status").len(), 3 + 7);
}

#[test]
fn what_was_committed_is_known_after_reopening_and_a_thousand_requests_later() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    for id in 1..=1_100 {
        channel.append(&batch(id..=id)).unwrap();
    }
    channel.wait_for_commit(1_100, SOON).unwrap();
    channel.wait_for_commit(1, SOON).unwrap();
    channel.append(&batch(1_101..=1_101)).unwrap();
    channel.append(&batch(1_102..=1_102)).unwrap();
    channel.reopen().unwrap();
    for offset in [1, 1_100, 1_101, 1_102] {
        channel.wait_for_commit(offset, SOON).unwrap();
    }
    assert_eq!(landed(&service), rows(1..=1_102));
}

#[test]
fn a_channel_that_was_created_again_under_rows_in_flight_takes_no_more() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.wait_for_commit(3, SOON).unwrap();
    service.hold_commits(true);
    channel.append(&batch(4..=8)).unwrap();
    pipe.drop_channel("c").unwrap();
    service.hold_commits(false);
    assert_eq!(channel.append(&batch(9..=9)).unwrap_err().kind(), ErrorKind::Channel);
    let error = channel.recover().unwrap_err();
    assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some("3")));
    let text = error.to_string();
    assert!(text.contains("the 5 rows sent after offset 3 may or may not be stored"), "{text}");
    assert!(
        text.contains("compare the table with the source: the same load, run again, would store all of its rows again"),
        "{text}"
    );
    let before = opens(&service);
    for again in
        [channel.recover().map(drop), channel.reopen(), channel.append(&batch(9..=9)), channel.status().map(drop)]
    {
        assert_eq!(again.unwrap_err().to_string(), text);
    }
    assert_eq!(opens(&service), before, "whoever has the channel now keeps it");
    assert_eq!(landed(&service), rows(1..=3));
}

#[test]
fn a_status_tells_of_a_channel_that_somebody_created_again() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=1)).unwrap();
    pipe.drop_channel("c").unwrap();
    pipe.channel("c").open().unwrap();
    service.hold_commits(false);
    let error = channel.wait_for_commit(1, SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("the 1 row sent from its beginning may or may not be stored"), "{error}");
}

#[test]
fn a_channel_that_was_created_again_before_anything_was_sent_goes_on() {
    for recovers in [false, true] {
        let service = Emulator::start().unwrap();
        let mut channel = pipe_of(&service).channel("c").open().unwrap();
        assert!(service.expire_channel(PIPE, "c"));
        if recovers {
            assert!(channel.recover().unwrap().is_complete());
        } else {
            channel.reopen().unwrap();
        }
        channel.append(&batch(1..=3)).unwrap();
        channel.wait_for_commit(3, SOON).unwrap();
        assert_eq!(landed(&service), rows(1..=3));
    }
}

#[test]
fn without_its_time_of_creation_a_channel_is_compared_by_its_offset_alone() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    service.next("open", 200, &opened(r#""last_committed_offset_token":null"#));
    let recovery = channel.recover().unwrap();
    assert_eq!((recovery.is_complete(), recovery.committed_offset()), (false, None));
    channel.append(&batch(1..=3)).unwrap();
    service.next("status", 200, &committed(3, 0));
    channel.wait_for_commit(3, SOON).unwrap();
    service.next("open", 200, &opened(r#""last_committed_offset_token":null"#));
    assert_eq!(channel.recover().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_smaller_count_of_a_channel_created_again_is_a_new_beginning() {
    let service = Scripted::start();
    service.next("open", 200, &opened(r#""last_committed_offset_token":null,"rows_error_count":9,"created_on_ms":1"#));
    let mut channel = service.pipe().channel("LOAD-1").open().unwrap();
    service.next("status", 200, &status(r#""rows_error_count":0,"created_on_ms":2"#));
    channel.status().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    service.next("status", 200, &committed(3, 2));
    assert_eq!(channel.wait_for_commit(3, SOON).unwrap_err().rows_rejected(), 2);
}

#[test]
fn a_failing_server_that_says_reopen_is_not_asked_again() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    let body = r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#;
    service.inject(Fault::status(Endpoint::Append, 503).body(body).times(1000));
    let error = channel.append(&batch(1..=3)).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Channel, Some(503), 1));
}

#[test]
fn an_append_that_found_the_channel_gone_does_not_stand_in_the_way_of_a_new_one() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    assert!(service.expire_channel(PIPE, "c"));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Channel);
    let recovery = channel.recover().unwrap();
    assert!(!recovery.is_complete());
    channel.append(&recovery.rest_of(&batch(1..=3)).unwrap()).unwrap();
    channel.wait_for_commit(3, SOON).unwrap();

    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    assert!(service.expire_channel(PIPE, "w"));
    (4..=6).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=6));
}

/// A writer that has two rows committed and a third one in flight, on a channel that has to be reopened.
fn writer_that_must_reopen(service: &Scripted) -> Writer {
    let mut writer = service.pipe().channel("load-1").open().unwrap().into_writer();
    for id in 1..=2 {
        writer.write_json(row(id).as_bytes(), id).unwrap();
        service.next("status", 200, &committed(id, 0));
        writer.commit(SOON).unwrap();
    }
    writer.write_json(row(3).as_bytes(), 3).unwrap();
    service.next("status", 200, &status(r#""channel_status_code":"ERR_CHANNEL_MUST_BE_REOPENED""#));
    writer
}

#[test]
fn a_writer_asks_again_when_a_reopening_lags() {
    let service = Scripted::start();
    let mut writer = writer_that_must_reopen(&service);
    for offset in [1, 1, 3] {
        service.next("open", 200, &opened(&format!(r#""last_committed_offset_token":"{offset}""#)));
    }
    writer.commit(SOON).unwrap();
    assert_eq!((service.seen_at("rows").len(), writer.committed_offset()), (3, Some(&3.into())));
}

#[test]
fn a_writer_whose_reopenings_lag_for_ever_can_be_called_again() {
    let service = Scripted::start();
    let mut writer = writer_that_must_reopen(&service);
    (0..100).for_each(|_| service.next("open", 200, &opened(r#""last_committed_offset_token":"1""#)));
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
    assert!(error.to_string().contains("it reports offset 1 as committed, and reported 2 before"), "{error}");
    service.drop_script("open");
    service.next("open", 200, &opened(r#""last_committed_offset_token":"3""#));
    writer.commit(SOON).unwrap();
    assert_eq!((service.seen_at("rows").len(), writer.committed_offset()), (3, Some(&3.into())));
}
