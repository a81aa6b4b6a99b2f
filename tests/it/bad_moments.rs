//! Ordinary misuse, and faults at bad moments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Serialize, Serializer};
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Loader, Source};

use crate::support::{TextFile, batch, impatient_pipe, landed, long_rows, pipe_of, row, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.\"EVENTS-STREAMING\"";

fn reader(text: &str) -> Source<'static> {
    Source::reader("bytes", std::io::Cursor::new(text.as_bytes().to_vec()))
}

/// What landed when nothing is on its way on these channels any more.
fn settled(service: &Emulator, channels: &[&str]) -> String {
    channels.iter().for_each(|channel| drop(pipe_of(service).channel(*channel).open().unwrap()));
    landed(service)
}

#[test]
fn a_second_recovery_does_not_call_complete_what_the_first_found_missing() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=3)).unwrap();
    assert!(service.steal_channel(PIPE, "c"));
    service.hold_commits(false);
    channel.append(&batch(4..=6)).unwrap_err();
    let error = channel.recover().unwrap().rest_of(&batch(4..=6)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Channel);
    // Whoever recovers after every error of this kind does so again.
    let recovery = channel.recover().unwrap();
    let rest = recovery.rest_of(&batch(4..=6)).map(|rest| rest.rows());
    assert_eq!(landed(&service), "");
    assert!(!recovery.is_complete(), "six rows were given, none is stored; the rest is {rest:?}");
}

#[test]
fn a_second_recovery_knows_the_batch_that_was_never_sent() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    assert!(service.steal_channel(PIPE, "c"));
    channel.append(&batch(1..=3)).unwrap_err();
    channel.append(&batch(4..=6)).unwrap_err();
    assert!(!channel.recover().unwrap().is_complete());
    let rest = channel.recover().unwrap().rest_of(&batch(1..=3)).unwrap();
    assert_eq!(rest.rows(), 3, "nothing is stored");
}

#[test]
fn the_rest_of_a_batch_that_was_not_sent_is_all_of_it() {
    for fault in [Fault::status(Endpoint::Append, 429), Fault::status(Endpoint::Append, 413)] {
        let service = Emulator::start().unwrap();
        let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
        service.inject(fault.times(1000));
        let error = channel.append(&batch(1..=3)).unwrap_err();
        service.clear_faults();
        // For whoever recovers after any error.
        let recovery = channel.recover().unwrap();
        let rest = recovery.rest_of(&batch(1..=3)).unwrap();
        assert_eq!((rest.rows(), recovery.is_complete()), (3, false), "{error}");
    }
}

#[test]
fn a_batch_that_was_refused_is_not_complete_after_a_later_one() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::status(Endpoint::Append, 415));
    channel.append(&batch(1..=3)).unwrap_err();
    channel.append(&batch(4..=6)).unwrap();
    let recovery = channel.recover().unwrap();
    assert!(!recovery.is_complete(), "landed: {}", landed(&service));
}

#[test]
fn after_takes_committed_rows_out_of_what_a_writer_leaves() {
    let service = Emulator::start().unwrap();
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer().max_age(Duration::ZERO);
    service.hold_commits(true);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    let left = writer.into_uncommitted().unwrap();
    service.hold_commits(false);
    let mut channel = pipe_of(&service).channel("w").open().unwrap();
    assert_eq!(channel.committed_offset(), Some(&2.into()));
    let committed = channel.committed_offset().cloned();
    channel.append(&left.after(committed.as_ref())).unwrap();
    assert_eq!(settled(&service, &["w"]), rows(1..=2));
}

#[test]
fn rejected_rows_that_a_channel_knows_of_are_reported_by_the_writer_made_of_it() {
    for recovers in [false, true] {
        let service = Emulator::start().unwrap();
        service.reject_rows_containing("row 2");
        let mut channel = pipe_of(&service).channel("w").open().unwrap();
        channel.append(&batch(1..=3)).unwrap();
        if recovers {
            assert!(channel.recover().unwrap().is_complete());
        } else {
            while channel.status().unwrap().committed_offset().is_none() {}
        }
        let mut writer = channel.into_writer();
        let error = writer.commit(SOON).map(|()| writer.report().rows_rejected).unwrap_err();
        assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 1), "{recovers}");
    }
}

#[test]
fn a_writer_leaves_no_gap_behind_a_batch_accepted_in_part() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("w").open().unwrap();
    let long = long_rows(1..=2);
    service.inject(Fault::delay(Endpoint::Append, Duration::ZERO));
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    let error = channel.append(&long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    service.clear_faults();
    let mut writer = channel.into_writer();
    let written = writer.write_json(row(3).as_bytes(), 3);
    let committed = writer.commit(SOON);
    let text = landed(&service);
    let ids: Vec<_> = text.lines().map(|line| &line[..8]).collect();
    assert!(
        written.is_err() || committed.is_err(),
        "rows 1 to 3 were given, landed {ids:?}, and commit said {committed:?}"
    );
}

#[test]
fn a_value_that_panics_leaves_the_batch_as_it_was() {
    struct Panics;

    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("no value");
        }
    }

    let service = Emulator::start().unwrap();
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    let bad = std::collections::BTreeMap::from([("A", Panics)]);
    catch_unwind(AssertUnwindSafe(|| writer.write(&bad, 1))).unwrap_err();
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    let done = writer.commit(SOON);
    assert_eq!(landed(&service), rows(2..=2), "{done:?}");
}

#[test]
fn names_that_are_odd_load_and_resume() {
    load_and_resume(&["größe", "ß", "a\nb", "a/b?c#d%2e", "🦀", "a\"b"]);
}

fn load_and_resume(names: &[&str]) {
    for (channels, name) in [1, 2].into_iter().flat_map(|channels| names.iter().map(move |name| (channels, name))) {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        for _ in 0..2 {
            let done = Loader::new(&pipe, *name).channels(channels).load(reader(&rows(1..=2)));
            assert!(done.is_ok(), "{name:?} {channels} {done:?}");
        }
        assert_eq!(landed(&service), rows(1..=2), "{name:?} {channels}");
    }
}

#[test]
fn a_text_of_an_error_is_one_line_whatever_the_names() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let missing = Source::file("no\nsuch file").unwrap_err();
    let broken = Loader::new(&pipe, "a\nb").load(Source::reader("x\ny", &b"[]\n"[..])).unwrap_err();
    for error in [missing, broken] {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[test]
fn tokens_of_any_text_are_committed_and_compared() {
    for token in [" ", "a&b=c", "\u{0}", "ü\n", "+", "%00", "null"] {
        let service = Emulator::start().unwrap();
        let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
        writer.write_json(row(1).as_bytes(), token).unwrap();
        let done = writer.commit(Duration::from_secs(3));
        assert!(done.is_ok(), "{token:?} {done:?}");
        assert_eq!(landed(&service), rows(1..=1), "{token:?}");
    }
}

#[test]
fn a_single_row_that_is_refused_as_too_long_is_said_to_be_one() {
    let service = Emulator::start().unwrap();
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer().max_age(Duration::from_secs(3600));
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    service.inject(Fault::status(Endpoint::Append, 413));
    let error = writer.commit(SOON).unwrap_err();
    assert!(!error.to_string().contains("append fewer rows at once"), "it was one row: {error}");
}

#[test]
fn a_commit_ends_with_its_timeout_although_the_channel_is_lost() {
    let service = Emulator::start().unwrap();
    let channel = pipe_of(&service).channel("w").open_timeout(Duration::from_secs(8)).open().unwrap();
    let mut writer = channel.into_writer().max_age(Duration::from_secs(3600));
    service.hold_commits(true);
    writer.write_json(row(1).as_bytes(), 1).unwrap();
    writer.flush().unwrap();
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    service.inject(Fault::status(Endpoint::Append, 400).body(r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#));
    let began = std::time::Instant::now();
    let error = writer.commit(Duration::from_millis(100)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?} {error}", began.elapsed());
}

#[test]
fn two_runs_of_the_same_load_at_once_double_nothing() {
    for channels in [1, 3] {
        let service = Emulator::start().unwrap();
        let text = rows(1..=3_500);
        let file = TextFile::new(&text);
        let run = |batch_bytes: usize| {
            let mut results = Vec::new();
            for _ in 0..30 {
                let pipe = impatient_pipe(&service);
                let mut loader = Loader::new(&pipe, "load-1").channels(channels).batch_bytes(batch_bytes);
                let done = loader.load(file.source());
                let is_done = done.is_ok();
                results.push(done.map(|report| report.rows).map_err(|error| error.to_string()));
                if is_done {
                    break;
                }
            }
            results
        };
        let results = std::thread::scope(|scope| {
            let threads = [3_000, 5_000].map(|bytes| scope.spawn(move || run(bytes)));
            threads.map(|thread| thread.join().unwrap())
        });
        let found = service.row_count("DEMO.PUBLIC.EVENTS");
        assert_eq!(found, 3_500, "{channels} {results:#?}");
    }
}

#[test]
fn a_recovery_doubles_no_row_with_an_empty_token() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    let mut one = batch(1..=1);
    one.mark("");
    service.inject(Fault::lose_reply(Endpoint::Append));
    service.inject(Fault::status(Endpoint::Append, 400).body(r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#));
    channel.append(&one).unwrap_err();
    if let Ok(recovery) = channel.recover() {
        channel.append(&recovery.rest_of(&one).unwrap()).unwrap();
    }
    assert_eq!(settled(&service, &["c"]), rows(1..=1));
}

#[test]
fn a_guarded_load_that_has_sent_rows_is_not_retryable() {
    let service = Emulator::start().unwrap();
    let pipe = impatient_pipe(&service);
    service.inject(Fault::delay(Endpoint::Append, Duration::ZERO));
    service.inject(Fault::status(Endpoint::Append, 429).times(1000));
    let mut loader = Loader::new(&pipe, "load-1").batch_bytes(1).expect_unused();
    let error = loader.load(reader(&rows(1..=2))).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("without the expected offset"), "{error}");
    service.clear_faults();
    assert_eq!(loader.load(reader(&rows(1..=2))).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(Loader::new(&pipe, "load-1").load(reader(&rows(1..=2))).unwrap().rows, 2);
}

#[test]
fn each_rejected_row_is_reported_once_in_any_trouble() {
    let seeds: u64 = std::env::var("SEEDS").map_or(2, |n| n.parse().unwrap());
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let service = Emulator::builder().commit_delay(Duration::from_millis(random.u64(0..60))).start().unwrap();
        service.reject_rows_containing("5\"");
        let pipe = impatient_pipe(&service);
        let channel = pipe.channel("w").open_timeout(Duration::from_millis(500)).open().unwrap();
        let mut writer = channel.into_writer().max_bytes(random.usize(1..300));
        let (mut told, mut trace) = (0, Vec::new());
        for id in 1..=30u64 {
            if random.usize(..3) == 0 {
                service.inject(any_fault(&mut random));
            }
            let mut done = writer.write_json(row(id).as_bytes(), id);
            for _ in 0..2 {
                trace.push(format!("{id} {done:?}"));
                told += done.err().map_or(0, |error| error.rows_rejected());
                done = if random.bool() { writer.tick() } else { writer.commit(Duration::from_millis(300)) };
            }
            trace.push(format!("{id} {done:?}"));
            told += done.err().map_or(0, |error| error.rows_rejected());
        }
        service.clear_faults();
        for _ in 0..10 {
            let done = writer.commit(SOON);
            trace.push(format!("{done:?}"));
            told += done.as_ref().err().map_or(0, |error| error.rows_rejected());
            if done.is_ok() {
                break;
            }
        }
        let good: String = (1..=30).filter(|id| id % 10 != 5).map(|id| row(id) + "\n").collect();
        let text = settled(&service, &["w"]);
        assert!(
            text == good && told == 3 && writer.report().rows_rejected == 3,
            "seed {seed} {told}\n{text}\n{}",
            trace.join("\n")
        );
    }
}

#[test]
fn a_wait_does_not_call_safe_what_another_writer_has_discarded() {
    let service = Emulator::start().unwrap();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=3)).unwrap();
    assert!(service.steal_channel(PIPE, "c"));
    service.hold_commits(false);
    let error = channel.wait_for_commit(3, Duration::from_millis(200)).unwrap_err();
    assert!(!error.to_string().contains("is not lost"), "it is: {error}");
}

#[test]
fn a_wait_behind_a_failed_append_says_that_the_channel_must_be_reopened() {
    let service = Emulator::start().unwrap();
    let mut channel = impatient_pipe(&service).channel("c").open().unwrap();
    service.inject(Fault::drop_connection(Endpoint::Append).times(10));
    assert_eq!(channel.append(&batch(1..=3)).unwrap_err().kind(), ErrorKind::Unconfirmed);
    service.clear_faults();
    let error = channel.wait_for_commit(3, Duration::from_millis(200)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Channel, false), "{error}");
}

#[test]
fn the_advice_after_a_conflict_about_the_number_of_channels_doubles_nothing() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    Loader::new(&pipe, "load-1").channels(2).load(reader(&rows(1..=2))).unwrap();
    let error = Loader::new(&pipe, "load-1").load(reader(&rows(1..=2))).unwrap_err();
    assert!(!error.to_string().contains("or another channel name"), "that loads all of it again: {error}");
}

fn any_fault(random: &mut fastrand::Rng) -> Fault {
    let endpoint =
        [Endpoint::Append, Endpoint::Append, Endpoint::Append, Endpoint::Open, Endpoint::Status][random.usize(..5)];
    let stale = r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#;
    let reopen = r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#;
    match random.usize(..12) {
        0 => Fault::lose_reply(endpoint),
        1 => Fault::drop_connection(endpoint),
        2 => Fault::truncate(endpoint),
        3 => Fault::status(endpoint, 503),
        4 => Fault::status(endpoint, 500),
        5 => Fault::status(endpoint, 429),
        6 => Fault::status(endpoint, 409),
        7 => Fault::status(endpoint, 401),
        8 => Fault::status(endpoint, 400).body(stale),
        9 => Fault::status(endpoint, 400).body(reopen),
        10 => Fault::status(endpoint, 200).body("{}"),
        _ => Fault::status(endpoint, 200).body(r#"{"status_code":7}"#),
    }
}

#[test]
fn a_writer_in_any_trouble_delivers_each_row_once_and_in_order() {
    let seeds: u64 = std::env::var("SEEDS").map_or(2, |n| n.parse().unwrap());
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let service = Emulator::builder().commit_delay(Duration::from_millis(random.u64(0..60))).start().unwrap();
        let pipe = impatient_pipe(&service);
        let mut writer = pipe
            .channel("w")
            .open_timeout(Duration::from_millis(200))
            .open()
            .unwrap()
            .into_writer()
            .max_bytes(random.usize(1..300));
        let mut trace = Vec::new();
        let mut id = 0;
        for _ in 0..25 {
            for _ in 0..random.usize(..2) {
                service.inject(any_fault(&mut random));
            }
            let done = match random.usize(..12) {
                0 => {
                    service.steal_channel(PIPE, "w");
                    trace.push("steal".to_string());
                    Ok(())
                }
                1 => writer.tick(),
                2 => writer.flush(),
                3 => writer.commit(Duration::from_millis(random.u64(..200))),
                4 => {
                    service.hold_commits(random.bool());
                    Ok(())
                }
                _ => {
                    id += 1;
                    writer.write_json(row(id).as_bytes(), id)
                }
            };
            trace.push(format!("{id} {done:?}"));
        }
        service.clear_faults();
        service.hold_commits(false);
        let mut last = Ok(());
        for _ in 0..10 {
            last = writer.commit(SOON);
            if last.is_ok() {
                break;
            }
        }
        let text = settled(&service, &["w"]);
        assert!(last.is_ok() && text == rows(1..=id), "seed {seed} {last:?}\n{text}\n{}", trace.join("\n"));
    }
}

#[test]
fn a_channel_in_any_trouble_stores_a_beginning_of_its_source() {
    let seeds: u64 = std::env::var("SEEDS").map_or(2, |n| n.parse().unwrap());
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let service = Emulator::builder().commit_delay(Duration::from_millis(random.u64(0..60))).start().unwrap();
        let pipe = impatient_pipe(&service);
        let mut channel = pipe.channel("w").open_timeout(Duration::from_millis(500)).open().unwrap();
        let mut trace = Vec::new();
        let mut next = 1;
        let mut steps = 0;
        while next < 60 {
            steps += 1;
            assert!(steps < 2000, "{}", trace.join("\n"));
            for _ in 0..random.usize(..2) {
                service.inject(any_fault(&mut random));
            }
            if random.usize(..8) == 0 {
                service.steal_channel(PIPE, "w");
                trace.push("steal".into());
            }
            let whole = batch(next..next + random.u64(1..4));
            let end = next + whole.rows() as u64;
            // As the example of recover has it; a gap resumes the source.
            let mut result = channel.append(&whole);
            let mut done = Some(end);
            for _ in 0..50 {
                trace.push(format!("{next} {result:?}"));
                match &result {
                    Ok(()) => break,
                    Err(error) if matches!(error.kind(), ErrorKind::Unconfirmed | ErrorKind::Channel) => {
                        match channel.recover() {
                            Ok(recovery) => match recovery.rest_of(&whole) {
                                Ok(rest) => result = channel.append(&rest),
                                Err(error) => {
                                    trace.push(format!("rest {error:?}"));
                                    service.clear_faults();
                                    channel.reopen().unwrap();
                                    done = Some(channel.committed_offset().map_or(0, |o| o.as_u64().unwrap()) + 1);
                                    break;
                                }
                            },
                            Err(error) => {
                                result = Err(error);
                                service.clear_faults();
                            }
                        }
                    }
                    Err(error) if error.is_retryable() => result = channel.append(&whole),
                    Err(error) if error.kind() == ErrorKind::Credentials => result = channel.append(&whole),
                    Err(_) => result = channel.append(&whole),
                }
            }
            next = done.unwrap();
        }
        service.clear_faults();
        channel.recover().ok();
        let text = settled(&service, &["w"]);
        let committed = pipe.channel("w").open().unwrap().committed_offset().map_or(0, |o| o.as_u64().unwrap());
        assert!(text == rows(1..=committed), "seed {seed}\n{text}\n{}", trace.join("\n"));
    }
}

#[test]
fn a_writer_refuses_a_row_with_an_empty_token() {
    let service = Emulator::start().unwrap();
    let mut writer = pipe_of(&service).channel("w").open().unwrap().into_writer();
    assert_eq!(writer.write_json(row(1).as_bytes(), "").unwrap_err().kind(), ErrorKind::Row);
    writer.write_json(row(2).as_bytes(), 2).unwrap();
    writer.commit(SOON).unwrap();
    assert_eq!(landed(&service), rows(2..=2));
}
