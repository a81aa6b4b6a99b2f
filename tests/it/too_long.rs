//! Requests that are refused as too long (413), as by a proxy with a limit of its own: they are halved, and nothing is doubled.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Loader, Source};

use crate::support::{Scripted, TextFile, batch, landed, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(20);

/// The first attempt is applied and its response lost, the second is refused.
fn doubtful(service: &Emulator) {
    service.inject(Fault::lose_reply(Endpoint::Append).times(1));
    service.inject(Fault::status(Endpoint::Append, 413).times(1));
}

#[test]
fn a_request_that_may_have_been_applied_before_it_was_too_long_lands_once() {
    let text = rows(1..=8);
    let file = TextFile::new(&text);
    for source in [file.source(), Source::reader("text", text.as_bytes())] {
        let service = Emulator::start().unwrap();
        doubtful(&service);
        let report = Loader::new(&pipe_of(&service), "load-1").load(source).unwrap();
        assert_eq!((landed(&service), report.rows), (text.clone(), 8));
    }
    let service = Emulator::start().unwrap();
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    (1..=8).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    doubtful(&service);
    writer.close(SOON).unwrap();
    assert_eq!(landed(&service), text);
}

#[test]
fn a_request_that_is_too_long_while_the_channel_is_lost_lands_once() {
    let text = rows(1..=8);
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Append, 413).times(2));
    service.inject(Fault::status(Endpoint::Append, 409).times(1));
    let report = Loader::new(&pipe_of(&service), "load-1").load(Source::reader("text", text.as_bytes())).unwrap();
    assert_eq!((landed(&service), report.rows), (text, 8));
}

#[test]
fn a_channel_halves_what_it_appends() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.inject(Fault::status(Endpoint::Append, 413).times(2));
    channel.append(&batch(1..=8)).unwrap();
    channel.wait_for_commit(8, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=8));
    doubtful(&service);
    assert_eq!(channel.append(&batch(9..=12)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    let rest = channel.recover().unwrap().rest_of(&batch(9..=12)).unwrap();
    assert!(rest.is_empty());
    assert_eq!(landed(&service), rows(1..=12));
}

#[test]
fn elastic_halves_what_it_appends_unless_it_may_be_stored() {
    let service = Scripted::start();
    let elastic = service.pipe().elastic();
    (0..2).for_each(|_| service.next("rows", 413, ""));
    elastic.append(&batch(1..=8)).unwrap();
    let texts: Vec<_> = service.seen_at("rows")[2..].iter().map(|request| request.text()).collect();
    assert_eq!((texts.len(), texts.concat()), (3, rows(1..=8)));
    service.next("rows", 503, "");
    service.next("rows", 413, "");
    let error = elastic.append(&batch(1..=8)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false), "{error}");
    for _ in 0..100 {
        service.next("rows", 413, "");
    }
    let error = elastic.append(&batch(1..=8)).unwrap_err();
    assert_eq!((error.kind(), error.rows_stored()), (ErrorKind::Refused, 0), "a single row cannot be halved");
}
