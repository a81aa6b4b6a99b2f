//! Full queues, and what producers are told then.

use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, PoolHandle, WriterPool};

use super::{SOON, impatient, landed_in_order, patient, requests_to, until, write_all};
use crate::support::{row, rows};

const QUEUE_BYTES: usize = 4_000_000;

/// Longer than a thread needs to fill a queue of a few rows.
const A_WHILE: Duration = Duration::from_secs(2);

/// Writes rows until one is not taken while the thread waits for the response to a request: its id, and why.
fn fill(service: &Emulator, handle: &PoolHandle) -> (u64, Error) {
    service.inject(Fault::delay(Endpoint::Append, A_WHILE));
    let write_from = |first: u64| {
        let refused = |id| handle.try_write_json(row(id).as_bytes()).err().map(|error| (id, error));
        (first..).find_map(refused).unwrap()
    };
    let (next, _) = write_from(1);
    until("the thread has sent a request", || requests_to(service, "/rows") == 1);
    write_from(next)
}

#[test]
fn a_full_queue_refuses_a_row_that_may_not_wait_and_holds_up_one_that_may() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).queue_bytes(1000).start().unwrap();
    let handle = pool.handle();
    let (id, error) = fill(&service, &handle);
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Throttled, true));
    assert_eq!(
        error.to_string(),
        "could not write a row to writer pool w: all queues are full; the row was not taken: write it again later"
    );
    assert_eq!(pool.report().rows_written, id - 1, "the row was not taken");
    assert!(pool.report().bytes_written < 2500, "{:?}", pool.report());
    handle.write_json(row(id).as_bytes()).unwrap();
    assert_eq!(pool.close(SOON).unwrap().rows_committed, id);
    assert_eq!(landed_in_order(&service), rows(1..=id));
}

#[test]
fn a_row_waits_for_room_no_longer_than_it_may() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).queue_bytes(1000).write_timeout(Duration::from_millis(20)).start().unwrap();
    let handle = pool.handle();
    let (id, _) = fill(&service, &handle);
    let error = handle.write_json(row(id).as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    assert_eq!(
        error.to_string(),
        "could not write a row to writer pool w: no queue had room for 20ms; the row was not taken: write it again later"
    );
    assert_eq!(pool.close(SOON).unwrap().rows_committed, id - 1);
    assert_eq!(landed_in_order(&service), rows(1..id));
}

#[test]
fn a_row_goes_to_another_channel_while_one_is_full() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).queue_bytes(4000).start().unwrap();
    let handle = pool.handle();
    service.inject(Fault::delay(Endpoint::Append, A_WHILE));
    let mut id = 0;
    until("another channel has sent rows", || {
        id += 1;
        handle.try_write_json(row(id).as_bytes()).unwrap();
        super::sent(&service).len() == 2
    });
    assert_eq!(pool.close(SOON).unwrap().rows_committed, id);
    assert_eq!(landed_in_order(&service), rows(1..=id));
}

#[test]
fn a_row_longer_than_the_queue_goes_alone() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).queue_bytes(1).start().unwrap();
    write_all(&pool.handle(), 1..=20);
    assert_eq!(pool.close(SOON).unwrap().rows_committed, 20);
    assert_eq!(landed_in_order(&service), rows(1..=20));
}

#[cfg(feature = "zstd")]
#[test]
fn a_row_too_long_for_any_request_is_not_taken() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    let mut noise = fastrand::Rng::with_seed(7);
    let long: String = (0..6_000_000).map(|_| noise.alphanumeric()).collect();
    write_all(&handle, [1]);
    let error = handle.write(&json!({ "ID": 2, "TEXT": long })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Row);
    assert!(error.to_string().starts_with("the row is too long for any request: "), "{error}");
    write_all(&handle, [3]);
    pool.close(SOON).unwrap();
    assert_eq!(landed_in_order(&service), rows([1, 3]));
}

#[test]
fn what_is_not_committed_is_bounded_through_an_outage() {
    let service = Emulator::start().unwrap();
    let pool = impatient(&service).channels(2).queue_bytes(QUEUE_BYTES).write_timeout(SOON).start().unwrap();
    let handle = pool.handle();
    service.inject(Fault::status(Endpoint::Append, 503).times(1_000_000));
    service.inject(Fault::status(Endpoint::Open, 503).times(1_000_000));
    let mut noise = fastrand::Rng::with_seed(5);
    // Compression takes back what base64 adds.
    let mut bytes = vec![0; if cfg!(feature = "zstd") { 600_000 } else { 450_000 }];
    let mut taken = 0;
    let mut write = |id: u64| {
        noise.fill(&mut bytes);
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes);
        handle.try_write(&json!({ "ID": id, "TEXT": text }))
    };
    let mut refusal = None;
    until("the pool takes no more", || {
        match write(taken + 1) {
            Ok(()) => taken += 1,
            Err(error) => refusal = Some(error),
        }
        // Between two attempts a full queue may still be packed.
        // Room for a full request, an eighth of it, is kept free.
        refusal.is_some() && pool.report().memory > WriterPool::RETAINED_BYTES / 8 * 7
    });
    let error = refusal.unwrap();
    assert_eq!(
        (error.kind(), error.is_retryable(), error.status()),
        (ErrorKind::Throttled, true, Some(503)),
        "{error}"
    );
    assert!(error.to_string().contains("all queues are full; the last failure: "), "{error}");
    let memory = pool.report().memory;
    assert!(memory <= WriterPool::RETAINED_BYTES + QUEUE_BYTES, "{memory}");
    service.clear_faults();
    assert_eq!(pool.close(SOON).unwrap().rows_committed, taken);
}
