//! What must hold after a run of a load.

use super::load::{Kind, Loading};
use super::schedule::{Fault, What};
use super::service::{FOREIGN, Held, own};
use super::text::is_unfit;
use super::world::State;
use crate::error::{Error, ErrorKind};
use crate::loader::LoadReport;

/// What each channel of the source must hold in the end.
#[derive(Debug)]
pub(super) struct LoadCheck {
    parts: Vec<Part>,
    max_errors: u64,
    /// The source ends with a line that its writer may not have finished.
    is_cut_off: bool,
}

/// The rows of one channel, with their offset tokens.
#[derive(Debug)]
struct Part {
    channel: String,
    rows: Vec<String>,
    tokens: Vec<String>,
    /// Positions and texts of those that are none.
    unfit: Vec<(u64, String)>,
    /// Over all of them, each followed by a line feed.
    fingerprint: flate2::Crc,
}

/// One channel in one run.
struct Found<'f> {
    part: &'f Part,
    /// From one deletion to the next.
    lives: Vec<&'f Held>,
}

impl LoadCheck {
    pub(super) fn new(loading: &Loading, max_errors: u8) -> LoadCheck {
        let channels = u64::from(loading.channels);
        let mut parts: Vec<_> = (1..=channels).map(|number| Part::new(number, channels)).collect();
        for ((line, row), place) in loading.text.rows().into_iter().zip(1..) {
            let position = if loading.kind == Kind::Rows { place } else { line };
            parts[((position - 1) / 1000 % channels) as usize].push(position, row);
        }
        let is_cut_off = loading.kind != Kind::Rows && loading.text.is_cut_off();
        LoadCheck { parts, max_errors: max_errors.into(), is_cut_off }
    }

    fn found<'f>(&'f self, state: &'f State) -> Vec<Found<'f>> {
        let lives = |part: &Part| {
            let is_part = |held: &&Held| held.at_open.is_some() && held.name.eq_ignore_ascii_case(&part.channel);
            let deleted = state.service.deleted.iter().filter(is_part);
            deleted.chain(state.service.channel(&part.channel)).collect()
        };
        self.parts.iter().map(|part| Found { part, lives: lives(part) }).collect()
    }

    fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    fn unfit(&self) -> u64 {
        self.parts.iter().map(|part| part.unfit.len() as u64).sum()
    }

    /// Whether a row that is none may end the load.
    fn may_refuse(&self) -> bool {
        self.is_cut_off || self.unfit() > self.max_errors
    }

    /// A row that is left out is none, and no later row of its channel was sent.
    pub(super) fn left_out(&self, position: u64, text: &[u8], state: &State) -> Result<(), String> {
        let is_it = |(at, row): &&(u64, String)| *at == position && row.as_bytes() == text.trim_ascii();
        let Some(part) = self.parts.iter().find(|part| part.unfit.iter().any(|row| is_it(&row))) else {
            return Err(format!("row {position} is left out"));
        };
        let mut appends = state.appends.iter().filter(|append| part.channel.eq_ignore_ascii_case(&append.channel));
        let end = |token: &String| token.split('-').next().and_then(|end| end.parse::<u64>().ok());
        match appends.any(|append| append.end.as_ref().and_then(end) > Some(position)) {
            true => Err(format!("row {position} is handed over after a later row was sent")),
            false => Ok(()),
        }
    }

    /// A report never says more than is true.
    pub(super) fn progress(&self, report: &LoadReport, state: &State) -> Result<(), String> {
        let found = self.found(state);
        let processed: usize = found.iter().map(Found::processed).sum();
        if report.rows as usize > processed {
            return Err(format!("{} rows are reported and {processed} are processed", report.rows));
        }
        let (Some(offset), [only]) = (&report.committed_offset, &self.parts[..]) else { return Ok(()) };
        match only.tokens.iter().position(|token| *token == offset.as_str()) {
            Some(index) if index < processed => Ok(()),
            // What it found at open is reported as it is.
            None if !found[0].begins_here() => Ok(()),
            _ => Err(format!("offset {offset} is reported as committed, and {processed} rows are processed")),
        }
    }

    /// Whether running it again will change nothing.
    pub(super) fn judge(
        &self,
        outcome: &Result<LoadReport, Error>,
        report: &LoadReport,
        state: &State,
    ) -> Result<bool, String> {
        self.progress(report, state)?;
        let found = self.found(state);
        for channel in &found {
            channel.check_stored()?;
        }
        self.check_appends(state)?;
        let has_other_number = state.service.channels().any(|held| self.is_other(held));
        let is_ours = found.iter().all(Found::begins_here);
        match outcome {
            Ok(report) => self.check_end(&found, report, None, state).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotStored => {
                self.check_end(&found, report, Some(error.rows_rejected()), state).map(|()| true)
            }
            Err(error) if error.kind() == ErrorKind::Row && self.may_refuse() => {
                check_offset(error, state).map(|()| true)
            }
            Err(error) => {
                check_offset(error, state)?;
                let is_unclear = found.iter().any(Found::is_unclear);
                let may_conflict = !is_ours || is_unclear || has_other_number || state.has_struck(is_intrusion);
                check_kind(error, may_conflict, state)?;
                let is_undisturbed = state.is_undisturbed();
                let is_late = error.kind() == ErrorKind::Timeout;
                if is_undisturbed && !is_late && !(may_conflict && error.kind() == ErrorKind::Conflict) {
                    return Err("nothing was in the way of this run".into());
                }
                Ok(may_conflict && error.kind() == ErrorKind::Conflict && !state.has_struck(is_intrusion))
            }
        }
    }

    /// All is stored, or rejected and reported: `refused` says how many rejected rows there are if they are too many.
    fn check_end(
        &self,
        found: &[Found<'_>],
        report: &LoadReport,
        refused: Option<u64>,
        state: &State,
    ) -> Result<(), String> {
        for channel in found {
            channel.check_complete()?;
        }
        let mut all: Vec<_> = state.service.channels().flat_map(Held::own_rows).collect();
        all.sort_unstable();
        if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{} is stored twice, in different channels", pair[0]));
        }
        if report.rows as usize != self.rows() {
            return Err(format!("{} rows are reported of {}", report.rows, self.rows()));
        }
        let expected: u64 = found.iter().map(Found::rejected).sum();
        let reported = report.rows_rejected + report.rows_rejected_before;
        let is_right = reported == expected && refused.is_none_or(|refused| refused == expected);
        if !is_right && !state.may_miscount() {
            return Err(format!("{expected} rows were rejected, {reported} are reported, refused: {refused:?}"));
        }
        let unfit = self.unfit();
        if report.bad_rows != unfit || self.may_refuse() {
            return Err(format!(
                "{unfit} rows are none, {} are left out of {} allowed",
                report.bad_rows, self.max_errors
            ));
        }
        if refused.is_none() && expected + unfit > self.max_errors {
            return Err(format!("{expected} rows were rejected, {unfit} are none, {} are allowed", self.max_errors));
        }
        Ok(())
    }

    /// Every request had the tokens of its own rows.
    fn check_appends(&self, state: &State) -> Result<(), String> {
        for append in &state.appends {
            let part = self.parts.iter().find(|part| part.channel.eq_ignore_ascii_case(&append.channel));
            let (Some(part), Some(start)) = (part, &append.start) else {
                return Err(format!("an append to {} from {:?}", append.channel, append.start));
            };
            let Some(from) = part.tokens.iter().position(|token| token == start) else {
                return Err(format!("an append begins with {start}, which is no row's"));
            };
            let to = (from + append.rows.len()).min(part.rows.len());
            let sent: Vec<_> = append.rows.iter().map(|row| row.trim()).collect();
            if part.rows[from..to] != sent[..] || append.end.as_ref() != part.tokens[..to].last() {
                return Err(format!("an append from {start} to {:?} has other rows: {sent:?}", append.end));
            }
        }
        Ok(())
    }

    /// Left behind by a load with another number of channels.
    fn is_other(&self, held: &Held) -> bool {
        !self.parts.iter().any(|part| part.channel.eq_ignore_ascii_case(&held.name))
    }
}

impl Part {
    fn new(number: u64, channels: u64) -> Part {
        let channel = if channels == 1 { "load".to_string() } else { format!("load-{number}-of-{channels}") };
        Part { channel, rows: Vec::new(), tokens: Vec::new(), unfit: Vec::new(), fingerprint: flate2::Crc::new() }
    }

    fn push(&mut self, position: u64, row: &str) {
        self.fingerprint.update(row.as_bytes());
        self.fingerprint.update(b"\n");
        if is_unfit(row) {
            return self.unfit.push((position, row.to_string()));
        }
        self.rows.push(row.to_string());
        self.tokens.push(format!("{position}-{:08x}", self.fingerprint.sum()));
    }
}

impl Found<'_> {
    /// How far it was when this run opened it first.
    fn at_open(&self) -> Option<(&Held, usize)> {
        self.lives.iter().find_map(|held| Some((*held, held.at_open?)))
    }

    /// Rows of another program without an offset, and none of this source before them.
    fn is_unclear(&self) -> bool {
        self.at_open().is_some_and(|(held, rows)| rows > 0 && held.offset_at_open.is_none())
    }

    /// What the channel had at open is the beginning of this source.
    fn begins_here(&self) -> bool {
        let Some((held, rows)) = self.at_open() else { return true };
        let is_foreign = held.offset_at_open.as_ref().is_some_and(|offset| offset.starts_with("w2-"));
        !is_foreign && self.is_beginning(&own(&held.processed[..rows]))
    }

    fn is_beginning(&self, rows: &[&str]) -> bool {
        let rows: Vec<_> = rows.iter().map(|row| row.trim()).collect();
        rows.len() <= self.part.rows.len() && self.part.rows[..rows.len()] == rows[..]
    }

    fn processed(&self) -> usize {
        self.lives.iter().map(|held| held.own_processed().len()).sum()
    }

    /// Rejected rows, which every run reports.
    fn rejected(&self) -> u64 {
        let rejected = |held: &Held| held.processed.iter().filter(|row| row.is_rejected).count();
        self.lives.iter().map(|held| rejected(held) as u64).sum()
    }

    /// Each row once and in order, and nothing behind what is not of this source.
    fn check_stored(&self) -> Result<(), String> {
        let channel = &self.part.channel;
        if !self.begins_here() {
            let appended: usize = self.lives.iter().map(|held| held.appended).sum();
            return if appended == 0 { Ok(()) } else { Err(format!("{channel} has another source, and got rows")) };
        }
        for held in self.lives.iter().filter(|held| held.appended > 0) {
            let rows = held.own_rows();
            if !self.is_beginning(&rows) {
                return Err(format!("{channel} does not hold the beginning of its rows: {rows:?}"));
            }
        }
        Ok(())
    }

    fn check_complete(&self) -> Result<(), String> {
        let channel = &self.part.channel;
        if !self.begins_here() {
            return Err(format!("{channel} has another source, which was not noticed"));
        }
        let stored: Vec<_> = self.lives.iter().flat_map(|held| held.own_processed()).collect();
        if stored.len() != self.part.rows.len() || !self.is_beginning(&stored) {
            return Err(format!("{channel} has {} of {} rows: {stored:?}", stored.len(), self.part.rows.len()));
        }
        Ok(())
    }
}

fn is_intrusion(what: &What) -> bool {
    matches!(what, What::Drop | What::SecondWriter { .. })
}

/// An offset that an error names was committed.
pub(super) fn check_offset(error: &Error, state: &State) -> Result<(), String> {
    let Some(offset) = error.committed_offset() else { return Ok(()) };
    let mut channels = state.service.channels().chain(&state.service.deleted);
    match channels.any(|held| held.has_committed(offset)) {
        true => Ok(()),
        false => Err(format!("the error names {offset}, which was never committed")),
    }
}

/// Whether there is a reason for this kind of error.
pub(super) fn check_kind(error: &Error, may_conflict: bool, state: &State) -> Result<(), String> {
    let is_possible = match error.kind() {
        ErrorKind::Conflict => may_conflict,
        ErrorKind::Config => state.was_killed(),
        ErrorKind::Row | ErrorKind::Clock => false,
        ErrorKind::Stopped => state.has_struck(|what| *what == What::Stop),
        ErrorKind::Source => state.has_struck(|what| matches!(what, What::Grow(_))),
        ErrorKind::Protocol => state.has_fault(|fault| fault == Fault::Garbled),
        ErrorKind::Credentials => state.has_fault(|fault| fault == Fault::Unauthorized),
        _ => true,
    };
    let foreign = error.to_string().contains(FOREIGN);
    if is_possible && !foreign { Ok(()) } else { Err(format!("there is no reason for {:?}", error.kind())) }
}
