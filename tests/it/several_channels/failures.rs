//! What becomes of a load through several channels when one of them, its source or its caller fails.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{Batch, Error, ErrorKind, Source};

use super::{Break, PIPE, channel_of, check_landed, commit, each_dealt_source, each_source, loader, reader};
use crate::support::{TextFile, batch, landed, loaded, pipe_of, rows};

#[test]
fn another_number_of_channels_for_the_same_name_is_refused() {
    each_source(&rows(1..=3000), |source| {
        for (first, second) in [(2, 3), (3, 1), (1, 2)] {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            loader(&pipe, first).load(source()).unwrap();
            let error = loader(&pipe, second).load(source()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{first} then {second}");
            assert!(error.to_string().contains("another number of channels"), "{error}");
            assert_eq!(landed(&service).lines().count(), 3000);
        }
    });
}

#[test]
fn a_channel_that_fails_for_good_on_the_way_does_not_stop_the_others() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    commit(&pipe, "LOAD-1-2-OF-3", 1_001..=1_100);
    // What it began with is gone then, and it cannot tell what is stored.
    let expire = || assert!(service.expire_channel(PIPE, "LOAD-1-2-OF-3"));
    let (first, rest) = (rows(1..=1_100), rows(1_101..=20_000));
    let text = first.as_bytes().chain(Break(&expire)).chain(rest.as_bytes());
    let mut loader = loader(&pipe, 3);
    let error = loader.load(Source::reader("text", text)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("deleted and created again"), "{error}");
    assert!(error.to_string().contains("it had committed offset 1100-"), "{error}");
    let of_others = (1..=20_000).filter(|id| channel_of(*id, 3) != 1);
    check_landed(&service, 3, of_others.chain(1_001..=1_100));
    assert_eq!(loader.report().rows, 13_100);
}

#[test]
fn a_channel_that_cannot_be_opened_does_not_stop_the_others() {
    each_source(&rows(1..=4_500), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.hold_commits(true);
        pipe.channel("LOAD-1-2-OF-3").open().unwrap().append(&loaded(1_001..=1_100)).unwrap();
        let loader = loader(&pipe, 3).open_timeout(Duration::from_millis(50));
        let mut loader = loader.on_progress(|_| service.hold_commits(false));
        let error = loader.load(source()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().starts_with("could not open channel LOAD-1-2-OF-3 "), "{error}");
        let of_others = (1..=4_500).filter(|id| channel_of(*id, 3) != 1);
        check_landed(&service, 3, of_others.chain(1_001..=1_100));
        assert_eq!(loader.report().rows, 3_000);
    });
}

#[test]
fn a_committed_offset_of_another_source_is_a_conflict() {
    let text = format!("{}\n{}", rows(1..=1_499), rows(1_501..=4_500));
    let file = TextFile::new(&text);
    // A row of another channel, a blank line, beyond the end.
    for foreign in [5, 1_500, 7_001, 99_999_999] {
        let sources: [(bool, &dyn Fn() -> Source<'static>); 2] =
            [(true, &|| file.source()), (false, &|| reader(&text))];
        for (is_file, source) in sources {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            let mut other = Batch::new();
            other.push(&json!({ "ID": 10_999 })).unwrap();
            let foreign = format!("{foreign}-00000000");
            other.mark(&*foreign);
            let mut channel = pipe.channel("LOAD-1-2-OF-3").open().unwrap();
            channel.append(&other).unwrap();
            channel.wait_for_commit(&*foreign, Duration::from_secs(20)).unwrap();
            let error = loader(&pipe, 3).load(source()).unwrap_err();
            assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some(&*foreign)));
            assert!(error.to_string().contains(&format!("committed offset {foreign} ")), "{error}");
            // A file is compared with every channel before anything is appended to one of them.
            let others = (1..=4_500).filter(|id| !is_file && channel_of(*id, 3) != 1);
            check_landed(&service, 3, others.chain([10_999]));
        }
    }
}

#[test]
fn what_shows_before_the_first_row_stops_every_channel() {
    each_source(&rows(1..=1_500), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        commit(&pipe, "LOAD-1-2-OF-2", [1_001]);
        let error = loader(&pipe, 2).expect_unused().load(source()).unwrap_err();
        assert_eq!((error.kind(), landed(&service)), (ErrorKind::Conflict, rows([1_001])));

        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let mut plain = pipe.channel("LOAD-1-2-OF-2").open().unwrap();
        plain.append(&batch([1_001])).unwrap();
        plain.wait_for_commit(1_001, Duration::from_secs(20)).unwrap();
        let error = loader(&pipe, 2).load(source()).unwrap_err();
        assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Conflict, Some("1001")));
        assert_eq!(landed(&service), rows([1_001]));
        assert_eq!(loader(&pipe, 2).accept_plain_offsets().load(source()).unwrap().rows, 1_500);
    });
}

#[test]
fn the_first_failure_in_the_order_of_the_channels_is_told() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    for (channel, foreign) in [("LOAD-1-3-OF-3", 2_222_222), ("LOAD-1-2-OF-3", 1_111_111)] {
        commit(&pipe, channel, [foreign]);
    }
    let error = loader(&pipe, 3).load(reader(&rows(1..=10))).unwrap_err();
    assert!(error.to_string().contains("1111111"), "{error}");
}

#[test]
fn a_source_that_fails_on_the_way_has_every_row_before_that_committed() {
    let broken = |at: u64| {
        (1..=9_000u64)
            .map(move |id| if id == at { Err(std::io::Error::other("cursor gone")) } else { Ok(json!({ "ID": id })) })
    };
    for at in [1, 1_001, 4_321] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.inject(Fault::status(Endpoint::Append, 409));
        let mut loader = loader(&pipe, 3);
        let error = loader.load(Source::try_rows(broken(at))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains(&format!("read row {at}:")), "{error}");
        check_landed(&service, 3, 1..at);
        assert_eq!(loader.report().rows, at - 1);
        let report = loader.load(Source::try_rows(broken(0))).unwrap();
        assert_eq!((report.skipped, report.rows), (at - 1, 9_000));
        check_landed(&service, 3, 1..=9_000);
    }
}

#[test]
fn the_failure_of_a_source_is_told_whatever_else_failed() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    commit(&pipe, "LOAD-1-1-OF-3", [99_999]);
    let broken = (1..=3_000u64)
        .map(|id| if id == 2_500 { Err(std::io::Error::other("cursor gone")) } else { Ok(json!({ "ID": id })) });
    let error = loader(&pipe, 3).load(Source::try_rows(broken)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    check_landed(&service, 3, (1_001..2_500).chain([99_999]));
}

#[test]
fn a_row_that_is_no_row_ends_the_load_after_the_rows_before_it() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let text = format!("{}[1]\n{}", rows(1..=3_499), rows(3_501..=9_000));
    let mut loader = loader(&pipe, 3);
    let error = loader.load(reader(&text)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Row);
    assert!(error.to_string().starts_with("could not read line 3500 of bytes: "), "{error}");
    assert_eq!((loader.report().rows, loader.report().rows_sent), (3_499, 3_499));
    check_landed(&service, 3, 1..=3_499);
}

#[test]
fn rejected_rows_are_told_when_all_is_committed() {
    each_dealt_source(&rows(1..=4_000), |source| {
        let service = Emulator::start().unwrap();
        service.reject_rows_containing("777\"");
        let mut loader = loader(&pipe_of(&service), 3);
        let error = loader.load(source()).unwrap_err();
        assert!(error.to_string().contains("rows were rejected"), "{error}");
        assert_eq!((loader.report().rows, loader.report().rows_rejected), (4_000, 4));
    });
}

#[test]
fn a_source_that_panics_ends_every_thread_and_the_panic_goes_on() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let rows = (1..=9_000u64).map(|id| {
        assert!(id < 2_600, "row 2600 is cursed");
        json!({ "ID": id })
    });
    let panic = catch_unwind(AssertUnwindSafe(|| loader(&pipe, 3).load(Source::rows(rows)))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"row 2600 is cursed"));
    check_landed(&service, 3, 1..2_600);
}

#[test]
fn a_progress_callback_that_panics_ends_every_thread_and_the_panic_goes_on() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let endless = Source::rows((1u64..).map(|id| json!({ "ID": id })));
    let mut loader = loader(&pipe, 3).on_progress(|report| assert!(report.rows_sent < 5_000, "too many"));
    let panic = catch_unwind(AssertUnwindSafe(|| loader.load(endless))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"too many"));
}

#[test]
fn when_every_channel_has_failed_the_source_is_read_no_further() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    for (channel, foreign) in [("LOAD-1-1-OF-2", 99_999), ("LOAD-1-2-OF-2", 88_888)] {
        commit(&pipe, channel, [foreign]);
    }
    service.inject(Fault::status(Endpoint::Open, 403).times(100));
    let endless = Source::rows((1u64..).map(|id| json!({ "ID": id })));
    let error: Error = loader(&pipe, 2).load(endless).unwrap_err();
    assert_eq!(error.status(), Some(403), "{error}");
}

#[test]
fn trust_reaches_every_channel() {
    let text = rows(1..=1000) + "{\"ID\": }\n" + &rows(1002..=1003);
    let file = TextFile::new(&text);
    let sources: [&dyn Fn() -> Source<'static>; 2] = [&|| file.source(), &|| reader(&text)];
    for source in sources {
        let service = Emulator::start().unwrap();
        let mut loader = loader(&pipe_of(&service), 2);
        let error = loader.load(source().trusted()).unwrap_err();
        assert!(error.to_string().contains("1 row was rejected"), "{error}");
        assert_eq!((loader.report().rows, loader.report().rows_rejected), (1003, 1));
    }
}

#[test]
fn a_channel_that_did_not_finish_is_told_before_rows_that_another_could_not_store() {
    each_dealt_source(&rows(1..=1500), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        service.reject_rows_containing("\"row 3\"");
        commit(&pipe, "LOAD-1-2-OF-2", [99_999]);
        let mut loader = loader(&pipe, 2);
        let error = loader.load(source()).unwrap_err();
        assert!(error.to_string().contains("committed offset 99999-"), "{error}");
        assert_eq!((loader.report().rows, loader.report().rows_rejected), (1000, 1));
    });
}

#[test]
fn another_number_of_channels_is_refused_whichever_channel_got_furthest() {
    each_source(&rows(1..=3000), |source| {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        // As a run through three channels leaves it that is killed while its second one is ahead.
        pipe.channel("LOAD-1-1-OF-3").open().unwrap();
        commit(&pipe, "LOAD-1-2-OF-3", 1001..=2000);
        for channels in [1, 2] {
            let error = loader(&pipe, channels).load(source()).unwrap_err();
            assert!(error.to_string().contains("another number of channels"), "{error}");
        }
        assert_eq!(loader(&pipe, 3).load(source()).unwrap().rows, 3000);
        check_landed(&service, 3, 1..=3000);
    });
}

#[test]
fn nothing_goes_through_several_channels_before_the_first_is_open() {
    each_source(&rows(1..=3000), |source| {
        let service = Emulator::start().unwrap();
        service.inject(Fault::status(Endpoint::Open, 403).body("{\"message\":\"Insufficient privileges\"}"));
        let error = loader(&pipe_of(&service), 3).load(source()).unwrap_err();
        assert_eq!((error.kind(), landed(&service).lines().count()), (ErrorKind::Credentials, 0));
    });
}
