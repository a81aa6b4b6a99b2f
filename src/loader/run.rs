use std::ops::ControlFlow;
use std::time::Duration;

use super::feed::Feed;
use super::read_ahead;
use super::sink::{Before, Sink};
use super::source::Source;
use super::{LoadReport, Settings};
use crate::channel::Channel;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::Batch;

/// One load through one channel, from the first opening of the channel to the last commit.
pub(super) struct Run<'r, 's> {
    feed: Feed<'s>,
    sink: Sink<'r>,
    batch_bytes: usize,
    pipelined: bool,
    pipe: Pipe,
}

impl<'r, 's> Run<'r, 's> {
    /// Opens the channel and takes the source to where the channel stands.
    pub(super) fn start(
        settings: &Settings,
        source: Source<'s>,
        before: Before,
        report: &'r mut LoadReport,
        on_progress: &'r mut dyn FnMut(&LoadReport),
    ) -> Result<Run<'r, 's>, Error> {
        let mut feed = Feed::new(source, settings.share);
        let channel = settings.open_channel()?;
        let resuming = format!("resume channel {} with {}", channel.name(), feed.name());
        let landed = committed_position(&channel).map_err(|error| error.attempting(&*resuming))?;
        report.skipped = feed.skip_to(landed).map_err(|error| error.attempting(&*resuming))?;
        let delivery = Delivery::new(channel, settings.commit_timeout).retaining_at_most(settings.retained_bytes);
        let sink = Sink::new(delivery, !feed.can_go_back(), before, report, on_progress);
        Ok(Run {
            feed,
            sink,
            batch_bytes: settings.batch_bytes,
            pipelined: settings.pipelined,
            pipe: settings.pipe.clone(),
        })
    }

    /// Sends and waits; whenever the channel is lost, opens it again and goes on from what is committed. What there is to say
    /// of rows that the service could not store is handed back: all else is committed then.
    pub(super) fn complete(mut self) -> Result<Option<Error>, Error> {
        loop {
            let result = self.pass();
            self.sink.tell();
            let error = match result {
                Ok(None) => return Ok(self.rejected()),
                Ok(Some(source_failure)) => return Err(source_failure),
                Err(error) => error,
            };
            self.sink.delivery.recover(error)?;
            self.sink.tell();
            self.feed.go_back_to(committed_position(self.sink.delivery.channel())?)?;
        }
    }

    /// All that the source can give, committed; what it could not give is handed back as its error.
    fn pass(&mut self) -> Result<Option<Error>, Error> {
        self.sink.send_kept()?;
        let source_failure = match self.sink.failed() {
            Some(failed) => Some(failed.clone()),
            None => self.send_rest()?,
        };
        self.sink.wait_for_commits()?;
        Ok(source_failure)
    }

    fn send_rest(&mut self) -> Result<Option<Error>, Error> {
        match self.pipelined {
            true => read_ahead::send_all(&mut self.feed, &mut self.sink, self.batch_bytes, &self.pipe),
            false => self.send_all(),
        }
    }

    fn send_all(&mut self) -> Result<Option<Error>, Error> {
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let filled = fill(&mut self.feed, &mut batch, self.batch_bytes, &self.pipe);
            let sent = self.sink.send(&batch);
            if let ControlFlow::Break(source_failure) = conclude(sent, filled, batch.is_empty())? {
                return Ok(source_failure);
            }
            self.forget_landed();
        }
    }

    fn rejected(&self) -> Option<Error> {
        match self.sink.delivery.totals().rejected {
            0 => None,
            rejected => Some(self.sink.delivery.rejected(rejected)),
        }
    }

    fn forget_landed(&mut self) {
        if let Some(landed) = self.sink.delivery.landed().and_then(|token| token.as_u64()) {
            self.feed.forget_before(landed);
        }
    }
}

/// A slow source does not hold back the rows it has given.
pub(super) fn fill(feed: &mut Feed<'_>, batch: &mut Batch, limit: usize, pipe: &Pipe) -> Result<(), Error> {
    let began = pipe.clock().now();
    feed.fill(batch, limit, &|| pipe.clock().now().since(began) >= MAX_FILL_TIME)
}

/// What follows from sending what the source gave; breaks at its end, with the error of the row that it could not give.
pub(super) fn conclude(
    sent: Result<(), Error>,
    filled: Result<(), Error>,
    is_end: bool,
) -> Result<ControlFlow<Option<Error>>, Error> {
    match sent {
        Err(error) if is_bad_row(&error) => return Ok(ControlFlow::Break(Some(error))),
        sent => sent?,
    }
    Ok(match filled {
        Err(error) => ControlFlow::Break(Some(error)),
        Ok(()) if is_end => ControlFlow::Break(None),
        Ok(()) => ControlFlow::Continue(()),
    })
}

/// Zero for a channel that has committed nothing; positions begin with one.
fn committed_position(channel: &Channel) -> Result<u64, Error> {
    let Some(token) = channel.committed_offset() else { return Ok(0) };
    match token.as_u64() {
        Some(position) if position > 0 => Ok(position),
        _ => Err(foreign(token)),
    }
}

pub(super) fn foreign(token: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Rejected, format!("its committed offset {token} is not the place of a row of it"))
        .advise("the channel was used for something else: give this load a channel name of its own")
}

/// Refused on our side: no response was involved, and the rows before it are sent.
fn is_bad_row(error: &Error) -> bool {
    error.kind() == ErrorKind::Rejected && error.status().is_none()
}

/// As long as a row may wait for others to fill its request.
pub(super) const MAX_FILL_TIME: Duration = Duration::from_secs(1);
