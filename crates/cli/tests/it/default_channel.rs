//! The channel of a source that is given none: each file has its own, and a rerun has the same.

use std::io::Write;
use std::process::{Output, Stdio};

use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault};

use crate::support::{Folder, TABLE, error, gzip, json, row, rows, run, snowpipe, stdout};

fn load(folder: &Folder, arguments: &[&str]) -> Output {
    run(folder.load(arguments).arg("--json"))
}

fn load_from_stdin(folder: &Folder, text: &[u8]) -> Output {
    let mut command = folder.load(&["-", "--json"]);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(text).unwrap();
    program.wait_with_output().unwrap()
}

/// The CRC-32 of ISO 3309 bit by bit, as RFC 1952 has it in section 8.
fn crc32(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    format!("{:08x}", !crc)
}

#[test]
fn it_is_named_for_the_file_and_its_first_row() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let first = crc32(&row(1));
    let text = rows(1..=3);
    for (name, bytes, stem) in [
        ("flights.ndjson", text.clone().into_bytes(), "flights"),
        (
            "flights 2026-11.v2.jsonl",
            format!("\u{feff}\r\n \n  {} \r\n{}", row(1), row(2)).into_bytes(),
            "flights_2026_11.v2",
        ),
        ("packed.json.gz", gzip(&text), "packed"),
        ("rows", text.clone().into_bytes(), "rows"),
    ] {
        let summary = json(&load(&folder, &[&folder.write(name, bytes)]));
        let channel = format!("{stem}-{first}");
        assert_eq!((&summary["channel"], &summary["skipped"]), (&channel.as_str().into(), &0.into()), "{summary}");
        let opened = format!("/channels/{}", channel.to_ascii_uppercase());
        assert!(service.requests().iter().any(|request| request.path.ends_with(&opened)), "{name}");
    }
    let summary = json(&load_from_stdin(&folder, text.as_bytes()));
    assert_eq!(summary["channel"], format!("stdin-{first}"), "{summary}");
    assert_eq!(service.row_count(TABLE), 14);
}

#[test]
fn the_sample_has_that_of_its_file() {
    let sample = include_str!("../../data/flights.ndjson");
    let summary = json(&run(&mut snowpipe(&["load", "--emulator", "--json"])));
    assert_eq!(summary["channel"], format!("flights-{}", crc32(sample.lines().next().unwrap())), "{summary}");
    assert_eq!((&summary["file"], &summary["rows"]), (&serde_json::Value::Null, &10_000.into()), "{summary}");
}

#[test]
fn each_night_has_its_own_and_a_rerun_resumes() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    // One name for every night, as a job writes it.
    let night = |ids| json(&load(&folder, &[&folder.write("export.ndjson", rows(ids))]));
    let (monday, tuesday) = (night(1..=5), night(11..=18));
    assert_ne!(monday["channel"], tuesday["channel"]);
    assert_eq!((&tuesday["rows"], &tuesday["skipped"]), (&8.into(), &0.into()), "{tuesday}");
    let grown = night(11..=20);
    assert_eq!((&grown["rows"], &grown["skipped"]), (&10.into(), &8.into()), "{grown}");
    assert_eq!(grown["channel"], tuesday["channel"]);
    assert_eq!(service.rows(TABLE), (rows(1..=5) + &rows(11..=20)).as_bytes());

    let changed = rows(11..=20).replace("row 12", "row twelve");
    let output = load(&folder, &[&folder.write("export.ndjson", changed)]);
    assert!(error(&output, 5).contains("another source"), "{output:?}");
}

#[test]
fn a_source_without_rows_opens_no_channel() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let mut outputs = vec![load_from_stdin(&folder, b" \n")];
    for (name, bytes) in [("empty.ndjson", vec![]), ("blank.ndjson", b"\n \r\n".to_vec()), ("packed.gz", gzip("\n"))] {
        outputs.push(load(&folder, &[&folder.write(name, bytes)]));
    }
    for output in outputs {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let summary = json(&output);
        assert_eq!((&summary["channel"], &summary["rows"]), (&serde_json::Value::Null, &0.into()), "{summary}");
    }
    assert!(service.requests().is_empty());
    let text = run(&mut folder.load(&[&folder.path("empty.ndjson")]));
    assert!(stdout(&text).starts_with("0 rows stored (0 of them before), offset none, 0 requests\n"), "{text:?}");
}

#[test]
fn a_first_line_that_is_no_row_names_no_channel_and_nothing_is_sent() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    for (name, text, position) in [
        ("several.ndjson", format!("{{\"ID\":1,\n{}", rows(2..=4000)), 1),
        ("array.ndjson", format!("\n\n[]\n{}", rows(2..=9)), 3),
        ("unfinished.ndjson", "{\"ID\":1".into(), 1),
    ] {
        let file = folder.write(name, text);
        for channels in ["1", "4"] {
            let output = load(&folder, &[&file, "--channels", channels]);
            assert!(error(&output, 4).contains(&format!("could not read line {position} of {file}: ")), "{output:?}");
            let summary = json(&output);
            assert_eq!((&summary["error"]["kind"], &summary["error"]["position"]), (&"row".into(), &position.into()));
            assert_eq!((&summary["channel"], &summary["rows"]), (&serde_json::Value::Null, &0.into()), "{summary}");
        }
    }
    assert!(service.requests().is_empty());

    // Mended, and named for the first row that it has now.
    let file = folder.write("several.ndjson", rows(1..=4000));
    assert_eq!(json(&load(&folder, &[&file, "--channels", "4"]))["skipped"], 0);
    assert_eq!(service.row_count(TABLE), 4000);
}

#[test]
fn a_first_row_longer_than_any_buffer_is_kept_whole() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let long = format!("{{\"ID\":1,\"TEXT\":\"{}\"}}", "x".repeat(1_000_000));
    let text = format!("\n{long}\n{}", rows(2..=3));
    let summary = json(&load_from_stdin(&folder, text.as_bytes()));
    assert_eq!((&summary["rows"], &summary["position"]), (&3.into(), &4.into()), "{summary}");
    assert_eq!(summary["channel"], format!("stdin-{}", crc32(&long)));
    assert_eq!(service.rows(TABLE), text.trim_start().as_bytes());
}

#[cfg(unix)]
#[test]
fn a_path_that_is_a_pipe_is_read_once() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let mut command = folder.load(&["/dev/stdin", "--json"]);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(rows(1..=3).as_bytes()).unwrap();
    let summary = json(&program.wait_with_output().unwrap());
    assert_eq!(summary["channel"], format!("stdin-{}", crc32(&row(1))), "{summary}");
    assert_eq!(service.rows(TABLE), rows(1..=3).as_bytes());
}

#[test]
fn the_text_names_it_for_a_file_that_goes_on_under_another_name() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let channel = format!("rows-{}", crc32(&row(1)));
    let cure = format!("; to go on under another file name: --channel {channel}");
    let file = folder.write("rows.ndjson", rows(1..=5) + "[]\n");
    let output = run(&mut folder.load(&[&file]));
    assert!(error(&output, 4).ends_with(&cure), "{output:?}");

    service.inject(Fault::status(Endpoint::Open, 503).times(1000));
    let output = run(&mut folder.load(&[&file, "--retry-budget", "0"]));
    assert!(error(&output, 7).ends_with(&cure), "{output:?}");
    let given = run(&mut folder.load(&[&file, "--retry-budget", "0", "--channel", "X"]));
    assert!(!error(&given, 7).contains("--channel"), "{given:?}");
    service.clear_faults();

    let other = folder.write("other.ndjson", rows(1..=8));
    let output = run(&mut folder.load(&[&other, "--channel", &channel]));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("8 rows stored (5 of them before), offset 8-"), "{text}");
    assert_eq!((lines.len(), lines[3]), (4, &*format!("channel {channel}")), "{text}");
    assert_eq!(service.rows(TABLE), rows(1..=8).as_bytes());
}

#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_has_the_name_of_standard_input() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    folder.write("rows.ndjson", rows(1..=3));
    for (descriptor, path) in [("7", "/dev/fd/7"), ("8", "/proc/self/fd/8"), ("63", "/dev/fd/63")] {
        let script = "exec \"$0\" load \"$1\" --json --profile profile.json --table DEMO.PUBLIC.FLIGHTS";
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &format!("{script} {descriptor}< <(cat rows.ndjson)"), env!("CARGO_BIN_EXE_snowpipe"), path]);
        let summary = json(&run(shell.current_dir(folder.path(""))));
        assert_eq!(summary["channel"], format!("stdin-{}", crc32(&row(1))), "{summary}");
        assert_eq!(summary["file"], path);
    }
    assert_eq!(service.row_count(TABLE), 3);
}
