//! JSON arrays, and objects one after the other: positions, texts, resuming, and what is broken.

use std::io::Cursor;
use std::time::Duration;

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{TextFile, landed, offset, pipe_of, row, rows};

/// So small that a load takes several requests.
fn loader(pipe: &Pipe) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(200).commit_timeout(Duration::from_secs(20))
}

/// Rows with these ids as a printer writes them that breaks lines.
fn pretty(ids: impl IntoIterator<Item = u64>) -> String {
    let element = |id| format!("  {{\n    \"ID\": {id},\r\n\t\"TEXT\": \"row {id}\"\n  }}");
    format!("[\n{}\n]\n", ids.into_iter().map(element).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn an_array_lands_row_by_row_and_a_rerun_finds_it_committed() {
    let text = pretty(1..=50);
    let sequence = text.trim_matches(['[', ']', '\n']).replace("},\n", "}\n");
    for (text, channels) in [(&text, 1), (&sequence, 1), (&text, 2)] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let file = TextFile::new(text);
        for skipped in [0, 50] {
            let report = loader(&pipe).channels(channels).load(Source::json(file.path()).unwrap()).unwrap();
            assert_eq!((report.rows, report.skipped), (50, skipped));
            if channels == 1 {
                assert_eq!((report.committed_offset, report.position), (Some(offset(50, &rows(1..=50))), Some(50)));
            }
        }
        assert_eq!(landed(&service), rows(1..=50));
    }
}

#[test]
fn a_load_of_an_array_resumes_after_what_is_committed_and_refuses_another_one() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let reader = |text: String| Source::json_reader("text", Cursor::new(text));
    loader(&pipe).load(reader(pretty(1..=20))).unwrap();
    // Blanks are no part of a row.
    let longer = pretty(1..=30).replace(['\n', '\r', '\t'], "");
    let report = loader(&pipe).load(reader(longer)).unwrap();
    assert_eq!((report.rows, report.skipped), (30, 20));
    assert_eq!(landed(&service), rows(1..=30));
    let error = loader(&pipe).load(reader(pretty(1..=40).replace("row 7\"", "row seven\""))).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Conflict, Some(30)), "{error}");
}

#[test]
fn an_element_that_is_no_object_is_a_bad_row_at_its_place() {
    for (text, said) in [
        ("[{\"ID\":1,\"TEXT\":\"row 1\"},\n7,{}]", "could not read element 2 of text: the row is not a JSON object"),
        (
            "{\"ID\":1,\"TEXT\":\"row 1\"} {\"ID\" 1} {}",
            "could not read element 2 of text: the row is not one complete",
        ),
    ] {
        let service = Emulator::start().unwrap();
        let source = Source::json_reader("text", text.as_bytes());
        let error = loader(&pipe_of(&service)).load(source).unwrap_err();
        assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(2)), "{error}");
        assert!(error.to_string().starts_with(said), "{error}");
        assert_eq!(landed(&service), rows(1..=1));
    }
}

#[test]
fn a_bad_element_may_be_left_out_and_a_broken_array_never_is() {
    let text = format!("[{}, [ 2 ],\n{}", row(1), row(3));
    for channels in [1, 2] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let whole = || Source::json_reader("text", Cursor::new(format!("{text}]")));
        for skipped in [0, 2] {
            let mut left_out = Vec::new();
            let loader = loader(&pipe).channels(channels).max_errors(1);
            let mut loader = loader.on_bad_row(|row| {
                left_out.push((row.position(), row.text().to_vec()));
                Ok(())
            });
            let report = loader.load(whole()).unwrap();
            assert_eq!((report.rows, report.skipped, report.bad_rows), (2, skipped, 1));
            drop(loader);
            assert_eq!(left_out, [(2, b"[ 2 ]".to_vec())]);
        }
        let broken = Source::json_reader("text", text.as_bytes());
        let error = loader(&pipe).channels(channels).max_errors(9).load(broken).unwrap_err();
        assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(4)), "{error}");
        assert_eq!(landed(&service), row(1) + "\n" + &row(3) + "\n");
    }
}

#[test]
fn a_broken_array_ends_the_load_where_it_breaks_with_the_rows_before_it_stored() {
    let first = rows(1..=3).trim().replace('\n', ",");
    for (text, said) in [
        (format!("[{first}"), "the array has no end, so the text may not be complete; correct the text"),
        (format!("[{first} {}]", row(4)), "there is no comma after the element before it"),
        (format!("[{first},]"), "no element follows a comma"),
        (format!("[{first}] {}", row(4)), "something follows the end of the array"),
        (format!("[{first},{{\"ID\":[4}}]"), "a } closes what it did not open"),
        (format!("[{first},{{\"ID\":\"4]"), "a string has no end"),
    ] {
        for channels in [1, 2] {
            let service = Emulator::start().unwrap();
            let file = TextFile::new(&text);
            let mut loader = loader(&pipe_of(&service)).channels(channels);
            let error = loader.load(Source::json(file.path()).unwrap()).unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(4)), "{error}");
            assert!(error.to_string().contains(&format!("could not read element 4 of {}: ", file.path().display())));
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(landed(&service), rows(1..=3), "{text}");
        }
    }
}

#[test]
fn a_text_without_elements_has_no_rows() {
    for text in ["", " \n", "[]", "\u{feff}[ ]\n"] {
        let service = Emulator::start().unwrap();
        let source = Source::json_reader("text", text.as_bytes());
        assert_eq!(loader(&pipe_of(&service)).load(source).unwrap().rows, 0);
        let file = TextFile::new(text);
        assert_eq!(Source::json(file.path()).unwrap().default_channel().unwrap(), None, "{text:?}");
    }
}

#[test]
fn the_frame_of_a_trusted_element_is_checked_and_the_rest_is_sent_as_it_is() {
    let service = Emulator::start().unwrap();
    let source = Source::json_reader("text", &b"[{\"ID\": 1,}, 2]"[..]).trusted();
    let pipe = pipe_of(&service);
    let mut loader = loader(&pipe);
    let error = loader.load(source).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(2)), "{error}");
    assert_eq!((loader.report().rows, loader.report().rows_rejected), (1, 1), "the service has found what is wrong");
    assert_eq!(loader.report().bytes_sent, "{\"ID\":1,}\n".len() as u64);
}

#[test]
fn ready_lines_may_be_loaded_as_json_too() {
    let service = Emulator::start().unwrap();
    let file = TextFile::new(rows(1..=9));
    assert_eq!(loader(&pipe_of(&service)).load(Source::json(file.path()).unwrap()).unwrap().rows, 9);
    let again = loader(&pipe_of(&service)).load(file.source()).unwrap();
    assert_eq!((again.rows, again.skipped), (9, 9));
    assert_eq!(landed(&service), rows(1..=9));
}
