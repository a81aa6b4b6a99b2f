//! What a recovered channel says about the rows that were in flight: what is left to send, and what nothing proves.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Batch, Channel, ErrorKind};

use crate::support::{Scripted, batch, impatient_pipe, landed, long_rows, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";

/// A row without an offset token.
fn unmarked(id: u64) -> Batch {
    let mut batch = Batch::new();
    batch.push_json(row(id).as_bytes()).unwrap();
    batch
}

/// Appends as the documentation of `recover` shows it.
fn append(channel: &mut Channel, batch: &Batch) {
    if channel.append(batch).is_err() {
        let rest = channel.recover().unwrap().rest_of(batch).unwrap();
        channel.append(&rest).unwrap();
    }
}

#[test]
fn only_the_first_opening_discards_what_is_not_committed() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").discard_uncommitted().open().unwrap();
    channel.reopen().unwrap();
    assert!(channel.recover().unwrap().is_complete());
    let bodies: Vec<_> = service.seen_at("open").iter().map(|open| open.text()).collect();
    let [discarding, waiting] =
        [r#"{"fail_on_uncommitted_rows":false}"#, r#"{"fail_on_uncommitted_rows":true}"#].map(String::from);
    assert_eq!(bodies, [discarding, waiting.clone(), waiting]);
}

#[test]
fn rows_that_a_discarding_handle_sent_are_awaited_by_its_recovery() {
    let service = Emulator::builder().commit_delay(Duration::from_millis(500)).start().unwrap();
    for fault in [Fault::drop_connection(Endpoint::Append), Fault::lose_reply(Endpoint::Append)] {
        let pipe = impatient_pipe(&service);
        let mut channel = pipe.channel(format!("{fault:?}")).discard_uncommitted().open().unwrap();
        channel.append(&batch(1..=3)).unwrap();
        service.inject(fault.times(1000));
        assert_eq!(channel.append(&batch(4..=6)).unwrap_err().kind(), ErrorKind::Unconfirmed);
        service.clear_faults();
        append(&mut channel, &batch(4..=6));
        channel.wait_for_commit(6, SOON).unwrap();
    }
    assert_eq!(landed(&service), rows((1..=6).chain(1..=6)));
}

#[test]
fn the_rest_of_a_batch_is_refused_where_it_would_leave_a_gap() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=2)).unwrap();
    channel.wait_for_commit(2, SOON).unwrap();
    service.hold_commits(true);
    channel.append(&batch(3..=4)).unwrap();
    pipe.channel("c").discard_uncommitted().open().unwrap();
    service.hold_commits(false);
    assert_eq!(channel.append(&batch(5..=6)).unwrap_err().kind(), ErrorKind::Channel);
    let recovery = channel.recover().unwrap();
    assert!(!recovery.is_complete());
    let error = recovery.rest_of(&batch(5..=6)).unwrap_err();
    assert_eq!((error.kind(), error.committed_offset(), error.is_retryable()), (ErrorKind::Channel, Some("2"), false));
    assert!(error.to_string().contains("resume the source after offset 2"), "{error}");
    let rest = recovery.rest_of(&batch(3..=4)).unwrap();
    assert_eq!(rest.rows(), 2);
    channel.append(&rest).unwrap();
    channel.append(&batch(5..=6)).unwrap();
    channel.wait_for_commit(6, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=6));
}

#[test]
fn of_two_batches_that_failed_the_first_is_to_be_sent_first() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    for (name, fault, first) in [
        ("lost", Fault::drop_connection(Endpoint::Append), 1..=3),
        ("applied", Fault::lose_reply(Endpoint::Append), 4..=5),
    ] {
        let mut channel = pipe.channel(name).open().unwrap();
        service.inject(fault.times(1000));
        assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Unconfirmed);
        service.clear_faults();
        for ids in [4..=5, 6..=7, 4..=5, 6..=7] {
            assert_eq!(channel.append(&batch(ids)).unwrap_err().kind(), ErrorKind::Channel);
        }
        let recovery = channel.recover().unwrap();
        for ids in [1..=3, 4..=5, 6..=7] {
            let rest = recovery.rest_of(&batch(ids.clone())).map(|rest| rest.rows()).ok();
            let expected = if *ids.start() < *first.start() { 0 } else { ids.clone().count() };
            assert_eq!(rest, (ids.start() <= first.start()).then_some(expected), "{name}: {ids:?}");
        }
    }
}

#[test]
fn after_a_recovery_that_found_everything_nothing_is_left_of_any_batch() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    service.inject(Fault::lose_reply(Endpoint::Append).times(1000));
    channel.append(&batch(4..=6)).unwrap_err();
    service.clear_faults();
    assert_eq!(channel.append(&batch(4..=6)).unwrap_err().kind(), ErrorKind::Channel, "tried once more");
    let recovery = channel.recover().unwrap();
    assert!(recovery.is_complete());
    assert!([batch(1..=3), batch(4..=6)].iter().all(|batch| recovery.rest_of(batch).unwrap().is_empty()));
}

#[test]
fn the_unmarked_end_of_a_batch_that_was_cut_is_missing_although_its_last_token_is_committed() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    let mut batch = long_rows(1..=1);
    let mut noise = fastrand::Rng::with_seed(5);
    let text: String = (0..3_500_000).map(|_| noise.alphanumeric()).collect();
    batch.push(&serde_json::json!({ "ID": 2, "TEXT": text })).unwrap();
    // The first of its two requests gets through.
    service.inject(Fault::delay(Endpoint::Append, Duration::ZERO));
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    assert_eq!(channel.append(&batch).unwrap_err().kind(), ErrorKind::Throttled);
    service.clear_faults();
    let recovery = channel.recover().unwrap();
    assert_eq!((recovery.is_complete(), recovery.committed_offset()), (false, Some(&1.into())));
    let rest = recovery.rest_of(&batch).unwrap();
    assert_eq!(rest.rows(), 1);
    channel.append(&rest).unwrap();
    channel.reopen().unwrap();
    assert_eq!(landed(&service).lines().count(), 2);
}

#[test]
fn a_batch_that_was_accepted_in_part_is_not_to_be_appended_again_as_it_is() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    let batch = long_rows(1..=3);
    // The first of its three requests gets through.
    service.inject(Fault::delay(Endpoint::Append, Duration::ZERO));
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    let error = channel.append(&batch).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Throttled, false));
    assert!(error.to_string().ends_with("reopen the channel and resume after its committed offset"), "{error}");
    service.clear_faults();
    append(&mut channel, &batch);
    channel.wait_for_commit(3, SOON).unwrap();
    assert_eq!(landed(&service).lines().count(), 3);
}

#[test]
fn unmarked_rows_before_marked_ones_leave_the_outcome_unconfirmed() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.append(&unmarked(4)).unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(1000));
    assert_eq!(channel.append(&batch(5..=5)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    let error = channel.recover().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(error.to_string().contains("rows sent after offset 3 had no offset token"), "{error}");
    assert_eq!(landed(&service), rows(1..=4));
}

#[test]
fn unmarked_rows_that_a_later_token_proves_are_no_doubt() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&unmarked(1)).unwrap();
    channel.append(&batch(2..=2)).unwrap();
    assert!(channel.recover().unwrap().is_complete());
}

#[test]
fn a_recovery_that_proved_nothing_is_not_followed_by_one_that_is_complete() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(1000));
    assert_eq!(channel.append(&unmarked(1)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    assert_eq!(channel.recover().unwrap_err().kind(), ErrorKind::Unconfirmed);
    channel.append(&batch(2..=2)).unwrap();
    assert_eq!(channel.recover().unwrap_err().kind(), ErrorKind::Unconfirmed);
    channel.reopen().unwrap();
    assert!(channel.recover().unwrap().is_complete(), "reopening ends the doubt: the caller has looked");
    assert_eq!(landed(&service), rows(2..=2));
}

#[test]
fn unmarked_rows_that_a_writer_took_over_and_lost_are_an_error() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&unmarked(1)).unwrap();
    let mut writer = channel.into_writer();
    assert!(service.steal_channel(PIPE, "c"));
    service.hold_commits(false);
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    let error = writer.commit(SOON).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unconfirmed), "{error}");
    assert_eq!(landed(&service), "", "row 1 is lost, so row 2 may not follow");
}

#[test]
fn a_batch_that_was_throttled_is_missing_until_it_is_appended() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Throttled);
    service.clear_faults();
    let recovery = channel.recover().unwrap();
    assert!(!recovery.is_complete());
    let rest = recovery.rest_of(&batch(1..=3)).unwrap();
    assert_eq!(rest.rows(), 3);
    channel.append(&rest).unwrap();
    assert!(channel.recover().unwrap().is_complete());
    assert_eq!(landed(&service), rows(1..=3));
}

#[test]
fn what_one_recovery_found_missing_the_next_one_finds_missing_too() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(1000));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    for _ in 0..2 {
        let recovery = channel.recover().unwrap();
        assert_eq!((recovery.is_complete(), recovery.rest_of(&batch(1..=3)).unwrap().rows()), (false, 3));
    }
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Throttled);
    service.clear_faults();
    assert_eq!(channel.recover().unwrap().rest_of(&batch(1..=3)).unwrap().rows(), 3);
    append(&mut channel, &batch(1..=3));
    assert!(channel.recover().unwrap().is_complete());
    assert_eq!(landed(&service), rows(1..=3));
}

#[test]
fn of_two_batches_that_were_lost_the_second_stays_missing_when_the_first_is_sent_again() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=3)).unwrap();
    channel.append(&batch(4..=6)).unwrap();
    assert!(service.steal_channel(PIPE, "c"));
    service.hold_commits(false);
    for ids in [1..=3, 4..=6] {
        let recovery = channel.recover().unwrap();
        assert!(!recovery.is_complete());
        channel.append(&recovery.rest_of(&batch(ids)).unwrap()).unwrap();
    }
    assert!(channel.recover().unwrap().is_complete());
    assert_eq!(landed(&service), rows(1..=6));
}

#[test]
fn reopening_forgets_what_is_missing_because_the_source_is_resumed() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(1000));
    channel.append(&batch(1..=3)).unwrap_err();
    service.clear_faults();
    assert!(!channel.recover().unwrap().is_complete());
    channel.reopen().unwrap();
    assert!(channel.recover().unwrap().is_complete());
}
