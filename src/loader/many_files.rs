use std::collections::HashMap;
use std::path::PathBuf;

use super::row_reader::Format;
use super::source::{CheckLine, Source};
use super::{ExpectedOffset, LoadReport, Loader};
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::snowflake::api;

/// What became of one of the sources of [`Loader::load_files`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileLoad {
    /// The path, as it was given.
    pub name: String,
    /// The channel that is named for the source; `None` if it has no rows, or if its first row cannot be read.
    pub channel: Option<String>,
    /// What was sent and committed, also if it failed.
    pub report: LoadReport,
    /// Why it was not loaded to its end.
    pub error: Option<Error>,
}

/// Where the channel has its name from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelNaming {
    Given,
    /// Each source has a channel that is named for it.
    ForSource,
}

/// A source that was looked at.
struct LookedAt<'s> {
    name: String,
    /// The channel that is named for it, if it has rows.
    channel: Result<Option<String>, Error>,
    source: HeldSource<'s>,
}

/// A source until its turn comes. A regular file is closed until then: there may be more of them than a process may open.
enum HeldSource<'s> {
    Open(Box<Source<'s>>),
    Closed { path: PathBuf, format: Format, check_line: CheckLine },
}

impl<'p> Loader<'p> {
    /// A loader that loads each source through the channel that is [named for it](Source::default_channel): see
    /// [`load_files`](Loader::load_files). Its [`load`](Loader::load) does so with one source, and opens no channel for one
    /// without rows.
    ///
    /// A pipe takes 2,000 channels; [`Pipe::drop_channel`] makes room, and forgets how far its file was loaded. The service
    /// itself forgets a channel that was idle for 30 days: then its file would be loaded again from its start.
    pub fn of_files(pipe: &Pipe) -> Loader<'p> {
        Loader { naming: ChannelNaming::ForSource, ..Loader::new(pipe, "") }
    }

    /// Loads many files one after the other, each through the channel that is named for it. One that fails does not stop the
    /// others.
    ///
    /// All are opened and looked at before anything is sent. Regular files are closed again until their turn comes, so there may
    /// be thousands of them. One that was deleted by then, or has another first row, fails. Settings are for each file by itself.
    /// [`LoadReport::file`] tells a callback which one it is about.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// let paths = ["monday.ndjson", "tuesday.ndjson.gz"];
    /// for file in Loader::of_files(pipe).load_files(paths.iter().map(Source::file))? {
    ///     match file.error {
    ///         None => println!("{}: {} rows are stored", file.name, file.report.rows),
    ///         Some(error) => println!("{}: {error}", file.name),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Blocking
    ///
    /// As [`load`](Loader::load), file by file.
    ///
    /// # Errors
    ///
    /// Only [`Config`](ErrorKind::Config), and then nothing was sent: one cannot be opened or is of no format of ours, two have
    /// the same channel, letter case ignored, or this loader is [for one channel](Loader::new). Anything else is the error of one
    /// file, in its [`FileLoad`], of the kinds that [`load`](Loader::load) has; a file that is gone or has changed by the time
    /// its turn comes is of kind [`Source`](ErrorKind::Source).
    pub fn load_files<'s>(
        &mut self,
        files: impl IntoIterator<Item = Result<Source<'s>, Error>>,
    ) -> Result<Vec<FileLoad>, Error> {
        self.check_many()?;
        let files = files.into_iter().map(|source| LookedAt::of(source?)).collect::<Result<Vec<_>, Error>>()?;
        check_channels(&files)?;
        for channel in files.iter().filter_map(|file| file.channel.as_ref().ok()?.as_ref()) {
            channel.clone_into(&mut self.settings.channel);
            self.check_settings()?;
        }
        let loaded = files.into_iter().enumerate().map(|(index, file)| self.load_file(index, file)).collect();
        self.file = 0;
        Ok(loaded)
    }

    /// False if there are no rows, and so no channel.
    pub(super) fn name_channel(&mut self, source: &mut Source<'_>) -> Result<bool, Error> {
        let channel = source.default_channel()?;
        let has_rows = channel.is_some();
        self.settings.channel = channel.unwrap_or_default();
        Ok(has_rows)
    }

    fn check_many(&self) -> Result<(), Error> {
        let refuse = |happened: &str, advice: &str| {
            Err(Error::new(ErrorKind::Config, happened).attempting("load several files").advise(advice))
        };
        if self.naming == ChannelNaming::Given {
            return refuse("one channel holds one source only", "make the loader with Loader::of_files");
        }
        match self.settings.expected {
            ExpectedOffset::Offset(_) => {
                refuse("several files have no common offset to expect", "load them one by one")
            }
            ExpectedOffset::Anything | ExpectedOffset::Nothing => Ok(()),
        }
    }

    fn load_file(&mut self, index: usize, file: LookedAt<'_>) -> FileLoad {
        let LookedAt { name, channel, source } = file;
        self.file = index;
        self.report = LoadReport { file: index, ..LoadReport::default() };
        let (channel, loaded) = match channel {
            Ok(Some(channel)) => {
                let loaded = source.open_for(&channel).and_then(|source| self.load(source));
                (Some(channel), loaded.map(|_| ()))
            }
            Ok(None) => (None, Ok(())),
            Err(error) => (None, Err(error)),
        };
        FileLoad { name, channel, report: self.report.clone(), error: loaded.err() }
    }
}

impl<'s> LookedAt<'s> {
    /// An error if the source cannot be loaded at all. A first row that is bad concerns this source alone.
    fn of(mut source: Source<'s>) -> Result<LookedAt<'s>, Error> {
        let channel = source.default_channel();
        if let Err(error) = &channel
            && error.kind() == ErrorKind::Config
        {
            return Err(error.clone());
        }
        Ok(LookedAt { name: source.name.clone(), channel, source: HeldSource::of(source) })
    }
}

impl<'s> HeldSource<'s> {
    fn of(mut source: Source<'s>) -> HeldSource<'s> {
        match source.path.take() {
            Some(path) => HeldSource::Closed { path, format: source.format(), check_line: source.check_line },
            None => HeldSource::Open(Box::new(source)),
        }
    }

    /// The source, if it still is the one that the channel is named for.
    fn open_for(self, channel: &str) -> Result<Source<'s>, Error> {
        let (path, format, check_line) = match self {
            HeldSource::Open(source) => return Ok(*source),
            HeldSource::Closed { path, format, check_line } => (path, format, check_line),
        };
        let gone = |error: Error| error.into_kind(ErrorKind::Source, "the file was there when all were looked at");
        let mut source = Source { check_line, ..Source::open(&path, format).map_err(gone)? };
        if source.default_channel().map_err(gone)?.as_deref() == Some(channel) {
            return Ok(source);
        }
        let error = Error::new(ErrorKind::Source, "its first row has changed since all files were looked at");
        Err(error.attempting(format!("load {}", source.name)).advise("run it again when no other program changes it"))
    }
}

/// No two sources may share a channel, nor those names that the service takes for one.
fn check_channels(files: &[LookedAt<'_>]) -> Result<(), Error> {
    let mut names = HashMap::new();
    for file in files {
        let Ok(Some(channel)) = &file.channel else { continue };
        if let Some(other) = names.insert(api::upper_case(channel), &file.name) {
            let happened = format!("{other} and {} have the same channel {channel}", file.name);
            return Err(Error::new(ErrorKind::Config, happened)
                .attempting("load several files")
                .advise("they may be the same file twice; otherwise give one another name, or load it by itself"));
        }
    }
    Ok(())
}
