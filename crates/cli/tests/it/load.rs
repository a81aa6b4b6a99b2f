//! `snowpipe load`: its summary, its exit code, its one line of error.

use std::process::Output;

use snowpipe_streaming::emulator::Emulator;

use crate::support::{Folder, error, json, row, rows, run, snowpipe, stdout};

const TABLE: &str = "DEMO.PUBLIC.FLIGHTS";

fn load(folder: &Folder, arguments: &[&str]) -> Output {
    run(&mut folder.command("load", arguments))
}

#[test]
fn without_a_profile_the_sample_is_loaded_into_the_embedded_service() {
    let output = run(&mut snowpipe(&["load"]));
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("10000 rows committed (0 of them before), offset 10000"), "{text}");
    assert!(text.contains("DEMO.PUBLIC.FLIGHTS of the embedded emulator: 10000 rows"), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
}

#[test]
fn the_summary_is_one_line_of_json() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));
    let output = load(&folder, &[&file, "--json", "--batch-bytes", "1000"]);
    let first = json(&output);
    assert!(output.status.success());
    let keys: Vec<_> = first.as_object().unwrap().keys().cloned().collect();
    let expected =
        "batches committed_offset renewals reopens retries rows rows_per_second rows_rejected seconds skipped";
    assert_eq!(keys.join(" "), expected);
    assert_eq!((first["rows"].as_u64(), first["skipped"].as_u64()), (Some(100), Some(0)));
    assert_eq!((first["committed_offset"].as_str(), first["rows_rejected"].as_u64()), (Some("100-39ca0388"), Some(0)));
    let again = json(&load(&folder, &[&file, "--json"]));
    assert_eq!(
        (again["rows"].as_u64(), again["skipped"].as_u64(), again["batches"].as_u64()),
        (Some(100), Some(100), Some(0))
    );
    assert_eq!(service.rows(TABLE), rows(1..=100).as_bytes());
}

#[test]
fn standard_input_gzip_quoted_names_and_elastic_work() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));

    let input = std::fs::File::open(&file).unwrap();
    let mut command = folder.command("load", &["-", "--json", "--table", "A.B.\"My.Table\""]);
    assert_eq!(json(&run(command.stdin(input)))["rows"], 100);
    assert_eq!(service.rows("A.B.\"My.Table\""), rows(1..=100).as_bytes());

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, rows(1..=50).as_bytes()).unwrap();
    let packed = folder.write("rows.ndjson.gz", gzip.finish().unwrap());
    assert_eq!(json(&load(&folder, &[&packed, "--json"]))["rows"], 50);
    assert_eq!(service.rows(TABLE), rows(1..=50).as_bytes());

    let elastic = json(&load(&folder, &[&file, "--json", "--elastic", "--batch-bytes", "500", "--table", "A.B.E"]));
    assert_eq!((elastic["rows"].as_u64(), &elastic["committed_offset"]), (Some(100), &serde_json::Value::Null));
    assert!(elastic["batches"].as_u64() > Some(1));
}

#[test]
fn bad_input_is_one_line_that_names_the_thing_and_the_cure() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let good = std::fs::read_to_string(folder.path("profile.json")).unwrap();
    let file = folder.write("rows.ndjson", rows(1..=3));
    let key = |name: &str| format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    let with = |from: &str, to: &str| good.replace(from, to);
    let profiles = [
        ("{", "profile.json"),
        (r#"{"user":"U"}"#, "account"),
        (&with("\"user\"", "\"usr\""), "usr"),
        (&with(service.url(), "http://192.0.2.1"), "use https://"),
        (&with("key.p8", "missing.p8"), "missing.p8"),
        (&with("key.p8", &key("public.pem")), "public key"),
        (&with("key.p8", &key("aes256-sha256.p8")), "passphrase"),
        (&with("key.p8", &key("plain.p8")), "DESC USER"),
    ];
    for (profile, said) in profiles {
        folder.profile(profile);
        let error = error(&load(&folder, &[&file, "--json"]), 1);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
    folder.profile(&good);
    for (arguments, said) in [
        (vec!["/no/such/file"], "/no/such/file"),
        (vec!["--table", "A.B"], "DB.SCHEMA.TABLE"),
        (vec!["--batch-bytes", "0"], "above zero"),
        (vec!["--bathc-bytes", "5"], "--bathc-bytes"),
        (vec!["--channel"], "needs a value"),
        (vec!["a", "b"], "one file"),
    ] {
        let error = error(&load(&folder, &arguments), 1);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
    assert_eq!(service.rows(TABLE), b"", "nothing landed");
}

#[test]
fn a_load_that_fails_under_way_prints_its_summary_too() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", format!("{}[]\n", rows(1..=5)));
    let output = load(&folder, &[&file, "--json"]);
    assert_eq!(json(&output)["rows"], 5);
    assert!(error(&output, 1).contains("line 6 of "), "{output:?}");

    service.reject_rows_containing("\"row 7\"");
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = load(&folder, &[&file, "--json"]);
    assert_eq!((json(&output)["rows"].as_u64(), json(&output)["rows_rejected"].as_u64()), (Some(9), Some(1)));
    assert!(error(&output, 1).contains("1 row was rejected"), "{output:?}");
    assert!(String::from_utf8(service.rows(TABLE)).unwrap().contains(&row(9)));
}
