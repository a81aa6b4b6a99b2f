use crate::snowflake::api;

/// The rows of a source that one of several channels carries: fixed blocks of positions, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// From zero.
    index: u64,
    count: u64,
}

impl Partition {
    /// All rows, for a single channel.
    pub(super) const WHOLE: Partition = Partition { index: 0, count: 1 };

    pub(super) fn first(count: u64) -> Partition {
        Partition { index: 0, count }
    }

    pub(super) fn all(count: u64) -> impl Iterator<Item = Partition> {
        (0..count).map(move |index| Partition { index, count })
    }

    /// Positions count from one.
    pub(super) fn holds(self, position: u64) -> bool {
        self.count == 1 || Partition::index_of(position, self.count) == self.index
    }

    /// Which of `count` partitions holds the position.
    pub(super) fn index_of(position: u64, count: u64) -> u64 {
        (position - 1) / BLOCK % count
    }

    /// Carries index and count, so that a load with another count never resumes this channel.
    ///
    /// The name of several is in upper case, unless it is quoted; a single one keeps the name that it was given.
    pub(super) fn channel_name(self, base: &str) -> String {
        if self.count == 1 {
            return base.to_string();
        }
        let suffix = format!("-{}-OF-{}", self.index + 1, self.count);
        match base.strip_prefix('"').and_then(|base| base.strip_suffix('"')) {
            Some(quoted) => format!("\"{quoted}{suffix}\""),
            None => api::upper_case(base) + &suffix,
        }
    }
}

/// Small enough to spread a file of a few thousand rows evenly, and still much longer than a disk page.
const BLOCK: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_channel() {
        for count in [1, 2, 3, 7] {
            for position in 1..=20_000 {
                assert_eq!(Partition::all(count).filter(|partition| partition.holds(position)).count(), 1);
            }
        }
    }

    #[test]
    fn blocks_go_round() {
        let second = Partition { index: 1, count: 3 };
        let held: Vec<_> = (1..=5000).filter(|position| second.holds(*position)).collect();
        assert_eq!((held[0], held[999], held[1000]), (1001, 2000, 4001));
    }

    #[test]
    fn names_carry_index_and_count() {
        let names: Vec<_> = Partition::all(3).map(|partition| partition.channel_name("load")).collect();
        assert_eq!(names, ["LOAD-1-OF-3", "LOAD-2-OF-3", "LOAD-3-OF-3"]);
        assert_eq!(Partition::first(2).channel_name("\"Load\""), "\"Load-1-OF-2\"");
        assert_eq!(Partition::WHOLE.channel_name("load"), "load");
    }
}
