//! Rows fed one by one: buffered, delivered, and delivered again when the channel is lost.

mod asking;
mod closing;
mod endings;
mod full_memory;
mod lost_rows;
mod outages;
mod rejections;

use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Writer};

use crate::support::{batch, impatient_pipe, landed, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";

fn writer(service: &Emulator) -> Writer {
    pipe_of(service).channel("w").open().unwrap().into_writer().max_age(Duration::from_secs(3600))
}

/// The same, but one that gives up soon when a fault does not end.
fn impatient_writer(service: &Emulator) -> Writer {
    impatient_pipe(service).channel("w").open().unwrap().into_writer().max_age(Duration::from_secs(3600))
}

fn appends(service: &Emulator) -> usize {
    service.requests().iter().filter(|request| request.path.ends_with("/rows")).count()
}

#[test]
fn rows_are_buffered_until_the_buffer_is_full_or_flushed() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service).max_bytes(1000);
    for id in 1..=20 {
        writer.write_json(row(id).as_bytes(), id).unwrap();
    }
    assert_eq!(appends(&service), 0);
    for id in 21..=100 {
        writer.write_json(row(id).as_bytes(), id).unwrap();
    }
    let full = appends(&service);
    assert!(full > 1, "{full}");
    writer.flush().unwrap();
    assert_eq!(appends(&service), full + 1);
    writer.flush().unwrap();
    assert_eq!(appends(&service), full + 1, "an empty buffer sends nothing");
    assert_eq!(writer.close(SOON).unwrap(), Some(100.into()));
    assert_eq!(landed(&service), rows(1..=100));
}

#[test]
fn an_old_row_is_sent_by_the_next_row_or_a_tick() {
    let service = Emulator::start().unwrap();
    let mut eager = writer(&service).max_age(Duration::ZERO);
    eager.write(&json!({"ID": 1}), 1).unwrap();
    assert_eq!(appends(&service), 1);
    let mut patient = eager.max_age(Duration::from_secs(3600));
    patient.write(&json!({"ID": 2}), 2).unwrap();
    patient.tick().unwrap();
    assert_eq!(appends(&service), 1);
    let mut eager = patient.max_age(Duration::ZERO);
    eager.tick().unwrap();
    assert_eq!(appends(&service), 2);
    eager.tick().unwrap();
    assert_eq!(appends(&service), 2, "nothing is old in an empty buffer");
}

#[test]
fn everything_is_committed_once_however_often_the_channel_is_lost() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service).max_bytes(500);
    for id in 1..=300u64 {
        match id {
            40 | 170 => assert!(service.steal_channel(PIPE, "w")),
            90 => service.inject(Fault::lose_reply(Endpoint::Append).times(1)),
            130 => service.inject(Fault::status(Endpoint::Append, 409)),
            210 => service.inject(Fault::drop_connection(Endpoint::Append).times(2)),
            250 => service.revoke_scoped_tokens(),
            _ => {}
        }
        writer.write_json(row(id).as_bytes(), id).unwrap();
    }
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=300));
    assert_eq!((writer.report().rows_committed, writer.committed_offset()), (300, Some(&300.into())));
    assert!(writer.report().reopens >= 3);
}

#[test]
fn a_channel_deleted_while_its_commit_is_awaited_is_a_conflict_and_nothing_is_sent_again() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.flush().unwrap();
    pipe_of(&service).drop_channel("w").unwrap();
    service.hold_commits(false);
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("the 1 row sent from its beginning may or may not be stored"), "{error}");
    assert_eq!((landed(&service), appends(&service)), (String::new(), 1));
}

#[test]
fn a_value_that_is_no_row_is_left_out_and_the_writer_goes_on() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    assert_eq!(writer.write(&json!([2]), 2).unwrap_err().kind(), ErrorKind::Row);
    assert_eq!(writer.write_json(b"{", 3).unwrap_err().kind(), ErrorKind::Row);
    writer.write_json(row(4).as_bytes(), 4).unwrap();
    assert_eq!(writer.close(SOON).unwrap(), Some(4.into()));
    assert_eq!(landed(&service), rows([1, 4]));
}

#[test]
fn rejected_rows_are_reported_once() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 2\"");
    let mut writer = writer(&service);
    for id in 1..=3 {
        writer.write_json(row(id).as_bytes(), id).unwrap();
    }
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStored);
    assert!(error.to_string().contains("1 row was rejected"), "{error}");
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows([1, 3]));
}

#[test]
fn a_commit_that_does_not_come_can_be_awaited_again() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    assert_eq!(writer.commit(Duration::from_millis(50)).unwrap_err().kind(), ErrorKind::Timeout);
    service.hold_commits(false);
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=1));
}

#[test]
fn memory_is_bounded_by_waiting_for_commits() {
    let service = Emulator::builder().commit_delay(Duration::from_millis(200)).start().unwrap();
    let mut noise = fastrand::Rng::with_seed(5);
    let mut writer = writer(&service);
    let mut bytes = vec![0; 600_000];
    for id in 1..=60u64 {
        noise.fill(&mut bytes);
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes);
        writer.write(&json!({ "ID": id, "TEXT": text }), id).unwrap();
    }
    // Sixty times 600,000 bytes of noise are more than may wait uncommitted.
    assert!(writer.report().rows_committed > 0, "some had to be committed before the last could be written");
    writer.commit(SOON).unwrap();
    assert_eq!(writer.report().rows_committed, 60);
}

#[test]
fn rows_that_could_not_be_sent_go_out_with_the_next_call_and_in_order() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    for part in 0..3 {
        writer.write_json(row(part * 2 + 1).as_bytes(), part * 2 + 1).unwrap();
        writer.write_json(row(part * 2 + 2).as_bytes(), part * 2 + 2).unwrap();
        assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::Throttled);
    }
    service.clear_faults();
    writer.write_json(row(7).as_bytes(), 7).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().rows_committed), (rows(1..=7), 7));
}

#[test]
fn a_recovery_that_failed_is_tried_again_by_the_next_call() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    assert!(service.steal_channel(PIPE, "w"));
    service.inject(Fault::status(Endpoint::Open, 429).times(1000));
    assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::Throttled, "the channel is lost and cannot be reopened");
    service.clear_faults();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=1), 1));
}

#[test]
fn rejected_rows_are_reported_although_the_last_response_was_lost() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    service.reject_rows_containing("\"row 2\"");
    let mut writer = pipe.channel("w").open().unwrap().into_writer();
    service.inject(Fault::lose_reply(Endpoint::Append).times(1000));
    (1..=3).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStored);
    assert!(error.to_string().contains("1 row was rejected"), "{error}");
    writer.commit(SOON).unwrap();
}

#[test]
fn an_outage_longer_than_a_few_recoveries_is_survived() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.inject(Fault::status(Endpoint::Append, 503).times(1000));
    service.inject(Fault::status(Endpoint::Open, 503).times(1000));
    for _ in 0..8 {
        assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    service.clear_faults();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=1), 1));
}

#[test]
fn a_channel_that_another_writer_wrote_to_takes_no_more_rows() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.hold_commits(true);
    writer.flush().unwrap();
    let mut other = pipe.channel("w").discard_uncommitted().open().unwrap();
    service.hold_commits(false);
    other.append(&batch(100..=101)).unwrap();
    other.wait_for_commit(101, SOON).unwrap();
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    for _ in 0..3 {
        let error = writer.flush().unwrap_err();
        assert!(error.to_string().contains("its committed offset is 101"), "{error}");
    }
    writer.commit(SOON).unwrap_err();
    assert_eq!(landed(&service), rows(100..=101), "row 1 is lost to the writer, so no later one may follow");
}

#[test]
fn a_commit_without_any_time_to_wait_still_looks() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let came = (0..1000).any(|_| writer.commit(Duration::ZERO).is_ok());
    assert!(came);
}

#[cfg(feature = "zstd")]
#[test]
fn a_row_too_long_for_any_request_is_left_out_and_no_other() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    let mut noise = fastrand::Rng::with_seed(7);
    let long: String = (0..6_000_000).map(|_| noise.alphanumeric()).collect();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let error = writer.write(&json!({ "ID": 2, "TEXT": long }), 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Row);
    assert!(error.to_string().contains("the row at offset 2 is too long for any request"), "{error}");
    writer.write_json(row(3).as_bytes(), 3).unwrap();
    writer.write(&json!({ "ID": 4, "TEXT": " ".repeat(6_000_000) }), 4).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service).lines().count(), 3);
    assert_eq!((writer.report().rows_committed, writer.committed_offset()), (3, Some(&4.into())));
}

#[test]
fn rows_appended_before_the_writer_began_are_not_passed_over() {
    for (name, is_stolen) in [("kept", false), ("lost", true)] {
        let service = Emulator::start().unwrap();
        service.hold_commits(is_stolen);
        let mut channel = pipe_of(&service).channel("w").open().unwrap();
        channel.append(&batch(1..=3)).unwrap();
        let mut writer = channel.into_writer().max_age(Duration::from_secs(3600));
        if is_stolen {
            assert!(service.steal_channel(PIPE, "w"));
        }
        service.hold_commits(false);
        service.inject(Fault::status(Endpoint::Append, 409));
        writer.write_json(row(4).as_bytes(), 4).unwrap();
        let result = writer.commit(SOON);
        assert_eq!(result.is_err(), is_stolen, "{name}: {result:?}");
        assert_eq!(landed(&service), if is_stolen { String::new() } else { rows(1..=4) }, "{name}");
    }
}

#[test]
fn a_writer_counts_nothing_that_happened_before_it_began() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("w").open().unwrap();
    channel.reopen().unwrap();
    channel.append(&batch(1..=3)).unwrap();
    channel.wait_for_commit(3, SOON).unwrap();
    let mut writer = channel.into_writer();
    assert_eq!(
        (writer.report().rows_committed, writer.report().reopens, writer.report().commit_lag),
        (0, 0, Duration::ZERO)
    );
    assert!(service.steal_channel(PIPE, "w"));
    writer.write_json(row(4).as_bytes(), 4).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!((writer.report().rows_committed, writer.report().reopens), (1, 1));
}
