//! The loader against the emulator: whatever happens on the way, every row lands once.

use std::io::Read;
use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Loader, OffsetToken, Pipe, Source};

use crate::support::{TextFile, batch, impatient_pipe, landed, loaded, offset, pipe_of, row, rows};

/// So small that a load takes many requests.
fn loader(pipe: &Pipe) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(1000).commit_timeout(Duration::from_secs(20))
}

/// The same text as each kind of source.
fn each_source(text: &str, test: impl Fn(&dyn Fn() -> Source<'static>)) {
    let file = TextFile::new(text);
    test(&|| file.source());
    let bytes = text.as_bytes().to_vec();
    test(&|| Source::reader("bytes", std::io::Cursor::new(bytes.clone())));
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    test(&|| Source::rows(values.clone()));
}

/// Too long for a request even after compression.
fn incompressible() -> String {
    let mut noise = fastrand::Rng::with_seed(11);
    (0..6_000_000).map(|_| noise.alphanumeric()).collect()
}

#[test]
fn a_source_of_any_kind_lands_whole_and_in_order() {
    let text = rows(1..=500);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        let report = loader(&pipe_of(&service)).load(source()).unwrap();
        assert_eq!(landed(&service), text);
        assert_eq!((report.rows, report.skipped, report.rows_sent), (500, 0, 500));
        assert_eq!((report.committed_offset, report.position), (Some(offset(500, &text)), Some(500)));
        assert_eq!(report.bytes_sent, text.len() as u64);
        assert!(report.batches > 10);
    });
}

#[test]
fn a_second_run_finds_everything_committed_and_sends_nothing() {
    let text = rows(1..=50);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        loader(&pipe_of(&service)).load(source()).unwrap();
        let report = loader(&pipe_of(&service)).load(source()).unwrap();
        assert_eq!((report.rows, report.skipped, report.rows_sent, report.batches), (50, 50, 0, 0));
        assert_eq!(landed(&service), text);
    });
}

#[test]
fn a_run_resumes_after_what_an_earlier_one_committed() {
    let text = rows(1..=50);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut channel = pipe.channel("load-1").open().unwrap();
        channel.append(&loaded(1..=20)).unwrap();
        channel.wait_for_commit(offset(20, &rows(1..=20)), Duration::from_secs(20)).unwrap();
        let report = loader(&pipe).load(source()).unwrap();
        assert_eq!((report.rows, report.skipped, report.rows_sent), (50, 20, 30));
        assert_eq!(landed(&service), text);
    });
}

#[test]
fn every_fault_on_the_way_is_healed() {
    heal_every_fault(loader);
}

#[test]
fn every_fault_on_the_way_is_healed_with_a_second_thread() {
    heal_every_fault(|pipe| loader(pipe).pipelined());
}

fn heal_every_fault(loader: impl Fn(&Pipe) -> Loader<'static>) {
    let text = rows(1..=300);
    let faults = [
        ("append 503", Fault::status(Endpoint::Append, 503).times(2)),
        ("append 429", Fault::status(Endpoint::Append, 429).times(2)),
        ("append dropped", Fault::drop_connection(Endpoint::Append).times(2)),
        ("append reply lost", Fault::lose_reply(Endpoint::Append).times(2)),
        ("append 409", Fault::status(Endpoint::Append, 409)),
        ("append 401", Fault::status(Endpoint::Append, 401)),
        ("open dropped", Fault::drop_connection(Endpoint::Open).times(2)),
        ("status 503", Fault::status(Endpoint::Status, 503).times(2)),
        ("token 503", Fault::status(Endpoint::Token, 503).times(1)),
    ];
    for (name, fault) in faults {
        each_source(&text, |source| {
            let service = Emulator::start().unwrap();
            service.inject(fault.clone());
            let report = loader(&pipe_of(&service)).load(source()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(landed(&service), text, "{name}");
            assert_eq!(report.rows, 300, "{name}");
            assert!(report.retries + report.reopens > 0, "{name}: the fault was met");
        });
    }
}

#[test]
fn a_channel_taken_over_again_and_again_is_taken_back() {
    let text = rows(1..=300);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        let mut stolen = 0;
        let mut loader = loader(&pipe_of(&service)).on_progress(|report| {
            if report.batches % 7 == 3 && stolen < 4 {
                stolen += u32::from(service.steal_channel("DEMO.PUBLIC.\"EVENTS-STREAMING\"", "load-1"));
            }
        });
        let report = loader.load(source()).unwrap();
        assert!(report.reopens > 0);
        assert_eq!(landed(&service), text);
    });
}

#[test]
fn a_second_writer_that_does_not_stop_is_named() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut loader = loader(&pipe_of(&service)).discard_uncommitted().on_progress(|_| {
        service.steal_channel("DEMO.PUBLIC.\"EVENTS-STREAMING\"", "load-1");
    });
    let error = loader.load(Source::rows((1..=300).map(|id| json!({ "ID": id })))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Channel);
    assert!(error.to_string().contains("look for a second writer"), "{error}");
    assert_eq!(loader.report().reopens, 5);
}

#[test]
fn a_row_that_is_no_row_ends_the_load_after_the_rows_before_it() {
    for (bad, said) in [("[1]", "not a JSON object"), ("{\"A\":", "EOF"), ("{} {}", "trailing"), ("\u{1}", "object")] {
        let file = TextFile::new(format!("{}{bad}\n{}", rows(1..=99), rows(101..=110)));
        let service = Emulator::start().unwrap();
        let mut loader = loader(&pipe_of(&service));
        let error = loader.load(file.source()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Row);
        let text = error.to_string();
        assert!(text.contains("line 100 of ") && text.contains(said), "{text}");
        assert_eq!(landed(&service), rows(1..=99));
        assert_eq!((error.position(), loader.report().rows, loader.report().position), (Some(100), 99, Some(99)));
    }
}

#[test]
fn a_source_that_fails_is_told_and_resumed() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let broken = (1..=100u64)
        .map(|id| if id < 60 { Ok(json!({ "ID": id })) } else { Err(std::io::Error::other("cursor gone")) });
    let error = loader(&pipe).load(Source::try_rows(broken)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("read row 60") && error.to_string().contains("cursor gone"), "{error}");
    let report = loader(&pipe).load(Source::rows((1..=100u64).map(|id| json!({ "ID": id })))).unwrap();
    assert_eq!((report.skipped, report.rows), (59, 100));
    let expected: String = (1..=100).map(|id| format!("{{\"ID\":{id}}}\n")).collect();
    assert_eq!(landed(&service), expected);
}

#[test]
fn a_row_too_long_for_any_request_ends_the_load_after_the_rows_before_it() {
    let long = incompressible();
    let file = TextFile::new(format!("{}\n{{\"A\":\"{long}\"}}\n{}\n", row(1), row(3)));
    let service = Emulator::start().unwrap();
    let error = loader(&pipe_of(&service)).load(file.source()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Row);
    assert!(error.position() == Some(2) && error.to_string().contains("too long for any request"), "{error}");
    assert_eq!(landed(&service), rows(1..=1));
}

#[test]
fn a_second_thread_changes_nothing_in_the_outcome() {
    let good = rows(1..=500);
    each_source(&good, |source| {
        let service = Emulator::start().unwrap();
        let report = loader(&pipe_of(&service)).pipelined().load(source()).unwrap();
        assert_eq!((landed(&service), report.rows, report.rows_sent), (good.clone(), 500, 500));
    });
    let file = TextFile::new(format!("{}[]\n{}", rows(1..=99), rows(101..=500)));
    let service = Emulator::start().unwrap();
    let error = loader(&pipe_of(&service)).pipelined().load(file.source()).unwrap_err();
    assert!(error.to_string().contains("line 100 of "), "{error}");
    assert_eq!(landed(&service), rows(1..=99));
    let error = loader(&pipe_of(&service)).pipelined().load(Source::reader("none", "".as_bytes())).unwrap_err();
    assert!(error.to_string().contains("committed offset 99-"), "{error}");
}

#[test]
fn blank_lines_a_byte_order_mark_and_a_missing_last_break_do_no_harm() {
    let text = format!("\u{feff}\n{}\n \t\r\n\r\n{}\r\n{}", row(2), row(5), row(6));
    let file = TextFile::new(&text);
    let service = Emulator::start().unwrap();
    let report = loader(&pipe_of(&service)).load(file.source()).unwrap();
    let trimmed = [row(2), row(5), row(6), String::new()].join("\n");
    assert_eq!((report.rows, report.committed_offset), (3, Some(offset(6, &trimmed))), "a position is a line number");
    let rows_only: Vec<_> = landed(&service).lines().map(|line| line.trim_end().to_string()).collect();
    assert_eq!(rows_only, [row(2), row(5), row(6)]);
}

#[test]
fn empty_sources_are_loaded_at_once() {
    for text in ["", "\n", "\u{feff}", " \n\n"] {
        let file = TextFile::new(text);
        let service = Emulator::start().unwrap();
        let report = loader(&pipe_of(&service)).load(file.source()).unwrap();
        assert_eq!((report.rows, report.committed_offset, report.batches), (0, None, 0), "{text:?}");
    }
}

#[test]
fn a_committed_offset_of_somebody_else_is_refused_and_nothing_is_appended() {
    let file = TextFile::new(format!("{}\n\n{}", rows(1..=3), row(6)));
    for foreign in [OffsetToken::from("x"), "0".into(), "007".into(), "4".into(), "7".into(), "99999999999".into()] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut other = batch([1]);
        other.mark(foreign.clone());
        let mut channel = pipe.channel("load-1").open().unwrap();
        channel.append(&other).unwrap();
        channel.wait_for_commit(foreign.clone(), Duration::from_secs(20)).unwrap();
        let error = loader(&pipe).load(file.source()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{foreign}");
        assert!(error.to_string().contains(&format!("committed offset {foreign} ")), "{error}");
        assert_eq!(landed(&service), rows(1..=1));
    }
}

#[test]
fn a_trusted_line_that_is_no_json_is_sent_and_told_as_rejected() {
    let text = format!("{}{{\"ID\": }}\n{}", rows(1..=3), rows(5..=7));
    let file = TextFile::new(&text);
    let sources: [&dyn Fn() -> Source<'static>; 2] =
        [&|| file.source(), &|| Source::reader("bytes", std::io::Cursor::new(text.clone().into_bytes()))];
    for source in sources {
        let service = Emulator::start().unwrap();
        let mut loader = loader(&pipe_of(&service));
        let error = loader.load(source().trusted()).unwrap_err();
        assert!(error.to_string().contains("1 row was rejected"), "{error}");
        assert_eq!(landed(&service), rows(1..=3) + &rows(5..=7));
        assert_eq!(loader.report().position, Some(7));

        let mut loader = Loader::new(&pipe_of(&service), "load-2");
        let error = loader.load(source()).unwrap_err();
        assert!(error.to_string().contains("read line 4 of "), "without trust it is never sent: {error}");
        assert_eq!(loader.report().position, Some(3));
    }
}

#[test]
fn rejected_rows_are_counted_and_end_the_load_as_an_error_when_all_is_committed() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("7\"");
    let mut loader = loader(&pipe_of(&service));
    let error = loader.load(Source::reader("text", rows(1..=100).as_bytes())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStored);
    assert!(error.to_string().contains("10 rows were rejected"), "{error}");
    assert_eq!((loader.report().rows, loader.report().rows_rejected), (100, 10));
    assert_eq!(landed(&service), rows((1..=100).filter(|id| id % 10 != 7)));
}

#[test]
fn a_longer_row_than_the_batch_bound_goes_alone() {
    let service = Emulator::start().unwrap();
    let text = format!("{}{{\"A\":\"{}\"}}\n{}", rows(1..=2), "x".repeat(5000), rows(4..=5));
    let report = loader(&pipe_of(&service)).load(Source::reader("text", text.as_bytes())).unwrap();
    assert_eq!(report.batches, 3);
    assert_eq!(landed(&service), text);
}

#[test]
fn commits_that_do_not_come_end_the_load_in_time() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut loader = loader(&pipe_of(&service)).commit_timeout(Duration::from_millis(200));
    let error = loader.load(Source::reader("text", rows(1..=5).as_bytes())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!((loader.report().rows, loader.report().rows_sent), (0, 5));
}

#[test]
fn a_file_that_is_missing_or_a_folder_is_named() {
    for path in ["/no/such/file.ndjson", "/"] {
        let error = Source::file(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_slow_source_does_not_hold_back_the_rows_it_has_given() {
    /// Gives its first rows, then a byte at a time until those are committed.
    struct Trickle<'e> {
        service: &'e Emulator,
        ready: std::io::Cursor<Vec<u8>>,
        polls: u32,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let read = self.ready.read(into)?;
            if read > 0 || landed(self.service) == rows(1..=5) {
                return Ok(read);
            }
            self.polls += 1;
            assert!(self.polls < 20_000, "the first rows were held back");
            std::thread::sleep(Duration::from_millis(1));
            into[0] = b'\n';
            Ok(1)
        }
    }

    for pipelined in [false, true] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let trickle = Trickle { service: &service, ready: std::io::Cursor::new(rows(1..=5).into_bytes()), polls: 0 };
        let loader = Loader::new(&pipe, "load-1");
        let mut loader = if pipelined { loader.pipelined() } else { loader };
        loader.load(Source::reader("slow", trickle)).unwrap();
        assert_eq!(landed(&service), rows(1..=5));
    }
}

#[test]
fn rows_given_before_a_reader_blocks_go_out_while_it_blocks() {
    /// Gives its first rows, then blocks until those have landed.
    struct Blocking<'e>(&'e Emulator, std::io::Cursor<Vec<u8>>);

    impl Read for Blocking<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let read = self.1.read(into)?;
            let mut polls = 0;
            while read == 0 && landed(self.0) != rows(1..=5) {
                polls += 1;
                assert!(polls < 20_000, "the first rows were held back");
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(read)
        }
    }

    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let blocking = Blocking(&service, std::io::Cursor::new(rows(1..=5).into_bytes()));
    let report = Loader::new(&pipe, "load-1").pipelined().load(Source::reader("blocking", blocking)).unwrap();
    assert_eq!((report.rows, report.committed_offset), (5, Some(offset(5, &rows(1..=5)))));
}

#[test]
fn a_source_that_fails_while_the_channel_is_lost_still_tells_its_failure() {
    for pipelined in [false, true] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.inject(Fault::status(Endpoint::Append, 409));
        let broken = (1..=5u64)
            .map(|id| if id == 3 { Err(std::io::Error::other("cursor gone")) } else { Ok(json!({ "ID": id })) });
        let loader = Loader::new(&pipe, "load-1").commit_timeout(Duration::from_secs(20));
        let mut loader = if pipelined { loader.pipelined() } else { loader };
        let error = loader.load(Source::try_rows(broken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert_eq!(landed(&service), "{\"ID\":1}\n{\"ID\":2}\n");
    }
}

#[test]
fn a_row_too_long_for_any_request_is_told_even_if_the_channel_is_lost_at_that_moment() {
    let long = incompressible();
    let values = [json!({ "ID": 1 }), json!({ "ID": 2, "TEXT": long }), json!({ "ID": 3 }), json!({ "ID": 4 })];
    let text: String = values.iter().map(|value| format!("{value}\n")).collect();
    for pipelined in [false, true] {
        each_source(&text, |source| {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            service.inject(Fault::status(Endpoint::Append, 409));
            let loader = Loader::new(&pipe, "load-1").commit_timeout(Duration::from_secs(20));
            let mut loader = if pipelined { loader.pipelined() } else { loader };
            let error = loader.load(source()).unwrap_err();
            assert!(error.position() == Some(2) && error.to_string().contains("too long for any request"), "{error}");
            assert_eq!(landed(&service), "{\"ID\":1}\n");
        });
    }
}

#[test]
fn a_row_too_long_is_told_by_whichever_thread_compressed_it() {
    let long = incompressible();
    let text = rows(1..=3) + &format!("{{\"TEXT\":\"{long}\"}}\n") + &rows(5..=7);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        // Meanwhile the reading thread comes to the row and, with nobody else free, compresses it.
        service.inject(Fault::delay(Endpoint::Append, Duration::from_millis(500)));
        let mut loader = loader(&pipe_of(&service)).batch_bytes(1).pipelined();
        let error = loader.load(source()).unwrap_err();
        assert!(error.position() == Some(4) && error.to_string().contains("too long for any request"), "{error}");
        assert_eq!(landed(&service), rows(1..=3));
    });
}

#[test]
fn rejected_rows_are_told_although_the_channel_was_lost_after_the_last_row() {
    let text = rows(1..=10);
    each_source(&text, |source| {
        let service = Emulator::start().unwrap();
        let pipe = impatient_pipe(&service);
        service.reject_rows_containing("7\"");
        service.inject(Fault::lose_reply(Endpoint::Append).times(1000));
        let mut loader = loader(&pipe);
        let error = loader.load(source()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotStored);
        assert!(error.to_string().contains("1 row was rejected, the last at or before offset 10-"), "{error}");
        assert_eq!((loader.report().rows, loader.report().rows_rejected), (10, 1));
    });
}
