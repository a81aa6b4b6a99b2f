//! How a pool ends, and what becomes of the rows that it still has.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Pipe, StopHandle};

use super::{CHANNEL, NEVER, SOON, impatient, landed_in_order, patient, requests_to, sent, until, write_all};
use crate::support::{builder_of, landed, logged, pipe_of, row, rows};

#[test]
fn a_closed_pool_refuses_rows_and_has_committed_those_before() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).start().unwrap();
    let handle = pool.handle();
    write_all(&handle, 1..=5);
    pool.close(SOON).unwrap();
    for refused in [handle.write_json(row(6).as_bytes()), handle.try_write(&serde_json::json!({ "ID": 6 }))] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, false));
        assert_eq!(
            error.to_string(),
            "could not write a row to writer pool w: the writer pool was closed; start another one for more rows"
        );
    }
    handle.commit(Duration::ZERO).unwrap();
    assert_eq!((handle.report().rows_committed, landed(&service)), (5, rows(1..=5)));
}

#[test]
fn rows_that_the_service_could_not_store_are_told_by_close_after_all_is_committed() {
    logged(log::Level::Warn, "");
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 2");
    let pool = pipe_of(&service).writer_pool("rejecting").channels(2).max_age(NEVER).start().unwrap();
    let [first, second] = [pool.handle(), pool.handle()];
    write_all(&first, 1..=3);
    write_all(&second, 20..=24);
    first.commit(SOON).unwrap();
    until("the rejected rows are counted", || pool.report().rows_rejected == 6);
    let said = logged(log::Level::Warn, "could not store all rows on channel REJECTING-POOL-");
    assert_eq!(said.len(), 2, "each channel says it: {said:?}");
    write_all(&first, [4]);
    let failed = pool.close(SOON).unwrap_err();
    assert_eq!((failed.error().kind(), failed.error().rows_rejected()), (ErrorKind::NotStored, 6));
    let text = failed.to_string();
    assert!(
        text.contains("store all rows of writer pool rejecting: all is committed, but 6 rows were rejected"),
        "{text}"
    );
    assert_eq!((failed.report().rows_committed, failed.report().rows_written), (9, 9));
    assert!(failed.into_uncommitted().unwrap().is_empty());
    assert_eq!(landed_in_order(&service), rows([1, 3, 4]));
}

#[test]
fn a_close_that_takes_too_long_hands_back_every_row_that_is_not_committed() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).start().unwrap();
    let [first, second] = [pool.handle(), pool.handle()];
    write_all(&first, 1..=2);
    write_all(&second, 3..=4);
    first.commit(SOON).unwrap();
    service.hold_commits(true);
    write_all(&first, 5..=7);
    write_all(&second, 8..=9);
    let failed = pool.close(Duration::from_millis(100)).unwrap_err();
    assert_eq!((failed.error().kind(), failed.error().is_retryable()), (ErrorKind::Timeout, false));
    assert_eq!(
        failed.to_string(),
        "could not confirm the commit of all rows on channel W-POOL-1: not all of them were committed within 100ms; the pool \
         is closed and 5 rows are not known to be committed: put elsewhere what into_uncommitted returns"
    );
    assert_eq!((failed.report().rows_written, failed.report().rows_committed), (9, 4));
    let left = failed.into_uncommitted().unwrap();
    let counts: Vec<_> = left.iter().map(|(channel, rows)| (channel.as_str(), rows.rows())).collect();
    assert_eq!(counts, [(CHANNEL, 3), ("W-POOL-2", 2)]);
    // They were on their way: the tokens tell which of them are stored after all.
    service.hold_commits(false);
    for (name, rows) in &left {
        let channel = pipe_of(&service).channel(name).open().unwrap();
        assert!(rows.after(channel.committed_offset()).is_empty(), "{name}");
    }
    assert_eq!(landed_in_order(&service), rows(1..=9));
}

#[test]
fn what_was_never_sent_is_handed_back_with_tokens_and_can_be_stored_by_other_means() {
    let service = Emulator::start().unwrap();
    let pool = impatient(&service).start().unwrap();
    write_all(&pool.handle(), 1..=3);
    pool.handle().commit(SOON).unwrap();
    service.inject(Fault::status(Endpoint::Append, 429).times(1_000_000));
    write_all(&pool.handle(), 4..=6);
    pool.handle().commit(Duration::from_millis(100)).unwrap_err();
    write_all(&pool.handle(), 7..=9);
    let failed = pool.close(Duration::from_millis(100)).unwrap_err();
    assert_eq!((failed.error().kind(), failed.error().is_retryable()), (ErrorKind::Throttled, false), "{failed}");
    let report = failed.report();
    assert_eq!((report.rows_written, report.rows_committed, report.rows_buffered + report.rows_uncommitted), (9, 3, 6));
    service.clear_faults();
    let (name, left) = failed.into_uncommitted().unwrap().remove(0);
    let mut channel = pipe_of(&service).channel(name).open().unwrap();
    channel.append(&left.after(channel.committed_offset())).unwrap();
    let last = channel.sent_offset().cloned().unwrap();
    channel.wait_for_commit(last, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=9));
    assert!(sent(&service)[CHANNEL].ends_with(&["4-9".into()]), "{:?}", sent(&service));
}

#[test]
fn rows_that_are_still_queued_are_handed_back_behind_those_that_were_sent() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    service.inject(Fault::delay(Endpoint::Append, Duration::from_secs(2)));
    write_all(&handle, [1]);
    handle.commit(Duration::ZERO).unwrap_err();
    until("the thread has sent a request", || requests_to(&service, "/rows") == 1);
    write_all(&handle, 2..=4);
    let failed = pool.close(Duration::ZERO).unwrap_err();
    assert_eq!((failed.report().rows_buffered, failed.report().rows_uncommitted), (3, 1));
    let (name, left) = failed.into_uncommitted().unwrap().remove(0);
    let mut channel = pipe_of(&service).channel(name).open().unwrap();
    let left = left.after(channel.committed_offset());
    assert_eq!(left.rows(), 3, "the first was on its way");
    channel.append(&left).unwrap();
    let last = channel.sent_offset().cloned().unwrap();
    channel.wait_for_commit(last, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=4));
    assert_eq!(sent(&service)[CHANNEL], ["1-1", "2-4"]);
}

#[test]
fn a_pool_that_is_dropped_sends_nothing_more_and_says_what_it_had() {
    logged(log::Level::Warn, "");
    let service = Emulator::start().unwrap();
    let pool = pipe_of(&service).writer_pool("dropped").channels(2).max_age(NEVER).start().unwrap();
    let handle = pool.handle();
    write_all(&handle, 1..=3);
    handle.commit(SOON).unwrap();
    write_all(&handle, 4..=5);
    let sent = service.requests().len();
    drop(pool);
    assert_eq!(service.requests().len(), sent);
    assert_eq!(handle.write_json(row(6).as_bytes()).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(handle.commit(SOON).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(
        logged(log::Level::Warn, "writer pool dropped"),
        ["writer pool dropped was dropped with 2 rows that are not known to be committed"]
    );
    let clean = pipe_of(&service).writer_pool("dropped-clean").start().unwrap();
    write_all(&clean.handle(), [9]);
    clean.handle().commit(SOON).unwrap();
    drop(clean);
    assert_eq!(logged(log::Level::Warn, "writer pool dropped-clean").len(), 0);
    assert_eq!(landed_in_order(&service), rows([1, 2, 3, 9]));
}

/// Retries a request for longer than any test waits.
fn stubborn_pipe(service: &Emulator) -> Pipe {
    builder_of(service).retry_budget(NEVER).build().unwrap().table("DEMO", "PUBLIC", "EVENTS")
}

#[test]
fn neither_a_close_nor_a_drop_waits_for_the_end_of_an_outage() {
    let service = Emulator::start().unwrap();
    for is_closed in [true, false] {
        let pool = stubborn_pipe(&service).writer_pool("w").channels(2).max_age(NEVER).start().unwrap();
        service.inject(Fault::status(Endpoint::Append, 503).times(1_000_000));
        write_all(&pool.handle(), [1]);
        pool.handle().commit(Duration::ZERO).unwrap_err();
        until("the request is being repeated", || service.requests().iter().any(|seen| seen.status == Some(503)));
        if is_closed {
            let failed = pool.close(Duration::ZERO).unwrap_err();
            assert_eq!(failed.error().kind(), ErrorKind::Timeout, "{failed}");
            assert_eq!(failed.into_uncommitted().unwrap()[0].1.rows(), 1);
        } else {
            drop(pool);
        }
        service.clear_faults();
    }
    assert_eq!(landed(&service), "");
}

#[test]
fn a_start_that_fails_does_not_wait_for_a_channel_that_is_still_being_opened() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let earlier = patient(&service).channels(2).start().unwrap();
    let handles = [earlier.handle(), earlier.handle()];
    write_all(&handles[0], [1]);
    write_all(&handles[1], [2]);
    handles[0].commit(Duration::ZERO).unwrap_err();
    until("rows are on their way", || requests_to(&service, "/rows") == 2);
    drop(earlier);
    let opens = || service.requests().iter().filter(|request| request.method == "PUT").count();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| impatient(&service).channels(2).open_timeout(NEVER).start());
        until("both channels wait for the commit of the earlier rows", || opens() > 4);
        service.inject(Fault::status(Endpoint::Open, 404).body("{}").times(1));
        assert_eq!(starting.join().unwrap().unwrap_err().kind(), ErrorKind::Refused);
    });
}

#[test]
fn a_handle_that_stops_the_pipe_ends_the_pool() {
    let service = Emulator::start().unwrap();
    let stop = StopHandle::new();
    let pool = stubborn_pipe(&service).stopped_by(&stop).writer_pool("w").max_age(NEVER).start().unwrap();
    let handle = pool.handle();
    write_all(&handle, 1..=2);
    handle.commit(SOON).unwrap();
    service.inject(Fault::status(Endpoint::Append, 503).times(1_000_000));
    write_all(&handle, 3..=4);
    handle.commit(Duration::ZERO).unwrap_err();
    until("the request is being repeated", || service.requests().iter().any(|seen| seen.status == Some(503)));
    stop.stop();
    let error = handle.commit(SOON).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, false), "{error}");
    let error = handle.write_json(row(5).as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, false), "{error}");
    assert!(
        error.to_string().ends_with("the writer pool has ended: close it, which hands back what is not committed"),
        "{error}"
    );
    let failed = pool.close(SOON).unwrap_err();
    assert_eq!((failed.error().kind(), failed.report().rows_committed), (ErrorKind::Stopped, 2), "{failed}");
    assert_eq!(failed.into_uncommitted().unwrap()[0].1.rows(), 2);
    assert_eq!(landed(&service), rows(1..=2));
}

#[test]
fn a_producer_that_waits_for_room_learns_of_the_end() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).queue_bytes(200).start().unwrap();
    service.inject(Fault::delay(Endpoint::Append, Duration::from_secs(2)));
    let handle = pool.handle();
    let producer = std::thread::spawn(move || {
        let refused = (1..).find_map(|id| handle.write_json(row(id).as_bytes()).err().map(|error| (id, error)));
        refused.unwrap()
    });
    until("the queue is full", || pool.handle().try_write_json(row(0).as_bytes()).is_err());
    let report = pool.close(SOON).unwrap();
    let (id, error) = producer.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
    assert!(report.rows_committed >= id - 1, "every row that was taken is stored");
    assert_eq!(service.row_count("DEMO.PUBLIC.EVENTS"), report.rows_written);
}

#[test]
fn producers_and_the_end_may_come_at_the_same_time() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).max_bytes(1000).start().unwrap();
    let producers: Vec<_> = (0..4u64)
        .map(|producer| {
            let handle = pool.handle();
            std::thread::spawn(move || {
                let ids = (producer * 1_000_000..).take_while(|id| handle.write_json(row(*id).as_bytes()).is_ok());
                ids.count() as u64
            })
        })
        .collect();
    until("rows are committed", || pool.report().rows_committed > 1000);
    let report = pool.close(SOON).unwrap();
    let taken: Vec<_> = producers.into_iter().map(|producer| producer.join().unwrap()).collect();
    assert_eq!(report.rows_committed, taken.iter().sum::<u64>());
    let expected = (0..4).flat_map(|producer| (producer * 1_000_000..).take(taken[producer as usize] as usize));
    assert!(landed_in_order(&service) == rows(expected), "each row that was taken landed once");
}
