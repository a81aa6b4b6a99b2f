//! Files that are written to, moved or cut while they are loaded or between loads, and lines that are no rows.

use std::fs::OpenOptions;
use std::io::{Cursor, Write};
use std::time::Duration;

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{TextFile, landed, pipe_of, row, rows};

/// So small that a load takes several requests.
fn loader(pipe: &Pipe) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(200).commit_timeout(Duration::from_secs(20))
}

fn reader(text: &str) -> Source<'static> {
    Source::reader("bytes", Cursor::new(text.as_bytes().to_vec()))
}

#[test]
fn a_file_that_grows_during_its_load_loses_no_row() {
    let file = TextFile::new(rows(1..=3).trim_end());
    let grow =
        |text: &str| OpenOptions::new().append(true).open(file.path()).unwrap().write_all(text.as_bytes()).unwrap();
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut has_grown = false;
    let mut first = Loader::new(&pipe, "load-1").batch_bytes(1).on_progress(|report| {
        if report.rows_sent > 0 && !std::mem::replace(&mut has_grown, true) {
            grow(&format!("\n{}\n", row(4)));
        }
    });
    assert_eq!(first.load(file.source()).unwrap().rows, 3);
    drop(first);
    grow(&rows(5..=8));
    let report = loader(&pipe).load(file.source()).unwrap();
    assert_eq!((report.rows, report.skipped), (8, 3));
    assert_eq!(landed(&service), rows(1..=8));
}

#[test]
fn a_file_that_is_overwritten_during_its_load_is_an_error_however_it_is_loaded() {
    for (channels, is_pipelined) in [(1, false), (1, true), (3, false)] {
        let file = TextFile::new(rows(10_000..=19_999));
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut is_overwritten = false;
        let loader = Loader::new(&pipe, "load-1").batch_bytes(20_000).channels(channels).on_progress(|report| {
            if report.rows_sent > 0 && !std::mem::replace(&mut is_overwritten, true) {
                let mut overwritten = OpenOptions::new().write(true).open(file.path()).unwrap();
                overwritten.write_all(rows(20_000..=29_999).as_bytes()).unwrap();
            }
        });
        let mut loader = if is_pipelined { loader.pipelined() } else { loader };
        let error = loader.load(file.source()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(error.to_string().contains("was changed while it was loaded"), "{error}");
    }
}

#[test]
fn a_file_whose_name_belongs_to_another_by_then_is_loaded_to_its_end() {
    let file = TextFile::new(rows(1..=5_000));
    let aside = file.path().with_extension("1");
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let source = file.source();
    std::fs::rename(file.path(), &aside).unwrap();
    std::fs::write(file.path(), rows(7_000..=7_100)).unwrap();
    let report = Loader::new(&pipe, "load-1").channels(3).load(source).unwrap();
    std::fs::remove_file(aside).unwrap();
    assert_eq!((report.rows, landed(&service).lines().count()), (5_000, 5_000));
    assert!(!landed(&service).contains("row 7000\""));
}

#[test]
fn a_last_line_without_line_break_is_a_row_only_if_it_is_complete() {
    for cut in ["{\"ID\":4,\"TEXT\":{\"A\":1}", "{\"ID\":4", "4"] {
        let text = rows(1..=3) + cut;
        for (source, is_trusted) in
            [(TextFile::new(&text).source(), false), (TextFile::new(&text).source(), true), (reader(&text), true)]
        {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            let error = loader(&pipe).load(if is_trusted { source.trusted() } else { source }).unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(4)), "{error}");
            assert!(error.to_string().contains("no line break"), "{error}");
            assert_eq!(landed(&service), rows(1..=3));
        }
    }
}

#[test]
fn a_line_too_long_for_any_request_stops_only_the_channel_that_carries_it() {
    let text = rows(1..=1_500) + &"x".repeat(17_000_000) + "\n" + &rows(1_502..=3_500);
    let file = TextFile::new(&text);
    let service = Emulator::start().unwrap();
    let mut loader = Loader::new(&pipe_of(&service), "load-1").channels(3);
    let error = loader.load(file.source()).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(1_501)), "{error}");
    assert_eq!(landed(&service).lines().count(), 1_000 + 500 + 1_000 + 500);
}

#[test]
fn taking_a_bad_line_out_is_a_conflict_and_leaving_it_empty_goes_on() {
    let bad = rows(1..=1_500) + "bad\n" + &rows(1_502..=3_500);
    for (mended, expected) in [(bad.replace("bad\n", ""), None), (bad.replace("bad\n", "\n"), Some(3_499))] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let load = |text: &str| Loader::new(&pipe, "load-1").channels(2).load(TextFile::new(text).source());
        let error = load(&bad).unwrap_err();
        assert!(error.to_string().contains("keep their numbers"), "{error}");
        match (load(&mended), expected) {
            (Ok(report), Some(rows)) => assert_eq!(report.rows, rows),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Conflict),
            (ended, _) => panic!("{ended:?}"),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_a_length_is_read_to_its_end() {
    let service = Emulator::start().unwrap();
    let error = loader(&pipe_of(&service)).load(Source::file("/proc/version").unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(1)), "{error}");
}
