//! A load in the hands of whoever runs it: the wrong file, a rerun, a growing file, another number of channels.

use std::collections::HashMap;
use std::io::Cursor;
use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Loader, Pipe, Source};

use crate::support::{OPENED, Scripted, TextFile, batch, landed, loaded, offset, pipe_of, row, rows};

/// So small that a load takes several requests.
fn loader(pipe: &Pipe) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(200).commit_timeout(Duration::from_secs(20))
}

fn reader(text: &str) -> Source<'static> {
    Source::reader("bytes", Cursor::new(text.as_bytes().to_vec()))
}

fn values(text: &str) -> Source<'static> {
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Source::rows(values)
}

/// The same text as each kind of source.
fn each_source(text: &str, test: impl Fn(Source<'static>)) {
    test(TextFile::new(text).source());
    test(reader(text));
    test(values(text));
}

fn appends(service: &Emulator) -> usize {
    service.requests().iter().filter(|request| request.path.ends_with("/rows")).count()
}

fn status_requests(service: &Emulator) -> usize {
    service.requests().iter().filter(|request| request.path.ends_with(":bulk-channel-status")).count()
}

fn check_conflict(error: &Error, committed: &str) {
    assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some(committed)), "{error}");
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.starts_with("could not resume channel load-1 of pipe DEMO.PUBLIC.EVENTS-STREAMING with "), "{text}");
    assert!(text.contains(committed) && text.contains("channel name of its own"), "{text}");
}

#[test]
fn another_source_under_a_used_channel_name_is_refused_and_nothing_is_appended() {
    let (monday, tuesday) = (rows(1..=5), rows(101..=108));
    each_source(&tuesday, |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        loader(&pipe).load(reader(&monday)).unwrap();
        let sent = appends(&service);
        let error = loader(&pipe).load(source).unwrap_err();
        check_conflict(&error, &offset(5, &monday).to_string());
        assert!(error.to_string().contains(&offset(5, &rows(101..=105)).to_string()), "both are named: {error}");
        assert_eq!((error.position(), appends(&service)), (Some(5), sent));
        assert_eq!(landed(&service), monday);
    });
}

#[test]
fn another_source_is_refused_whether_it_is_shorter_or_goes_through_several_channels() {
    let (first, other) = (rows(1..=2_500), rows(5_001..=7_500));
    for text in [other, rows(1..=2_400), rows(1..=2)] {
        each_source(&text, |source| {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            let load = |source| Loader::new(&pipe, "load-1").channels(3).load(source);
            load(reader(&first)).unwrap();
            let sent = appends(&service);
            assert_eq!(load(source).unwrap_err().kind(), ErrorKind::Conflict);
            assert_eq!(appends(&service), sent);
        });
    }
}

#[test]
fn of_a_file_no_channel_is_appended_to_before_all_are_compared() {
    let file = TextFile::new(rows(1..=3_000));
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    // Only the third channel has something, and of another source.
    let mut third = pipe.channel("LOAD-1-3-OF-3").open().unwrap();
    third.append(&loaded(9_001..=9_001)).unwrap();
    third.wait_for_commit_where(|committed| committed.is_some(), Duration::from_secs(20)).unwrap();
    let error = Loader::new(&pipe, "load-1").channels(3).load(file.source()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(landed(&service), rows(9_001..=9_001));
}

#[test]
fn a_row_that_changed_after_it_was_committed_is_a_conflict() {
    let (text, changed) = (rows(1..=20), rows(1..=20).replace("row 3\"", "row three\""));
    each_source(&changed, |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        loader(&pipe).load(reader(&text)).unwrap();
        check_conflict(&loader(&pipe).load(source).unwrap_err(), &offset(20, &text).to_string());
    });
}

#[test]
fn a_source_that_has_grown_is_loaded_on_from_any_kind() {
    let (before, after) = (rows(1..=20), rows(1..=33));
    each_source(&after, |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        loader(&pipe).load(values(&before)).unwrap();
        let report = loader(&pipe).load(source).unwrap();
        assert_eq!((report.rows, report.skipped, report.rows_sent), (33, 20, 13));
        assert_eq!(landed(&service), after);
    });
}

#[test]
fn line_breaks_and_blanks_around_rows_make_no_other_source() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    loader(&pipe).load(reader(&rows(1..=3))).unwrap();
    let report = loader(&pipe).load(reader(&rows(1..=4).replace('\n', " \r\n\t"))).unwrap();
    assert_eq!((report.rows, report.skipped, report.position), (4, 3, Some(4)));
}

#[test]
fn values_that_differ_from_run_to_run_are_a_conflict_that_names_the_usual_cause() {
    let shuffled = |first: &str, second: &str| format!("{{\"{first}\":1,\"{second}\":1}}");
    let raw = |text: String| Source::rows([serde_json::value::RawValue::from_string(text).unwrap()]);
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    loader(&pipe).load(raw(shuffled("A", "B"))).unwrap();
    let error = loader(&pipe).load(raw(shuffled("B", "A"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("HashMap") && error.to_string().contains("BTreeMap"), "{error}");
    // A map of one entry has one order only.
    let one = || Source::rows([HashMap::from([("A", 1)])]);
    Loader::new(&pipe, "load-2").load(one()).unwrap();
    assert_eq!(Loader::new(&pipe, "load-2").load(one()).unwrap().skipped, 1);
}

#[test]
fn rejected_rows_stay_an_error_when_the_load_is_run_again() {
    each_source(&rows(1..=8), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.reject_rows_containing("row");
        let error = loader(&pipe).load(source).unwrap_err();
        assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 8));
        let text = rows(1..=8);
        for _ in 0..2 {
            let mut again = loader(&pipe);
            let error = again.load(reader(&text)).unwrap_err();
            assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 8));
            assert!(error.to_string().contains("8 rows were rejected"), "{error}");
            assert!(error.to_string().contains("8 of them in earlier runs"), "{error}");
            let report = again.report();
            assert_eq!((report.rows, report.rows_rejected, report.rows_rejected_before), (8, 0, 8));
        }
        assert_eq!(loader(&pipe).max_errors(7).load(reader(&text)).unwrap_err().kind(), ErrorKind::NotStored);
        assert_eq!(loader(&pipe).max_errors(8).load(reader(&text)).unwrap().rows_rejected_before, 8);
        assert_eq!(landed(&service), "");
    });
}

#[test]
fn reruns_never_add_up_to_a_larger_allowance() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    service.reject_rows_containing("\"row 3\"");
    loader(&pipe).max_errors(1).load(reader(&rows(1..=5))).unwrap();
    service.reject_rows_containing("\"row 7\"");
    let error = loader(&pipe).max_errors(1).load(reader(&rows(1..=9))).unwrap_err();
    assert_eq!(error.rows_rejected(), 2, "{error}");
}

#[test]
fn rejected_rows_of_several_channels_are_summed_up_in_error_and_report() {
    let text = rows(1..=4_000);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.reject_rows_containing("777\"");
        let load = |loader: &mut Loader<'_>, source| (loader.load(source).unwrap_err(), loader.report().clone());
        let (error, report) = load(&mut Loader::new(&pipe, "load-1").channels(3), source);
        assert_eq!((error.rows_rejected(), report.rows_rejected, report.rows_rejected_before), (4, 4, 0));
        let (error, report) = load(&mut Loader::new(&pipe, "load-1").channels(3), reader(&text));
        assert_eq!((error.rows_rejected(), report.rows_rejected, report.rows_rejected_before), (4, 0, 4));
    });
}

#[test]
fn a_source_is_not_asked_again_after_its_end() {
    /// Ends once, and then goes on.
    struct Restless(u64);

    impl Iterator for Restless {
        type Item = serde_json::Value;

        fn next(&mut self) -> Option<serde_json::Value> {
            self.0 += 1;
            (self.0 != 3).then(|| json!({ "ID": self.0 }))
        }
    }

    for channels in [1, 2] {
        let service = Emulator::start().unwrap();
        let report = loader(&pipe_of(&service)).channels(channels).load(Source::rows(Restless(0))).unwrap();
        assert_eq!((report.rows, landed(&service).as_str()), (2, "{\"ID\":1}\n{\"ID\":2}\n"));
    }
}

#[test]
fn any_channel_of_another_number_counts_also_while_its_rows_are_on_their_way() {
    let text = rows(1..=3_000);
    for (first, second) in [(4, 2), (1, 4), (4, 1)] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.hold_commits(true);
        let load = |channels| {
            let loader = Loader::new(&pipe, "load-1").channels(channels).commit_timeout(Duration::from_millis(50));
            { loader }.load(reader(&text))
        };
        assert_eq!(load(first).unwrap_err().kind(), ErrorKind::Timeout);
        let error = load(second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{first} then {second}");
        assert!(error.to_string().contains("another number of channels"), "{error}");
        service.hold_commits(false);
        let mut right = Loader::new(&pipe, "load-1").channels(first);
        assert_eq!(right.load(reader(&text)).unwrap().rows, 3_000, "the refused load left nothing behind");
        assert_eq!(landed(&service).lines().count(), 3_000);
    }
}

#[test]
fn the_case_of_a_name_does_not_hide_another_number_of_channels() {
    for (first, second) in [
        (("Load", 2), ("LOAD", 3)),
        (("load", 1), ("LOAD", 2)),
        (("LOAD", 2), ("load", 1)),
        (("Load", 1), ("LOAD", 2)),
        (("Load", 1), ("load", 2)),
    ] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        Loader::new(&pipe, first.0).channels(first.1).load(reader(&rows(1..=2_000))).unwrap();
        let error = Loader::new(&pipe, second.0).channels(second.1).load(reader(&rows(1..=2_000))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{first:?} then {second:?}");
        assert_eq!(landed(&service).lines().count(), 2_000);
    }
}

#[test]
fn a_page_of_a_proxy_is_no_proof_that_no_other_channels_exist() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    Loader::new(&pipe, "load-1").channels(4).load(reader(&rows(1..=100))).unwrap();
    service.inject(Fault::status(Endpoint::Status, 404).body("<html>Not Found</html>").times(4));
    let error = Loader::new(&pipe, "load-1").channels(2).load(reader(&rows(1..=100))).unwrap_err();
    assert_eq!(error.status(), Some(404), "{error}");
    assert_eq!(landed(&service), rows(1..=100));
}

#[test]
fn a_load_asks_for_other_channels_once_and_a_resumed_one_never() {
    for channels in [1, 3] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let load = |source| Loader::new(&pipe, "load-1").channels(channels).load(source).unwrap();
        load(reader(""));
        assert_eq!(status_requests(&service), 1);
        load(reader(&rows(1..=10)));
        let asked = status_requests(&service);
        load(reader(&rows(1..=10)));
        assert_eq!(status_requests(&service), asked, "the second run finds all of it committed");
    }
}

#[test]
fn plain_offsets_of_another_client_are_resumed_only_when_they_are_accepted() {
    each_source(&rows(1..=9), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut other = pipe.channel("load-1").open().unwrap();
        other.append(&batch(1..=4)).unwrap();
        other.wait_for_commit(4, Duration::from_secs(20)).unwrap();
        let error = loader(&pipe).load(reader(&rows(1..=9))).unwrap_err();
        assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some("4")));
        assert!(error.to_string().contains("accept_plain_offsets"), "{error}");
        let report = loader(&pipe).accept_plain_offsets().load(source).unwrap();
        assert_eq!((report.skipped, report.committed_offset), (4, Some(offset(9, &rows(1..=9)))));
        assert_eq!(landed(&service), rows(1..=9));
        assert_eq!(loader(&pipe).load(reader(&rows(1..=9))).unwrap().skipped, 9, "from now on it knows its source");
    });
}

#[test]
fn a_channel_with_rows_and_no_offset_is_refused() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut unmarked = snowpipe_streaming::Batch::new();
    unmarked.push_json(row(1).as_bytes()).unwrap();
    pipe.channel("load-1").open().unwrap().append(&unmarked).unwrap();
    let error = loader(&pipe).load(reader(&rows(1..=5))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("has stored 1 rows but no offset"), "{error}");
    assert_eq!(landed(&service), rows(1..=1));
}

#[test]
fn what_a_service_without_offsets_has_stored_is_not_sent_again() {
    let service = Scripted::start();
    let stored = OPENED.replace("\"rows_inserted\":0", "\"rows_inserted\":5");
    let status = stored.split("\"channel_status\":").nth(1).unwrap().strip_suffix('}').unwrap();
    service.next("open", 200, OPENED);
    service.next("open", 200, &stored);
    // The first look is for channels of other numbers.
    service.next("status", 200, r#"{"channel_statuses":{}}"#);
    (0..100).for_each(|_| service.next("status", 200, &format!("{{\"channel_statuses\":{{\"LOAD-1\":{status}}}}}")));
    let pipe = service.pipe();
    let mut loader = Loader::new(&pipe, "load-1").commit_timeout(Duration::from_millis(300));
    let error = loader.load(reader(&rows(1..=5))).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false), "{error}");
    assert!(error.to_string().contains("has stored 5 rows of it and reports no offset"), "{error}");
    assert_eq!((service.seen_at("open").len(), service.seen_at("rows").len()), (2, 1));
    // Neither does a later run.
    service.next("open", 200, &stored);
    let error = loader.load(reader(&rows(1..=5))).unwrap_err();
    assert_eq!((error.kind(), service.seen_at("rows").len()), (ErrorKind::Conflict, 1), "{error}");
}

#[test]
fn a_load_can_insist_on_an_unused_channel_or_on_an_offset() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    loader(&pipe).expect_unused().load(reader(&rows(1..=3))).unwrap();
    let error = loader(&pipe).expect_unused().load(reader(&rows(1..=5))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = loader(&pipe).expect_offset(2).open_timeout(Duration::ZERO).load(reader(&rows(1..=5))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = offset(3, &rows(1..=3));
    assert_eq!(loader(&pipe).expect_offset(expected).load(reader(&rows(1..=5))).unwrap().rows, 5);
    assert_eq!(landed(&service), rows(1..=5));
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_sent() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let too_many = Loader::MAX_CHANNELS + 1;
    for (mut loader, said) in [
        (loader(&pipe).channels(0), "0 channels are not from 1 to 32"),
        (loader(&pipe).channels(too_many), "33 channels are not from 1 to 32"),
        (loader(&pipe).batch_bytes(0), "0 bytes a batch are not from 1 to 16000000"),
        (loader(&pipe).batch_bytes(16_000_001), "16000001 bytes a batch"),
        (loader(&pipe).channels(2).expect_offset(1), "several channels have no common offset"),
        (Loader::new(&pipe, " ").channels(2), "not a valid channel name"),
    ] {
        let error = loader.load(reader("")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(service.requests().is_empty());
}

#[test]
fn a_source_that_panics_on_the_second_thread_keeps_its_message() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let rows = (1..=9_000u64).map(|id| {
        assert!(id < 2_600, "row 2600 is cursed");
        json!({ "ID": id })
    });
    let load = || loader(&pipe).pipelined().load(Source::rows(rows));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(load)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"row 2600 is cursed"));
}

#[test]
fn a_progress_callback_that_panics_stops_the_load_of_a_file() {
    let file = TextFile::new(rows(1..=200_000));
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let loader = Loader::new(&pipe, "load-1").channels(2).batch_bytes(1_000);
    let mut loader = loader.on_progress(|report| assert!(report.rows_sent < 50, "too many"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loader.load(file.source()))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"too many"));
    assert!(landed(&service).lines().count() < 100_000, "the threads did not read on to the end");
}

#[test]
fn a_loader_can_be_sent_to_another_thread() {
    fn check(_: &impl Send) {}
    let service = Emulator::start().unwrap();
    check(&loader(&pipe_of(&service)).on_progress(|_| {}));
}
