//! A service that fails for a while: what the errors say, and that the writer goes on afterwards.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Loader, Source, Writer};

use super::{SOON, appends, impatient_writer};
use crate::support::{TextFile, impatient_pipe, landed, logged, row, rows};

const KEPT: &str = "the row is kept: do not write it again, call flush or tick";

#[test]
fn ticks_go_on_until_what_could_not_be_sent_is_sent() {
    for status in [429, 503] {
        let service = Emulator::start().unwrap();
        let mut writer = impatient_writer(&service);
        writer.write_json(row(1).as_bytes(), 1).unwrap();
        service.inject(Fault::status(Endpoint::Append, status).times(10_000));
        writer.flush().unwrap_err();
        let tried = appends(&service);
        let error = writer.tick().unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(appends(&service) > tried, "{status}: a tick tries");
        service.clear_faults();
        writer.tick().unwrap();
        let sent = appends(&service);
        writer.tick().unwrap();
        assert_eq!(appends(&service), sent, "{status}: once it is sent there is nothing to do");
        assert_eq!(writer.close(SOON).unwrap(), Some(1.into()));
        assert_eq!(landed(&service), rows(1..=1));
    }
}

#[test]
fn an_error_of_write_says_not_to_write_the_row_again_and_flush_can_be_repeated() {
    let name_of = |error: &Error| (error.kind(), error.is_retryable());
    for (status, kind) in [(429, ErrorKind::Throttled), (503, ErrorKind::Unavailable)] {
        let service = Emulator::start().unwrap();
        let mut writer = impatient_writer(&service).max_age(Duration::ZERO);
        service.inject(Fault::status(Endpoint::Append, status).times(10_000));
        let error = writer.write_json(row(1).as_bytes(), 1).unwrap_err();
        assert_eq!(name_of(&error), (kind, false), "{error}");
        assert!(error.to_string().ends_with(KEPT), "{error}");
        for call in [Writer::flush as fn(&mut Writer) -> _, Writer::tick, |writer| writer.commit(SOON)] {
            let error = call(&mut writer).unwrap_err();
            assert_eq!(name_of(&error), (kind, true), "{error}");
            assert!(!error.to_string().contains(KEPT), "{error}");
        }
        service.clear_faults();
        assert_eq!(writer.close(SOON).unwrap(), Some(1.into()));
        assert_eq!(landed(&service), rows(1..=1));
    }
}

#[test]
fn an_error_carries_the_committed_offset() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.commit(SOON).unwrap();
    service.inject(Fault::status(Endpoint::Append, 429).times(10_000));
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    assert_eq!(writer.flush().unwrap_err().committed_offset(), Some("1"));
    let mut eager = writer.max_age(Duration::ZERO);
    assert_eq!(eager.write_json(row(3).as_bytes(), 3).unwrap_err().committed_offset(), Some("1"));
    assert_eq!(eager.close(Duration::ZERO).unwrap_err().error().committed_offset(), Some("1"));
}

#[test]
fn only_a_row_that_was_left_out_is_an_error_of_kind_row() {
    let gone = r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED","message":"m"}"#;
    let unusable = r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"ERR_PIPE_INVALID"}}"#;
    let lost = || Fault::status(Endpoint::Append, 409);
    for (faults, code) in [
        (vec![Fault::status(Endpoint::Append, 404).body(gone)], "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
        (vec![lost(), Fault::status(Endpoint::Open, 200).body(unusable)], "ERR_PIPE_INVALID"),
        (vec![lost(), Fault::status(Endpoint::Open, 404).body(gone)], "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
    ] {
        let service = Emulator::start().unwrap();
        let mut writer = impatient_writer(&service).max_age(Duration::ZERO);
        faults.into_iter().for_each(|fault| service.inject(fault));
        let error = writer.write_json(row(1).as_bytes(), 1).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(code)), "{error}");
        assert!(error.to_string().ends_with(KEPT), "{error}");
        writer.write_json(row(2).as_bytes(), 2).unwrap();
        assert_eq!(writer.write_json(b"[]", 3).unwrap_err().kind(), ErrorKind::Row);
        assert_eq!(writer.close(SOON).unwrap(), Some(2.into()));
        assert_eq!(landed(&service), rows(1..=2), "{code}: the row of the failed call was kept");
    }
}

#[test]
fn an_outage_of_appends_alone_is_called_by_its_name_and_survived() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let busy = r#"{"code":"BUSY","message":"being restarted"}"#;
    service.inject(Fault::status(Endpoint::Append, 503).body(busy).times(100_000));
    for _ in 0..8 {
        let tried = appends(&service);
        let error = writer.flush().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
        assert_eq!((error.status(), error.code()), (Some(503), Some("BUSY")), "{error}");
        let request = error.request_id().unwrap();
        assert!(service.requests().iter().any(|sent| sent.query.contains(&format!("requestId={request}"))));
        let text = error.to_string();
        assert!(
            text.contains("appends kept failing while it was reopened 2 times") && text.contains("being restarted")
        );
        assert!(!text.contains("second writer"), "{text}");
        assert!(appends(&service) > tried, "each call tries");
    }
    service.clear_faults();
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().rows_committed), (rows(1..=1), 1));
}

#[test]
fn a_load_ended_by_an_outage_of_appends_says_so() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Append, 503).body("being restarted").times(100_000));
    let mut loader = Loader::new(&impatient_pipe(&service), "load-1");
    let error = loader.load(Source::reader("text", rows(1..=5).as_bytes())).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.is_retryable()), (ErrorKind::Unavailable, Some(503), true));
    assert!(error.to_string().contains("being restarted") && !error.to_string().contains("second"), "{error}");
    service.clear_faults();
    loader.load(Source::reader("text", rows(1..=5).as_bytes())).unwrap();
    drop(loader);
    assert_eq!(landed(&service), rows(1..=5));
}

#[test]
fn after_five_reopenings_in_vain_the_next_call_begins_anew() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.inject(Fault::status(Endpoint::Append, 409).body(r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#).times(6));
    let error = writer.flush().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Channel, Some("ERR_CHANNEL_MUST_BE_REOPENED")), "{error}");
    assert!(error.to_string().contains("reopening it 5 times brought no progress"), "{error}");
    assert!(error.to_string().ends_with("look for a second writer that uses the same channel name"), "{error}");
    assert_eq!(writer.report().reopens, 5);
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=1), 6));
}

#[test]
fn a_request_that_is_too_long_for_a_proxy_is_halved_until_it_fits() {
    let service = Emulator::start().unwrap();
    let mut writer = impatient_writer(&service);
    (1..=8).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    service.inject(Fault::status(Endpoint::Append, 413).times(3));
    assert_eq!(writer.close(SOON).unwrap(), Some(8.into()));
    assert_eq!(landed(&service), rows(1..=8));
    let rows_sent = service.requests().into_iter().filter(|request| request.path.ends_with("/rows"));
    let token = |query: &str, name: &str| {
        let value = query.split(name).nth(1).unwrap().trim_start_matches('=');
        value.split('&').next().unwrap().to_string()
    };
    let of = |query: &str| token(query, "startOffsetToken") + "-" + &token(query, "endOffsetToken");
    let ends: Vec<_> = rows_sent.map(|request| of(&request.query)).collect();
    assert_eq!(ends, ["1-8", "1-5", "1-3", "1-2", "3-3", "4-5", "6-8"]);

    service.inject(Fault::status(Endpoint::Append, 413).times(1000));
    let text = rows(1..=4);
    let file = TextFile::new(&text);
    for source in [file.source(), Source::reader("text", text.as_bytes())] {
        let error = Loader::new(&impatient_pipe(&service), "load-1").load(source).unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(413)), "a single row cannot be halved");
    }
    service.clear_faults();
    service.inject(Fault::status(Endpoint::Append, 413).times(2));
    let report = Loader::new(&impatient_pipe(&service), "load-1").load(file.source()).unwrap();
    assert_eq!((report.rows, report.rows_sent, report.batches), (4, 4, 3));
    assert_eq!(landed(&service), rows(1..=8) + &text);
}

#[test]
fn rows_whose_response_was_lost_count_as_sent() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::lose_reply(Endpoint::Append).times(1000));
    let text = rows(1..=50);
    let mut loader = Loader::new(&impatient_pipe(&service), "load-1");
    let report = loader.load(Source::reader("text", text.as_bytes())).unwrap();
    assert_eq!((report.rows, report.rows_sent, report.batches, report.reopens), (50, 50, 1, 1));
    assert_eq!((landed(&service), report.bytes_sent), (text.clone(), text.len() as u64));
}

#[test]
fn rows_that_were_refused_count_as_sent_only_when_they_are_accepted() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Append, 409));
    let mut loader = Loader::new(&impatient_pipe(&service), "load-1");
    let report = loader.load(Source::reader("text", rows(1..=50).as_bytes())).unwrap();
    assert_eq!((report.rows, report.rows_sent, report.batches, report.reopens), (50, 50, 1, 1));
}

#[test]
fn an_outage_is_announced_once_in_the_log_however_many_calls_it_lasts() {
    logged(log::Level::Info, "once-");
    let service = Emulator::start().unwrap();
    let mut writer = impatient_pipe(&service).channel("once-1").open().unwrap().into_writer();
    for (outages, id) in [(1, 1), (2, 2)] {
        writer.write_json(row(id).as_bytes(), id).unwrap();
        service.inject(Fault::status(Endpoint::Append, 503).times(100_000));
        for _ in 0..5 {
            assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::Unavailable);
        }
        service.clear_faults();
        writer.commit(SOON).unwrap();
        assert_eq!(logged(log::Level::Info, "reopening channel once-1").len(), outages);
    }
}
