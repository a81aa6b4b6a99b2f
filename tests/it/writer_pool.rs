//! Rows of many threads through the channels of a pool: taken, sent, committed, and none twice.

mod closing;
mod failures;
mod full;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, PoolHandle, WriterPoolBuilder};

use crate::support::{batch, impatient_pipe, landed, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(30);
const NEVER: Duration = Duration::from_secs(3600);
const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";
const CHANNEL: &str = "W-POOL-1";

/// A pool that sends only when it has to.
fn patient(service: &Emulator) -> WriterPoolBuilder {
    pipe_of(service).writer_pool("w").max_age(NEVER)
}

/// The same, but one that gives requests up soon when a fault does not end.
fn impatient(service: &Emulator) -> WriterPoolBuilder {
    impatient_pipe(service).writer_pool("w").max_age(NEVER)
}

fn write_all(handle: &PoolHandle, ids: impl IntoIterator<Item = u64>) {
    ids.into_iter().for_each(|id| handle.write_json(row(id).as_bytes()).unwrap());
}

/// The rows that landed, by id.
fn landed_in_order(service: &Emulator) -> String {
    let text = landed(service);
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["ID"].as_u64();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_by_key(|line| id(line));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn requests_to(service: &Emulator, end: &str) -> usize {
    service.requests().iter().filter(|request| request.path.ends_with(end)).count()
}

/// For each channel the offset tokens of its requests, in order: `1-5` for the first five rows of a pool.
fn sent(service: &Emulator) -> BTreeMap<String, Vec<String>> {
    let mut sent = BTreeMap::<_, Vec<_>>::new();
    for request in service.requests() {
        let Some(path) = request.path.strip_suffix("/rows") else { continue };
        let token = |name: &str| {
            let (_, rest) = request.query.split_once(&format!("{name}=")).unwrap();
            rest.split('&').next().unwrap().to_string()
        };
        let [first, last] = [token("startOffsetToken"), token("endOffsetToken")];
        let (pool, first) = first.rsplit_once('-').unwrap();
        let last = last.strip_prefix(pool).unwrap();
        let id = pool.strip_prefix("pool-").unwrap();
        assert!(id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{pool}");
        let channel = path.rsplit('/').next().unwrap().to_string();
        sent.entry(channel).or_default().push(format!("{first}{last}"));
    }
    sent
}

#[test]
fn each_row_of_eight_threads_lands_once_under_the_tokens_of_its_channel() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(3).max_bytes(2000).start().unwrap();
    std::thread::scope(|scope| {
        for producer in 0..8 {
            let handle = pool.handle();
            scope.spawn(move || write_all(&handle, producer * 1000 + 1..=producer * 1000 + 500));
        }
    });
    pool.handle().commit(SOON).unwrap();
    let ids = (0..8).flat_map(|producer| producer * 1000 + 1..=producer * 1000 + 500);
    assert_eq!(landed_in_order(&service), rows(ids));
    let report = pool.close(SOON).unwrap();
    assert_eq!((report.rows_written, report.rows_committed, report.rows_uncommitted), (4000, 4000, 0));
    assert_eq!(report.bytes_written, landed(&service).len() as u64);
    let opened: Vec<_> = service.requests().into_iter().filter(|request| request.method == "PUT").collect();
    let mut opened: Vec<_> = opened.iter().map(|request| request.path.rsplit('/').next().unwrap()).collect();
    opened.sort();
    assert_eq!(opened, ["W-POOL-1", "W-POOL-2", "W-POOL-3"]);
    let mut numbered = 0;
    for (channel, requests) in sent(&service) {
        let mut next = 1;
        for range in &requests {
            let (first, last) = range.split_once('-').unwrap();
            assert_eq!(first.parse::<u64>().unwrap(), next, "{channel}: {requests:?}");
            next = last.parse::<u64>().unwrap() + 1;
        }
        numbered += next - 1;
    }
    assert_eq!((numbered, report.batches as usize), (4000, requests_to(&service, "/rows")));
}

#[test]
fn values_are_encoded_as_a_batch_encodes_them() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    handle.write(&serde_json::json!({ "ID": 1, "TEXT": "row 1" })).unwrap();
    handle.try_write(&serde_json::json!({ "ID": 2, "TEXT": "row 2" })).unwrap();
    handle.try_write_json(row(3).as_bytes()).unwrap();
    for refused in [handle.write(&[4]), handle.write_json(b"{"), handle.try_write(&5), handle.try_write_json(b"6")] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Row);
    }
    assert_eq!(pool.close(SOON).unwrap().rows_written, 3, "what is no row was not taken");
    assert_eq!(landed(&service), rows(1..=3));
    assert_eq!(sent(&service), BTreeMap::from([(CHANNEL.into(), vec!["1-3".into()])]));
}

#[test]
fn the_last_rows_before_a_pause_go_out_by_their_age() {
    let service = Emulator::start().unwrap();
    let pool = pipe_of(&service).writer_pool("w").max_age(Duration::from_millis(20)).start().unwrap();
    write_all(&pool.handle(), 1..=3);
    until("the rows are sent and committed, and the pool learns of it", || pool.report().rows_committed == 3);
    assert_eq!(landed(&service), rows(1..=3));
}

#[test]
fn a_pool_looks_once_a_second_while_rows_are_in_flight_and_an_idle_one_sends_nothing() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).start().unwrap();
    write_all(&pool.handle(), [1]);
    pool.handle().commit(SOON).unwrap();
    service.hold_commits(true);
    let busy = pipe_of(&service).writer_pool("busy").max_age(Duration::ZERO).start().unwrap();
    let (began, before) = (Instant::now(), service.requests().len());
    write_all(&busy.handle(), [2]);
    let looks = || requests_to(&service, ":bulk-channel-status");
    let first = looks();
    until("the pool with a row in flight has looked three times", || looks() == first + 3);
    assert!(began.elapsed() >= Duration::from_secs(2), "looks come once a second");
    assert_eq!(service.requests().len(), before + 1 + 3, "an append, and the looks");
    assert_eq!(busy.report().rows_uncommitted, 1);
    service.hold_commits(false);
    busy.close(SOON).unwrap();
    pool.close(SOON).unwrap();
    assert_eq!(landed(&service), rows([1, 2]));
}

#[test]
fn a_row_that_panics_while_it_is_encoded_holds_up_nobody_and_loses_nothing() {
    struct Panicking;
    impl Serialize for Panicking {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("as a caller's type may")
        }
    }
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    write_all(&handle, 1..=2);
    let panicking = std::panic::AssertUnwindSafe(|| handle.write(&Panicking));
    assert!(std::panic::catch_unwind(panicking).is_err());
    write_all(&handle, 3..=4);
    write_all(&pool.handle(), 5..=6);
    assert_eq!(pool.close(SOON).unwrap().rows_committed, 6);
    assert_eq!(landed(&service), rows(1..=6));
}

#[test]
fn a_row_that_writes_rows_while_it_is_encoded_is_no_deadlock() {
    struct Nested<'h>(&'h PoolHandle);
    impl Serialize for Nested<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.write_json(row(1).as_bytes()).unwrap();
            self.0.commit(SOON).unwrap();
            serializer.collect_map([("ID", 2)])
        }
    }
    let service = Emulator::start().unwrap();
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    handle.write(&Nested(&handle)).unwrap();
    pool.close(SOON).unwrap();
    assert_eq!(landed(&service), rows([1]) + "{\"ID\":2}\n");
}

#[test]
fn a_commit_covers_the_rows_of_all_threads_and_several_can_wait_at_once() {
    let service = Emulator::builder().commit_delay(Duration::from_millis(100)).start().unwrap();
    let pool = patient(&service).channels(4).start().unwrap();
    let others = pool.handle();
    write_all(&others, 1..=5);
    std::thread::scope(|scope| {
        for producer in 1..=4 {
            let (handle, service) = (others.clone(), &service);
            scope.spawn(move || {
                for part in 0..5 {
                    let first = producer * 1000 + part * 10;
                    write_all(&handle, first..first + 10);
                    handle.commit(SOON).unwrap();
                    let text = landed(service);
                    let is_there = |id: &u64| text.contains(&row(*id));
                    assert!((first..first + 10).chain(1..=5).all(|id| is_there(&id)), "{producer}, {part}");
                }
            });
        }
    });
    assert_eq!(pool.report().rows_uncommitted, 0);
    assert_eq!(pool.close(SOON).unwrap().rows_committed, 205);
}

#[test]
fn a_commit_that_does_not_come_can_be_awaited_again() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let pool = patient(&service).start().unwrap();
    let handle = pool.handle();
    handle.commit(Duration::ZERO).unwrap();
    write_all(&handle, [1]);
    let error = handle.commit(Duration::from_millis(50)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    assert_eq!(
        error.to_string(),
        "could not confirm the commit of all rows of writer pool w: not all of them are committed after 50ms; call it \
         again: nothing is lost"
    );
    service.hold_commits(false);
    handle.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows([1]));
}

#[test]
fn each_row_lands_once_however_often_the_channels_are_lost() {
    let service = Emulator::start().unwrap();
    let pool = patient(&service).channels(2).max_bytes(500).start().unwrap();
    let handle = pool.handle();
    for id in 1..=600u64 {
        match id {
            40 | 170 => assert!(service.steal_channel(PIPE, CHANNEL)),
            90 => service.inject(Fault::lose_reply(Endpoint::Append).times(1)),
            130 => service.inject(Fault::status(Endpoint::Append, 409)),
            210 => service.inject(Fault::drop_connection(Endpoint::Append).times(2)),
            250 => service.revoke_scoped_tokens(),
            400 => assert!(service.steal_channel(PIPE, "W-POOL-2")),
            _ => {}
        }
        write_all(&handle, [id]);
        if id % 50 == 0 {
            handle.commit(SOON).unwrap();
        }
    }
    let report = pool.close(SOON).unwrap();
    assert_eq!(landed_in_order(&service), rows(1..=600));
    assert_eq!((report.rows_committed, report.channels_failing), (600, 0));
    assert!(report.reopens >= 2, "{report:?}");
}

#[test]
fn a_setting_that_cannot_work_is_refused_before_anything_is_sent() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let builders = [
        (pipe.writer_pool("w").channels(0), "it cannot have 0 channels: choose from 1 to 32"),
        (pipe.writer_pool("w").channels(33), "it cannot have 33 channels: choose from 1 to 32"),
        (pipe.writer_pool(" "), "it has no name"),
        (pipe.writer_pool("\"\""), "it has no name"),
    ];
    for (builder, said) in builders {
        let error = builder.start().unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(said), "{error}");
    }
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn a_channel_of_something_else_is_refused_and_stays_with_its_writer() {
    let service = Emulator::start().unwrap();
    let mut other = pipe_of(&service).channel("w-pool-2").open().unwrap();
    other.append(&batch(1..=2)).unwrap();
    other.wait_for_commit(2, SOON).unwrap();
    let error = patient(&service).channels(3).start().unwrap_err();
    assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some("2")));
    assert_eq!(
        error.to_string(),
        "could not use channel W-POOL-2 for a writer pool: it has committed offset 2, which is none of a writer pool's; it \
         belongs to something else: choose another name for the pool"
    );
    assert_eq!(service.requests().iter().filter(|request| request.method == "PUT").count(), 1, "nothing is opened");
    other.append(&batch(3..=3)).unwrap();
    other.wait_for_commit(3, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=3));
}

#[test]
fn the_next_run_goes_on_with_the_channels_of_the_one_before() {
    let service = Emulator::start().unwrap();
    for run in 0..3 {
        let pool = patient(&service).channels(2).start().unwrap();
        write_all(&pool.handle(), run * 10 + 1..=run * 10 + 10);
        assert_eq!(pool.close(SOON).unwrap().rows_committed, 10);
    }
    assert_eq!(landed_in_order(&service), rows(1..=30));
}
