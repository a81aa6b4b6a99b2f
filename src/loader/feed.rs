use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};

use super::lines::{Lines, Next, TOO_LONG, is_blank};
use super::run::{MAX_FILL_TIME, foreign};
use super::share::Share;
use super::source::{Input, NextRow, PushLine, Source};
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// Turns a source into batches whose rows carry their position, and goes back to any position that was sent.
pub(super) struct Feed<'s> {
    name: String,
    input: Input<'s>,
    push_line: PushLine,
    lines: Lines,
    /// The rows that are ours.
    share: Share,
    /// The place of the value that was taken last; lines count themselves.
    position: u64,
    /// A row that was one too many for its batch.
    left_over: Option<Vec<u8>>,
    /// Why a source that is read once could give no more: what comes after its failure is not its next row.
    failed: Option<Error>,
    /// Where batches began, so that going back is a seek and a short read.
    checkpoints: VecDeque<Checkpoint>,
}

#[derive(Clone, Copy)]
struct Checkpoint {
    /// The position before the one that begins here.
    position: u64,
    offset: u64,
}

impl<'s> Feed<'s> {
    pub(super) fn new(source: Source<'s>, share: Share) -> Feed<'s> {
        let start = Checkpoint { position: 0, offset: 0 };
        Feed {
            name: source.name,
            input: source.input,
            push_line: source.push_line,
            lines: Lines::default(),
            share,
            position: 0,
            left_over: None,
            failed: None,
            checkpoints: VecDeque::from([start]),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether rows already given can be given again.
    pub(super) fn can_go_back(&self) -> bool {
        matches!(self.input, Input::File(_))
    }

    /// Fills an empty batch up to so many bytes, or until it is time to send what there is; a longer row goes alone. An empty
    /// batch afterwards is the end.
    ///
    /// On an error the batch holds the rows before it, and the next call meets the error again.
    pub(super) fn fill(&mut self, batch: &mut Batch, limit: usize, is_time: &dyn Fn() -> bool) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let filled = self.fill_from_input(batch, limit, is_time);
        if !self.can_go_back() {
            self.failed = filled.as_ref().err().cloned();
        }
        filled
    }

    fn fill_from_input(&mut self, batch: &mut Batch, limit: usize, is_time: &dyn Fn() -> bool) -> Result<(), Error> {
        let (lines, filling) =
            (&mut self.lines, Filling { share: self.share, push_line: self.push_line, limit, is_time });
        match &mut self.input {
            Input::File(file) => fill_lines(&self.name, lines, file, batch, filling)?,
            Input::Stream(reader) => fill_lines(&self.name, lines, reader, batch, filling)?,
            Input::Rows(_) => return self.fill_rows(batch, limit, is_time),
            Input::Dealt(dealt) => {
                dealt.take(batch, MAX_FILL_TIME);
                return Ok(());
            }
        }
        self.checkpoints.push_back(Checkpoint { position: self.lines.number(), offset: self.lines.offset() });
        Ok(())
    }

    fn fill_rows(&mut self, batch: &mut Batch, limit: usize, is_time: &dyn Fn() -> bool) -> Result<(), Error> {
        let Input::Rows(next) = &mut self.input else { return Ok(()) };
        if let Some(row) = self.left_over.take() {
            self.position += 1;
            batch.push_checked(&row);
            batch.mark(self.position);
        }
        while batch.bytes() < limit {
            match next(Some(batch)) {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.attempting(format!("read row {}", self.position + 1))),
                Some(Ok(())) => {}
            }
            if batch.bytes() > limit && batch.rows() > 1 {
                self.left_over = batch.pop();
                return Ok(());
            }
            self.position += 1;
            batch.mark(self.position);
            if batch.rows().is_multiple_of(ROWS_PER_LOOK) && is_time() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Passes over everything up to a position that must hold a row; tells how many rows that were.
    pub(super) fn skip_to(&mut self, position: u64) -> Result<u64, Error> {
        let rows = match &mut self.input {
            Input::File(file) => skip_lines(&mut self.lines, self.share, file, position),
            Input::Stream(reader) => skip_lines(&mut self.lines, self.share, reader, position),
            Input::Rows(next) => return skip_rows(next, &mut self.position, position),
            Input::Dealt(dealt) => return dealt.resume_after(position),
        };
        let rows = rows.map_err(|error| unreadable(&self.name, self.lines.number() + 1, error))?;
        self.checkpoints = VecDeque::from([Checkpoint { position, offset: self.lines.offset() }]);
        rows.ok_or_else(|| foreign(position))
    }

    /// Goes back to just after a position; only where [`can_go_back`](Feed::can_go_back).
    pub(super) fn go_back_to(&mut self, position: u64) -> Result<(), Error> {
        let Input::File(file) = &mut self.input else { return Ok(()) };
        self.checkpoints.retain(|checkpoint| checkpoint.position <= position);
        let near = self.checkpoints.back().copied().unwrap_or(Checkpoint { position: 0, offset: 0 });
        let sought = file.seek(SeekFrom::Start(near.offset));
        self.lines.starting_at(near.offset, near.position);
        sought
            .and_then(|_| skip_lines(&mut self.lines, self.share, file, position))
            .map_err(|error| unreadable(&self.name, self.lines.number() + 1, error))?;
        Ok(())
    }

    /// Nobody will ask to go back before this position.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.checkpoints.get(1).is_some_and(|next| next.position <= position) {
            self.checkpoints.pop_front();
        }
    }
}

/// Which rows go into a batch, and when it is enough.
#[derive(Clone, Copy)]
struct Filling<'f> {
    share: Share,
    push_line: PushLine,
    limit: usize,
    is_time: &'f dyn Fn() -> bool,
}

fn fill_lines(
    name: &str,
    lines: &mut Lines,
    input: &mut dyn Read,
    batch: &mut Batch,
    filling: Filling<'_>,
) -> Result<(), Error> {
    let Filling { share, push_line, limit, is_time } = filling;
    loop {
        let number = lines.number() + 1;
        let line = match lines.peek(input, || batch.is_empty() || !is_time()) {
            Ok(Next::Line(line)) => line,
            Ok(Next::Later | Next::End) => return Ok(()),
            Err(error) => return Err(unreadable(name, number, error)),
        };
        let length = line.len();
        if share.holds(number) && !is_blank(line) {
            if !batch.is_empty() && batch.bytes() + length >= limit {
                return Ok(());
            }
            push_line(batch, line).map_err(|error| error.attempting(format!("read line {number} of {name}")))?;
            batch.mark(number);
        }
        lines.advance(length);
    }
}

/// The number of rows passed over; none when the position is not that of a row.
fn skip_lines(lines: &mut Lines, share: Share, input: &mut dyn Read, position: u64) -> io::Result<Option<u64>> {
    let mut rows = 0;
    let mut last_is_row = true;
    while lines.number() < position {
        let number = lines.number() + 1;
        let Next::Line(line) = lines.peek(input, || true)? else { return Ok(None) };
        let length = line.len();
        last_is_row = share.holds(number) && !is_blank(line);
        rows += u64::from(last_is_row);
        lines.advance(length);
    }
    Ok(last_is_row.then_some(rows))
}

fn skip_rows(next: &mut NextRow<'_>, at: &mut u64, position: u64) -> Result<u64, Error> {
    let rows = position.saturating_sub(*at);
    while *at < position {
        next(None).unwrap_or_else(|| Err(foreign(position)))?;
        *at += 1;
    }
    Ok(rows)
}

pub(super) fn unreadable(name: &str, number: u64, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::InvalidData && error.to_string() == TOO_LONG {
        let happened = format!("it is longer than {} bytes, the most a row may have", Batch::MAX_ROW_BYTES);
        return Error::new(ErrorKind::Rejected, happened).attempting(format!("read line {number} of {name}"));
    }
    Error::new(ErrorKind::Source, format!("reading failed: {error}"))
        .attempting(format!("read line {number} of {name}"))
        .with_source(error)
}

/// Looking at the clock costs a fraction of encoding so many rows.
const ROWS_PER_LOOK: usize = 16;
