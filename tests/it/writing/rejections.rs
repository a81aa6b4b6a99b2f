//! Rows that the service takes and cannot store: whichever call learns of them says so, once.

use std::time::{Duration, Instant};

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Writer};

use super::{SOON, writer};
use crate::support::{landed, row, rows};

/// A writer whose row 2 of 3 was rejected, which nothing has said yet.
fn with_an_unreported_rejection(service: &Emulator) -> Writer {
    service.reject_rows_containing("\"row 2\"");
    let mut writer = writer(service);
    (1..=3).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.flush().unwrap();
    writer
}

/// The next append finds the channel lost, and reopening it shows what was rejected.
fn lose_the_channel(service: &Emulator) {
    service.inject(Fault::status(Endpoint::Append, 409));
}

fn assert_one_rejected(error: &Error) {
    assert_eq!(
        (error.kind(), error.rows_rejected(), error.is_retryable()),
        (ErrorKind::NotStored, 1, false),
        "{error}"
    );
}

#[test]
fn a_write_that_learns_of_a_rejected_row_says_so_once_and_keeps_its_own_row() {
    let service = Emulator::start().unwrap();
    let mut writer = with_an_unreported_rejection(&service).max_age(Duration::ZERO);
    lose_the_channel(&service);
    let error = writer.write_json(row(4).as_bytes(), 4).unwrap_err();
    assert_one_rejected(&error);
    let text = error.to_string();
    assert!(text.contains("of the rows sent so far 1 could not be stored, the last at or before offset 3: "), "{text}");
    assert!(text.ends_with("; the row is kept: do not write it again, call flush or tick"), "{text}");
    assert_eq!(error.committed_offset(), Some("3"));
    writer.write_json(row(5).as_bytes(), 5).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().rows_rejected), (rows([1, 3, 4, 5]), 1));
    assert_eq!(writer.report().rows_committed, 5);
}

#[test]
fn a_flush_and_a_tick_that_learn_of_a_rejected_row_say_so_once() {
    type Call = fn(&mut Writer) -> Result<(), Error>;
    for call in [Writer::flush as Call, Writer::tick] {
        let service = Emulator::start().unwrap();
        let mut writer = with_an_unreported_rejection(&service);
        writer.write_json(row(4).as_bytes(), 4).unwrap();
        let mut writer = writer.max_age(Duration::ZERO);
        lose_the_channel(&service);
        assert_one_rejected(&call(&mut writer).unwrap_err());
        call(&mut writer).unwrap();
        assert_eq!(writer.close(SOON).unwrap(), Some(4.into()));
        assert_eq!(landed(&service), rows([1, 3, 4]));
    }
}

#[test]
fn an_idle_writer_learns_from_ticks_what_is_committed_and_what_was_rejected() {
    let service = Emulator::start().unwrap();
    let mut writer = with_an_unreported_rejection(&service);
    assert_eq!((writer.committed_offset(), writer.report().rows_rejected), (None, 0));
    let began = Instant::now();
    let error = loop {
        assert!(began.elapsed() < SOON, "no tick asked for the status");
        if let Err(error) = writer.tick() {
            break error;
        }
        std::thread::yield_now();
    };
    assert_one_rejected(&error);
    assert!(error.to_string().contains("all is committed, but 1 row was rejected"), "{error}");
    assert_eq!((writer.committed_offset(), writer.report().rows_rejected), (Some(&3.into()), 1));
    let statuses = || service.requests().iter().filter(|it| it.path.ends_with(":bulk-channel-status")).count();
    let asked = statuses();
    // The first may be due at once: the writer looked when it was made.
    assert!(asked <= 1 + began.elapsed().as_secs() as usize, "{asked} in {:?}: at most one a second", began.elapsed());
    (0..1000).for_each(|_| writer.tick().unwrap());
    assert_eq!(statuses(), asked, "with nothing in flight there is nothing to ask for");
}

#[test]
fn closing_after_a_rejected_row_does_not_lose_the_final_offset() {
    let service = Emulator::start().unwrap();
    let (error, writer) = with_an_unreported_rejection(&service).close(SOON).unwrap_err().into_parts();
    assert_one_rejected(&error);
    assert_eq!(error.committed_offset(), Some("3"));
    assert!(error.to_string().contains("all is committed, but 1 row was rejected"), "{error}");
    assert_eq!(landed(&service), rows([1, 3]));
    assert_eq!(writer.close(SOON).unwrap(), Some(3.into()), "it was reported");
}
