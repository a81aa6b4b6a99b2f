use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::rows::{OffsetToken, Payload};

/// The requests that a channel sent and that are not known to be committed, in order, and how far the service has
/// committed them.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    sent: VecDeque<Sent>,
    /// How many requests were ever added, from which each has its number.
    requests: u64,
    /// How many in flight, the oldest, were sent before a writer took the channel over: it has no bodies of them.
    inherited: usize,
    /// No response confirmed the newest request.
    ends_in_doubt: bool,
    /// What the service reported last, also if another writer sent it.
    reported: Option<OffsetToken>,
    /// The newest reported offset that was sent here or was committed at open.
    committed: Option<OffsetToken>,
    /// Known to be committed, the newest last: waiting for one of them returns at once, and a status that reports one before
    /// the newest lags.
    recent: VecDeque<OffsetToken>,
    committed_rows: u64,
    committed_requests: u64,
    commit_lag: Duration,
    retained_bytes: usize,
}

/// One request that carried rows.
#[derive(Debug)]
struct Sent {
    number: u64,
    /// The offset of its last row, which the service reports once all of it is committed.
    offset: Option<OffsetToken>,
    rows: u64,
    at: Moment,
    /// Kept where its rows cannot be read again.
    body: Option<Payload>,
}

/// What the committed offset of a reopened channel means for the requests in flight.
#[derive(Debug)]
pub(crate) enum Reconciled {
    /// The offset was neither sent here nor committed before. The requests stay in flight.
    Foreign,
    /// The offset is known to be older than the newest that was committed, so it says nothing of what came after that. The
    /// requests stay in flight.
    Outdated,
    /// All requests up to the offset are committed, these are not.
    Resumable(Uncommitted),
}

/// Requests that were lost with their channel.
#[derive(Debug, Default)]
pub(crate) struct Uncommitted {
    sent: VecDeque<Sent>,
    inherited: usize,
}

impl InFlight {
    /// A channel as just opened.
    pub(crate) fn after(committed: Option<OffsetToken>) -> InFlight {
        InFlight {
            reported: committed.clone(),
            recent: committed.clone().into_iter().collect(),
            committed,
            ..InFlight::default()
        }
    }

    /// Adds a request that the service accepted.
    pub(crate) fn push(&mut self, payload: &Payload, at: Moment) {
        let is_own = self.sent.len() > self.inherited;
        match self.sent.back_mut() {
            // No report tells these two apart, and a caller without offsets must not fill the memory.
            Some(newest) if is_own && newest.offset.is_none() && payload.last.is_none() => {
                newest.rows += payload.rows as u64;
            }
            _ => self.push_apart(payload, at),
        }
    }

    /// Adds a request that may have been applied; no other may follow it.
    pub(crate) fn push_in_doubt(&mut self, payload: &Payload, at: Moment) {
        self.push_apart(payload, at);
        self.ends_in_doubt = true;
    }

    fn push_apart(&mut self, payload: &Payload, at: Moment) {
        self.requests += 1;
        let (number, offset, rows) = (self.requests, payload.last.clone(), payload.rows as u64);
        self.sent.push_back(Sent { number, offset, rows, at, body: None });
    }

    /// Keeps the body of the request that was added last.
    pub(crate) fn retain(&mut self, body: Payload) {
        if let Some(newest) = self.sent.back_mut() {
            self.retained_bytes += body.memory();
            newest.body = Some(body);
        }
    }

    /// Hands everything in flight to a writer, which waits for these requests but cannot send them again. Those without an
    /// offset stay until a later commit proves them.
    pub(crate) fn inherit(&mut self) {
        self.inherited = self.sent.len();
        // A writer counts only the rows that were written to it, and only their commits are progress.
        (self.committed_rows, self.committed_requests, self.commit_lag) = (0, 0, Duration::ZERO);
    }

    /// Starts over after this offset. What was sent and is not known to be committed is forgotten.
    pub(crate) fn begin_after(&mut self, committed: Option<OffsetToken>) {
        let recent = std::mem::take(&mut self.recent);
        *self = InFlight::after(committed);
        // A channel that reports no offset has lost those that it had.
        if let Some(newest) = self.recent.pop_back() {
            self.recent = recent;
            self.recent.push_back(newest);
            self.limit_recent();
        }
    }

    /// Takes the offset that the service reports as committed; none means that it reports nothing new.
    pub(crate) fn observe(&mut self, reported: Option<&OffsetToken>, now: Moment) {
        let Some(offset) = reported else { return };
        match self.position(offset) {
            Some(index) => self.commit_through(index, offset, now),
            None if self.is_outdated(offset) => {}
            None => self.reported = Some(offset.clone()),
        }
    }

    /// Everything up to this request, which ends at this offset, is committed.
    fn commit_through(&mut self, index: usize, offset: &OffsetToken, now: Moment) {
        let inherited = self.inherited;
        self.inherited = inherited.saturating_sub(index + 1);
        for (place, sent) in self.sent.drain(..=index).enumerate() {
            self.committed_rows += if place < inherited { 0 } else { sent.rows };
            self.committed_requests += 1;
            self.commit_lag = now.since(sent.at);
            self.retained_bytes -= sent.body.as_ref().map_or(0, Payload::memory);
            self.recent.extend(sent.offset);
        }
        self.limit_recent();
        self.ends_in_doubt &= !self.sent.is_empty();
        (self.reported, self.committed) = (Some(offset.clone()), Some(offset.clone()));
    }

    fn limit_recent(&mut self) {
        let surplus = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..surplus);
    }

    /// Whether a newer offset than this one is known to be committed.
    fn is_outdated(&self, offset: &OffsetToken) -> bool {
        self.committed.as_ref() != Some(offset) && self.recent.contains(offset)
    }

    /// Compares the requests in flight with the committed offset of the reopened channel. What is not committed then
    /// never will be: reopening a channel ends what was under way on it.
    pub(crate) fn reconcile(&mut self, committed: Option<&OffsetToken>, now: Moment) -> Reconciled {
        let is_sent = committed.is_some_and(|offset| self.position(offset).is_some());
        if !is_sent && committed != self.committed.as_ref() {
            let is_outdated = committed.is_some_and(|offset| self.is_outdated(offset));
            return match is_outdated {
                false => Reconciled::Foreign,
                true if self.sent.is_empty() => Reconciled::Resumable(Uncommitted::default()),
                true => Reconciled::Outdated,
            };
        }
        self.observe(committed, now);
        self.reported = committed.cloned();
        Reconciled::Resumable(self.abandon())
    }

    /// Forgets all that is in flight, and hands it out.
    pub(crate) fn abandon(&mut self) -> Uncommitted {
        (self.ends_in_doubt, self.retained_bytes) = (false, 0);
        let (sent, inherited) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.inherited));
        Uncommitted { sent, inherited }
    }

    fn position(&self, offset: &OffsetToken) -> Option<usize> {
        self.sent.iter().position(|sent| sent.offset.as_ref() == Some(offset))
    }

    /// Whether a request is in flight whose commit the service will report.
    pub(crate) fn has_marked(&self) -> bool {
        self.sent.iter().any(|sent| sent.offset.is_some())
    }

    /// Whether this offset was sent here, or committed before.
    pub(crate) fn knows(&self, offset: &OffsetToken) -> bool {
        self.position(offset).is_some() || self.recent.contains(offset)
    }

    /// What the service reported last, also if it was not sent here.
    pub(crate) fn reported(&self) -> Option<&OffsetToken> {
        self.reported.as_ref()
    }

    /// The offset up to which everything sent here is committed.
    pub(crate) fn committed(&self) -> Option<&OffsetToken> {
        self.committed.as_ref()
    }

    /// Whether this row and all sent before it are committed, as far as is known.
    pub(crate) fn has_committed(&self, offset: &OffsetToken) -> bool {
        self.position(offset).is_none() && (self.reported.as_ref() == Some(offset) || self.recent.contains(offset))
    }

    /// The newest offset that the service accepted, committed or not.
    pub(crate) fn last_accepted(&self) -> Option<&OffsetToken> {
        let accepted = self.sent.len() - usize::from(self.ends_in_doubt);
        let newest = self.sent.range(..accepted).rev().find_map(|sent| sent.offset.as_ref());
        newest.or(self.reported.as_ref())
    }

    pub(crate) fn rows_in_doubt(&self) -> usize {
        self.sent.back().filter(|_| self.ends_in_doubt).map_or(0, |newest| newest.rows as usize)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// How many requests were ever added.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Rows of all requests in flight.
    pub(crate) fn rows(&self) -> u64 {
        self.sent.iter().map(|sent| sent.rows).sum()
    }

    pub(crate) fn committed_rows(&self) -> u64 {
        self.committed_rows
    }

    pub(crate) fn committed_requests(&self) -> u64 {
        self.committed_requests
    }

    /// From sending to seeing the commit, of the request committed last.
    pub(crate) fn commit_lag(&self) -> Duration {
        self.commit_lag
    }

    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }
}

impl Uncommitted {
    /// Number and offset of the requests that are missing. None if the newest one ended at the committed offset: of an
    /// offset that was sent twice the newest request counts, because reopening waited for all that were accepted.
    pub(crate) fn missing(&self, committed: Option<&OffsetToken>) -> impl Iterator<Item = (u64, &OffsetToken)> {
        let is_newest_committed = self.sent.back().is_some_and(|newest| newest.offset.as_ref() == committed);
        let missing = if is_newest_committed { 0 } else { self.sent.len() };
        let offsets = self.sent.iter().take(missing).filter_map(|sent| Some((sent.number, sent.offset.as_ref()?)));
        offsets.filter(move |(_, offset)| Some(*offset) != committed)
    }

    /// Whether requests without an offset are among them: the service reports nothing of those, so they are stored or not.
    pub(crate) fn has_unmarked(&self) -> bool {
        self.sent.iter().any(|sent| sent.offset.is_none())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether requests are among them that a writer took over, and so cannot send again.
    pub(crate) fn has_inherited(&self) -> bool {
        self.inherited > 0
    }

    /// Whether one of those had an offset, so that it is certainly lost.
    pub(crate) fn has_lost_inherited(&self) -> bool {
        self.sent.iter().take(self.inherited).any(|sent| sent.offset.is_some())
    }

    /// The bodies that were retained, in order.
    pub(crate) fn into_bodies(self) -> impl DoubleEndedIterator<Item = Payload> {
        self.sent.into_iter().filter_map(|sent| sent.body)
    }
}

/// Covers the offsets that a caller may still wait for one by one, at about 1 MB for tokens of ordinary length.
const MAX_RECENT: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FakeClock};

    fn payload(last: Option<&str>, rows: usize, bytes: usize) -> Payload {
        Payload { wire: vec![0; bytes], rows, last: last.map(OffsetToken::from), ..Payload::default() }
    }

    fn in_flight(after: Option<&str>, sent: &[&str]) -> (InFlight, Moment) {
        let (mut in_flight, now) = (InFlight::after(after.map(OffsetToken::from)), FakeClock::new().now());
        sent.iter().for_each(|offset| in_flight.push(&payload(Some(offset), 1, 0), now));
        (in_flight, now)
    }

    fn uncommitted(reconciled: Reconciled) -> Uncommitted {
        match reconciled {
            Reconciled::Resumable(uncommitted) => uncommitted,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_committed_in_order_and_free_their_memory() {
        let clock = FakeClock::new();
        let mut in_flight = InFlight::after(Some(10.into()));
        for (offset, rows, bytes) in [("15", 5, 100), ("25", 8, 200), ("30", 5, 300)] {
            let payload = payload(Some(offset), rows, bytes);
            in_flight.push(&payload, clock.now());
            in_flight.retain(payload);
        }
        clock.pass(Duration::from_secs(7));
        in_flight.observe(Some(&25.into()), clock.now());
        assert_eq!((in_flight.committed_rows(), in_flight.retained_bytes()), (13, 300 + Payload::PLACE));
        assert_eq!((in_flight.committed_requests(), in_flight.commit_lag()), (2, Duration::from_secs(7)));
        in_flight.observe(Some(&15.into()), clock.now());
        in_flight.observe(Some(&27.into()), clock.now());
        assert_eq!(in_flight.committed(), Some(&25.into()), "neither an old nor a foreign offset commits anything");
        assert_eq!(in_flight.reported(), Some(&27.into()));
        let left = uncommitted(in_flight.reconcile(Some(&25.into()), clock.now()));
        assert_eq!(left.into_bodies().map(|body| body.wire.len()).collect::<Vec<_>>(), [300]);
        assert!(in_flight.is_empty());
        assert_eq!(in_flight.retained_bytes(), 0);
    }

    #[test]
    fn the_place_of_a_body_is_counted_with_what_is_noted_of_its_request() {
        assert!(2 * size_of::<Sent>() <= Payload::PLACE, "{}", size_of::<Sent>());
    }

    #[test]
    fn only_what_was_sent_or_committed_before_can_be_resumed_after() {
        for (committed, left) in [(Some("10"), Some(1)), (Some("15"), Some(0)), (None, None), (Some("12"), None)] {
            let (mut in_flight, now) = in_flight(Some("10"), &["15"]);
            let committed = committed.map(OffsetToken::from);
            let found = match in_flight.reconcile(committed.as_ref(), now) {
                Reconciled::Resumable(uncommitted) => Some(uncommitted.sent.len()),
                Reconciled::Foreign | Reconciled::Outdated => None,
            };
            assert_eq!(found, left, "{committed:?}");
            assert_eq!(in_flight.is_empty(), left.is_some(), "what is foreign changes nothing");
        }
        let (mut unused, now) = in_flight(None, &[]);
        assert!(uncommitted(unused.reconcile(None, now)).sent.is_empty());
    }

    #[test]
    fn an_offset_commits_all_that_were_sent_before_it() {
        let (mut in_flight, now) = in_flight(None, &["a", "b", "c"]);
        in_flight.observe(Some(&"b".into()), now);
        let committed = ["a", "b", "c"].map(|offset| in_flight.has_committed(&offset.into()));
        assert_eq!(committed, [true, true, false]);
        in_flight.observe(Some(&"c".into()), now);
        assert!(in_flight.has_committed(&"c".into()));
    }

    #[test]
    fn offsets_are_not_ordered_by_their_value() {
        let (mut in_flight, now) = in_flight(None, &["9", "3"]);
        in_flight.observe(Some(&"9".into()), now);
        assert!(!in_flight.has_committed(&"3".into()));
    }

    #[test]
    fn an_offset_that_was_never_sent_is_committed_when_the_service_reports_it() {
        let (mut in_flight, now) = in_flight(Some("x"), &[]);
        assert!(in_flight.has_committed(&"x".into()) && !in_flight.has_committed(&"y".into()));
        in_flight.observe(None, now);
        assert!(in_flight.has_committed(&"x".into()));
    }

    #[test]
    fn an_offset_sent_again_is_in_flight_again() {
        let (in_flight, _) = in_flight(Some("x"), &["x"]);
        assert!(!in_flight.has_committed(&"x".into()));
    }

    #[test]
    fn a_request_in_doubt_is_not_accepted_but_can_turn_out_committed() {
        let (mut in_flight, now) = in_flight(None, &["a"]);
        in_flight.push_in_doubt(&payload(Some("b"), 7, 0), now);
        assert_eq!((in_flight.last_accepted(), in_flight.rows_in_doubt()), (Some(&"a".into()), 7));
        in_flight.observe(Some(&"b".into()), now);
        assert_eq!((in_flight.last_accepted(), in_flight.rows_in_doubt()), (Some(&"b".into()), 0));
    }

    #[test]
    fn of_requests_without_an_offset_nothing_is_known() {
        let (mut in_flight, now) = in_flight(None, &["a"]);
        (0..1000).for_each(|_| in_flight.push(&payload(None, 1, 0), now));
        assert_eq!(in_flight.sent.len(), 2, "memory is bounded");
        let left = uncommitted(in_flight.reconcile(Some(&"a".into()), now));
        assert_eq!((left.has_unmarked(), left.missing(Some(&"a".into())).count()), (true, 0));
    }

    #[test]
    fn a_writer_waits_for_what_it_inherits_and_does_not_count_it() {
        let (mut in_flight, now) = in_flight(None, &["a", "b"]);
        in_flight.push(&payload(None, 1, 0), now);
        in_flight.inherit();
        in_flight.push(&payload(Some("c"), 5, 0), now);
        in_flight.observe(Some(&"a".into()), now);
        let left = uncommitted(in_flight.reconcile(Some(&"a".into()), now));
        assert!(left.has_inherited());
        let (mut in_flight, now) = self::in_flight(None, &["a", "b"]);
        in_flight.inherit();
        in_flight.push(&payload(Some("c"), 5, 0), now);
        let left = uncommitted(in_flight.reconcile(Some(&"c".into()), now));
        assert!(left.sent.is_empty() && !left.has_inherited());
        assert_eq!(in_flight.committed_rows(), 5);
    }

    #[test]
    fn a_writer_counts_from_its_own_beginning() {
        let clock = FakeClock::new();
        let (mut in_flight, _) = in_flight(None, &["a", "b"]);
        clock.pass(Duration::from_secs(7));
        in_flight.observe(Some(&"a".into()), clock.now());
        in_flight.inherit();
        assert_eq!((in_flight.committed_rows(), in_flight.committed_requests()), (0, 0));
        assert_eq!(in_flight.commit_lag(), Duration::ZERO);
    }

    #[test]
    fn a_writer_keeps_what_it_inherits_without_an_offset_until_a_later_commit_proves_it() {
        let (mut in_flight, now) = in_flight(None, &[]);
        in_flight.push_in_doubt(&payload(None, 3, 0), now);
        in_flight.inherit();
        assert_eq!((in_flight.last_accepted(), in_flight.rows_in_doubt()), (None, 3));
        assert!(!in_flight.has_marked() && !in_flight.is_empty());
        in_flight.push(&payload(Some("c"), 5, 0), now);
        assert!(in_flight.has_marked());
        in_flight.observe(Some(&"c".into()), now);
        assert!(in_flight.is_empty());
        assert_eq!(in_flight.committed_rows(), 5);
    }

    #[test]
    fn what_a_writer_inherits_without_an_offset_is_lost_with_the_channel() {
        let (mut in_flight, now) = in_flight(Some("a"), &[]);
        in_flight.push(&payload(None, 3, 0), now);
        in_flight.inherit();
        let left = uncommitted(in_flight.reconcile(Some(&"a".into()), now));
        assert!(left.has_inherited() && left.has_unmarked());
    }

    #[test]
    fn a_status_that_lags_commits_nothing_and_takes_nothing_back() {
        let (mut in_flight, now) = in_flight(Some("x"), &["a", "b"]);
        in_flight.observe(Some(&"b".into()), now);
        for older in ["a", "x"] {
            in_flight.observe(Some(&older.into()), now);
            assert_eq!((in_flight.reported(), in_flight.committed()), (Some(&"b".into()), Some(&"b".into())));
        }
        assert!(uncommitted(in_flight.reconcile(Some(&"a".into()), now)).sent.is_empty());
        in_flight.push(&payload(Some("c"), 1, 0), now);
        assert!(matches!(in_flight.reconcile(Some(&"a".into()), now), Reconciled::Outdated));
        assert!(!in_flight.is_empty(), "what became of c is unknown");
    }

    #[test]
    fn what_was_committed_stays_known_after_a_new_beginning() {
        let (mut in_flight, now) = in_flight(None, &["a", "b", "c"]);
        in_flight.observe(Some(&"b".into()), now);
        in_flight.begin_after(Some("z".into()));
        let committed = ["a", "b", "c", "z"].map(|offset| in_flight.has_committed(&offset.into()));
        assert_eq!((committed, in_flight.is_empty()), ([true, true, false, true], true));
        in_flight.begin_after(None);
        assert!(!in_flight.has_committed(&"a".into()) && in_flight.reported().is_none());
    }

    #[test]
    fn the_memory_of_committed_offsets_is_bounded() {
        let (mut in_flight, now) = in_flight(None, &[]);
        for n in 0..20_000u64 {
            in_flight.push(&payload(Some(&n.to_string()), 1, 0), now);
            in_flight.observe(Some(&n.into()), now);
        }
        assert_eq!(in_flight.recent.len(), 16_384);
        assert!(in_flight.has_committed(&OffsetToken::from(4000)));
    }
}
