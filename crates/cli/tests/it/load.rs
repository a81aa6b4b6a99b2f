//! `snowpipe load`: its summary, its exit code, its one line of error.

use std::process::Output;
use std::time::Duration;

use snowpipe_streaming::emulator::Emulator;

use crate::support::{Folder, TABLE, error, gzip, json, row, rows, run, snowpipe, stdout};

fn load(folder: &Folder, arguments: &[&str]) -> Output {
    run(&mut folder.load(arguments))
}

#[test]
fn the_sample_is_loaded_into_the_embedded_service() {
    let output = run(&mut snowpipe(&["load", "--emulator"]));
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("10000 rows stored (0 of them before), offset 10000-837fff81, 1 request"), "{text}");
    assert!(text.contains("DEMO.PUBLIC.FLIGHTS of the embedded emulator: 10000 rows"), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
}

#[test]
fn without_a_connection_a_file_or_a_table_nothing_is_loaded() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let (file, profile) = (folder.write("rows.ndjson", rows(1..=3)), folder.path("profile.json"));
    for (arguments, said) in [
        (vec![], ["FILE", "--emulator"]),
        (vec![&*file], ["--profile FILE", "--emulator"]),
        (vec!["-", "--table", TABLE], ["--profile FILE", "--emulator"]),
        (vec!["--profile", &profile, "--table", TABLE], ["FILE", "standard input"]),
        (vec!["--profile", &profile, &file], ["--table DB.SCHEMA.TABLE", "is needed"]),
        (vec!["--profile", &profile, "--emulator", &file], ["--profile", "--emulator"]),
    ] {
        let output = run(snowpipe(&["load", "--json"]).args(&arguments));
        let text = error(&output, 2);
        assert!(said.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
        assert_eq!(
            (&json(&output)["rows"], &json(&output)["table"].is_null()),
            (&0.into(), &!arguments.contains(&TABLE))
        );
    }
    assert!(service.requests().is_empty());
}

#[test]
fn a_file_is_loaded_into_the_embedded_service_when_asked_for() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=3));
    for (arguments, table) in [(vec![], TABLE), (vec!["--table", "A.B.T"], "A.B.T")] {
        let output = run(snowpipe(&["load", "--emulator", &file]).args(arguments));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = stdout(&output);
        assert!(text.contains(&format!("in {table} of the embedded emulator: 3 rows\n")), "{text}");
        assert!(text.contains(&format!("the first: {}\n", row(1))), "{text}");
    }
    assert!(service.requests().is_empty());
}

#[test]
fn standard_input_gzip_quoted_names_and_elastic_work() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));

    let input = std::fs::File::open(&file).unwrap();
    let mut command = folder.load(&["-", "--json", "--table", "A.B.\"My.Table\""]);
    assert_eq!(json(&run(command.stdin(input)))["rows"], 100);
    assert_eq!(service.rows("A.B.\"My.Table\""), rows(1..=100).as_bytes());

    let packed = folder.write("rows.ndjson.gz", gzip(&rows(1..=50)));
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
        ("{", 2, "profile.json"),
        (r#"{"user":"U"}"#, 2, "account"),
        (&with("\"user\"", "\"usr\""), 2, "usr"),
        (&with(service.url(), "http://192.0.2.1"), 2, "use https://"),
        (&with("key.p8", "missing.p8"), 2, "missing.p8"),
        (&with("key.p8", &key("public.pem")), 2, "public key"),
        (&with("key.p8", &key("aes256-sha256.p8")), 2, "passphrase"),
        (&with("key.p8", &key("plain.p8")), 6, "DESC USER"),
    ];
    for (profile, code, said) in profiles {
        folder.profile(profile);
        let error = error(&load(&folder, &[&file, "--json"]), code);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
    folder.profile(&good);
    for (arguments, said) in [
        (vec!["/no/such/file"], "/no/such/file"),
        (vec!["--table", "A.B"], "DB.SCHEMA.TABLE"),
        (vec!["--batch-bytes", "0"], "above zero"),
        (vec!["--bathc-bytes", "5"], "--bathc-bytes"),
        (vec!["--channel"], "needs a value"),
        (vec!["--channel", "--elastic"], "needs a value"),
        (vec!["--max-errors", "1%"], "--max-errors 1%: a whole number"),
        (vec!["--retry-budget", "-1"], "--retry-budget -1: a whole number"),
        (vec!["a", "b"], "one file"),
        (vec!["/"], "is a folder"),
    ] {
        let error = error(&load(&folder, &arguments), 2);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
    assert_eq!(service.rows(TABLE), b"", "nothing landed");
}

#[test]
fn a_line_number_of_another_client_is_taken_when_asked_for() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let key = snowpipe_streaming::PrivateKey::from_pem(service.private_key_pem().unwrap()).unwrap();
    let credentials = snowpipe_streaming::Credentials::key_pair(service.user(), key);
    let client = snowpipe_streaming::Client::builder(service.account(), credentials).url(service.url());
    let pipe = client.build().unwrap().table("DEMO", "PUBLIC", "FLIGHTS");
    let mut channel = pipe.channel("NIGHTLY").open().unwrap();
    let mut batch = snowpipe_streaming::Batch::new();
    for id in 1..=3 {
        batch.push_json(row(id).as_bytes()).unwrap();
        batch.mark(id);
    }
    channel.append(&batch).unwrap();
    channel.wait_for_commit(3, Duration::from_secs(60)).unwrap();

    let file = folder.write("rows.ndjson", rows(1..=5));
    let arguments = [file.as_str(), "--channel", "NIGHTLY", "--json"];
    assert!(error(&load(&folder, &arguments), 5).contains("plain number of another client"));
    let summary = json(&load(&folder, &[&arguments[..], &["--plain-offsets"]].concat()));
    assert_eq!((&summary["rows"], &summary["skipped"]), (&5.into(), &3.into()), "{summary}");
    assert_eq!(service.rows(TABLE), rows(1..=5).as_bytes());
}
