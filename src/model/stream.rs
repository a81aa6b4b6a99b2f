//! What a program must keep to that writes numbered rows to one channel and resumes after the committed offset.

use super::schedule::What;
use super::service::Held;
use super::world::State;

/// The rows from 1 to `count`, through the channel `stream`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stream {
    pub(super) count: u16,
    pub(super) bad_every: u8,
    /// Offset tokens are texts instead of numbers.
    pub(super) has_text_tokens: bool,
}

impl Stream {
    pub(super) const CHANNEL: &str = "stream";

    pub(super) fn random(random: &mut fastrand::Rng) -> Stream {
        Stream {
            count: random.u16(1..40),
            bad_every: random.choice([0, 0, 0, 1, 3, 7]).unwrap_or(0),
            has_text_tokens: random.bool(),
        }
    }

    pub(super) fn row(&self, number: u16) -> String {
        let is_bad = self.bad_every > 0 && number.is_multiple_of(self.bad_every.into());
        format!("{{\"ID\":{number},\"T\":\"{}\"}}", if is_bad { super::service::BAD } else { "" })
    }

    pub(super) fn token(&self, number: u16) -> String {
        if self.has_text_tokens { format!("r-{number}") } else { number.to_string() }
    }

    /// The row after this offset; `None` if it is another program's.
    pub(super) fn after(&self, offset: Option<&str>) -> Option<u16> {
        let Some(offset) = offset else { return Some(1) };
        (1..=self.count).find(|number| self.token(*number) == offset).map(|number| number + 1)
    }

    /// Each row once and in order.
    pub(super) fn check_stored(&self, state: &State) -> Result<(), String> {
        for held in lives(state).filter(|held| held.appended > 0) {
            self.check_beginning(&held.own_rows())?;
        }
        Ok(())
    }

    /// All rows up to this one are committed, in the same life of the channel as at open or in all together.
    pub(super) fn check_committed(&self, last: u16, state: &State) -> Result<(), String> {
        let stored: Vec<_> = lives(state).flat_map(Held::own_processed).collect();
        self.check_beginning(&stored)?;
        if stored.len() < usize::from(last) {
            return Err(format!(
                "{} rows are stored of {last} that are said to be committed: {stored:?}",
                stored.len()
            ));
        }
        Ok(())
    }

    fn check_beginning(&self, rows: &[&str]) -> Result<(), String> {
        let is_beginning = rows.iter().zip(1..).all(|(row, number)| *row == self.row(number));
        if is_beginning {
            Ok(())
        } else {
            Err(format!("the channel does not hold the beginning of its rows: {rows:?}"))
        }
    }

    /// Rows that were rejected since the current run opened the channel.
    pub(super) fn rejected(&self, state: &State) -> u64 {
        let rejected = |held: &Held| {
            let since_open = &held.processed[held.at_open.unwrap_or(0)..];
            since_open.iter().filter(|row| row.is_rejected).count() as u64
        };
        lives(state).map(rejected).sum()
    }

    /// Another program has appended rows with offsets to it.
    pub(super) fn is_shared(&self, state: &State) -> bool {
        lives(state).any(Held::has_foreign_offset)
    }

    pub(super) fn simpler(&self) -> Vec<Stream> {
        let mut simpler = vec![
            Stream { count: self.count / 2, ..self.clone() },
            Stream { count: self.count.saturating_sub(1), ..self.clone() },
            Stream { bad_every: 0, ..self.clone() },
            Stream { has_text_tokens: false, ..self.clone() },
        ];
        simpler.retain(|stream| stream != self);
        simpler
    }
}

/// The channel, and what was deleted of it in the current run.
fn lives(state: &State) -> impl Iterator<Item = &Held> {
    let deleted = state.service.deleted.iter().filter(|held| held.at_open.is_some());
    deleted.chain(state.service.channel(Stream::CHANNEL))
}

/// Whether this takes the channel away.
pub(super) fn is_theft(what: &What) -> bool {
    matches!(what, What::Steal { .. } | What::SecondWriter { .. } | What::Drop)
}

pub(super) fn is_intrusion(what: &What) -> bool {
    matches!(what, What::Drop | What::SecondWriter { .. })
}
