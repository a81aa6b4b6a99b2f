//! Channels against the emulator: what lands, and what is told when something goes wrong.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Batch, ErrorKind};

use crate::support::{batch, client_of, impatient_pipe, landed, long_rows, pipe_of, rows};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn appended_rows_land_once_and_in_order() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    assert_eq!(channel.committed_offset(), None);
    channel.append(&batch(1..=100)).unwrap();
    channel.append(&batch(101..=150)).unwrap();
    assert_eq!(channel.sent_offset(), Some(&150.into()));
    channel.wait_for_commit(150, SOON).unwrap();
    assert_eq!(channel.committed_offset(), Some(&150.into()));
    assert_eq!(landed(&service), rows(1..=150));
}

#[test]
fn a_channel_opened_again_tells_where_to_resume() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    channel.close();
    let channel = pipe.channel("c").open().unwrap();
    assert_eq!(channel.committed_offset(), Some(&10.into()), "opening waits for what is in flight");
    assert_eq!(landed(&service), rows(1..=10));
}

#[test]
fn an_open_that_may_not_wait_says_what_it_would_wait_for() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=10)).unwrap();
    let error = pipe.channel("c").open_timeout(Duration::from_millis(100)).open().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA")));
    let discarding = pipe.channel("c").discard_uncommitted().open().unwrap();
    assert_eq!(discarding.committed_offset(), None);
    service.hold_commits(false);
    assert_eq!(landed(&service), "");
}

#[test]
fn a_second_writer_takes_the_channel_over_and_the_first_is_told() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut first = pipe.channel("c").open().unwrap();
    let mut second = pipe.channel("c").open().unwrap();
    let error = first.append(&batch(1..=10)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Channel, Some("STALE_CONTINUATION_TOKEN_SEQUENCER")));
    assert!(error.to_string().contains("another writer"), "{error}");
    let requests = service.requests().len();
    let error = first.append(&batch(1..=10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Channel);
    assert!(error.to_string().contains("left the state of the channel unknown"), "{error}");
    assert_eq!(service.requests().len(), requests, "a lost handle sends no more");
    second.append(&batch(1..=3)).unwrap();
    second.wait_for_commit(3, SOON).unwrap();
    first.reopen().unwrap();
    assert_eq!(first.committed_offset(), Some(&3.into()));
    first.append(&batch(4..=5)).unwrap();
    first.wait_for_commit(5, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=5));
}

#[test]
fn a_lost_reply_is_replayed_and_lands_nothing_twice() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.inject(Fault::lose_reply(Endpoint::Append).times(2));
    channel.append(&batch(1..=10)).unwrap();
    channel.append(&batch(11..=20)).unwrap();
    channel.wait_for_commit(20, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=20));
}

#[test]
fn rejected_rows_are_told_once_and_the_others_land() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("3\"");
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    let error = channel.wait_for_commit(10, SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStored);
    assert!(error.to_string().contains("1 row was rejected"), "{error}");
    channel.wait_for_commit(10, SOON).unwrap();
    channel.append(&batch(11..=20)).unwrap();
    let error = channel.wait_for_commit(20, SOON).unwrap_err();
    assert!(error.to_string().contains("1 row was rejected"), "{error}");
    assert_eq!(landed(&service), rows((1..=20).filter(|id| ![3, 13].contains(id))));
}

#[test]
fn rows_rejected_before_the_channel_was_opened_are_not_ours() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    service.reject_rows_containing("\"row 3\"");
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=5)).unwrap();
    channel.wait_for_commit(5, SOON).unwrap_err();
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(6..=7)).unwrap();
    channel.wait_for_commit(7, SOON).unwrap();
    assert_eq!(channel.status().unwrap().rows_rejected(), 1);
}

#[test]
fn rows_rejected_while_the_channel_was_lost_are_told_after_reopening() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 3\"");
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=5)).unwrap();
    channel.reopen().unwrap();
    channel.append(&batch(6..=7)).unwrap();
    let error = channel.wait_for_commit(7, SOON).unwrap_err();
    assert!(error.to_string().contains("1 row was rejected"), "{error}");
}

#[test]
fn waiting_for_a_commit_that_is_withheld_ends_in_time_and_loses_nothing() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=10)).unwrap();
    let error = channel.wait_for_commit(10, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("nothing is committed so far"), "{error}");
    service.hold_commits(false);
    channel.wait_for_commit(10, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=10));
}

#[test]
fn waiting_notices_a_channel_that_is_gone() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=10)).unwrap();
    pipe.drop_channel("c").unwrap();
    let error = channel.wait_for_commit(10, SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Channel);
    let error = pipe.drop_channel("c").unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Channel, Some(404)));
}

#[test]
fn the_caller_alone_knows_the_order_of_its_tokens() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    let mut tagged = batch(1..=3);
    tagged.mark("0/16B3748");
    channel.append(&tagged).unwrap();
    channel.wait_for_commit_where(|token| token.is_some_and(|token| token.as_str() == "0/16B3748"), SOON).unwrap();
    assert_eq!(channel.committed_offset(), Some(&"0/16B3748".into()));
}

#[test]
fn a_guarded_open_refuses_a_history_that_is_not_expected() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").expect_unused().open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.wait_for_commit(3, SOON).unwrap();
    pipe.channel("c").expect_offset(3).open().unwrap();
    let error = pipe.channel("c").expect_unused().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("its committed offset is 3, not none"), "{error}");
}

#[test]
fn what_cannot_be_a_channel_or_a_pipe_is_refused_before_anything_is_sent() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    for name in ["", " ", "ELASTIC", "elastic"] {
        assert_eq!(pipe.channel(name).open().unwrap_err().kind(), ErrorKind::Config, "{name:?}");
    }
    let client = client_of(&service);
    for pipe in [client.table("", "S", "T"), client.table("D", "\"\"", "T"), client.table("D", "S", "")] {
        assert_eq!(pipe.channel("c").open().unwrap_err().kind(), ErrorKind::Config, "{pipe:?}");
        assert_eq!(pipe.elastic().append(&batch(1..=1)).unwrap_err().kind(), ErrorKind::Config, "{pipe:?}");
    }
    assert!(service.requests().is_empty());
}

#[test]
fn a_pipe_that_does_not_exist_is_told_by_name() {
    let service = Emulator::start().unwrap();
    let pipe = client_of(&service).pipe("DEMO", "PUBLIC", "NO_SUCH_PIPE");
    let error = pipe.channel("c").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("NO_SUCH_PIPE"), "{error}");
}

/// An append of unknown outcome, and whether it is applied.
fn lost_appends() -> [(bool, Fault); 2] {
    [(true, Fault::lose_reply(Endpoint::Append)), (false, Fault::drop_connection(Endpoint::Append))]
}

#[test]
fn recovery_tells_whether_the_append_in_doubt_is_stored() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    for (applied, fault) in lost_appends() {
        let mut channel = pipe.channel(format!("c-{applied}")).open().unwrap();
        channel.append(&batch(1..=3)).unwrap();
        service.inject(fault.times(1000));
        assert_eq!(channel.append(&batch(4..=9)).unwrap_err().kind(), ErrorKind::Unconfirmed);
        service.clear_faults();
        let recovery = channel.recover().unwrap();
        assert_eq!(recovery.is_complete(), applied);
        assert_eq!(recovery.committed_offset(), Some(&if applied { 9.into() } else { 3.into() }));
        channel.append(&batch(4..=9).after(recovery.committed_offset())).unwrap();
        channel.wait_for_commit(9, SOON).unwrap();
    }
    assert_eq!(landed(&service), rows((1..=9).chain(1..=9)));
}

#[test]
fn recovery_names_a_second_writer() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut first = pipe.channel("c").open().unwrap();
    first.append(&batch(1..=3)).unwrap();
    let mut second = pipe.channel("c").open().unwrap();
    second.append(&batch(100..=101)).unwrap();
    second.wait_for_commit(101, SOON).unwrap();
    assert_eq!(first.append(&batch(4..=5)).unwrap_err().kind(), ErrorKind::Channel);
    let error = first.recover().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("101") && error.to_string().contains("second writer"), "{error}");
    assert_eq!(first.recover().unwrap_err().to_string(), error.to_string(), "asking again makes nothing complete");
    assert_eq!(first.append(&batch(4..=5)).unwrap_err().to_string(), error.to_string());
    first.reopen().unwrap();
    assert_eq!(first.committed_offset(), Some(&101.into()));
}

#[test]
fn recovery_is_not_complete_while_requests_of_the_batch_were_never_sent() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    let batch = long_rows(1..=3);
    for (name, fault, committed) in [
        ("in doubt", Fault::lose_reply(Endpoint::Append), Some(1.into())),
        ("refused", Fault::status(Endpoint::Append, 409), None),
    ] {
        let mut channel = pipe.channel(name).open().unwrap();
        service.inject(fault.times(1000));
        channel.append(&batch).unwrap_err();
        service.clear_faults();
        let recovery = channel.recover().unwrap();
        assert_eq!((recovery.is_complete(), recovery.committed_offset()), (false, committed.as_ref()), "{name}");
        channel.append(&batch.after(recovery.committed_offset())).unwrap();
        channel.wait_for_commit(3, SOON).unwrap();
    }
    assert_eq!(landed(&service).lines().count(), 6);
}

#[test]
fn recovery_counts_a_batch_that_a_lost_handle_would_not_send() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    service.inject(Fault::lose_reply(Endpoint::Append).times(1000));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    assert_eq!(channel.append(&batch(4..=5)).unwrap_err().kind(), ErrorKind::Channel);
    let recovery = channel.recover().unwrap();
    assert_eq!((recovery.is_complete(), recovery.committed_offset()), (false, Some(&3.into())));
    channel.append(&batch(4..=5).after(recovery.committed_offset())).unwrap();
    channel.wait_for_commit(5, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=5));
}

#[test]
fn a_recovery_that_failed_leaves_the_doubt_to_the_next() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    for (applied, fault) in lost_appends() {
        let mut channel = pipe.channel(format!("c-{applied}")).open().unwrap();
        service.inject(fault.times(1000));
        assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Unconfirmed);
        service.inject(Fault::status(Endpoint::Open, 429).times(1000));
        assert_eq!(channel.recover().unwrap_err().kind(), ErrorKind::Throttled);
        service.clear_faults();
        assert_eq!(channel.recover().unwrap().is_complete(), applied);
    }
}

#[test]
fn recovery_does_not_guess_what_became_of_rows_without_a_token() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    let mut unmarked = Batch::new();
    unmarked.push(&serde_json::json!({ "ID": 4 })).unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(1000));
    assert_eq!(channel.append(&unmarked).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    let error = channel.recover().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
    assert_eq!(channel.committed_offset(), Some(&3.into()));
    channel.append(&batch(4..=5)).unwrap();
    channel.wait_for_commit(5, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=5));
}

#[test]
fn recovery_takes_a_token_that_was_sent_twice_for_committed_with_the_first() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    for _ in 0..2 {
        let mut batch = batch(1..=1);
        batch.mark("same");
        channel.append(&batch).unwrap();
    }
    let recovery = channel.recover().unwrap();
    assert_eq!((recovery.is_complete(), recovery.committed_offset()), (true, Some(&"same".into())));
    let mut unmarked = Batch::new();
    unmarked.push(&serde_json::json!({ "ID": 2 })).unwrap();
    for mut batch in [batch(3..=3), batch(4..=4)] {
        batch.mark("same again");
        channel.append(&batch).unwrap();
    }
    channel.append(&unmarked).unwrap();
    assert_eq!(channel.recover().unwrap_err().kind(), ErrorKind::Unconfirmed);
}
