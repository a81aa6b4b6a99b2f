//! Names of channels: in double quotes, in another case, and what a refused load leaves behind.

use std::io::Cursor;
use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{Scripted, batch, impatient_pipe, landed, pipe_of, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.EVENTS-STREAMING";

fn load(pipe: &Pipe, name: &str, channels: u32, text: &str) -> Result<(u64, u64), snowpipe_streaming::Error> {
    let source = Source::reader("bytes", Cursor::new(text.as_bytes().to_vec()));
    let report = Loader::new(pipe, name).channels(channels).commit_timeout(SOON).load(source)?;
    Ok((report.rows, report.skipped))
}

fn commit(pipe: &Pipe, name: &str, ids: std::ops::RangeInclusive<u64>) {
    let mut channel = pipe.channel(name).open().unwrap();
    channel.append(&batch(ids.clone())).unwrap();
    channel.wait_for_commit(*ids.end(), SOON).unwrap();
}

/// The last segment of every path that names a channel, but for `/rows`.
fn channels_in_paths(service: &Emulator, method: &str) -> Vec<String> {
    let requests = service.requests().into_iter().filter(|request| request.method == method);
    let names = requests.filter_map(|request| request.path.split_once("/channels/").map(|(_, name)| name.to_string()));
    names.map(|name| name.trim_end_matches("/rows").to_string()).collect()
}

#[test]
fn a_quoted_name_stays_quoted_in_every_path_and_is_asked_for_as_the_service_spells_it() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("\"Load \"\"1\"\"\"").open().unwrap();
    assert_eq!(channel.name(), "Load \"1\"");
    channel.append(&batch(1..=2)).unwrap();
    channel.wait_for_commit(2, SOON).unwrap();
    assert!(service.steal_channel(PIPE, "\"Load \"\"1\"\"\""));
    let second = batch(3..=5);
    assert_eq!(channel.append(&second).unwrap_err().kind(), ErrorKind::Channel);
    let rest = channel.recover().unwrap().rest_of(&second).unwrap();
    channel.append(&rest).unwrap();
    channel.wait_for_commit(5, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=5));
    drop(channel);
    pipe.channel("\"Load \"\"1\"\"\"").expect_offset(5).open().unwrap();
    pipe.drop_channel("\"Load \"\"1\"\"\"").unwrap();
    assert!(pipe.statuses(&["Load \"1\""]).unwrap().is_empty());
    for method in ["PUT", "POST", "DELETE"] {
        let names = channels_in_paths(&service, method);
        assert!(!names.is_empty());
        assert!(names.iter().all(|name| name == "%22Load%20%22%221%22%22%22"), "{names:?}");
    }
}

#[test]
fn a_load_under_a_quoted_name_is_resumed_and_leaves_the_unquoted_one_alone() {
    for (channels, others) in [(1, 1), (3, 3), (1, 2), (2, 1)] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        assert_eq!(load(&pipe, "\"Load\"", channels, &rows(1..=2_500)).unwrap(), (2_500, 0));
        assert_eq!(load(&pipe, "LOAD", others, &rows(3_001..=5_500)).unwrap(), (2_500, 0));
        assert_eq!(load(&pipe, "\"Load\"", channels, &rows(1..=2_600)).unwrap(), (2_600, 2_500));
        assert_eq!(load(&pipe, "load", others, &rows(3_001..=5_600)).unwrap(), (2_600, 2_500));
        assert_eq!(landed(&service).lines().count(), 5_200);
    }
}

#[test]
fn a_load_under_a_quoted_name_recovers_a_channel_that_was_taken_away() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    let mut stolen = false;
    let mut loader = Loader::new(&pipe, "\"Load\"").batch_bytes(200).on_progress(|report| {
        if report.rows_sent > 0 && !std::mem::replace(&mut stolen, true) {
            assert!(service.steal_channel(PIPE, "\"Load\""));
        }
    });
    let report = loader.load(Source::reader("bytes", rows(1..=40).as_bytes())).unwrap();
    assert_eq!((report.rows, report.reopens), (40, 1));
    assert_eq!(landed(&service), rows(1..=40));
}

#[test]
fn a_refused_load_under_a_quoted_name_drops_its_own_channel_and_no_other() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    load(&pipe, "LOAD", 2, &rows(1..=1_500)).unwrap();
    load(&pipe, "\"Load\"", 1, &rows(2_001..=2_100)).unwrap();
    let error = load(&pipe, "\"Load\"", 2, &rows(2_001..=2_100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("channel \"Load\" shows"), "{error}");
    assert_eq!(channels_in_paths(&service, "DELETE"), ["%22Load-1-OF-2%22"]);
    assert_eq!(load(&pipe, "LOAD", 2, &rows(1..=1_500)).unwrap(), (1_500, 1_500));
    assert_eq!(load(&pipe, "\"Load\"", 1, &rows(2_001..=2_100)).unwrap(), (100, 100));
}

#[test]
fn another_number_of_channels_under_a_quoted_name_is_refused() {
    for (first, second) in [(1, 2), (2, 1), (2, 3)] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        load(&pipe, "\"Load\"", first, &rows(1..=10)).unwrap();
        let error = load(&pipe, "\"Load\"", second, &rows(1..=10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{first} then {second}");
        assert_eq!(load(&pipe, "\"Load\"", first, &rows(1..=10)).unwrap(), (10, 10));
    }
}

#[test]
fn a_guarded_open_takes_no_other_channel_for_the_one_it_names() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    commit(&pipe, "LOAD", 1..=2);
    pipe.channel("\"load\"").expect_unused().open().unwrap();
    commit(&pipe, "\"load\"", 3..=5);
    pipe.channel("load").expect_offset(2).open().unwrap();
    pipe.channel("\"load\"").expect_offset(5).open().unwrap();
    assert_eq!(pipe.channel("Load").expect_offset(5).open().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_load_takes_over_a_channel_that_another_client_has_made_in_lower_case() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    for name in ["load", "Mixed"] {
        commit(&pipe, name, 1..=4);
        let source = Source::reader("bytes", Cursor::new(rows(1..=6).into_bytes()));
        let mut loader = Loader::new(&pipe, name).expect_offset(4).accept_plain_offsets();
        assert_eq!(loader.load(source).unwrap().skipped, 4);
        assert_eq!(load(&pipe, name, 2, &rows(1..=6)).unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[test]
fn the_channel_of_a_load_is_made_in_upper_case_and_found_in_any() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    load(&pipe, "Straße-é", 1, &rows(1..=3)).unwrap();
    assert_eq!(channels_in_paths(&service, "PUT"), ["STRA%C3%9FE-%C3%A9"], "letters beyond ASCII stay as they are");
    assert_eq!(load(&pipe, "STRAßE-é", 1, &rows(1..=3)).unwrap(), (3, 3));
    assert_eq!(load(&pipe, "straße-é", 2, &rows(1..=3)).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_refused_load_names_the_channel_that_it_could_not_drop() {
    for (name, left) in [("Load", "LOAD-1-OF-2"), ("\"Load\"", "\"Load-1-OF-2\"")] {
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        load(&pipe, name, 4, &rows(1..=10)).unwrap();
        service.inject(Fault::status(Endpoint::Drop, 403));
        let error = load(&pipe, name, 2, &rows(1..=10)).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, false));
        let text = error.to_string();
        assert!(text.contains("use the same number as before"), "{text}");
        assert!(text.contains(&format!("channel {left} was opened, found empty and left behind")), "{text}");
        assert!(text.contains(&format!("Pipe::drop_channel({left:?})")), "{text}");
        assert_eq!(load(&pipe, name, 3, &rows(1..=10)).unwrap_err().kind(), ErrorKind::Conflict);
        pipe.drop_channel(left).unwrap();
        assert_eq!(load(&pipe, name, 4, &rows(1..=10)).unwrap(), (10, 10));
    }
}

#[test]
fn a_refused_load_drops_its_channel_only_if_no_rows_are_in_flight_on_it() {
    let service = Scripted::start();
    service.next("status", 200, r#"{"channel_statuses":{"LOAD":{"last_committed_offset_token":null}}}"#);
    service.next("drop", 409, r#"{"code":"ERR_CHANNEL_HAS_UNCOMMITTED_DATA","message":"Rows are not committed."}"#);
    let error = load(&service.pipe(), "load", 2, &rows(1..=10)).unwrap_err();
    let drops = service.seen_at("drop");
    assert_eq!((drops.len(), drops[0].text().as_str()), (1, r#"{"fail_on_uncommitted_rows":true}"#));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("found empty and left behind"), "{error}");
}

#[test]
fn a_load_that_could_not_look_for_other_channels_leaves_none_of_its_own_in_silence() {
    let service = Emulator::start().unwrap();
    let pipe = pipe_of(&service);
    service.inject(Fault::status(Endpoint::Status, 403));
    assert_eq!(load(&pipe, "load", 2, &rows(1..=10)).unwrap_err().kind(), ErrorKind::Credentials);
    assert_eq!(channels_in_paths(&service, "DELETE"), ["LOAD-1-OF-2"]);
    // While the service is overloaded one more request would only wait as long again.
    service.inject(Fault::status(Endpoint::Status, 503).times(1_000));
    let error = load(&impatient_pipe(&service), "load", 2, &rows(1..=10)).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("Pipe::drop_channel(\"LOAD-1-OF-2\")"), "{error}");
    service.clear_faults();
    assert_eq!(load(&pipe, "load", 2, &rows(1..=10)).unwrap(), (10, 0));
}
