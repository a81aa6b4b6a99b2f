//! Packed files: their endings, their ends, and what shows that they are damaged.

use std::io::Write;
use std::process::Output;

use snowpipe_streaming::emulator::Emulator;

use crate::support::{Folder, TABLE, error, gzip, json, rows, run};

fn load(folder: &Folder, arguments: &[&str]) -> Output {
    run(folder.load(arguments).arg("--json"))
}

#[test]
fn a_padded_gzip_is_loaded_to_its_end_and_reruns() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let members = [gzip(&rows(1..=5)), gzip(&rows(6..=9))].concat();
    let padded = folder.write("rows.ndjson.gz", [&members[..], &[0; 512]].concat());
    for skipped in [0, 9] {
        let summary = json(&load(&folder, &[&padded]));
        assert_eq!((&summary["rows"], &summary["skipped"]), (&9.into(), &skipped.into()), "{summary}");
        assert!(summary["error"].is_null(), "{summary}");
    }
    assert_eq!(service.rows(TABLE), rows(1..=9).as_bytes());

    let followed = folder.write("other.ndjson.gz", [&members[..], b"\0x"].concat());
    let output = load(&folder, &[&followed]);
    assert!(error(&output, 4).contains("other bytes follow the end of the gzip data"), "{output:?}");
    assert_eq!((&json(&output)["rows"], &json(&output)["error"]["kind"]), (&9.into(), &"source".into()));
}

#[test]
fn the_ending_may_be_written_in_any_case() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    for (name, ids) in [("X.NDJSON.GZ", 1..=3), ("y.ndjson.Gz", 4..=6)] {
        let output = load(&folder, &[&folder.write(name, gzip(&rows(ids)))]);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(service.rows(TABLE), rows(1..=6).as_bytes());
}

#[test]
fn a_bad_row_of_a_damaged_archive_is_blamed_on_the_archive() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    // Stored as it is, so that one byte can be damaged.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(rows(1..=9).as_bytes()).unwrap();
    let mut bytes = gzip.finish().unwrap();
    let damaged = bytes.windows(8).position(|text| text == b"{\"ID\":6,").unwrap();
    bytes[damaged] = b'x';
    let file = folder.write("rows.ndjson.gz", bytes);
    for more in [&[][..], &["--elastic", "--table", "A.B.E"]] {
        let output = load(&folder, &[&[file.as_str()], more].concat());
        let said = format!("could not read line 6 of {file}: the archive is damaged: ");
        assert!(error(&output, 4).contains(&said), "{output:?}");
        let summary = json(&output);
        assert_eq!((&summary["rows"], &summary["error"]["kind"]), (&5.into(), &"source".into()), "{summary}");
        assert_eq!(summary["error"]["position"], 6, "{summary}");
    }
    assert_eq!(service.rows(TABLE), rows(1..=5).as_bytes());

    let sound = folder.write("sound.ndjson.gz", crate::support::gzip(&(rows(1..=2) + "[]\n")));
    assert_eq!(json(&load(&folder, &[&sound]))["error"]["kind"], "row");
}
