//! What closing a writer returns when not all is committed, and what a dropped one leaves in the log.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{CloseError, Error, ErrorKind, StopHandle, Writer};

use super::{SOON, impatient_writer, writer};
use crate::support::{impatient_pipe, landed, logged, pipe_of, row, rows};

/// Row 1 is committed, and the rows to 3 cannot be sent.
fn unclosed(service: &Emulator) -> CloseError {
    let mut writer = impatient_writer(service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.commit(SOON).unwrap();
    (2..=3).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    service.inject(Fault::status(Endpoint::Append, 403).body(r#"{"code":"X-1","message":"no grant"}"#).times(1000));
    writer.close(SOON).unwrap_err()
}

#[test]
fn a_writer_that_could_not_be_closed_comes_back_with_its_rows() {
    let service = Emulator::start().unwrap();
    let failure = unclosed(&service);
    assert_eq!((failure.error().kind(), failure.error().committed_offset()), (ErrorKind::Credentials, Some("1")));
    assert_eq!(failure.to_string(), failure.error().to_string());
    assert!(failure.source().is_none() && failure.error().source().is_none());
    let shown = format!("{failure:?}");
    assert!(shown.contains("no grant") && shown.contains("rows_uncommitted: 2") && shown.len() < 2000, "{shown}");
    service.clear_faults();
    assert_eq!(failure.into_writer().close(SOON).unwrap(), Some(3.into()));
    assert_eq!(landed(&service), rows(1..=3));

    let service = Emulator::start().unwrap();
    let (error, writer) = unclosed(&service).into_parts();
    assert_eq!(error.code(), Some("X-1"));
    assert_eq!(writer.into_uncommitted().unwrap().rows(), 2);
}

#[test]
fn the_operator_for_errors_takes_the_error_of_a_close_and_leaves_the_rows_in_the_log() {
    fn close(writer: Writer) -> Result<(), Error> {
        writer.close(Duration::from_millis(50))?;
        Ok(())
    }
    logged(log::Level::Warn, "closing-");
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = impatient_pipe(&service).channel("closing-1").open().unwrap().into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let error = close(writer).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, false));
    assert!(error.to_string().contains("the writer is gone: open the channel and write again"), "{error}");
    let said = logged(log::Level::Warn, "closing-1 was dropped");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn after_rejected_rows_the_error_of_a_close_has_the_final_offset_and_nothing_is_left_to_log() {
    logged(log::Level::Warn, "closing-");
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 2\"");
    let mut writer = pipe_of(&service).channel("closing-2").open().unwrap().into_writer();
    (1..=3).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    let error = Error::from(writer.close(SOON).unwrap_err());
    assert_eq!((error.kind(), error.committed_offset(), error.rows_rejected()), (ErrorKind::NotStored, Some("3"), 1));
    assert!(error.to_string().contains("all is committed, but 1 row was rejected"), "{error}");
    assert_eq!(logged(log::Level::Warn, "closing-2"), [""; 0]);
}

#[test]
fn a_dropped_writer_says_in_one_line_what_it_still_had() {
    logged(log::Level::Warn, "dropped-");
    let service = Emulator::start().unwrap();
    let open = |name: &str| pipe_of(&service).channel(name).open().unwrap().into_writer().max_age(SOON * 100);
    let mut kept = open("dropped-1");
    kept.write_json(row(1).as_bytes(), 1).unwrap();
    kept.commit(SOON).unwrap();
    drop(kept);
    let mut lost = open("dropped-2");
    lost.write_json(row(1).as_bytes(), "a\nb").unwrap();
    lost.commit(SOON).unwrap();
    service.hold_commits(true);
    (2..=4).for_each(|id| lost.write_json(row(id).as_bytes(), id).unwrap());
    lost.flush().unwrap();
    lost.write_json(row(5).as_bytes(), 5).unwrap();
    drop(lost);
    let said = "a writer of channel dropped-2 was dropped with rows that are not known to be committed: 1 buffered, 3 sent or \
                waiting to be sent; its committed offset is a\\nb";
    assert_eq!(logged(log::Level::Warn, "dropped-"), [said]);
}

#[test]
fn a_writer_that_is_dropped_by_a_panic_lets_it_go_on() {
    logged(log::Level::Warn, "panic-");
    let service = Emulator::start().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = pipe_of(&service).channel("panic-1").open().unwrap().into_writer();
        writer.write_json(row(1).as_bytes(), 1).unwrap();
        panic!("of the program's own");
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"of the program's own"));
    let said = logged(log::Level::Warn, "panic-1");
    assert!(
        said.len() == 1 && said[0].ends_with("1 buffered, 0 sent or waiting to be sent; its committed offset is none")
    );
}

#[test]
fn what_a_writer_shows_of_itself_has_no_rows() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    writer.write_json(br#"{"ID":1,"NAME":"very private"}"#, 1).unwrap();
    let shown = format!("{writer:?}");
    assert!(shown.contains("rows_buffered: 1") && !shown.contains("private"), "{shown}");
}

#[test]
fn a_writer_that_was_stopped_says_to_take_its_rows_out_instead_of_to_call_again() {
    let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
    let pipe = pipe_of(&service).stopped_by(&handle);
    let mut writer = pipe.channel("events-1").open().unwrap().into_writer().max_bytes(1);
    handle.stop();
    let error = writer.write_json(row(1).as_bytes(), 1).unwrap_err();
    assert_eq!((error.kind(), error.is_row_kept(), error.is_retryable()), (ErrorKind::Stopped, true, false));
    assert!(error.to_string().ends_with("the row is kept, and comes out with into_uncommitted"), "{error}");
    let failure = writer.close(SOON).unwrap_err();
    assert_eq!((failure.error().kind(), failure.error().is_retryable()), (ErrorKind::Stopped, false));
    assert!(failure.to_string().contains("comes out with into_uncommitted"), "{failure}");
    assert_eq!(failure.into_writer().into_uncommitted().unwrap().rows(), 1);
}
