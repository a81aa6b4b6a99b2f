//! A writer whose memory is full, and that goes on when there is room again.

use std::collections::VecDeque;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Writer};

use super::{SOON, appends, impatient_writer};
use crate::support::{landed, row, rows};

/// As the documentation says: what is packed, the buffer, and one row more in it.
fn bound(max_bytes: usize, row: usize) -> usize {
    32_000_000 + max_bytes + row
}

/// A row that does not compress, of a length that differs from row to row.
fn noise(id: u64) -> String {
    let mut random = fastrand::Rng::with_seed(id);
    // Printable, without quotes and backslashes.
    let printable = |number: u64| number.to_le_bytes().map(|byte| 0x23 + byte % 56);
    let text: Vec<u8> = (0..random.usize(12_000..110_000)).flat_map(|_| printable(random.u64(..))).collect();
    let text = String::from_utf8(text).unwrap();
    format!("{{\"ID\":{id},\"NAME\":\"{text}\"}}")
}

/// What a program does that has no other place for its rows: writes each until it is taken, as the errors alone say.
fn write(writer: &mut Writer, id: u64) -> Result<(), Error> {
    match writer.write_json(noise(id).as_bytes(), id) {
        Err(error) if error.is_row_kept() => {
            assert!(!error.is_retryable(), "{error}");
            Ok(())
        }
        result => result,
    }
}

#[test]
fn through_an_outage_the_memory_stays_bounded_and_every_row_that_was_taken_lands_once_and_in_order() {
    let service = Emulator::start().unwrap();
    let max_bytes = 2_000_000;
    let mut writer = impatient_writer(&service).max_bytes(max_bytes);
    service.inject(Fault::status(Endpoint::Append, 429).times(100_000));
    let (mut taken, mut refused) = (0, 0);
    while refused < 20 {
        let tried = appends(&service);
        match write(&mut writer, taken + 1) {
            Ok(()) => taken += 1,
            Err(error) => {
                refused += 1;
                assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Throttled, true), "{error}");
                let advice = "; the memory of the writer is full and the row was not taken: write it again later";
                assert!(error.to_string().ends_with(advice), "{error}");
                assert!(appends(&service) > tried, "each call tries");
            }
        }
        let report = writer.report();
        assert!(report.memory <= bound(max_bytes, 1_000_000), "{report:?}");
        assert_eq!((report.rows_written, report.rows_buffered + report.rows_uncommitted), (taken, taken));
    }
    assert!(writer.report().memory > 28_000_000, "the room is used: {}", writer.report().memory);
    service.clear_faults();
    let last = taken + 5;
    while taken < last {
        write(&mut writer, taken + 1).unwrap();
        taken += 1;
    }
    assert_eq!(writer.close(SOON).unwrap(), Some(taken.into()));
    let landed = landed(&service);
    let mut lines: VecDeque<_> = landed.lines().collect();
    assert_eq!(lines.len() as u64, taken);
    (1..=taken).for_each(|id| assert!(lines.pop_front() == Some(&noise(id)), "row {id}"));
}

#[test]
fn rows_that_are_sent_and_never_committed_fill_the_memory_too() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = impatient_writer(&service).max_bytes(4_000_000);
    let mut id = 0;
    while writer.report().memory < 24_000_000 {
        id += 1;
        write(&mut writer, id).unwrap();
    }
    let report = writer.report();
    assert!(report.batches > 4 && report.rows_uncommitted > 0, "{report:?}");
    service.hold_commits(false);
    assert_eq!(writer.close(SOON).unwrap(), Some(id.into()));
}

#[test]
fn tokens_count_as_what_they_take() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service).max_bytes(100_000);
    for id in 1..=100 {
        writer.write_json(row(id).as_bytes(), format!("{}-{id}", "t".repeat(2000))).unwrap();
    }
    assert!(appends(&service) >= 2, "a token of two thousand bytes fills the buffer like a row");
    assert!(writer.report().memory < 32_000_000 + 100_000);
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=100));
}

#[test]
fn a_value_that_is_no_row_is_told_as_such_once_there_is_room() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service).max_bytes(1);
    service.inject(Fault::status(Endpoint::Append, 403).times(100_000));
    let mut taken = 0;
    let error = loop {
        match write(&mut writer, taken + 1) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Credentials, true), "{error}");
    assert!(writer.write_json(b"[]", 999).unwrap_err().is_retryable(), "not even looked at");
    service.clear_faults();
    assert_eq!(writer.write_json(b"[]", 999).unwrap_err().kind(), ErrorKind::Row);
    assert_eq!(writer.close(SOON).unwrap(), Some(taken.into()));
}
