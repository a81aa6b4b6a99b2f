//! What a file or a reader holds is known by its first bytes: packed rows are unpacked, other formats are named.

use std::io::{Cursor, Read, Write};
use std::time::Duration;

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{TextFile, landed, offset, pipe_of, rows};

/// So small that a load takes several requests.
fn loader(pipe: &Pipe) -> Loader<'static> {
    Loader::new(pipe, "load-1").batch_bytes(500).commit_timeout(Duration::from_secs(20))
}

#[cfg(feature = "gzip")]
fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_ref()).unwrap();
    gzip.finish().unwrap()
}

#[cfg(feature = "zstd")]
fn zstd(text: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(text.as_ref(), 3).unwrap()
}

type Packer = fn(&[u8]) -> Vec<u8>;

/// How this build packs.
fn packers() -> Vec<Packer> {
    vec![
        #[cfg(feature = "gzip")]
        |text| gzip(text),
        #[cfg(feature = "zstd")]
        |text| zstd(text),
    ]
}

/// As a file, and as a reader that gives a byte at a time.
fn both(bytes: &[u8]) -> Vec<(TextFile, Result<Source<'static>, snowpipe_streaming::Error>)> {
    struct Bytewise(Cursor<Vec<u8>>);

    impl Read for Bytewise {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let size = into.len().min(1);
            self.0.read(&mut into[..size])
        }
    }

    let reader = Source::reader("bytes", Bytewise(Cursor::new(bytes.to_vec())));
    let file = TextFile::new(bytes);
    let source = Source::file(file.path());
    vec![(file, source), (TextFile::new(""), Ok(reader))]
}

#[test]
fn packed_rows_land_like_plain_ones_and_a_rerun_finds_them() {
    for pack in packers() {
        let (text, skippable) = (rows(1..=100), b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc");
        let whole = pack(text.as_bytes());
        let parts =
            [pack(rows(1..=40).as_bytes()), pack(b""), vec![0; 3], pack(rows(41..=100).as_bytes()), vec![0; 512]]
                .concat();
        let is_zstd = whole[0] == 0x28;
        let framed = if is_zstd { [&skippable[..], &whole, skippable].concat() } else { whole.clone() };
        for bytes in [&whole, &parts, &framed, &pack(format!("\u{feff}{text}").as_bytes())] {
            let service = Emulator::start().unwrap();
            let pipe = pipe_of(&service);
            for (index, (_file, source)) in both(bytes).into_iter().enumerate() {
                let report = loader(&pipe).load(source.unwrap()).unwrap();
                assert_eq!((report.rows, report.skipped), (100, if index == 0 { 0 } else { 100 }));
                assert_eq!(report.committed_offset, Some(offset(100, &text)));
            }
            assert_eq!(landed(&service), text);
        }
    }
}

#[test]
fn a_packed_file_goes_through_several_channels_and_through_a_second_thread() {
    for pack in packers() {
        let file = TextFile::new(pack(rows(1..=2_500).as_bytes()));
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        assert_eq!(Loader::new(&pipe, "load-1").channels(2).load(file.source()).unwrap().rows, 2_500);
        assert_eq!(Loader::new(&pipe, "load-2").pipelined().load(file.source()).unwrap().rows, 2_500);
        assert_eq!(landed(&service).lines().count(), 5_000);
    }
}

#[test]
fn a_truncated_or_damaged_archive_is_named_and_the_rows_before_that_are_stored() {
    for pack in packers() {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(600_000).collect();
        let text = rows(1..=3) + &format!("{{\"ID\":4,\"TEXT\":\"{noise}\"}}\n");
        let whole = [pack(rows(1..=3).as_bytes()), pack(&text.as_bytes()[rows(1..=3).len()..])].concat();
        let cut = whole[..whole.len() - 100_000].to_vec();
        let followed = [&whole[..], b"\0\0x"].concat();
        for (bytes, stored, said) in [(cut, 3, "it is truncated"), (followed, 4, "other bytes follow the end of the")] {
            for (_file, source) in both(&bytes) {
                let service = Emulator::start().unwrap();
                let error = Loader::new(&pipe_of(&service), "load-1").load(source.unwrap()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Source, "{error}");
                assert!(error.to_string().contains(&format!("line {} of ", stored + 1)), "{error}");
                let expected = format!("the archive is damaged: {said}");
                assert!(error.to_string().contains(&expected), "{error}");
                assert!(error.to_string().ends_with("; fetch or pack it again"), "{error}");
                assert_eq!(landed(&service), text.split_inclusive('\n').take(stored).collect::<String>());
            }
        }
    }
}

#[cfg(feature = "gzip")]
#[test]
fn a_bad_row_of_a_damaged_archive_is_blamed_on_the_archive() {
    // Stored as it is, so that one byte can be damaged.
    let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    stored.write_all(rows(1..=9).as_bytes()).unwrap();
    let mut bytes = stored.finish().unwrap();
    let damaged = bytes.windows(8).position(|text| text == b"{\"ID\":6,").unwrap();
    bytes[damaged] = b'x';
    let (service, file) = (Emulator::start().unwrap(), TextFile::new(bytes));
    let error = loader(&pipe_of(&service)).load(file.source()).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Source, Some(6)), "{error}");
    let said = format!("could not read line 6 of {}: the archive is damaged: ", file.path().display());
    assert!(error.to_string().starts_with(&said), "{error}");
    assert_eq!(landed(&service), rows(1..=5));

    let sound = TextFile::new(gzip(rows(1..=5) + "[]\n"));
    let error = loader(&pipe_of(&service)).load(sound.source()).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(6)), "{error}");
}

#[test]
fn a_packed_file_ends_where_it_ended_when_the_load_began() {
    for pack in packers() {
        let file = TextFile::new(pack(rows(1..=1_000).as_bytes()));
        let append = |ids| {
            let mut appended = std::fs::OpenOptions::new().append(true).open(file.path()).unwrap();
            appended.write_all(&pack(rows(ids).as_bytes())).unwrap();
        };
        let service = Emulator::start().unwrap();
        let pipe = pipe_of(&service);
        let source = file.source();
        append(1_001..=1_100);
        let mut has_grown = false;
        let mut first = Loader::new(&pipe, "load-1").batch_bytes(500).on_progress(|report| {
            if report.rows_sent > 0 && !std::mem::replace(&mut has_grown, true) {
                append(1_101..=1_200);
            }
        });
        assert_eq!(first.load(source).unwrap().rows, 1_100);
        drop(first);
        let again = loader(&pipe).load(file.source()).unwrap();
        assert_eq!((again.rows, again.skipped), (1_200, 1_100));
        assert_eq!(landed(&service), rows(1..=1_200));
    }
}

#[test]
fn another_format_is_refused_by_its_name_before_anything_is_sent() {
    let tar = [&b"rows.ndjson"[..], &[0; 246], b"ustar\x0000", &[0; 1000]].concat();
    for (bytes, said) in [
        (&b"\xff\xfe{\x00\"\x00"[..], "it is text in UTF-16 (LE); convert it to UTF-8"),
        (b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x04", "it is a Parquet file; write its rows as NDJSON"),
        (b"BZh91AY&SY\xd8r\x01/", "it is packed with bzip2; unpack it first"),
        (&tar, "it is a tar archive; take the files out of it"),
        (b"\xef\xbb\xbf[{}]", "it is a JSON array, not one object a line; load it with Source::json"),
    ] {
        let mut layers = vec![(bytes.to_vec(), "")];
        for pack in packers() {
            let packed = pack(bytes);
            layers.push(if packed[0] == 0x1f { (packed, "inside the gzip: ") } else { (packed, "inside the zstd: ") });
        }
        for (whole, inside) in layers {
            let file = TextFile::new(&whole);
            let error = Source::file(file.path()).unwrap_err();
            let text = format!("could not load {}: {inside}{said}", file.path().display());
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().starts_with(&text), "{error}");

            let service = Emulator::start().unwrap();
            let source = Source::reader("bytes", Cursor::new(whole.clone()));
            let error = loader(&pipe_of(&service)).load(source).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().starts_with(&format!("could not load bytes: {inside}{said}")), "{error}");
            assert!(service.requests().is_empty());
        }
    }
}

#[cfg(feature = "gzip")]
#[test]
fn what_is_packed_too_often_is_not_unpacked_for_ever() {
    let twice = TextFile::new(gzip(gzip(rows(1..=3))));
    let service = Emulator::start().unwrap();
    assert_eq!(loader(&pipe_of(&service)).load(twice.source()).unwrap().rows, 3);
    let often = (0..6).fold(rows(1..=3).into_bytes(), |bytes, _| gzip(bytes));
    let error = Source::file(TextFile::new(often).path()).unwrap_err();
    assert!(error.to_string().contains("it is packed more than 4 times; unpack it first"), "{error}");
}

#[cfg(not(all(feature = "gzip", feature = "zstd")))]
#[test]
fn without_its_feature_what_is_packed_is_refused_and_the_feature_is_named() {
    for (bytes, feature, is_off) in [
        (&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"[..], "gzip", cfg!(not(feature = "gzip"))),
        (b"\x28\xb5\x2f\xfd\x04\x58\x41\x00\x00", "zstd", cfg!(not(feature = "zstd"))),
    ] {
        if is_off {
            let error = Source::file(TextFile::new(bytes).path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let said =
                format!("it is packed with {feature}, and this program was built without the feature {feature}; ");
            assert!(error.to_string().contains(&said), "{error}");
        }
    }
}

#[test]
fn short_files_are_read_whole() {
    for (text, stored) in [("{}", 1), ("{}\n", 1), ("\n", 0), ("\n\n{}", 1), ("\u{feff}", 0), ("\u{feff}{}", 1)] {
        for (_file, source) in both(text.as_bytes()) {
            let service = Emulator::start().unwrap();
            assert_eq!(loader(&pipe_of(&service)).load(source.unwrap()).unwrap().rows, stored, "{text:?}");
        }
    }
    for text in [&b"P"[..], b"\x1f", b"\xff", b"PK", b"\x28\xb5\x2f", b"ORC\n"] {
        for (_file, source) in both(text) {
            let service = Emulator::start().unwrap();
            let error = loader(&pipe_of(&service)).load(source.unwrap()).unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(1)), "{error}");
        }
    }
}

#[test]
fn no_more_of_a_reader_is_waited_for_than_it_takes_to_know_it() {
    /// Gives what it has, byte by byte, and must not be asked for more before the rest is allowed.
    struct Slow<'t>(&'t [u8], std::sync::mpsc::Receiver<()>);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.len() == 2 {
                self.1.recv_timeout(Duration::from_secs(20)).expect("the channel is opened first");
            }
            let size = into.len().min(1);
            self.0.read(&mut into[..size])
        }
    }

    let service = Emulator::start().unwrap();
    let (allow, allowed) = std::sync::mpsc::channel();
    let source = Source::reader("bytes", Slow(b"{}\n", allowed));
    let mut loader = loader(&pipe_of(&service)).on_progress(move |_| {
        let _ = allow.send(());
    });
    // The first progress is that of the channel that was opened.
    assert_eq!(loader.load(source).unwrap().rows, 1);
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_files_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let service = Emulator::start().unwrap();
    let pipe = folder.path().join("rows.ndjson");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writing = std::thread::spawn({
        let (pipe, text) =
            (pipe.clone(), packers().first().map_or(rows(1..=5).into_bytes(), |pack| pack(rows(1..=5).as_bytes())));
        move || std::fs::write(pipe, text).unwrap()
    });
    let mut source = Source::file(&pipe).unwrap();
    assert!(source.default_channel().unwrap().unwrap().starts_with("rows-"));
    assert_eq!(loader(&pipe_of(&service)).load(source).unwrap().rows, 5);
    writing.join().unwrap();
    assert_eq!(landed(&service), rows(1..=5));

    assert_eq!(Source::file("/dev/null").unwrap().default_channel().unwrap(), None);
    let error = Source::file(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("is a folder; name a file in it"), "{error}");
    let secret = TextFile::new(rows(1..=2));
    std::fs::set_permissions(secret.path(), PermissionsExt::from_mode(0o000)).unwrap();
    // Who may do everything may read it all the same.
    if let Err(error) = Source::file(secret.path()) {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().starts_with("cannot open the file "), "{error}");
    }
}
