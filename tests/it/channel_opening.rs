//! Opening and dropping: what is tried again, what is refused, and what a refusal leaves alone.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Target};

use crate::support::{Scripted, batch, client_of, impatient_pipe, landed, pipe_of, rows};

const SOON: Duration = Duration::from_secs(20);

/// Responses to an open that mean that the channel is lost.
const LOSSES: [(u16, &str); 5] = [
    (409, ""),
    (409, r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#),
    (400, r#"{"code":"STALE_PIPE_CACHE"}"#),
    (500, r#"{"code":"STALE_PIPE_CACHE"}"#),
    (
        200,
        r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"ERR_CHANNEL_NO_LONGER_EXISTS"}}"#,
    ),
];

fn methods(service: &Emulator) -> Vec<String> {
    service.requests().iter().map(|request| request.method.clone()).collect()
}

#[test]
fn an_open_that_is_told_to_reopen_is_tried_again() {
    for (status, body) in LOSSES {
        let service = Emulator::start().unwrap();
        let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
        channel.append(&batch(1..=3)).unwrap();
        service.inject(Fault::status(Endpoint::Open, status).body(body).times(3));
        let recovery = channel.recover().unwrap();
        assert_eq!(recovery.committed_offset(), Some(&3.into()), "{status} {body}");
    }
}

#[test]
fn an_open_that_is_told_to_reopen_for_ever_is_an_error_within_its_timeout() {
    for (status, body) in LOSSES {
        let service = Emulator::start().unwrap();
        let pipe = impatient_pipe(&service);
        service.inject(Fault::status(Endpoint::Open, status).body(body).times(1000));
        let error = pipe.channel("c").open().unwrap_err();
        assert_eq!(
            error.kind(),
            if status == 200 { ErrorKind::Refused } else { ErrorKind::Channel },
            "{status} {body}"
        );
        assert_eq!(methods(&service).iter().filter(|method| *method == "PUT").count(), 9, "{status} {body}");
        let error = pipe.channel("c").open_timeout(Duration::ZERO).open().unwrap_err();
        assert_eq!(error.status().unwrap_or(200), status);
        assert_eq!(methods(&service).iter().filter(|method| *method == "PUT").count(), 10, "{status} {body}");
    }
}

#[test]
fn an_open_that_expects_another_offset_leaves_the_channel_to_its_writer() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut writer = pipe.channel("c").open().unwrap();
    writer.append(&batch(1..=3)).unwrap();
    writer.wait_for_commit(3, SOON).unwrap();
    for refused in [
        pipe.channel("c").expect_unused(),
        pipe.channel("c").expect_offset(2).open_timeout(Duration::ZERO),
        pipe.channel("d").expect_offset(2),
    ] {
        assert_eq!(refused.open().unwrap_err().kind(), ErrorKind::Conflict);
    }
    writer.append(&batch(4..=5)).unwrap();
    writer.wait_for_commit(5, SOON).unwrap();
    assert_eq!((landed(&service), writer.committed_offset()), (rows(1..=5), Some(&5.into())));
    assert_eq!(methods(&service).iter().filter(|method| *method == "PUT").count(), 1);
}

#[test]
fn a_guarded_open_asks_for_the_name_in_upper_and_lower_case_and_compares_twice() {
    let service = Scripted::start();
    service.next("status", 200, r#"{"channel_statuses":{"LOAD-1":{"last_committed_offset_token":"7"}}}"#);
    let error = service.pipe().channel("load-1").expect_offset(7).open().unwrap_err();
    assert!(error.to_string().contains("its committed offset is none, not 7"), "{error}");
    assert_eq!(service.seen_at("status")[0].text(), r#"{"channel_names":["LOAD-1","load-1"]}"#);
    assert_eq!(service.seen_at("open").len(), 1);
    service.pipe().channel("LOAD-1").expect_unused().open().unwrap();
    assert_eq!(service.seen_at("status")[1].text(), r#"{"channel_names":["LOAD-1","load-1"]}"#);
}

#[test]
fn a_guarded_open_may_be_the_one_that_creates_the_pipe() {
    let service = Scripted::start();
    service.next("status", 404, r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#);
    service.pipe().channel("load-1").expect_unused().open().unwrap();
}

#[test]
fn a_channel_with_rows_of_a_client_without_offsets_is_not_unused() {
    let service = Scripted::start();
    service.next("status", 200, r#"{"channel_statuses":{"LOAD-1":{"rows_inserted":2}}}"#);
    let error = service.pipe().channel("load-1").expect_unused().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("it has rows, but no offset token"), "{error}");
    assert_eq!(service.seen_at("open").len(), 0);
}

#[test]
fn a_drop_whose_response_was_lost_has_dropped_the_channel() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    pipe.channel("c").open().unwrap();
    service.inject(Fault::lose_reply(Endpoint::Drop));
    pipe.drop_channel("c").unwrap();
    assert_eq!(methods(&service).iter().filter(|method| *method == "DELETE").count(), 2);
    assert!(pipe.statuses(&["c"]).unwrap().is_empty());
    service.inject(Fault::status(Endpoint::Drop, 429));
    let error = pipe.drop_channel("c").unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Channel, 2), "no attempt was in doubt");
}

#[test]
fn names_that_a_path_cannot_hold_are_refused_in_every_call_before_anything_is_sent() {
    let service = Emulator::start().unwrap();
    let (client, pipe) = (client_of(&service), pipe_of(&service));
    for name in ["", " ", ".", ".."] {
        let errors = [
            pipe.channel(name).open().map(drop),
            pipe.channel(name).expect_unused().open().map(drop),
            pipe.statuses(&["c", name]).map(drop),
            pipe.drop_channel(name),
        ];
        assert!(errors.map(Result::unwrap_err).iter().all(|error| error.kind() == ErrorKind::Config), "{name:?}");
        for pipe in [
            client.table(name, "S", "T"),
            client.table("D", name, "T"),
            client.table("D", "S", name),
            client.pipe("D", "S", name),
        ] {
            let errors = [
                pipe.channel("c").open().map(drop),
                pipe.statuses(&["c"]).map(drop),
                pipe.drop_channel("c"),
                pipe.elastic().append(&batch(1..=1)),
            ];
            assert!(errors.map(Result::unwrap_err).iter().all(|error| error.kind() == ErrorKind::Config), "{pipe:?}");
        }
    }
    assert!(service.requests().is_empty());
}

#[test]
fn a_pipe_is_shown_by_its_name_and_a_channel_by_what_it_has() {
    let service = Emulator::start().unwrap();
    let target: Target = r#"demo."My.Schema".events"#.parse().unwrap();
    let pipe = client_of(&service).table_of(&target);
    let name = r#"demo."My.Schema".events-STREAMING"#;
    assert_eq!(
        (pipe.full_name(), pipe.to_string(), format!("{pipe:?}")),
        (name.into(), name.into(), format!("Pipe({name})"))
    );
    let builder = format!("{:?}", pipe.channel("c"));
    assert!(builder.contains(name) && builder.len() < 250, "{builder}");
    let channel = format!("{:?}", pipe_of(&service).channel("c").open().unwrap());
    assert_eq!(
        channel,
        r#"Channel { pipe: Pipe(DEMO.PUBLIC.EVENTS-STREAMING), name: "c", committed_offset: None, sent_offset: None, .. }"#
    );
}

#[test]
fn a_quoted_target_is_sent_with_its_quotes() {
    let service = Scripted::start();
    let target: Target = r#"db."a.b"."say ""hi""""#.parse().unwrap();
    service.client().table_of(&target).channel("c").open().unwrap();
    let path = "/v2/streaming/databases/db/schemas/%22a.b%22/pipes/%22say%20%22%22hi%22%22-STREAMING%22/channels/c";
    assert_eq!(service.seen_at("open")[0].path, path);
}

/// A response to a request for statuses, with these fields.
fn status(fields: &str) -> String {
    format!(r#"{{"channel_statuses":{{"LOAD-1":{{{fields}}}}}}}"#)
}

fn opened(offset: u64) -> String {
    format!(r#"{{"next_continuation_token":"0_1","channel_status":{{"last_committed_offset_token":"{offset}"}}}}"#)
}

const BUSY: &str = r#"{"code":"ERR_CHANNEL_HAS_UNCOMMITTED_DATA"}"#;

#[test]
fn a_guarded_open_leaves_the_channel_to_a_writer_whose_first_rows_are_on_their_way() {
    let service = Scripted::start();
    service.next("open", 409, BUSY);
    service.next("status", 200, r#"{"channel_statuses":{}}"#);
    service.next("status", 200, &status(r#""last_committed_offset_token":"3""#));
    let error = service.pipe().channel("LOAD-1").expect_unused().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("its committed offset is 3, not none"), "{error}");
    assert_eq!(service.seen_at("open").len(), 1, "only the one that was refused");

    let service = Scripted::start();
    service.next("open", 409, BUSY);
    for offset in [7, 7, 9] {
        service.next("status", 200, &status(&format!(r#""last_committed_offset_token":"{offset}""#)));
    }
    service.next("open", 409, BUSY);
    let error = service.pipe().channel("LOAD-1").expect_offset(7).open().unwrap_err();
    assert!(error.to_string().contains("its committed offset is 9, not 7"), "{error}");
    assert_eq!((error.kind(), service.seen_at("open").len()), (ErrorKind::Conflict, 2));
}

#[test]
fn an_expected_offset_that_is_still_on_its_way_is_awaited() {
    let service = Emulator::builder().commit_delay(Duration::from_millis(500)).start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.close();
    let mut channel = pipe.channel("c").expect_offset(3).open().unwrap();
    channel.append(&batch(4..=5)).unwrap();
    channel.close();
    let channel = pipe.channel("c").expect_offset(5).open().unwrap();
    assert_eq!((landed(&service), channel.committed_offset()), (rows(1..=5), Some(&5.into())));
}

#[test]
fn an_expected_offset_that_does_not_come_is_refused_when_the_open_timeout_ends() {
    let service = Scripted::start();
    (0..1000).for_each(|_| service.next("status", 200, &status(r#""last_committed_offset_token":"6""#)));
    let opening = service.pipe().channel("LOAD-1").expect_offset(7).open_timeout(Duration::from_millis(300));
    let error = opening.open().unwrap_err();
    assert_eq!((error.kind(), service.seen_at("open").len()), (ErrorKind::Conflict, 0));
    assert!(error.to_string().contains("its committed offset is 6, not 7"), "{error}");
    assert!(service.seen_at("status").len() > 1);
    service.next("open", 200, &opened(6));
    assert!(service.pipe().channel("LOAD-1").expect_offset(6).open().is_ok());
}

#[test]
fn a_status_that_does_not_say_what_is_committed_is_not_that_of_an_unused_channel() {
    let service = Scripted::start();
    service.next("status", 200, &status(r#""channel_status_code":"SUCCESS""#));
    let error = service.pipe().channel("LOAD-1").expect_unused().open().unwrap_err();
    assert_eq!((error.kind(), service.seen_at("open").len()), (ErrorKind::Protocol, 0), "{error}");
}
