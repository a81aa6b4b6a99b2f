//! What the tests share: the program, a folder with a profile, and what a failure looks like.

use std::process::{Command, Output, Stdio};

use snowpipe_streaming::emulator::Emulator;

/// The program with these arguments, and nothing on its standard input.
pub fn snowpipe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Where the tests load to.
pub const TABLE: &str = "DEMO.PUBLIC.FLIGHTS";

/// A folder with a profile for the service, and the files of one test.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn new(service: &Emulator) -> Folder {
        let folder = Folder { folder: tempfile::tempdir().unwrap() };
        folder.write("key.p8", service.private_key_pem().unwrap());
        folder.profile(&format!(
            r#"{{"account":"{}","user":"{}","url":"{}","private_key_file":"key.p8"}}"#,
            service.account(),
            service.user(),
            service.url()
        ));
        folder
    }

    pub fn profile(&self, json: &str) {
        self.write("profile.json", json);
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A command of the program with this profile.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = snowpipe(&[name, "--profile", &self.path("profile.json")]);
        command.args(arguments);
        command
    }

    /// A load with this profile, into [`TABLE`] unless the arguments name another one.
    pub fn load(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("load", &["--table", TABLE]);
        command.args(arguments);
        command
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of JSON on stdout.
pub fn json(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The last line of a failure that ends with this exit code. Only warnings may stand before it.
pub fn error(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let (error, others) =
        text.lines().collect::<Vec<_>>().split_last().map(|(last, others)| (*last, others.to_vec())).unwrap();
    assert!(others.iter().all(|line| line.starts_with("warning: ")), "{text}");
    assert!(error.starts_with("error: "), "{text}");
    error.to_owned()
}

/// A row, as text.
pub fn row(id: u64) -> String {
    format!("{{\"ID\":{id},\"TEXT\":\"row {id}\"}}")
}

/// Rows with these ids, a line each.
pub fn rows(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| row(id) + "\n").collect()
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}
