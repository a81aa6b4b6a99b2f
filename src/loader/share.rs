use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::snowflake::status::ChannelStatus;

/// The rows of a source that one of several channels carries: fixed blocks, dealt by position. Pure but for the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// From zero.
    index: u64,
    of: u64,
}

impl Share {
    pub(super) const WHOLE: Share = Share { index: 0, of: 1 };

    pub(super) fn first(of: u64) -> Share {
        Share { index: 0, of }
    }

    pub(super) fn all(of: u64) -> impl Iterator<Item = Share> {
        (0..of).map(move |index| Share { index, of })
    }

    /// Positions count from one.
    pub(super) fn holds(self, position: u64) -> bool {
        self.of == 1 || Share::index_of(position, self.of) == self.index
    }

    /// Whose share holds a position.
    pub(super) fn index_of(position: u64, of: u64) -> u64 {
        (position - 1) / BLOCK % of
    }

    /// Carries index and number, so that no other number can take it for its own.
    pub(super) fn channel_name(self, base: &str) -> String {
        if self.of == 1 { base.to_string() } else { format!("{base}-{}-of-{}", self.index + 1, self.of) }
    }
}

/// Refuses a load that was begun with another number of channels: every channel would start from the beginning.
///
/// Relies on the first channel's being opened before any other.
pub(super) fn check_number(pipe: &Pipe, base: &str, channels: u64) -> Result<(), Error> {
    pipe.channel(base).check_name()?;
    let others = (1..=MAX_CHANNELS.into()).filter(|of| *of != channels);
    let firsts: Vec<_> = others.map(Share::first).collect();
    let found = statuses(pipe, base, firsts.iter().copied())?;
    // The first channel is opened before all others, and any of them may have got further than it.
    let is_begun = |first: &&Share| found.keys().any(|name| name.eq_ignore_ascii_case(&first.channel_name(base)));
    let found = statuses(pipe, base, firsts.iter().filter(is_begun).flat_map(|first| Share::all(first.of)))?;
    let Some(other) = found.into_iter().find(|(_, status)| status.committed_offset().is_some()).map(|(name, _)| name)
    else {
        return Ok(());
    };
    let happened = format!("channel {other} shows that it was begun with another number of channels");
    Err(Error::new(ErrorKind::Rejected, happened)
        .attempting(format!("load through {channels} channels named after {base}"))
        .advise("use the same number as before, or another channel name"))
}

fn statuses(
    pipe: &Pipe,
    base: &str,
    shares: impl Iterator<Item = Share>,
) -> Result<HashMap<String, ChannelStatus>, Error> {
    let names: Vec<_> = shares.map(|share| share.channel_name(base)).collect();
    // The service spells unquoted names in upper case.
    let spelt: Vec<_> = names.iter().cloned().chain(names.iter().map(|name| name.to_uppercase())).collect();
    let spelt: Vec<_> = spelt.iter().map(String::as_str).collect();
    match pipe.statuses(&spelt) {
        // A table's default pipe comes about with the first open: before that there is no channel either.
        Err(error) if error.status() == Some(404) => Ok(HashMap::new()),
        found => found,
    }
}

/// A file of a few thousand rows is dealt evenly, and a block is still much longer than a disk page.
const BLOCK: u64 = 1000;

/// So few that one question covers the names of all numbers, in both spellings.
pub(super) const MAX_CHANNELS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_channel() {
        for of in [1, 2, 3, 7] {
            for position in 1..=20_000 {
                assert_eq!(Share::all(of).filter(|share| share.holds(position)).count(), 1);
            }
        }
    }

    #[test]
    fn blocks_go_round() {
        let second = Share { index: 1, of: 3 };
        let held: Vec<_> = (1..=5000).filter(|position| second.holds(*position)).collect();
        assert_eq!((held[0], held[999], held[1000]), (1001, 2000, 4001));
    }

    #[test]
    fn names_carry_index_and_number() {
        let names: Vec<_> = Share::all(3).map(|share| share.channel_name("load")).collect();
        assert_eq!(names, ["load-1-of-3", "load-2-of-3", "load-3-of-3"]);
        assert_eq!(Share::WHOLE.channel_name("load"), "load");
    }
}
