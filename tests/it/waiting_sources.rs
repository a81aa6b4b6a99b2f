//! Sources that block: what they have given goes out, and a stop or an error does not wait for those that are read apart.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::json;
use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, LoadReport, Loader, Pipe, Source, StopHandle};

use crate::support::{TABLE, TextFile, batch, landed, loaded, pipe_of, row, rows};

/// Far longer than anything here may take, and far shorter than what is waited for.
const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(600);

fn loader(pipe: &Pipe, handle: &StopHandle) -> Loader<'static> {
    Loader::new(pipe, "load-1").commit_timeout(LONG).stop_handle(handle)
}

/// Waits until somebody tells, or gives up.
fn await_told(told: &Receiver<()>) {
    told.recv_timeout(SOON).expect("the rows before were held back");
}

/// Tells once so many rows are sent.
fn telling_at(count: u64, sender: Sender<()>) -> impl FnMut(&LoadReport) + Send {
    move |report| {
        if report.rows_sent >= count {
            let _ = sender.send(());
        }
    }
}

/// What a load says that is stopped once it has stored five rows, while its source blocks.
fn stopped_with_five_rows(service: &Emulator, source: Source<'_>, channels: u32) {
    let (pipe, handle, began) = (pipe_of(service), StopHandle::new(), Instant::now());
    let mut first = loader(&pipe, &handle).channels(channels);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while service.row_count(TABLE) < 5 && began.elapsed() < SOON {
                std::thread::yield_now();
            }
            handle.stop();
        });
        first.load(source).unwrap_err()
    });
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, true), "{error}");
    assert_eq!((first.report().rows, first.report().rows_sent), (5, 5));
    let text = error.to_string();
    assert!(text.starts_with("could not load through channel load-1: it was stopped; 5 rows are committed"), "{text}");
}

#[test]
fn rows_given_before_an_iterator_blocks_go_out_while_it_blocks() {
    for channels in [1, 3] {
        let (service, (sender, sent)) = (Emulator::start().unwrap(), channel());
        let slow = (1..=6).map(move |id| {
            if id == 6 {
                await_told(&sent);
            }
            json!({ "ID": id })
        });
        let pipe = pipe_of(&service);
        let mut loader = Loader::new(&pipe, "load-1").channels(channels).on_progress(telling_at(5, sender));
        assert_eq!(loader.load(Source::rows(slow)).unwrap().rows, 6);
    }
}

#[test]
fn rows_given_before_a_reader_blocks_go_out_while_it_blocks() {
    for is_detached in [false, true] {
        let (service, (sender, sent)) = (Emulator::start().unwrap(), channel());
        let (input, mut output) = io::pipe().unwrap();
        let pipe = pipe_of(&service);
        let mut loader = Loader::new(&pipe, "load-1").on_progress(telling_at(5, sender));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                output.write_all(rows(1..=5).as_bytes()).unwrap();
                await_told(&sent);
                output.write_all(rows(6..=7).as_bytes()).unwrap();
            });
            let source = if is_detached { Source::detached("pipe", input) } else { Source::reader("pipe", input) };
            assert_eq!(loader.load(source).unwrap().rows, 7);
        });
        assert_eq!(landed(&service), rows(1..=7));
    }
}

#[test]
fn a_stop_ends_the_load_of_a_pipe_that_gives_nothing_more_and_a_second_run_completes_it() {
    for channels in [1, 3] {
        let service = Emulator::start().unwrap();
        let (input, mut output) = io::pipe().unwrap();
        // Half a row is none.
        output.write_all((rows(1..=5) + "{\"ID\":").as_bytes()).unwrap();
        stopped_with_five_rows(&service, Source::detached("pipe", input), channels);
        let (input, mut output) = io::pipe().unwrap();
        output.write_all(rows(1..=9).as_bytes()).unwrap();
        drop(output);
        let pipe = pipe_of(&service);
        let again = Loader::new(&pipe, "load-1").channels(channels).load(Source::detached("pipe", input)).unwrap();
        assert_eq!((again.rows, again.skipped), (9, 5));
        assert_eq!(landed(&service), rows(1..=9));
    }
}

#[test]
fn a_stop_while_the_first_bytes_of_a_pipe_are_awaited_sends_nothing() {
    let (service, handle, began) = (Emulator::start().unwrap(), StopHandle::new(), Instant::now());
    let (input, _output) = io::pipe().unwrap();
    let (reading, is_read) = channel();
    let source = Source::detached("pipe", Telling(input, reading));
    let mut loader = loader(&pipe_of(&service), &handle);
    let error = std::thread::scope(|scope| {
        let loading = scope.spawn(|| loader.load(source).unwrap_err());
        await_told(&is_read);
        handle.stop();
        loading.join().unwrap()
    });
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let said = "could not load through channel load-1: it was stopped; nothing was sent; run it again to go on";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Stopped, said));
    assert_eq!(service.requests().len(), 0);
}

/// Tells when it is about to read.
struct Telling(io::PipeReader, Sender<()>);

impl Read for Telling {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let _ = self.1.send(());
        self.0.read(into)
    }
}

#[cfg(unix)]
#[test]
fn a_stop_ends_the_load_of_a_named_pipe() {
    let (service, folder) = (Emulator::start().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("rows");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let writing = path.clone();
    let (ended, until) = channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut output = std::fs::OpenOptions::new().write(true).open(writing).unwrap();
        output.write_all(rows(1..=5).as_bytes()).unwrap();
        let _ = until.recv();
    });
    stopped_with_five_rows(&service, Source::file(&path).unwrap(), 1);
    drop(ended);
    writer.join().unwrap();
}

#[test]
fn a_stop_while_committed_rows_are_awaited_is_no_conflict() {
    for channels in [1, 3] {
        let (service, handle) = (Emulator::start().unwrap(), StopHandle::new());
        let (pipe, began) = (pipe_of(&service), Instant::now());
        Loader::new(&pipe, "load-1").channels(channels).load(TextFile::new(rows(1..=9)).source()).unwrap();
        let (input, mut output) = io::pipe().unwrap();
        output.write_all(rows(1..=5).as_bytes()).unwrap();
        let mut again = loader(&pipe, &handle).channels(channels);
        let opened = service.requests().len();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while service.requests().len() < opened + channels as usize && began.elapsed() < SOON {
                    std::thread::yield_now();
                }
                handle.stop();
            });
            again.load(Source::detached("pipe", input)).unwrap_err()
        });
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
        assert_eq!(service.row_count(TABLE), 9);
    }
}

#[test]
fn an_error_ends_the_load_of_a_pipe_that_gives_nothing_more() {
    let (service, began) = (Emulator::start().unwrap(), Instant::now());
    let (input, mut output) = io::pipe().unwrap();
    output.write_all(rows(1..=5).as_bytes()).unwrap();
    service.inject(Fault::status(Endpoint::Append, 400).times(1000));
    let error = Loader::new(&pipe_of(&service), "load-1").load(Source::detached("pipe", input)).unwrap_err();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(output.write_all(b"\n").is_ok(), "the read that is left behind ends now");
}

#[test]
fn a_progress_callback_that_panics_waits_for_no_pipe() {
    let (service, began) = (Emulator::start().unwrap(), Instant::now());
    let (input, mut output) = io::pipe().unwrap();
    output.write_all(rows(1..=1).as_bytes()).unwrap();
    let mut loader = Loader::new(&pipe_of(&service), "load-1").on_progress(|_| panic!("no more"));
    let load = std::panic::AssertUnwindSafe(|| loader.load(Source::detached("pipe", input)));
    let panic = std::panic::catch_unwind(load).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"no more"));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_source_that_panics_keeps_its_message_and_the_rows_before_it() {
    /// Gives a few rows, then panics.
    struct Panicking(io::Cursor<Vec<u8>>);

    impl Read for Panicking {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            assert!(read > 0, "the cable was pulled");
            Ok(read)
        }
    }

    let reader = || Panicking(io::Cursor::new(rows(1..=5).into_bytes()));
    let values = || (1..=9).inspect(|id| assert!(*id < 6, "the cable was pulled")).map(row_of);
    let sources: [&dyn Fn() -> Source<'static>; 3] =
        [&|| Source::detached("cable", reader()), &|| Source::reader("cable", reader()), &|| Source::rows(values())];
    for source in sources {
        for channels in [1, 3] {
            let service = Emulator::start().unwrap();
            let mut loader = Loader::new(&pipe_of(&service), "load-1").channels(channels);
            let load = std::panic::AssertUnwindSafe(|| loader.load(source()));
            let panic = std::panic::catch_unwind(load).unwrap_err();
            let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            assert_eq!(said, Some("the cable was pulled"));
            assert_eq!(landed(&service), rows(1..=5));
        }
    }
}

fn row_of(id: u64) -> serde_json::Value {
    serde_json::from_str(&row(id)).unwrap()
}

#[test]
fn a_source_without_end_notices_a_stop_while_its_rows_are_compared_and_between_blank_lines() {
    let sources: [&dyn Fn() -> Source<'static>; 4] = [
        &|| Source::rows((1..).map(row_of)),
        &|| Source::reader("blank lines", io::repeat(b'\n')),
        &|| Source::json_reader("blanks between elements", Read::chain(&b"[{}"[..], io::repeat(b'\n'))),
        &|| Source::detached("blank lines", io::repeat(b'\n')),
    ];
    for source in sources {
        let (service, handle, began) = (Emulator::start().unwrap(), StopHandle::new(), Instant::now());
        let pipe = pipe_of(&service);
        let mut far = batch([1]);
        far.mark("4000000000-00000000");
        let mut channel = pipe.channel("load-1").open().unwrap();
        channel.append(&far).unwrap();
        channel.wait_for_commit("4000000000-00000000", SOON).unwrap();
        let requests = service.requests().len();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while service.requests().len() <= requests && began.elapsed() < SOON {
                    std::thread::yield_now();
                }
                handle.stop();
            });
            loader(&pipe, &handle).load(source()).unwrap_err()
        });
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
        assert_eq!(landed(&service), rows(1..=1));
    }
}

#[test]
fn a_pipe_is_resumed_like_any_source_and_compared() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("load-1").open().unwrap();
    channel.append(&loaded(1..=20)).unwrap();
    let detached = |text: String| Source::detached("pipe", io::Cursor::new(text.into_bytes()));
    let report = Loader::new(&pipe, "load-1").load(detached(rows(1..=50))).unwrap();
    assert_eq!((report.rows, report.skipped, report.rows_sent), (50, 20, 30));
    assert_eq!(landed(&service), rows(1..=50));
    let error = Loader::new(&pipe, "load-1").load(detached(rows(2..=60))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(landed(&service), rows(1..=50));
}
