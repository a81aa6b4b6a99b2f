//! The text of a source, its rows, and what changes in it between runs.

use super::schedule::Change;
use super::service::BAD;

/// Lines, of which some are blank.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    lines: Vec<String>,
    pub(super) is_unterminated: bool,
}

/// How a text is made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) rows: u16,
    /// Blank lines after each row.
    pub(super) blank_lines: u16,
    /// The service rejects every row of this number; none at zero.
    pub(super) bad_every: u8,
    /// Every row of this number is none; no row at zero.
    pub(super) unfit_every: u16,
    pub(super) is_unterminated: bool,
}

impl Shape {
    /// `source` tells one text from another.
    pub(super) fn text(&self, source: u8) -> Text {
        let mut text = Text { lines: Vec::new(), is_unterminated: self.is_unterminated };
        for row in 1..=self.rows {
            self.push(&mut text, source, row);
        }
        text
    }

    fn push(&self, text: &mut Text, source: u8, row: u16) {
        let is_bad = self.bad_every > 0 && row.is_multiple_of(self.bad_every.into());
        let bad = if is_bad { BAD } else { "" };
        let is_unfit = self.unfit_every > 0 && row.is_multiple_of(self.unfit_every);
        let line = match is_unfit {
            true => format!("\"{source},{row}\""),
            false => format!("{{\"S\":{source},\"ID\":{row},\"T\":\"{bad}\"}}"),
        };
        // Blanks around a row are no part of it.
        text.lines.push(if self.blank_lines > 0 && row.is_multiple_of(5) { format!(" \t{line} \r") } else { line });
        text.lines.extend((0..self.blank_lines).map(|line| if line % 2 == 0 { String::new() } else { " \t".into() }));
    }

    pub(super) fn changed(&self, text: &Text, change: &Change, source: u8) -> Text {
        let mut changed = text.clone();
        match change {
            Change::OtherSource => return self.text(source),
            Change::FirstSource => return self.text(0),
            Change::Longer(rows) => {
                let from = text.rows().len() as u16;
                (1..=u16::from(*rows)).for_each(|row| self.push(&mut changed, source, from + row));
            }
            Change::Shorter(rows) => {
                let left = text.lines.len().saturating_sub(usize::from(*rows) * (1 + usize::from(self.blank_lines)));
                changed.lines.truncate(left);
            }
            Change::Edited(row) => {
                let rows: Vec<_> = changed.lines.iter_mut().filter(|line| !line.trim().is_empty()).collect();
                let count = rows.len().max(1);
                if let Some(line) = rows.into_iter().nth(usize::from(*row) % count) {
                    *line = line.replacen("\"ID\":", &format!("\"E{source}\":1,\"ID\":"), 1);
                }
            }
            Change::Again | Change::Channels(_) | Change::OtherKind | Change::ThirtyDays => {}
        }
        changed
    }
}

impl Text {
    pub(super) fn push_line(&mut self, line: String) {
        self.lines.push(line);
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = self.lines.join("\n");
        if !self.is_unterminated && !self.lines.is_empty() {
            text.push('\n');
        }
        text.into_bytes()
    }

    /// Whether its last line is none that could be complete.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_unterminated && self.lines.last().is_some_and(|line| is_unfit(line.trim()))
    }

    /// With their line numbers, those that are none included.
    pub(super) fn rows(&self) -> Vec<(u64, &str)> {
        let lines = self.lines.iter().zip(1..).map(|(line, number)| (number, line.trim()));
        lines.filter(|(_, line)| !line.is_empty()).collect()
    }
}

/// Whether a line is no row.
pub(super) fn is_unfit(row: &str) -> bool {
    row.starts_with('"')
}
