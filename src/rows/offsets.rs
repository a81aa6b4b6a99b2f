use std::ops::Range;

use super::offset_token::{PoolOffset, RowOffset, TokenSeries};
use crate::rows::{Fingerprint, OffsetToken};

/// Which rows have which offset tokens. Rows whose numbers count up by one take no memory each, and rows of a source four
/// bytes each.
///
/// Rows are named by their index, from 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    runs: Vec<Run>,
    /// One for each row up to the last whose token has one.
    fingerprints: Vec<Fingerprint>,
    /// What the texts of the tokens take on the heap.
    texts: usize,
}

/// Rows in a row, the first with this token, the others counting on from it; a row of a source has a fingerprint besides.
#[derive(Clone, Debug)]
struct Run {
    rows: Range<usize>,
    token: OffsetToken,
}

impl Offsets {
    /// Gives the last row its token, instead of the one it may have.
    pub(super) fn set_last(&mut self, row: usize, token: OffsetToken) {
        self.truncate(row);
        if let Some(token) = token.as_row() {
            self.fingerprints.resize(row, Fingerprint::default());
            self.fingerprints.push(token.fingerprint);
        }
        match self.runs.last_mut().filter(|run| run.continues_with(row, &token)) {
            Some(run) => run.rows.end += 1,
            None => {
                self.texts += token.memory();
                self.runs.push(Run { rows: row..row + 1, token });
            }
        }
    }

    /// The tokens of so many rows, counting up from the first.
    pub(super) fn counting(rows: usize, first: OffsetToken) -> Offsets {
        let texts = first.memory();
        Offsets { runs: vec![Run { rows: 0..rows, token: first }], fingerprints: Vec::new(), texts }
    }

    /// Adds the tokens of rows that follow the first `rows` ones.
    pub(super) fn extend(&mut self, rows: usize, following: Offsets) {
        if !following.fingerprints.is_empty() {
            self.fingerprints.resize(rows, Fingerprint::default());
            self.fingerprints.extend(following.fingerprints);
        }
        self.texts += following.texts;
        let shifted = |run: Run| Run { rows: run.rows.start + rows..run.rows.end + rows, token: run.token };
        self.runs.extend(following.runs.into_iter().map(shifted));
    }

    /// Forgets all but the first `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        while let Some(run) = self.runs.pop_if(|run| run.rows.start >= rows) {
            self.texts -= run.token.memory();
        }
        if let Some(run) = self.runs.last_mut() {
            run.rows.end = run.rows.end.min(rows);
        }
        self.fingerprints.truncate(rows);
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.fingerprints.clear();
        self.texts = 0;
    }

    /// Gives back the room that was set aside for more.
    pub(super) fn shrink_to_fit(&mut self) {
        self.runs.shrink_to_fit();
        self.fingerprints.shrink_to_fit();
    }

    /// What they take.
    pub(super) fn memory(&self) -> usize {
        self.texts + size_of_val(&*self.runs) + size_of_val(&*self.fingerprints)
    }

    /// The first row with this token.
    pub(super) fn row_of(&self, token: &OffsetToken) -> Option<usize> {
        let row_in = |run: &Run| run.row_of(token).filter(|row| self.token_in(run, *row).as_ref() == Some(token));
        self.runs.iter().find_map(row_in)
    }

    /// What is left without the first `rows` rows.
    pub(super) fn without(&self, rows: usize) -> Offsets {
        let runs: Vec<_> = self
            .runs
            .iter()
            .filter_map(|run| {
                let start = run.rows.start.max(rows);
                let token = self.token_in(run, start)?;
                Some(Run { rows: start - rows..run.rows.end - rows, token })
            })
            .collect();
        let fingerprints = self.fingerprints.get(rows..).unwrap_or_default().to_vec();
        let texts = runs.iter().map(|run| run.token.memory()).sum();
        Offsets { runs, fingerprints, texts }
    }

    /// The first token among these rows.
    pub(super) fn first_in(&self, rows: &Range<usize>) -> Option<OffsetToken> {
        let run = self.runs.get(self.runs.partition_point(|run| run.rows.end <= rows.start))?;
        let first = run.rows.start.max(rows.start);
        if first < rows.end { self.token_in(run, first) } else { None }
    }

    /// The last token among these rows.
    pub(super) fn last_in(&self, rows: &Range<usize>) -> Option<OffsetToken> {
        let run = &self.runs[..self.runs.partition_point(|run| run.rows.start < rows.end)].last()?;
        let last = run.rows.end.min(rows.end) - 1;
        if last >= rows.start { self.token_in(run, last) } else { None }
    }

    fn token_in(&self, run: &Run, row: usize) -> Option<OffsetToken> {
        if !run.rows.contains(&row) {
            return None;
        }
        if row == run.rows.start {
            return Some(run.token.clone());
        }
        let (series, number) = run.counted(row)?;
        Some(match series {
            TokenSeries::Numbers => number.into(),
            TokenSeries::Source => RowOffset { position: number, fingerprint: *self.fingerprints.get(row)? }.into(),
            TokenSeries::Pool(pool) => PoolOffset { pool, number }.into(),
        })
    }
}

impl Run {
    fn continues_with(&self, row: usize, token: &OffsetToken) -> bool {
        row == self.rows.end && self.counted(row).is_some_and(|next| Some(next) == token.counted())
    }

    /// The row that would have this token by its number alone.
    fn row_of(&self, token: &OffsetToken) -> Option<usize> {
        if *token == self.token {
            return Some(self.rows.start);
        }
        let ((series, number), (own, first)) = (token.counted()?, self.token.counted()?);
        if series != own {
            return None;
        }
        let further = usize::try_from(number.checked_sub(first)?).ok()?;
        let row = self.rows.start.checked_add(further)?;
        self.rows.contains(&row).then_some(row)
    }

    /// The number that this row has or would have, if the first has one.
    fn counted(&self, row: usize) -> Option<(TokenSeries, u64)> {
        let further = u64::try_from(row - self.rows.start).ok()?;
        let (series, first) = self.token.counted()?;
        Some((series, first.checked_add(further)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets<T: Into<OffsetToken>>(tokens: impl IntoIterator<Item = (usize, T)>) -> Offsets {
        let mut offsets = Offsets::default();
        tokens.into_iter().for_each(|(row, token)| offsets.set_last(row, token.into()));
        offsets
    }

    fn text(token: Option<OffsetToken>) -> String {
        token.map_or("none".into(), |token| token.to_string())
    }

    #[test]
    fn numbers_that_count_up_take_one_run_and_keep_their_rows() {
        let offsets = offsets((0..1000).map(|row| (row, row as u64 + 7)));
        assert_eq!(offsets.runs.len(), 1);
        assert_eq!(
            (text(offsets.first_in(&(0..1000))), text(offsets.last_in(&(0..1000)))),
            ("7".into(), "1006".into())
        );
        assert_eq!((text(offsets.first_in(&(10..20))), text(offsets.last_in(&(10..20)))), ("17".into(), "26".into()));
        assert_eq!((offsets.row_of(&26.into()), offsets.row_of(&6.into())), (Some(19), None));
        assert_eq!((offsets.row_of(&1006.into()), offsets.row_of(&1007.into())), (Some(999), None));
    }

    #[test]
    fn rows_of_a_source_take_one_run_and_keep_their_fingerprints() {
        let token = |row: usize| format!("{}-{:08x}", row + 7, row * row);
        let mut offsets = offsets((0..1000).map(|row| (row, token(row))));
        assert_eq!((offsets.runs.len(), offsets.fingerprints.len()), (1, 1000));
        assert_eq!((text(offsets.first_in(&(10..20))), text(offsets.last_in(&(10..20)))), (token(10), token(19)));
        assert_eq!(offsets.row_of(&token(19).into()), Some(19));
        assert_eq!(offsets.row_of(&"26-00000000".into()), None, "the same position with another fingerprint");
        assert_eq!(offsets.row_of(&26.into()), None, "a plain number is no row of a source");
        let rest = offsets.without(990);
        assert_eq!((text(rest.last_in(&(0..10))), rest.row_of(&token(995).into())), (token(999), Some(5)));
        offsets.truncate(20);
        offsets.set_last(20, "28-0000000a".into());
        assert_eq!((offsets.runs.len(), text(offsets.last_in(&(0..21)))), (2, "28-0000000a".into()));
        offsets.set_last(21, 29.into());
        assert_eq!((offsets.runs.len(), text(offsets.last_in(&(0..22)))), (3, "29".into()));
    }

    #[test]
    fn rows_of_a_pool_take_one_run_and_no_other_pool_counts_on() {
        let token = |pool: u64, number: u64| OffsetToken::from(PoolOffset { pool, number });
        let mut offsets = Offsets::counting(1000, token(0xab, 7));
        assert_eq!(
            (text(offsets.first_in(&(10..20))), text(offsets.last_in(&(10..20)))),
            ("pool-00000000000000ab-17".into(), "pool-00000000000000ab-26".into())
        );
        let found = [token(0xab, 26), "pool-00000000000000ab-6".into(), token(0xac, 26), 26.into()];
        assert_eq!(found.map(|token| offsets.row_of(&token)), [Some(19), None, None, None]);
        offsets.set_last(1000, token(0xab, 1007));
        assert_eq!(offsets.runs.len(), 1);
        offsets.set_last(1001, token(0xac, 1008));
        assert_eq!((offsets.runs.len(), text(offsets.last_in(&(0..1002)))), (2, token(0xac, 1008).to_string()));
    }

    #[test]
    fn texts_gaps_and_unmarked_rows_are_kept_apart() {
        let offsets = offsets([(1, "5"), (2, "6"), (4, "7"), (5, "b:8"), (6, "9"), (7, "9"), (8, "8")]);
        assert_eq!(offsets.runs.len(), 6);
        assert_eq!((text(offsets.first_in(&(0..1))), text(offsets.last_in(&(0..1)))), ("none".into(), "none".into()));
        assert_eq!((text(offsets.first_in(&(3..4))), text(offsets.last_in(&(3..4)))), ("none".into(), "none".into()));
        assert_eq!((text(offsets.first_in(&(0..4))), text(offsets.last_in(&(0..4)))), ("5".into(), "6".into()));
        assert_eq!((text(offsets.first_in(&(5..9))), text(offsets.last_in(&(5..9)))), ("b:8".into(), "8".into()));
        assert_eq!((text(offsets.first_in(&(9..12))), text(offsets.last_in(&(9..12)))), ("none".into(), "none".into()));
        assert_eq!((offsets.row_of(&"b:8".into()), offsets.row_of(&"9".into())), (Some(5), Some(6)));
    }

    #[test]
    fn the_last_row_can_get_another_token_or_none() {
        let mut offsets = offsets([(0, 1u64), (1, 2), (2, 3)]);
        offsets.set_last(2, 9.into());
        assert_eq!(text(offsets.last_in(&(0..3))), "9");
        assert_eq!(text(offsets.last_in(&(0..2))), "2");
        offsets.truncate(1);
        assert_eq!((text(offsets.last_in(&(0..3))), offsets.row_of(&2.into())), ("1".into(), None));
        offsets.truncate(0);
        assert_eq!(text(offsets.first_in(&(0..3))), "none");
    }

    #[test]
    fn the_tokens_of_rows_that_follow_keep_their_rows() {
        let mut all = offsets([(0, "1-0000000a"), (1, "2-0000000b")]);
        all.extend(3, offsets([(1, "4-0000000c"), (2, "x")]));
        all.extend(6, offsets([(0, 7)]));
        let found = (0..7).map(|row| text(all.first_in(&(row..row + 1)))).collect::<Vec<_>>();
        assert_eq!(found, ["1-0000000a", "2-0000000b", "none", "none", "4-0000000c", "x", "7"]);
        assert_eq!((all.row_of(&"4-0000000c".into()), all.row_of(&7.into())), (Some(4), Some(6)));
    }

    #[test]
    fn without_its_beginning_the_rest_keeps_its_tokens() {
        let rest = offsets([(0, "1"), (1, "2"), (2, "3"), (4, "x")]).without(2);
        assert_eq!((text(rest.first_in(&(0..1))), text(rest.first_in(&(1..5)))), ("3".into(), "x".into()));
        assert_eq!((rest.row_of(&"2".into()), rest.row_of(&"x".into())), (None, Some(2)));
        assert_eq!(text(rest.without(3).last_in(&(0..9))), "none");
    }

    #[test]
    fn the_largest_number_has_no_successor() {
        let offsets = offsets([(0, u64::MAX), (1, 0)]);
        assert_eq!(
            (text(offsets.first_in(&(0..2))), text(offsets.last_in(&(0..2)))),
            (u64::MAX.to_string(), "0".into())
        );
    }
}
