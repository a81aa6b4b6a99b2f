//! Rows that were accepted and will never be committed: waiting for them ends with their being sent again.

use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Error, ErrorKind, Loader, Source};

use super::{PIPE, SOON, writer};
use crate::support::{OPENED, Scripted, batch, landed, pipe_of, row, rows};

/// Long enough for the emulator to commit, short enough to wait for in vain.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn a_commit_finds_out_that_its_rows_were_lost_with_the_channel_and_sends_them_again() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.flush().unwrap();
    assert!(service.steal_channel(PIPE, "w"));
    service.hold_commits(false);
    writer.commit(A_WHILE).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=1), 1));
}

#[test]
fn rows_that_are_still_on_their_way_are_neither_discarded_nor_sent_again() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = pipe_of(&service).channel("w").discard_uncommitted().open().unwrap().into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    for _ in 0..3 {
        let error = writer.commit(A_WHILE).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable(), writer.report().reopens), (ErrorKind::Timeout, true, 0));
        let text = error.to_string();
        assert!(text.contains("no commit within 300ms; call it again: ") && !text.contains("run it again"), "{text}");
    }
    let opens = service.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(opens, 4, "each wait that ended without progress asked once");
    service.hold_commits(false);
    writer.commit(SOON).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=1), 0));
}

#[test]
fn a_memory_full_of_lost_rows_is_freed() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = writer(&service);
    let mut noise = fastrand::Rng::with_seed(5);
    // Compression takes back what base64 adds.
    let mut bytes = vec![0; if cfg!(feature = "zstd") { 1_900_000 } else { 1_425_000 }];
    // Sixteen rows fill 30.4 MB of the 32 that are kept, so there is no room for the last two.
    for id in 1..=18u64 {
        noise.fill(&mut bytes);
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes);
        writer.write(&json!({ "ID": id, "TEXT": text }), id).unwrap();
        if id == 16 {
            writer.flush().unwrap();
        }
    }
    assert!(service.steal_channel(PIPE, "w"));
    service.hold_commits(false);
    writer.commit(Duration::from_secs(1)).unwrap();
    assert_eq!((landed(&service).lines().count(), writer.report().rows_committed), (18, 18));
    assert_eq!(writer.report().reopens, 1);
}

#[test]
fn a_load_that_only_waits_for_commits_finds_out_that_its_rows_were_lost() {
    for is_file in [true, false] {
        let service = Emulator::start().unwrap();
        service.hold_commits(true);
        let text = crate::support::TextFile::new(rows(1..=5));
        let mut is_stolen = false;
        let mut loader = Loader::new(&pipe_of(&service), "load-1").commit_timeout(A_WHILE).on_progress(|report| {
            if report.rows_sent == 5 && !is_stolen {
                is_stolen = service.steal_channel(PIPE, "load-1");
                service.hold_commits(false);
            }
        });
        let source = if is_file { text.source() } else { Source::rows((1..=5).map(|id| json!({ "ID": id }))) };
        let report = loader.load(source).unwrap();
        assert_eq!((report.rows, report.rows_sent, report.reopens), (5, 10, 1));
        drop(loader);
        assert_eq!(landed(&service).lines().count(), 5);
    }
}

#[test]
fn another_writer_is_named_when_the_wait_ends() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = writer(&service);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.flush().unwrap();
    let mut other = pipe_of(&service).channel("w").discard_uncommitted().open().unwrap();
    service.hold_commits(false);
    other.append(&batch(100..=101)).unwrap();
    other.wait_for_commit(101, SOON).unwrap();
    let error = writer.commit(Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(
        error.to_string().contains("its committed offset is 101; expected none or an offset sent since"),
        "{error}"
    );
    assert_eq!(landed(&service), rows(100..=101));
}

#[test]
fn another_writer_keeps_the_channel_while_its_rows_are_on_their_way() {
    let service = Emulator::start().unwrap();
    let mut writer = writer(&service);
    let mut other = pipe_of(&service).channel("w").open().unwrap();
    service.hold_commits(true);
    other.append(&batch(100..=101)).unwrap();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    // Otherwise the stale token of this append would show the loss.
    service.inject(Fault::status(Endpoint::Append, 200).body(r#"{"next_continuation_token":"0_2"}"#));
    assert_eq!(writer.commit(Duration::from_millis(200)).unwrap_err().kind(), ErrorKind::Timeout);
    other.append(&batch([102])).unwrap();
    service.hold_commits(false);
    other.wait_for_commit(102, SOON).unwrap();
    let error = writer.commit(Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(writer.commit(SOON).unwrap_err().to_string(), error.to_string());
    assert_eq!(landed(&service), rows(100..=102));
}

#[test]
fn while_rows_get_committed_the_wait_for_the_others_goes_on() {
    let service = Emulator::builder().commit_delay(Duration::from_secs(2)).start().unwrap();
    let mut writer = writer(&service).max_bytes(1);
    service.inject(Fault::delay(Endpoint::Append, Duration::from_millis(200)).times(8));
    (1..=8).for_each(|id| writer.write_json(row(id).as_bytes(), id).unwrap());
    writer.commit(Duration::from_millis(800)).unwrap();
    assert_eq!((landed(&service), writer.report().reopens), (rows(1..=8), 0));
}

#[test]
fn closing_that_ends_in_a_timeout_is_repeated_with_the_writer_it_gives_back_and_with_the_error_alone_cannot_be() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    let failure = writer.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!((failure.error().kind(), failure.error().is_retryable()), (ErrorKind::Timeout, true));
    assert!(failure.to_string().ends_with("what was written is kept, and what was sent is not lost"), "{failure}");
    let error = Error::from(failure);
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, false));
    assert!(error.to_string().contains("write again what comes after its committed offset"), "{error}");
}

#[test]
fn a_status_from_before_the_opening_is_no_sign_of_another_writer() {
    let service = Scripted::start();
    let status = |offset: &str, rows: u64| {
        let status = OPENED.split("\"channel_status\":").nth(1).unwrap().strip_suffix('}').unwrap();
        let counted = status.replace("\"rows_inserted\":0", &format!("\"rows_inserted\":{rows}"));
        counted
            .replace("\"last_committed_offset_token\":null", &format!("\"last_committed_offset_token\":\"{offset}\""))
    };
    let opened = format!("{{\"next_continuation_token\":\"0_1\",\"channel_status\":{}}}", status("9", 9));
    service.next("open", 200, &opened);
    for (offset, rows) in [("7", 7), ("7", 7), ("10", 10)] {
        service.next("status", 200, &format!("{{\"channel_statuses\":{{\"LOAD-1\":{}}}}}", status(offset, rows)));
    }
    let mut writer = service.pipe().channel("load-1").open().unwrap().into_writer();
    writer.write_json(row(10).as_bytes(), 10).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!((service.seen_at("open").len(), service.seen_at("rows").len()), (1, 1));
}
