//! Asking whether everything is committed, without waiting for it.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Writer};

use super::{PIPE, SOON, appends, impatient_writer, writer};
use crate::support::{landed, row, rows};

fn statuses(service: &Emulator) -> usize {
    service.requests().iter().filter(|request| request.path.ends_with(":bulk-channel-status")).count()
}

/// Asks until everything is committed, or an error says otherwise.
fn ask(writer: &mut Writer) -> Result<(), Error> {
    for _ in 0..10_000 {
        if writer.try_commit()? {
            return Ok(());
        }
        std::thread::yield_now();
    }
    panic!("never committed");
}

#[test]
fn it_sends_what_is_buffered_and_looks_once() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    assert!(writer.try_commit().unwrap(), "nothing was written");
    assert_eq!(service.requests().iter().filter(|request| request.path.contains("channel")).count(), 1, "the opening");
    service.hold_commits(true);
    (1..=2).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    for looks in 1..=3 {
        assert!(!writer.try_commit().unwrap());
        assert_eq!((appends(&service), statuses(&service)), (1, looks));
    }
    service.hold_commits(false);
    ask(&mut writer).unwrap();
    let report = writer.report();
    assert_eq!((report.rows_written, report.rows_committed, report.rows_uncommitted), (2, 2, 0));
    let asked = statuses(&service);
    assert!(writer.try_commit().unwrap());
    assert_eq!(statuses(&service), asked, "with nothing in flight there is nothing to ask for");
    assert_eq!(landed(&service), rows(1..=2));
}

#[test]
fn a_channel_that_is_lost_is_reopened_and_everything_is_committed_once() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    (1..=2).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.commit(SOON).unwrap();
    for loss in 1..=12 {
        assert!(service.steal_channel(PIPE, "w"));
        writer.write_json(row(2 + loss).as_bytes(), 2 + loss).unwrap();
        ask(&mut writer).unwrap();
        assert_eq!(writer.report().reopens, loss);
    }
    assert_eq!(landed(&service), rows(1..=14));
}

#[test]
fn rows_on_their_way_on_a_lost_channel_are_not_waited_for() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    service.hold_commits(true);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    assert!(!writer.try_commit().unwrap());
    service.inject(Fault::status(Endpoint::Append, 409).body(r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#));
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    for _ in 0..3 {
        let error = writer.try_commit().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "{error}");
        assert!(error.to_string().ends_with("what was written is kept, and what was sent is not lost"), "{error}");
    }
    service.hold_commits(false);
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=2), 1));
}

#[test]
fn it_reports_rejected_rows_once_and_an_outage_as_what_it_is() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 2\"");
    let mut writer = impatient_writer(&service);
    (1..=3).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    let error = ask(&mut writer).unwrap_err();
    assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 1), "{error}");
    assert!(writer.try_commit().unwrap());
    service.inject(Fault::status(Endpoint::Append, 503).times(1000));
    writer.write_json(row(4).as_bytes(), 4).unwrap();
    for _ in 0..9 {
        let error = writer.try_commit().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable(), error.status()), (ErrorKind::Unavailable, true, Some(503)));
        assert!(!error.to_string().contains("second writer"), "{error}");
    }
    service.clear_faults();
    ask(&mut writer).unwrap();
    assert_eq!(landed(&service), rows([1, 3, 4]));
}

#[test]
fn a_second_writer_that_takes_the_channel_again_and_again_is_told_without_a_pause() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.inject(Fault::status(Endpoint::Append, 409).body(r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#).times(1000));
    let began = std::time::Instant::now();
    let told = (0..20).filter_map(|_| writer.try_commit().err()).any(|error| error.to_string().contains("5 times"));
    assert!(told && began.elapsed() < Duration::from_secs(30));
    service.clear_faults();
    ask(&mut writer).unwrap();
    assert_eq!(landed(&service), rows(1..=1));
}
