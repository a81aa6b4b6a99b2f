use std::io::Read;

use super::feed::unreadable;
use super::hand::{Closing, Hand, Want};
use super::lines::{Lines, Next, is_blank};
use super::share::Share;
use super::source::{Input, NextRow, PushLine, Source};
use crate::error::Error;
use crate::rows::Batch;

/// Takes the rows of a source that is read once, in order, and gives each to the hand whose share holds it.
///
/// Ends with the source, with its failure, or when nobody takes rows any more; the hands are closed then, also by a panic of
/// the source.
pub(super) fn deal(source: Source<'_>, hands: &[Hand]) -> Result<(), Error> {
    let _closing = Closing(hands);
    let mut dealer = Dealer { name: source.name, push_line: source.push_line, hands, row: Batch::new() };
    match source.input {
        Input::File(mut file) => dealer.deal_lines(&mut file),
        Input::Stream(mut reader) => dealer.deal_lines(&mut reader),
        Input::Rows(next) => dealer.deal_rows(next),
        // These are dealt already, to somebody else.
        Input::Dealt(_) => Ok(()),
    }
}

struct Dealer<'h> {
    name: String,
    push_line: PushLine,
    hands: &'h [Hand],
    /// The one row that is on its way.
    row: Batch,
}

impl<'h> Dealer<'h> {
    fn deal_lines(&mut self, input: &mut dyn Read) -> Result<(), Error> {
        let mut lines = Lines::default();
        loop {
            let number = lines.number() + 1;
            let line = match lines.peek(input, || true) {
                Ok(Next::Line(line)) => line,
                Ok(Next::Later | Next::End) => return Ok(()),
                Err(error) => return Err(unreadable(&self.name, number, error)),
            };
            let length = line.len();
            if !is_blank(line) && !self.deal_line(number, line)? {
                return Ok(());
            }
            lines.advance(length);
        }
    }

    /// Whether anybody wants more.
    fn deal_line(&mut self, number: u64, line: &[u8]) -> Result<bool, Error> {
        let hand = self.hand_of(number);
        match hand.want(number) {
            Want::Row => {
                self.row.clear();
                let pushed = (self.push_line)(&mut self.row, line);
                pushed.map_err(|error| error.attempting(format!("read line {number} of {}", self.name)))?;
                hand.give(number, &self.row);
            }
            Want::Nothing => hand.pass_over(number),
            Want::Gone => return Ok(self.is_wanted()),
        }
        Ok(true)
    }

    fn deal_rows(&mut self, mut next: NextRow<'_>) -> Result<(), Error> {
        for position in 1.. {
            let hand = self.hand_of(position);
            let want = hand.want(position);
            if want == Want::Gone && !self.is_wanted() {
                return Ok(());
            }
            self.row.clear();
            match next((want == Want::Row).then_some(&mut self.row)) {
                None => return Ok(()),
                Some(taken) => taken.map_err(|error| error.attempting(format!("read row {position}")))?,
            }
            match want {
                Want::Row => hand.give(position, &self.row),
                Want::Nothing => hand.pass_over(position),
                Want::Gone => {}
            }
        }
        Ok(())
    }

    fn hand_of(&self, position: u64) -> &'h Hand {
        &self.hands[Share::index_of(position, self.hands.len() as u64) as usize]
    }

    fn is_wanted(&self) -> bool {
        !self.hands.iter().all(Hand::is_closed)
    }
}
