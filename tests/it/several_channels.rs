//! Loads through several channels: whatever the source and whatever happens, every row lands once.

mod failures;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault, LoggedRequest};
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{TextFile, landed, loaded, pipe_of, row, rows};

const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";

/// So small that every block takes requests of its own.
fn loader(pipe: &Pipe, channels: u32) -> Loader<'static> {
    Loader::new(pipe, "load-1").channels(channels).batch_bytes(20_000).commit_timeout(Duration::from_secs(20))
}

/// The same text as each kind of source.
fn each_source(text: &str, test: impl Fn(&dyn Fn() -> Source<'static>)) {
    let file = TextFile::new(text);
    test(&|| file.source());
    each_dealt_source(text, test);
}

fn each_dealt_source(text: &str, test: impl Fn(&dyn Fn() -> Source<'static>)) {
    test(&|| reader(text));
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    test(&|| Source::rows(values.clone()));
}

fn reader(text: &str) -> Source<'static> {
    Source::reader("bytes", std::io::Cursor::new(text.as_bytes().to_vec()))
}

/// The channel that carries a position, from zero.
fn channel_of(position: u64, channels: u32) -> u64 {
    (position - 1) / 1000 % u64::from(channels)
}

/// Exactly these rows landed, each once and in order among those of its channel.
fn check_landed(service: &Emulator, channels: u32, expected: impl IntoIterator<Item = u64>) {
    let mut last = BTreeMap::<u64, u64>::new();
    let mut found = BTreeSet::new();
    for line in landed(service).lines() {
        let id = serde_json::from_str::<serde_json::Value>(line).unwrap()["ID"].as_u64().unwrap();
        assert!(found.insert(id), "row {id} landed twice");
        let before = last.insert(channel_of(id, channels), id);
        assert!(before < Some(id), "row {id} came after {before:?} of its channel");
    }
    let expected: BTreeSet<_> = expected.into_iter().collect();
    assert!(found == expected, "{} rows, not {}", found.len(), expected.len());
}

/// As an earlier run left it: these rows are committed on that channel.
fn commit(pipe: &Pipe, channel: &str, ids: impl IntoIterator<Item = u64>) {
    let rows = loaded(ids);
    let mut channel = pipe.channel(channel).open().unwrap();
    channel.append(&rows).unwrap();
    channel.wait_for_commit_where(|committed| committed.is_some(), Duration::from_secs(20)).unwrap();
}

/// Until the second of three channels has rows under way.
fn await_append(service: &Emulator) {
    let is_sent = |request: &LoggedRequest| request.path.ends_with("/LOAD-1-2-OF-3/rows");
    for _ in 0..20_000 {
        if service.requests().iter().any(is_sent) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the second channel sends nothing");
}

/// An empty part of a text, at which something happens.
struct Break<'b>(&'b (dyn Fn() + Sync));

impl Read for Break<'_> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        (self.0)();
        Ok(0)
    }
}

#[test]
fn a_source_of_any_kind_lands_whole_and_a_second_run_sends_nothing() {
    for channels in [1, 2, 3, 7] {
        for count in [0, 1, 999, 1000, 1001, 7_300] {
            each_source(&rows(1..=count), |source| {
                let service = Emulator::start().unwrap();
                let pipe = pipe_of(&service);
                let report = loader(&pipe, channels).load(source()).unwrap();
                assert_eq!((report.rows, report.skipped, report.rows_sent), (count, 0, count));
                check_landed(&service, channels, 1..=count);
                let again = loader(&pipe, channels).load(source()).unwrap();
                assert_eq!((again.rows, again.skipped, again.rows_sent), (count, count, 0));
            });
        }
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let service = Emulator::start().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&path, rows(1..=3_500)).unwrap());
        loader(&pipe_of(&service), 3).load(Source::file(&path).unwrap()).unwrap();
    });
    check_landed(&service, 3, 1..=3_500);
}

#[test]
fn rows_of_an_earlier_run_are_reported_before_the_source_has_new_ones() {
    let (first, rest) = (rows(1..=1_100), rows(1_101..=1_200));
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    loader(&pipe, 2).load(reader(&first)).unwrap();
    let (sender, reported) = std::sync::mpsc::channel();
    let reported = std::sync::Mutex::new(reported);
    let await_report = || {
        let reported = reported.lock().unwrap();
        while reported.recv_timeout(Duration::from_secs(20)).expect("1100 rows are not reported") != 1_100 {}
    };
    let text = first.as_bytes().chain(Break(&await_report)).chain(rest.as_bytes());
    let mut loader = loader(&pipe, 2).on_progress(|report| sender.send(report.rows).unwrap());
    let report = loader.load(Source::reader("text", text)).unwrap();
    assert_eq!((report.rows, report.skipped), (1_200, 1_100));
}

#[test]
fn faults_on_the_way_are_healed_and_progress_is_told() {
    each_source(&rows(1..=10_500), |source| {
        let service = Emulator::start().unwrap();
        service.inject(Fault::lose_reply(Endpoint::Append).times(3));
        service.inject(Fault::status(Endpoint::Append, 409).times(2));
        let mut told = 0;
        let pipe = pipe_of(&service);
        let mut loader = loader(&pipe, 4).on_progress(|report| told = report.rows);
        let report = loader.load(source()).unwrap();
        drop(loader);
        assert_eq!((report.rows, report.skipped, told), (10_500, 0, 10_500));
        assert!(report.reopens > 0);
        check_landed(&service, 4, 1..=10_500);
    });
}

#[test]
fn a_channel_taken_over_on_the_way_sends_again_what_was_not_committed() {
    let (first, rest) = (rows(1..=4_200), rows(4_201..=9_400));
    for kind in ["reader", "rows"] {
        let service = Emulator::start().unwrap();
        service.hold_commits(true);
        let steal = || {
            await_append(&service);
            assert!(service.steal_channel(PIPE, "LOAD-1-2-OF-3"));
            service.hold_commits(false);
        };
        let source = match kind {
            "reader" => Source::reader(kind, first.as_bytes().chain(Break(&steal)).chain(rest.as_bytes())),
            _ => Source::rows((1..=9_400u64).map(|id| {
                if id == 4_201 {
                    steal();
                }
                json!({ "ID": id, "TEXT": format!("row {id}") })
            })),
        };
        let report = loader(&pipe_of(&service), 3).discard_uncommitted().load(source).unwrap();
        assert!(report.reopens > 0 && report.rows_sent > 9_400, "rows were sent again");
        assert_eq!(report.rows, 9_400);
        check_landed(&service, 3, 1..=9_400);
    }
}

#[test]
fn each_channel_resumes_on_its_own() {
    each_source(&rows(1..=6_500), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        commit(&pipe, "LOAD-1-1-OF-3", (1..=1000).chain(3001..=3456));
        commit(&pipe, "LOAD-1-3-OF-3", 2001..=2001);
        let report = loader(&pipe, 3).load(source()).unwrap();
        assert_eq!((report.rows, report.skipped, report.rows_sent), (6_500, 1_457, 5_043));
        check_landed(&service, 3, 1..=6_500);
    });
}

#[test]
fn values_that_their_channel_has_are_serialised_and_compared() {
    struct Counted<'c>(u64, &'c AtomicU64);

    impl Serialize for Counted<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            json!({ "ID": self.0, "TEXT": format!("row {}", self.0) }).serialize(serializer)
        }
    }

    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    commit(&pipe, "LOAD-1-1-OF-2", (1..=1000).chain(2001..=2100));
    commit(&pipe, "LOAD-1-2-OF-2", 1001..=1500);
    let serialised = AtomicU64::new(0);
    let source = Source::rows((1..=4000).map(|id| Counted(id, &serialised)));
    let report = loader(&pipe, 2).load(source).unwrap();
    assert_eq!((report.skipped, report.rows_sent, serialised.into_inner()), (1_600, 2_400, 4_000));
    check_landed(&service, 2, 1..=4000);
}

#[test]
fn a_load_begun_from_one_kind_of_source_is_finished_from_another() {
    let text = format!("\u{feff}{}\n \r\n{}", rows(1..=2_345), rows(2_348..=7_777));
    let expected = (1..=2_345).chain(2_348..=7_777);
    let broken = text.replace(&row(4_100), "[]");
    let (file, broken_file) = (TextFile::new(&text), TextFile::new(&broken));
    let ways: [[&dyn Fn() -> Source<'static>; 2]; 2] =
        [[&|| broken_file.source(), &|| reader(&text)], [&|| reader(&broken), &|| file.source()]];
    for [first, second] in ways {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut loader = loader(&pipe, 3);
        let error = loader.load(first()).unwrap_err();
        assert!(error.to_string().contains("line 4100 of "), "{error}");
        let committed = loader.report().rows;
        let report = loader.load(second()).unwrap();
        assert_eq!((report.rows, report.skipped, report.rows_sent), (7_775, committed, 7_775 - committed));
        check_landed(&service, 3, expected.clone());
    }
}

#[test]
fn a_row_longer_than_a_channels_part_goes_alone() {
    let service = Emulator::start().unwrap();
    let long = |id: u64| format!("{{\"ID\":{id},\"A\":\"{}\"}}\n", "x".repeat(50_000));
    let text = format!("{}{}{}{}", rows(1..=2), long(3), long(4), rows(5..=6));
    let report = loader(&pipe_of(&service), 2).load(reader(&text)).unwrap();
    assert_eq!((landed(&service), report.batches), (text, 4));
}

#[test]
fn a_source_that_blocks_does_not_hold_back_the_rows_it_has_given() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let was_held_back = AtomicBool::new(false);
    let slow = (1..=2_010u64).map(|id| {
        // Rows of every channel are given by now.
        let mut polls = 0;
        while id == 2_005 && service.row_count(crate::support::TABLE) < 2_004 {
            polls += 1;
            if polls > 20_000 {
                was_held_back.store(true, Ordering::Relaxed);
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        json!({ "ID": id })
    });
    Loader::new(&pipe, "load-1").channels(3).load(Source::rows(slow)).unwrap();
    assert!(!was_held_back.into_inner(), "the first rows were held back");
    check_landed(&service, 3, 1..=2_010);
}

#[test]
fn what_all_channels_keep_for_sending_again_stays_within_the_bound() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    service.hold_commits(true);
    let mut noise = fastrand::Rng::with_seed(5);
    // Repeated only beyond what compression looks back.
    let noise: String = (0..2_000_000).map(|_| noise.alphanumeric()).collect();
    let text: String = (0..7_000usize)
        .map(|row| row * 8_000 % 2_000_000)
        .map(|start| format!("{{\"ID\":1,\"A\":\"{}\"}}\n", &noise[start..start + 8_000]))
        .collect();
    let mut loader = Loader::new(&pipe, "load-1").channels(4).commit_timeout(Duration::from_millis(100));
    let error = loader.load(reader(&text)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let appends = service.requests().into_iter().filter(|request| request.path.ends_with("/rows"));
    let kept: u64 = appends.map(|request| request.body_bytes).sum();
    assert!(kept <= Loader::RETAINED_BYTES as u64, "{kept} bytes");
    assert!(kept > Loader::RETAINED_BYTES as u64 / 4, "{kept} bytes");
}

#[test]
fn every_channel_is_opened_once_and_the_first_one_first_before_any_row_is_sent() {
    each_source(&rows(1..=3000), |source| {
        let service = Emulator::start().unwrap();
        loader(&pipe_of(&service), 3).load(source()).unwrap();
        let requests = service.requests();
        let opened: Vec<_> = requests.iter().filter(|request| request.method == "PUT").collect();
        assert!(opened[0].path.ends_with("/channels/LOAD-1-1-OF-3"), "{}", opened[0].path);
        let names: BTreeSet<_> = opened.iter().map(|request| request.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(opened.len(), 3);
        assert_eq!(names, BTreeSet::from(["LOAD-1-1-OF-3", "LOAD-1-2-OF-3", "LOAD-1-3-OF-3"]));
        let at = |method: &str, end: &str| {
            let found = |request: &LoggedRequest| request.method == method && request.path.ends_with(end);
            (requests.iter().rposition(found), requests.iter().position(found))
        };
        assert!(at("PUT", "-OF-3").0 < at("POST", "/rows").1, "all are open before the first append");
    });
}
