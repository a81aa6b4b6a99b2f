//! Loads and other calls that are asked to stop: they end soon, say what is committed, and a second run completes them.

use std::time::{Duration, Instant};

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, LoadReport, Loader, Pipe, Source, StopHandle};

use crate::support::{TABLE, TextFile, batch, builder_of, landed, offset, pipe_of, rows};

/// Far longer than anything here may take, and far shorter than what is waited for.
const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(600);

/// With waits that only a stop ends in time, and a request for every three rows.
fn loader(pipe: &Pipe, handle: &StopHandle) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(100).commit_timeout(LONG).open_timeout(LONG).stop_handle(handle)
}

/// A stop when the service has seen so many of these requests, while the call goes on that must end by it.
fn stopped_after<T>(
    service: &Emulator,
    path: &str,
    requests: usize,
    handle: &StopHandle,
    call: impl FnOnce() -> T,
) -> T {
    let began = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let seen = || service.requests().iter().filter(|request| request.path.contains(path)).count();
            while seen() < requests && began.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(1));
            }
            handle.stop();
        });
        call()
    });
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    result
}

/// The same text as each kind of source.
fn each_source(text: &str, test: impl Fn(&dyn Fn() -> Source<'static>)) {
    let file = TextFile::new(text);
    test(&|| file.source());
    test(&|| Source::reader("bytes", std::io::Cursor::new(text.as_bytes().to_vec())));
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    test(&|| Source::rows(values.clone()));
}

#[test]
fn a_load_that_is_stopped_before_it_begins_sends_nothing() {
    let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
    handle.stop();
    for channels in [1, 3] {
        each_source(&rows(1..=5), |source| {
            let mut loader = loader(&pipe_of(&service), &handle).channels(channels);
            let error = loader.load(source()).unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, true));
            let said = "could not load through channel load-1: it was stopped; nothing was sent; run it again to go on";
            assert_eq!((error.to_string().as_str(), error.committed_offset()), (said, None));
            assert_eq!(*loader.report(), LoadReport::default());
        });
    }
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn a_stop_while_commits_are_awaited_ends_the_load_and_a_second_run_finds_them() {
    each_source(&rows(1..=5), |source| {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let pipe = pipe_of(&service);
        service.hold_commits(true);
        let mut loader = loader(&pipe, &handle);
        let status = ":bulk-channel-status";
        let error = stopped_after(&service, status, 3, &handle, || loader.load(source()).unwrap_err());
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, true), "{error}");
        let said = "could not load through channel load-1: it was stopped; no row is known to be committed; \
                    run it again to go on";
        assert_eq!((error.to_string().as_str(), error.committed_offset()), (said, None));
        assert_eq!((loader.report().rows, loader.report().rows_sent), (0, 5));
        service.hold_commits(false);
        let again = Loader::new(&pipe, "load-1").load(source()).unwrap();
        assert_eq!((again.rows, again.skipped, again.rows_sent), (5, 5, 0));
        assert_eq!(landed(&service), rows(1..=5));
    });
}

#[test]
fn a_stop_in_the_middle_says_what_is_committed_and_a_second_run_goes_on_there() {
    for pipelined in [false, true] {
        each_source(&rows(1..=300), |source| {
            let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
            let pipe = pipe_of(&service);
            let by_callback = handle.clone();
            let stop = move |report: &LoadReport| {
                if report.rows_sent >= 30 {
                    by_callback.stop()
                }
            };
            let first = loader(&pipe, &handle).on_progress(stop);
            let mut first = if pipelined { first.pipelined() } else { first };
            let error = first.load(source()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
            let report = first.report().clone();
            assert!((30..300).contains(&report.rows_sent), "{}", report.rows_sent);
            let committed = (report.rows > 0).then(|| offset(report.rows, &rows(1..=report.rows)).to_string());
            assert_eq!(error.committed_offset(), committed.as_deref(), "{error}");
            let again = Loader::new(&pipe, "load-1").load(source()).unwrap();
            assert_eq!(again.rows, 300);
            assert!((report.rows..=report.rows_sent).contains(&again.skipped), "{} {report:?}", again.skipped);
            assert_eq!(landed(&service), rows(1..=300));
        });
    }
}

#[test]
fn the_last_look_of_a_stopped_load_finds_what_was_committed_meanwhile() {
    let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
    let (by_callback, file) = (handle.clone(), TextFile::new(rows(1..=7)));
    // By then all that was sent is committed, and nobody has looked.
    let stop = |report: &LoadReport| {
        while service.row_count(TABLE) < report.rows_sent {
            std::thread::sleep(Duration::from_millis(1));
        }
        if report.rows_sent > 0 {
            by_callback.stop();
        }
    };
    let mut first = loader(&pipe_of(&service), &handle).on_progress(stop);
    let error = first.load(file.source()).unwrap_err();
    let report = first.report().clone();
    let sent = report.rows_sent;
    assert!((1..7).contains(&sent), "{sent}");
    assert_eq!((report.rows, report.position), (sent, Some(sent)));
    let offset = offset(sent, &rows(1..=sent)).to_string();
    assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Stopped, Some(offset.as_str())));
    let said = format!("it was stopped; {sent} rows are committed, up to offset {offset}; run it again to go on");
    assert_eq!(error.to_string(), format!("could not load through channel load-1: {said}"));
}

#[test]
fn a_load_whose_rows_are_all_committed_at_the_stop_has_succeeded() {
    each_source(&rows(1..=5), |source| {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let by_callback = handle.clone();
        let stop = |report: &LoadReport| {
            while report.rows_sent == 5 && service.row_count(TABLE) < 5 {
                std::thread::sleep(Duration::from_millis(1));
            }
            if report.rows_sent == 5 {
                by_callback.stop();
            }
        };
        let report = loader(&pipe_of(&service), &handle).batch_bytes(10_000).on_progress(stop).load(source()).unwrap();
        assert_eq!((report.rows, handle.is_stopped()), (5, true));
    });
}

#[test]
fn a_stop_ends_the_retries_of_an_outage() {
    for endpoint in [Endpoint::Hostname, Endpoint::Token, Endpoint::Open, Endpoint::Append, Endpoint::Status] {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let client = builder_of(&service).retry_budget(LONG).build().unwrap();
        let (pipe, file) = (client.table("DEMO", "PUBLIC", "EVENTS"), TextFile::new(rows(1..=5)));
        service.inject(Fault::status(endpoint, 503).header("retry-after", "300").times(1000));
        let mut first = loader(&pipe, &handle);
        let path = endpoint.name();
        let began = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !service.requests().iter().any(|request| request.status == Some(503)) && began.elapsed() < SOON {
                    std::thread::sleep(Duration::from_millis(1));
                }
                handle.stop();
            });
            first.load(file.source()).unwrap_err()
        });
        assert!(began.elapsed() < SOON, "{path}: {:?}", began.elapsed());
        assert_eq!(error.kind(), ErrorKind::Stopped, "{path}: {error}");
        assert_eq!(first.report().rows, 0, "{path}");
        service.clear_faults();
        assert_eq!(Loader::new(&pipe, "load-1").load(file.source()).unwrap().rows, 5);
        assert_eq!(landed(&service), rows(1..=5), "{path}");
    }
}

#[test]
fn a_stop_ends_the_opening_of_channels_with_rows_on_their_way() {
    for channels in [1, 3] {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let (pipe, file) = (pipe_of(&service), TextFile::new(rows(1..=5)));
        let name = if channels == 1 { "LOAD-1" } else { "LOAD-1-2-OF-3" };
        pipe.channel(name).open().unwrap().append(&batch(1..=1)).unwrap();
        service.hold_commits(true);
        pipe.channel("other").open().unwrap();
        let mut loader = loader(&pipe, &handle).channels(channels);
        let path = format!("/channels/{name}");
        let error = stopped_after(&service, &path, 5, &handle, || loader.load(file.source()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
        assert_eq!(loader.report().rows_sent, 0);
    }
}

#[test]
fn an_append_in_doubt_at_a_stop_counts_only_if_it_is_known_to_be_committed() {
    for is_applied in [false, true] {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let (pipe, file, by_callback) = (pipe_of(&service), TextFile::new(rows(1..=5)), handle.clone());
        let fault =
            if is_applied { Fault::lose_reply(Endpoint::Append) } else { Fault::drop_connection(Endpoint::Append) };
        service.inject(fault.times(1000));
        let mut first = loader(&pipe, &handle);
        let error = stopped_after(&service, "/rows", 1, &by_callback, || {
            let first = &mut first;
            first.load(file.source()).unwrap_err()
        });
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, true), "{error}");
        assert!(first.report().rows <= service.row_count(TABLE), "{:?}", first.report());
        service.clear_faults();
        assert_eq!(Loader::new(&pipe, "load-1").load(file.source()).unwrap().rows, 5);
        assert_eq!(landed(&service), rows(1..=5));
    }
}

#[test]
fn a_guarded_load_that_is_stopped_is_run_again_without_its_guard() {
    let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
    service.hold_commits(true);
    let (pipe, file) = (pipe_of(&service), TextFile::new(rows(1..=5)));
    let mut loader = loader(&pipe, &handle).expect_unused();
    let error = stopped_after(&service, "/rows", 1, &handle, || loader.load(file.source()).unwrap_err());
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, loader.report().rows_sent == 0), "{error}");
    if loader.report().rows_sent > 0 {
        assert!(
            error.to_string().ends_with("; run it again without the expected offset: the channel has rows of it now")
        );
    }
}

#[test]
fn several_channels_and_their_source_stop_together() {
    for pipelined in [false, true] {
        each_source(&rows(1..=20_000), |source| {
            let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
            let pipe = pipe_of(&service);
            let by_callback = handle.clone();
            let stop = move |report: &LoadReport| {
                if report.rows_sent >= 200 {
                    by_callback.stop()
                }
            };
            let first = loader(&pipe, &handle).channels(3).on_progress(stop);
            let mut first = if pipelined { first.pipelined() } else { first };
            let error = first.load(source()).unwrap_err();
            assert_eq!((error.kind(), error.committed_offset()), (ErrorKind::Stopped, None), "{error}");
            let report = first.report();
            assert!(report.rows <= report.rows_sent && report.rows_sent < 20_000, "{report:?}");
            let again = Loader::new(&pipe, "load-1").channels(3).load(source()).unwrap();
            assert_eq!((again.rows, service.row_count(TABLE)), (20_000, 20_000));
        });
    }
}

#[test]
fn calls_of_a_pipe_with_a_handle_stop_and_a_writer_keeps_its_rows() {
    let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
    let pipe = pipe_of(&service).stopped_by(&handle);
    let mut writer = pipe.channel("events-1").open().unwrap().into_writer();
    let mut channel = pipe.channel("load-1").open().unwrap();
    service.hold_commits(true);
    channel.append(&batch(1..=3)).unwrap();
    writer.write_json(b"{\"ID\":4}", 4).unwrap();
    let status = ":bulk-channel-status";
    let error = stopped_after(&service, status, 2, &handle, || channel.wait_for_commit(3, LONG).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
    let requests = service.requests().len();
    assert_eq!(writer.commit(LONG).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(channel.append(&batch(4..=4)).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(pipe.elastic().append(&batch(4..=4)).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(pipe.drop_channel("load-1").unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(service.requests().len(), requests, "nothing was sent");
    assert_eq!(writer.into_uncommitted().unwrap().rows(), 1);
    assert!(pipe_of(&service).channel("other").open().is_ok(), "the handle is of that pipe alone");
}
