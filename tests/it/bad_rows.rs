//! Rows that are none: left out as far as that is allowed, handed over, counted, and part of the fingerprint all the same.

mod endings;
mod resuming;

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{BadRow, Batch, ErrorKind, LoadReport, Loader, Pipe, Source};

use crate::support::{TextFile, landed, offset, pipe_of, row, rows};

/// Position, reason and text of a row that was handed over.
type HandedOver = (u64, String, Vec<u8>);

fn copied(row: &BadRow<'_>) -> HandedOver {
    (row.position(), row.reason().to_string(), row.text().to_vec())
}

fn loader<'l>(pipe: &Pipe) -> Loader<'l> {
    Loader::new(pipe, "load-1").batch_bytes(1000).commit_timeout(Duration::from_secs(20))
}

/// Through one channel and several, with second threads and without.
fn each_mode(test: impl Fn(&dyn Fn(Loader<'static>) -> Loader<'static>, u32)) {
    test(&|loader| loader, 1);
    test(&|loader| loader.pipelined(), 1);
    test(&|loader| loader.channels(2), 2);
    test(&|loader| loader.channels(2).pipelined(), 2);
}

/// The same text as a file and as a reader.
fn each_text(text: &[u8], test: impl Fn(&dyn Fn() -> Source<'static>)) {
    let file = TextFile::new(text);
    test(&|| file.source());
    test(&|| reader(text));
}

fn reader(text: impl AsRef<[u8]>) -> Source<'static> {
    Source::reader("bytes", std::io::Cursor::new(text.as_ref().to_vec()))
}

/// Numbered rows, of which these are none.
fn spoilt(count: u64, bad: &[u64]) -> String {
    let line = |id| if bad.contains(&id) { format!("[{id}]\n") } else { row(id) + "\n" };
    (1..=count).map(line).collect()
}

fn without(count: u64, bad: &[u64]) -> String {
    rows((1..=count).filter(|id| !bad.contains(id)))
}

/// What a load hands over, and how it ends.
fn load(
    service: &Emulator,
    mode: &dyn Fn(Loader<'static>) -> Loader<'static>,
    max_errors: u64,
    source: Source<'static>,
) -> (Vec<HandedOver>, Result<LoadReport, snowpipe_streaming::Error>, LoadReport) {
    let (sender, handed_over) = std::sync::mpsc::channel();
    let mut loader = mode(loader(&pipe_of(service))).max_errors(max_errors).on_bad_row(move |row| {
        sender.send(copied(row)).unwrap();
        Ok(())
    });
    let outcome = loader.load(source);
    let report = loader.report().clone();
    drop(loader);
    (handed_over.into_iter().collect(), outcome, report)
}

fn positions(handed_over: &[HandedOver]) -> Vec<u64> {
    handed_over.iter().map(|row| row.0).collect()
}

/// Too long for a request even after compression.
fn incompressible() -> String {
    let mut noise = fastrand::Rng::with_seed(11);
    (0..6_000_000).map(|_| noise.alphanumeric()).collect()
}

/// Start and end of every append, in the order of their responses.
fn tokens(service: &Emulator) -> Vec<[String; 2]> {
    let appends = service.requests().into_iter().filter(|request| request.path.ends_with("/rows"));
    let token = |query: &str, name: &str| {
        let found = query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
        found.unwrap_or_default().to_string()
    };
    let both = ["startOffsetToken", "endOffsetToken"];
    appends.map(|request| both.map(|name| token(&request.query, name))).collect()
}

/// Lines that are no rows, trusted or not, and what is said of them.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let long = format!("{{\"A\":\"{}\"}}", "x".repeat(Batch::MAX_ROW_BYTES));
    vec![
        (b"[4]".to_vec(), "the row is not a JSON object, whose names are the columns"),
        (b" {\"A\": \r".to_vec(), "the row "),
        (b"{\"A\":\"\xff\"}".to_vec(), "the row is not UTF-8 from byte 7 on"),
        (long.into_bytes(), "the row is 16000008 bytes long"),
        (format!("{{\"A\":\"{}\"}}", incompressible()).into_bytes(), "the row is too long for any request"),
    ]
}

#[test]
fn every_kind_of_bad_line_is_left_out_of_every_kind_of_source() {
    for (bad, said) in bad_lines() {
        let text = [rows(1..=3).as_bytes(), &bad, b"\n", rows(5..=7).as_bytes()].concat();
        let carried = offset_of(&text);
        each_text(&text, |source| {
            each_mode(|mode, channels| {
                // Long ones take long.
                for trusted in [false, true].into_iter().take(if bad.len() < 100 { 2 } else { 1 }) {
                    let service = Emulator::start().unwrap();
                    let of_kind = || if trusted { source().trusted() } else { source() };
                    let (handed_over, outcome, _) = load(&service, mode, 1, of_kind());
                    let report = outcome.unwrap();
                    assert_eq!(landed(&service), without(7, &[4]));
                    assert_eq!((report.rows, report.bad_rows, report.rows_sent, report.rows_rejected), (6, 1, 6, 0));
                    assert_eq!(report.committed_offset, (channels == 1).then(|| carried.as_str().into()));
                    let [(4, reason, text)] = &handed_over[..] else { panic!("{:?}", positions(&handed_over)) };
                    assert!(reason.starts_with(said) && *text == bad, "{reason}");
                }
            });
        });
    }
}

/// With the blanks around a line, and the line break after it, in one form.
fn offset_of(text: &[u8]) -> String {
    let mut crc = flate2::Crc::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        crc.update(line.trim_ascii());
        crc.update(b"\n");
    }
    format!("7-{:08x}", crc.sum())
}

#[test]
fn what_no_one_has_checked_is_sent_of_a_trusted_source() {
    let service = Emulator::start().unwrap();
    let text = format!("{}{{\"ID\": }}\n[5]\n", rows(1..=3));
    let (handed_over, outcome, _) = load(&service, &|loader| loader, 2, reader(&text).trusted());
    let report = outcome.unwrap();
    assert_eq!((report.rows, report.rows_rejected, report.bad_rows), (4, 1, 1));
    assert_eq!((positions(&handed_over), landed(&service)), (vec![5], rows(1..=3)));
}

/// A value that may be none.
#[derive(Clone)]
enum Given {
    Json(Value),
    NotFinite,
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Given::Json(value) => value.serialize(serializer),
            Given::NotFinite => std::collections::BTreeMap::from([("A", f64::NAN)]).serialize(serializer),
        }
    }
}

#[test]
fn values_that_are_no_rows_are_left_out_with_the_text_that_they_have() {
    let noise = json!({ "TEXT": incompressible() });
    let long = json!({ "TEXT": "x".repeat(Batch::MAX_ROW_BYTES) });
    let bad = [
        (Given::Json(json!(2)), "2".to_string(), "the row is not a JSON object, whose names are the columns"),
        (Given::Json(json!([2, "a"])), "[2,\"a\"]".into(), "the row is not a JSON object, whose names are the columns"),
        (Given::NotFinite, String::new(), "the row cannot be written as JSON: A: "),
        (Given::Json(noise.clone()), noise.to_string(), "the row is too long for any request"),
        (Given::Json(long.clone()), long.to_string(), "the row is 16000011 bytes long"),
    ];
    for (value, text, said) in bad {
        each_mode(|mode, channels| {
            let service = Emulator::start().unwrap();
            let good = |id| Given::Json(json!({ "ID": id }));
            let source = || Source::rows([good(1), value.clone(), good(3)]);
            let carried = format!("{{\"ID\":1}}\n{text}\n{{\"ID\":3}}\n");
            for (skipped, sent) in [(0, 2), (2, 0)] {
                let (handed_over, outcome, _) = load(&service, mode, 1, source());
                let report = outcome.unwrap();
                assert_eq!((report.rows, report.skipped, report.rows_sent, report.bad_rows), (2, skipped, sent, 1));
                assert_eq!(report.committed_offset, (channels == 1).then(|| offset(3, &carried)));
                let [(2, reason, found)] = &handed_over[..] else { panic!("{:?}", positions(&handed_over)) };
                assert!(reason.starts_with(said) && *found == text.as_bytes(), "{reason}");
            }
            assert_eq!(landed(&service), "{\"ID\":1}\n{\"ID\":3}\n");
        });
    }
}

#[test]
fn a_left_out_row_keeps_its_position_and_its_part_of_the_fingerprint() {
    let service = Emulator::start().unwrap();
    load(&service, &|loader| loader, 1, reader(spoilt(8, &[5]))).1.unwrap();
    assert_eq!(tokens(&service), [["1-21d5bdfa", "8-196e9960"]]);

    let service = Emulator::start().unwrap();
    let values = ["{\"ID\":1}", "[2]", "{\"ID\":4}"];
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.into()).unwrap();
    let source = Source::rows(values.map(raw));
    load(&service, &|loader| loader, 1, source).1.unwrap();
    assert_eq!(tokens(&service), [["1-118c51fe", "3-be52ef54"]]);
}

#[test]
fn the_halves_of_a_halved_request_carry_the_tokens_of_their_own_rows() {
    each_text(spoilt(8, &[5]).as_bytes(), |source| {
        let service = Emulator::start().unwrap();
        service.inject(Fault::status(Endpoint::Append, 413).times(1));
        load(&service, &|loader| loader, 1, source()).1.unwrap();
        assert_eq!(
            tokens(&service),
            [["1-21d5bdfa", "8-196e9960"], ["1-21d5bdfa", "4-9fcc1d64"], ["6-903122c5", "8-196e9960"]]
        );
        assert_eq!(landed(&service), without(8, &[5]));
    });
}

#[test]
fn going_back_neither_counts_nor_hands_over_a_row_twice() {
    let bad: Vec<_> = (1..=300).filter(|id| id % 7 == 3).collect();
    let text = spoilt(300, &bad);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            service.inject(Fault::status(Endpoint::Append, 409).times(2));
            service.inject(Fault::lose_reply(Endpoint::Append).times(1));
            let (handed_over, outcome, _) = load(&service, mode, 43, source());
            let report = outcome.unwrap();
            assert_eq!((report.bad_rows, report.rows), (43, 257));
            assert!(report.reopens > 0);
            assert_eq!((positions(&handed_over), landed(&service)), (bad.clone(), without(300, &bad)));
        });
    });
}

#[test]
fn a_row_is_handed_over_before_any_later_row_is_sent() {
    let text = spoilt(60, &[3, 30, 60]);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Arc::new(Emulator::start().unwrap());
            let seen = Arc::clone(&service);
            let mut handed_over = Vec::new();
            let mut loader = mode(loader(&pipe_of(&service))).batch_bytes(1).max_errors(3).on_bad_row(move |bad| {
                let position = |token: &String| token.split('-').next().unwrap().parse::<u64>().unwrap();
                let sent = tokens(&seen).iter().map(|[_, end]| position(end)).max();
                handed_over.push(bad.position());
                assert!(sent < Some(bad.position()), "{sent:?} was sent before {}", bad.position());
                Ok(())
            });
            let report = loader.load(source()).unwrap();
            assert_eq!((report.bad_rows, landed(&service)), (3, without(60, &[3, 30, 60])));
        });
    });
}
