//! How a writer ends, and what becomes of the rows that it still has.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Batch, ErrorKind, Writer};

use super::{PIPE, SOON, appends, impatient_writer, writer};
use crate::support::{batch, landed, pipe_of, row, rows};

fn unmarked(ids: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::new();
    ids.into_iter().for_each(|id| batch.push_json(row(id).as_bytes()).unwrap());
    batch
}

/// A writer whose channel another one has written to.
fn displaced(service: &Emulator) -> Writer {
    let writer = writer(service);
    let mut other = pipe_of(service).channel("w").open().unwrap();
    other.append(&batch(100..=101)).unwrap();
    other.wait_for_commit(101, SOON).unwrap();
    writer
}

#[test]
fn a_writer_that_has_ended_takes_no_more_rows() {
    let service = Emulator::start().unwrap();
    let mut writer = displaced(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let first = writer.flush().unwrap_err();
    let sent = service.requests().len();
    for (result, ending) in [
        (writer.write_json(row(2).as_bytes(), 2), "; the row was not taken"),
        (writer.write(&serde_json::json!({ "ID": 3 }), 3), "; the row was not taken"),
        (writer.tick(), ""),
        (writer.flush(), ""),
        (writer.commit(SOON), ""),
        (writer.try_commit().map(drop), ""),
    ] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable(), error.is_row_kept()), (ErrorKind::Conflict, false, false));
        assert_eq!(error.to_string(), format!("{first}{ending}"));
    }
    assert_eq!(service.requests().len(), sent, "nothing is sent any more");
    let left = writer.into_uncommitted().unwrap();
    assert_eq!(left.rows(), 1, "rows that were refused are not kept");
}

#[test]
fn the_write_that_ends_a_writer_says_that_its_row_is_kept() {
    let service = Emulator::start().unwrap();
    let mut writer = displaced(&service).max_age(Duration::ZERO);
    let error = writer.write_json(row(1).as_bytes(), 1).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable(), error.is_row_kept()), (ErrorKind::Conflict, false, true));
    assert!(error.to_string().ends_with("; the row is kept, and comes out with into_uncommitted"), "{error}");
    assert_eq!(writer.into_uncommitted().unwrap().rows(), 1);
}

#[test]
fn rows_without_a_token_before_the_writer_are_unconfirmed_until_a_later_row_is_committed() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("w").open().unwrap();
    channel.append(&batch(1..=2)).unwrap();
    channel.append(&unmarked([3])).unwrap();
    let mut writer = channel.into_writer().max_age(Duration::from_secs(3600));
    let error = writer.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Unconfirmed, Some("2")), "{error}");
    assert!(error.to_string().contains("had no offset token"), "{error}");
    writer.write_json(row(4).as_bytes(), 4).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().rows_committed), (rows(1..=4), 1));
}

#[test]
fn rows_without_a_token_that_are_lost_before_the_writer_sends_end_it() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut channel = pipe_of(&service).channel("w").open().unwrap();
    channel.append(&unmarked(1..=3)).unwrap();
    let mut writer = channel.into_writer().max_age(Duration::from_secs(3600));
    assert!(service.steal_channel(PIPE, "w"));
    service.hold_commits(false);
    writer.write_json(row(4).as_bytes(), 4).unwrap();
    for _ in 0..3 {
        let error = writer.commit(SOON).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false), "{error}");
        assert!(error.to_string().contains("had no offset token"), "{error}");
    }
    assert_eq!(landed(&service), "", "no row may follow the lost ones");
}

#[test]
fn a_writer_that_ended_because_earlier_rows_were_lost_gives_its_own_back() {
    for (earlier, kind) in [(unmarked(1..=3), ErrorKind::Unconfirmed), (batch(1..=3), ErrorKind::Conflict)] {
        let service = Emulator::start().unwrap();
        service.hold_commits(true);
        let mut channel = pipe_of(&service).channel("w").open().unwrap();
        channel.append(&earlier).unwrap();
        let mut writer = channel.into_writer().max_age(Duration::from_secs(3600));
        assert!(service.steal_channel(PIPE, "w"));
        service.hold_commits(false);
        writer.write_json(row(4).as_bytes(), 4).unwrap();
        assert_eq!(writer.commit(SOON).unwrap_err().kind(), kind);
        let left = writer.into_uncommitted().unwrap();
        assert_eq!(left.rows(), 1);
        assert!(left.after(Some(&4.into())).is_empty(), "it is row 4");
    }
}

#[test]
fn rows_that_are_not_committed_can_be_taken_out_of_a_writer() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    (1..=2).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.commit(SOON).unwrap();
    service.hold_commits(true);
    (3..=5).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.flush().unwrap();
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    (6..=7).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.flush().unwrap_err();
    writer.write_json(row(8).as_bytes(), 8).unwrap();
    let sent = appends(&service);
    let left = writer.into_uncommitted().unwrap();
    assert_eq!(appends(&service), sent);
    assert_eq!(left.rows(), 3 + 2 + 1, "in flight, waiting to be sent, buffered");
    assert_eq!(left.after(Some(&4.into())).rows(), 4, "rows keep their tokens");

    service.clear_faults();
    service.hold_commits(false);
    let mut channel = pipe_of(&service).channel("w").open().unwrap();
    assert_eq!(channel.committed_offset(), Some(&5.into()), "rows that were sent may be committed all the same");
    channel.append(&left.after(channel.committed_offset())).unwrap();
    channel.wait_for_commit(8, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=8));
}
