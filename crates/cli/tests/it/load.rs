//! The command line of the `load` example: its summary, its exit code, its one line of error.

use std::process::{Command, Output, Stdio};

use snowpipe_emulator::Emulator;

use crate::support::{example, row, rows};

const TABLE: &str = "DEMO.PUBLIC.FLIGHTS";

/// A folder with a profile for the service, and the files of one test.
struct Folder {
    path: tempfile::TempDir,
}

impl Folder {
    fn new(service: &Emulator) -> Folder {
        let folder = Folder { path: tempfile::tempdir().unwrap() };
        folder.write("key.p8", service.private_key_pem().unwrap());
        folder.profile(&format!(
            r#"{{"account":"{}","user":"{}","url":"{}","private_key_file":"key.p8"}}"#,
            service.account(),
            service.user(),
            service.url()
        ));
        folder
    }

    fn profile(&self, json: &str) {
        self.write("profile.json", json);
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn load(&self, arguments: &[&str]) -> Output {
        let profile = self.path.path().join("profile.json");
        run(Command::new(example("load")).arg("--profile").arg(profile).args(arguments).stdin(Stdio::null()))
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn summary(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The one line of a failure.
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    text.trim_end().to_string()
}

#[test]
fn without_a_profile_the_sample_is_loaded_into_the_embedded_service() {
    let output = run(Command::new(example("load")).stdin(Stdio::null()));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("10000 rows committed (0 of them before), offset 10000"), "{text}");
    assert!(text.contains("DEMO.PUBLIC.FLIGHTS of the embedded service: 10000 rows"), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
}

#[test]
fn the_summary_is_one_line_of_json() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));
    let output = folder.load(&[&file, "--json", "--batch-bytes", "1000"]);
    let first = summary(&output);
    assert!(output.status.success());
    let keys: Vec<_> = first.as_object().unwrap().keys().cloned().collect();
    let expected =
        "batches committed_offset renewals reopens retries rows rows_per_second rows_rejected seconds skipped";
    assert_eq!(keys.join(" "), expected);
    assert_eq!((first["rows"].as_u64(), first["skipped"].as_u64()), (Some(100), Some(0)));
    assert_eq!((first["committed_offset"].as_str(), first["rows_rejected"].as_u64()), (Some("100"), Some(0)));
    let again = summary(&folder.load(&[&file, "--json"]));
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
    let profile = folder.path.path().join("profile.json");

    let input = std::fs::File::open(&file).unwrap();
    let mut command = Command::new(example("load"));
    command.arg("--profile").arg(&profile).args(["-", "--json", "--table", "A.B.\"My.Table\""]).stdin(input);
    assert_eq!(summary(&run(&mut command))["rows"], 100);
    assert_eq!(service.rows("A.B.\"My.Table\""), rows(1..=100).as_bytes());

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, rows(1..=50).as_bytes()).unwrap();
    let packed = folder.write("rows.ndjson.gz", gzip.finish().unwrap());
    assert_eq!(summary(&folder.load(&[&packed, "--json"]))["rows"], 50);
    assert_eq!(service.rows(TABLE), rows(1..=50).as_bytes());

    let elastic = summary(&folder.load(&[&file, "--json", "--elastic", "--batch-bytes", "500", "--table", "A.B.E"]));
    assert_eq!((elastic["rows"].as_u64(), &elastic["committed_offset"]), (Some(100), &serde_json::Value::Null));
    assert!(elastic["batches"].as_u64() > Some(1));
}

#[test]
fn bad_input_is_one_line_that_names_the_thing_and_the_cure() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let good = std::fs::read_to_string(folder.path.path().join("profile.json")).unwrap();
    let file = folder.write("rows.ndjson", rows(1..=3));
    let key = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
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
        let error = error(&folder.load(&[&file, "--json"]));
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
        let error = error(&folder.load(&arguments));
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
    assert_eq!(service.rows(TABLE), b"", "nothing landed");
}

#[test]
fn a_load_that_fails_under_way_prints_its_summary_too() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", format!("{}[]\n", rows(1..=5)));
    let output = folder.load(&[&file, "--json"]);
    assert_eq!(summary(&output)["rows"], 5);
    assert!(error(&output).contains("line 6 of "), "{output:?}");

    service.reject_rows_containing("\"row 7\"");
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = folder.load(&[&file, "--json"]);
    assert_eq!((summary(&output)["rows"].as_u64(), summary(&output)["rows_rejected"].as_u64()), (Some(9), Some(1)));
    assert!(error(&output).contains("1 row was rejected"), "{output:?}");
    assert!(String::from_utf8(service.rows(TABLE)).unwrap().contains(&row(9)));
}
