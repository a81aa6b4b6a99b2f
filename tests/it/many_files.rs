//! Many files in one call, each through the channel that is named for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use snowpipe_emulator::Emulator;
use snowpipe_streaming::{Error, ErrorKind, FileLoad, Loader, Pipe, Source};

use crate::support::{landed, pipe_of, row, rows};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn load(pipe: &Pipe, paths: &[impl AsRef<Path>]) -> Result<Vec<FileLoad>, Error> {
    Loader::of_files(pipe).load_files(paths.iter().map(Source::file))
}

/// Of the first of these rows.
fn named(stem: &str, id: u64) -> Option<String> {
    let mut crc = flate2::Crc::new();
    crc.update(row(id).as_bytes());
    Some(format!("{stem}-{:08x}", crc.sum()))
}

#[test]
fn each_file_has_its_channel_and_its_report_and_a_rerun_resumes() {
    let (service, folder) = (Emulator::start().unwrap(), Folder::new());
    let pipe = pipe_of(&service);
    let array = format!("[{},\n{}]", row(21), row(22));
    let (monday, tuesday) = (folder.write("monday.ndjson", rows(1..=3)), folder.write("tuesday.jsonl", rows(11..=15)));
    let (empty, blank) = (folder.write("empty.ndjson", ""), folder.write("blank.ndjson", "\n \r\n"));
    let wednesday = folder.write("wednesday.json", array);
    let sources = || {
        let lines = [&monday, &empty, &tuesday, &blank].into_iter().map(Source::file);
        lines.chain([Source::json(&wednesday)])
    };
    for is_rerun in [false, true] {
        let loaded = Loader::of_files(&pipe).load_files(sources()).unwrap();
        let found: Vec<_> = loaded.iter().map(|file| (file.channel.clone(), file.report.rows)).collect();
        let expected =
            [(named("monday", 1), 3), (None, 0), (named("tuesday", 11), 5), (None, 0), (named("wednesday", 21), 2)];
        assert_eq!(found, expected);
        assert!(loaded.iter().all(|file| file.error.is_none()));
        assert_eq!(loaded.iter().map(|file| file.report.skipped).sum::<u64>(), if is_rerun { 10 } else { 0 });
        assert_eq!(loaded[2].name, tuesday.display().to_string());
        assert_eq!(loaded.iter().map(|file| file.report.file).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
    assert_eq!(landed(&service), rows(1..=3) + &rows(11..=15) + &rows(21..=22));
    let opened = service.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(opened, 6, "three channels, opened twice");
}

#[test]
fn a_file_that_cannot_be_loaded_at_all_is_refused_before_anything_is_sent() {
    let (service, folder) = (Emulator::start().unwrap(), Folder::new());
    let pipe = pipe_of(&service);
    let good = folder.write("good.ndjson", rows(1..=3));
    for (other, said) in [
        (folder.path("missing.ndjson"), "cannot open the file "),
        (folder.0.path().to_path_buf(), "is a folder"),
        (folder.write("rows.parquet", b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x04"), "it is a Parquet file"),
        (folder.write("rows.json", "[{}]"), "it is a JSON array"),
        (good.clone(), "have the same channel good-"),
        (folder.write("GOOD.jsonl", rows(1..=1)), "have the same channel GOOD-"),
    ] {
        for paths in [[&good, &other], [&other, &good]] {
            let error = load(&pipe, &paths).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            let said = if paths[0] != &good { said.replace("GOOD", "good") } else { said.to_string() };
            assert!(error.to_string().contains(&said), "{said}: {error}");
        }
    }
    let error = Loader::new(&pipe, "load-1").load_files([Source::file(&good)]).unwrap_err();
    assert!(error.to_string().contains("make the loader with Loader::of_files"), "{error}");
    let error = Loader::of_files(&pipe).expect_offset(3).load_files([Source::file(&good)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let error = Loader::of_files(&pipe).channels(99).load_files([Source::file(&good)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let error = Loader::of_files(&pipe).load_files([Ok(Source::rows([1]))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(service.requests().is_empty());
    assert_eq!(Loader::of_files(&pipe).load_files([]).unwrap().len(), 0);
}

#[test]
fn a_file_that_fails_does_not_stop_the_others() {
    let (service, folder) = (Emulator::start().unwrap(), Folder::new());
    let pipe = pipe_of(&service);
    let paths = [
        folder.write("a.ndjson", rows(1..=3)),
        folder.write("no-first-row.ndjson", "none\n{}\n"),
        folder.write("bad.ndjson", rows(11..=12) + "bad\n"),
        folder.write("gone.ndjson", rows(21..=22)),
        folder.write("replaced.ndjson", rows(31..=32)),
        folder.write("grown.ndjson", rows(41..=42)),
        folder.write("z.ndjson", rows(51..=53)),
    ];
    let files = Mutex::new(Vec::new());
    let loaded = Loader::of_files(&pipe)
        .on_progress(|report| {
            let mut seen = files.lock().unwrap();
            if seen.is_empty() {
                fs::remove_file(&paths[3]).unwrap();
                fs::remove_file(&paths[4]).unwrap();
                fs::write(&paths[4], rows(33..=34)).unwrap();
                fs::write(&paths[5], rows(41..=49)).unwrap();
            }
            seen.push(report.file);
        })
        .load_files(paths.iter().map(Source::file))
        .unwrap();
    let kinds: Vec<_> = loaded.iter().map(|file| file.error.as_ref().map(Error::kind)).collect();
    let (row, source) = (Some(ErrorKind::Row), Some(ErrorKind::Source));
    assert_eq!(kinds, [None, row, row, source, source, None, None]);
    assert_eq!(loaded.iter().map(|file| file.report.rows).collect::<Vec<_>>(), [3, 0, 2, 0, 0, 9, 3]);
    let said = |index: usize| loaded[index].error.as_ref().unwrap().to_string();
    assert!(said(1).contains("could not read line 1 of "), "{}", said(1));
    assert!(said(3).starts_with("the file was there when all were looked at: cannot open the file "), "{}", said(3));
    assert!(said(4).contains("its first row has changed since all files were looked at"), "{}", said(4));
    assert_eq!((&loaded[1].channel, &loaded[3].channel), (&None, &named("gone", 21)));
    assert_eq!(landed(&service), rows(1..=3) + &rows(11..=12) + &rows(41..=49) + &rows(51..=53));
    let mut seen = files.into_inner().unwrap();
    seen.dedup();
    assert_eq!(seen, [0, 2, 5, 6]);
}

#[test]
fn a_loader_of_files_names_the_channel_of_a_single_source_too() {
    let service = Emulator::start().unwrap();
    let mut loader = Loader::of_files(&pipe_of(&service));
    let source = |text: &'static str| Source::reader("stdin", text.as_bytes());
    assert_eq!(loader.load(source("\n \n")).unwrap().rows, 0);
    assert!(service.requests().is_empty());
    assert_eq!(loader.load(source("{\"ID\":1}\n{\"ID\":2}\n")).unwrap().rows, 2);
    assert_eq!(loader.load(Source::json_reader("stdin", &b"[{\"ID\": 1},{\"ID\": 2}]"[..])).unwrap().skipped, 2);
    assert_eq!(loader.load(source("{\"ID\":3}")).unwrap().skipped, 0);
    assert_eq!(landed(&service), "{\"ID\":1}\n{\"ID\":2}\n{\"ID\":3}\n");
}

#[test]
fn names_of_any_characters_make_channels() {
    let (service, folder) = (Emulator::start().unwrap(), Folder::new());
    let names = ["r\u{e9}sum\u{e9}.ndjson", "two\nlines.ndjson", "\u{202e}txt.ndjson", ".ndjson", "-", "a.b c.json"];
    let stems = ["r_sum_", "two_lines", "_txt", ".ndjson", "_", "a.b_c"];
    let paths: Vec<_> = (1..).zip(names).map(|(id, name)| folder.write(name, rows(id..=id))).collect();
    let loaded = load(&pipe_of(&service), &paths).unwrap();
    for ((id, stem), file) in (1..).zip(stems).zip(&loaded) {
        assert_eq!((&file.channel, file.error.is_none()), (&named(stem, id), true), "{file:?}");
    }
    assert_eq!(landed(&service), rows(1..=6));
}

#[cfg(target_os = "linux")]
#[test]
fn more_files_than_a_process_may_open_are_looked_at_and_loaded() {
    let (service, folder) = (Emulator::start().unwrap(), Folder::new());
    // Most have no rows, since a channel takes a while.
    let paths: Vec<_> = (0..3_000)
        .map(|id| folder.write(&format!("{id}.ndjson"), if id % 500 == 0 { row(id) } else { "\n".into() }))
        .collect();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, most) = (open(), Mutex::new(0));
    let loaded = Loader::of_files(&pipe_of(&service))
        .on_progress(|_| *most.lock().unwrap() = open())
        .load_files(paths.iter().map(Source::file))
        .unwrap();
    assert_eq!(loaded.iter().map(|file| file.report.rows).sum::<u64>(), 6);
    assert_eq!(landed(&service).lines().count(), 6);
    let most = most.into_inner().unwrap();
    assert!(most > 0 && most < before + 500, "{before} files were open before, {most} during the load");
}
