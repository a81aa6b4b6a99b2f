//! What fails, for a while, until a person comes, or for good.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, PoolHandle, WriterPool};

use super::{CHANNEL, PIPE, SOON, impatient, landed_in_order, patient, until, write_all};
use crate::support::{Scripted, batch, landed, pipe_of, row, rows};

const GONE: &str = r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED","message":"m"}"#;

#[test]
fn a_pool_may_be_the_one_that_creates_the_pipe() {
    let service = Scripted::start();
    service.next("status", 404, GONE);
    service.pipe().writer_pool("w").start().unwrap();
    assert_eq!(service.seen_at("open").len(), 1);
}

/// Writes rows from this id on until one is refused: the id of the last one taken, and why.
fn write_until_refused(handle: &PoolHandle, first: u64) -> (u64, Error) {
    let mut next = first;
    let mut refusal = None;
    until("a row is refused", || match handle.write_json(row(next).as_bytes()) {
        Ok(()) => {
            next += 1;
            false
        }
        Err(error) => {
            refusal = Some(error);
            true
        }
    });
    (next - 1, refusal.unwrap())
}

#[test]
fn an_outage_holds_rows_back_and_loses_none() {
    for (status, kind) in [(503, ErrorKind::Unavailable), (429, ErrorKind::Throttled)] {
        let service = Emulator::start().unwrap();
        let pool = impatient(&service).channels(2).start().unwrap();
        let handle = pool.handle();
        service.inject(Fault::status(Endpoint::Append, status).times(1_000_000));
        service.inject(Fault::status(Endpoint::Open, status).times(1_000_000));
        write_all(&handle, 1..=50);
        let error = handle.commit(Duration::from_millis(500)).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable(), error.status()), (kind, true, Some(status)), "{error}");
        assert_eq!(pool.report().channels_failing, 1, "only one has rows");
        write_all(&handle, 51..=100);
        service.clear_faults();
        handle.commit(SOON).unwrap();
        write_all(&handle, 101..=110);
        let report = pool.close(SOON).unwrap();
        assert_eq!((report.rows_committed, report.channels_failing), (110, 0));
        assert_eq!(landed_in_order(&service), rows(1..=110));
    }
}

#[test]
fn what_needs_a_person_is_told_at_once_and_the_pool_goes_on_when_it_is_removed() {
    let service = Emulator::start().unwrap();
    let pool = impatient(&service).max_bytes(1).start().unwrap();
    let handle = pool.handle();
    service.inject(Fault::status(Endpoint::Append, 404).body(GONE).times(1_000_000));
    let (last, error) = write_until_refused(&handle, 1);
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Refused, true), "{error}");
    assert!(error.to_string().ends_with("the row was not taken: write it again later"), "{error}");
    assert_eq!(pool.report().channels_failing, 1);
    let error = handle.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED")));
    assert!(!error.is_retryable(), "it was not waited for");
    service.clear_faults();
    until("the pool has tried again", || pool.report().channels_failing == 0);
    write_all(&handle, [last + 1]);
    assert_eq!(pool.close(SOON).unwrap().rows_committed, last + 1);
    assert_eq!(landed_in_order(&service), rows(1..=last + 1));
}

#[test]
fn a_close_tries_once_more_what_needed_a_person() {
    for is_removed in [true, false] {
        let service = Emulator::start().unwrap();
        let pool = impatient(&service).max_bytes(1).start().unwrap();
        let handle = pool.handle();
        service.inject(Fault::status(Endpoint::Append, 404).body(GONE).times(1_000_000));
        let (last, _) = write_until_refused(&handle, 1);
        if is_removed {
            service.clear_faults();
            assert_eq!(pool.close(SOON).unwrap().rows_committed, last);
            assert_eq!(landed_in_order(&service), rows(1..=last));
            continue;
        }
        let failed = pool.close(SOON * 100).unwrap_err();
        assert_eq!((failed.error().kind(), failed.report().rows_committed), (ErrorKind::Refused, 0));
        let left = failed.into_uncommitted().unwrap();
        assert_eq!((left.len(), left[0].0.as_str(), left[0].1.rows() as u64), (1, CHANNEL, last));
    }
}

#[test]
fn tokens_that_are_revoked_are_renewed() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).start().unwrap();
    let handle = pool.handle();
    for round in 0..5 {
        write_all(&handle, round * 10 + 1..=round * 10 + 10);
        service.revoke_scoped_tokens();
        handle.commit(SOON).unwrap();
    }
    assert_eq!(pool.close(SOON).unwrap().rows_committed, 50);
    assert_eq!(landed_in_order(&service), rows(1..=50));
}

#[test]
fn a_channel_that_is_opened_elsewhere_and_not_written_to_is_taken_back() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    write_all(&pool.handle(), 1..=3);
    assert!(service.steal_channel(PIPE, CHANNEL));
    assert_eq!(pool.close(SOON).unwrap().reopens, 1);
    assert_eq!(landed(&service), rows(1..=3));
}

/// Another writer commits rows on the first channel of a pool.
fn displace(service: &Emulator, pool: &WriterPool) {
    write_all(&pool.handle(), 1..=3);
    pool.handle().commit(SOON).unwrap();
    let mut other = pipe_of(service).channel(CHANNEL).open().unwrap();
    other.append(&batch(100..=101)).unwrap();
    other.wait_for_commit(101, SOON).unwrap();
}

#[test]
fn another_writer_on_a_channel_ends_the_pool_which_hands_back_what_is_not_committed() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    displace(&service, &pool);
    let handle = pool.handle();
    write_all(&handle, 4..=5);
    let error = handle.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, false), "{error}");
    for refused in [handle.write_json(row(6).as_bytes()), handle.try_write_json(row(6).as_bytes())] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, false), "{error}");
        assert!(error.to_string().contains("its committed offset is 101"), "{error}");
        assert!(error.to_string().ends_with("close it, which hands back what is not committed"), "{error}");
    }
    let sent = service.requests().len();
    let failed = pool.close(SOON).unwrap_err();
    assert_eq!(service.requests().len(), sent, "nothing is sent any more");
    assert_eq!((failed.error().kind(), failed.error().is_retryable()), (ErrorKind::Conflict, false));
    let report = failed.report().clone();
    assert_eq!((report.rows_written, report.rows_committed, report.rows_uncommitted), (5, 3, 2));
    let left = failed.into_uncommitted().unwrap();
    assert_eq!((left.len(), left[0].0.as_str(), left[0].1.rows()), (1, CHANNEL, 2));
    assert_eq!(landed(&service), rows([1, 2, 3, 100, 101]));
}

#[test]
fn the_channels_that_are_left_deliver_what_they_have_when_the_pool_has_ended() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).start().unwrap();
    let [first, second] = [pool.handle(), pool.handle()];
    write_all(&first, 1..=3);
    first.commit(SOON).unwrap();
    let mut other = pipe_of(&service).channel(CHANNEL).open().unwrap();
    other.append(&batch(100..=101)).unwrap();
    other.wait_for_commit(101, SOON).unwrap();
    write_all(&first, 4..=5);
    write_all(&second, 6..=9);
    let failed = pool.close(SOON).unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::Conflict, "{failed}");
    let report = failed.report().clone();
    assert_eq!((report.rows_written, report.rows_committed), (9, 7));
    let left = failed.into_uncommitted().unwrap();
    assert_eq!(left.iter().map(|(name, rows)| (name.as_str(), rows.rows())).collect::<Vec<_>>(), [(CHANNEL, 2)]);
    assert_eq!(landed_in_order(&service), rows([1, 2, 3, 6, 7, 8, 9, 100, 101]));
}

#[test]
fn of_two_pools_with_one_name_the_one_that_is_displaced_ends() {
    let service = Emulator::start().unwrap();
    let earlier = patient(&service).start().unwrap();
    write_all(&earlier.handle(), 1..=2);
    earlier.handle().commit(SOON).unwrap();
    let later = patient(&service).start().unwrap();
    write_all(&later.handle(), 11..=12);
    later.handle().commit(SOON).unwrap();
    write_all(&earlier.handle(), [3]);
    assert_eq!(earlier.handle().commit(SOON).unwrap_err().kind(), ErrorKind::Conflict);
    let failed = earlier.close(SOON).unwrap_err();
    assert_eq!(failed.report().rows_written - failed.report().rows_committed, 1);
    write_all(&later.handle(), [13]);
    assert_eq!(later.close(SOON).unwrap().rows_committed, 3);
    assert_eq!(landed_in_order(&service), rows([1, 2, 11, 12, 13]));
}

#[test]
fn a_pool_that_cannot_be_opened_leaves_no_thread() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Open, 404).body(GONE).times(1));
    let error = impatient(&service).channels(3).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let pool = impatient(&service).channels(3).start().unwrap();
    write_all(&pool.handle(), [1]);
    pool.close(SOON).unwrap();
    assert_eq!(landed(&service), rows([1]));
}
