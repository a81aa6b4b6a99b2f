use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::rows::OffsetToken;
use crate::rows::Payload;

/// What was sent and is not yet known to be committed, in order.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    sent: VecDeque<Sent>,
    /// How many of those, the first, somebody else sent before: nobody here can send them again.
    preceding: usize,
    /// The token up to which everything is committed.
    landed: Option<OffsetToken>,
    landed_rows: u64,
    landed_requests: u64,
    /// How long what landed last had been under way.
    lag: Duration,
    retained_bytes: usize,
}

#[derive(Debug)]
struct Sent {
    last: Option<OffsetToken>,
    rows: u64,
    at: Moment,
    /// The body itself, where the rows cannot be made again.
    body: Option<Payload>,
}

impl InFlight {
    pub(crate) fn after(landed: Option<OffsetToken>) -> InFlight {
        InFlight { landed, ..InFlight::default() }
    }

    /// Was sent before all that is pushed.
    pub(crate) fn precede(&mut self, last: &OffsetToken, at: Moment) {
        self.sent.push_back(Sent { last: Some(last.clone()), rows: 0, at, body: None });
        self.preceding += 1;
    }

    /// Whether something that was sent before is not committed.
    pub(crate) fn awaits_preceding(&self) -> bool {
        self.preceding > 0
    }

    /// The body is about to be sent from elsewhere.
    pub(crate) fn push(&mut self, payload: &Payload, at: Moment) {
        self.sent.push_back(Sent { last: payload.last.clone(), rows: payload.rows as u64, at, body: None });
    }

    /// Keeps the body, and lends it for sending.
    pub(crate) fn push_retained(&mut self, payload: Payload, at: Moment) -> &Payload {
        self.retained_bytes += payload.wire.len();
        self.push(&payload, at);
        let newest = self.sent.len() - 1;
        self.sent[newest].body.insert(payload)
    }

    /// Everything up to this token is committed. Only ends of what was sent are believed.
    pub(crate) fn land(&mut self, committed: &OffsetToken, now: Moment) {
        let is_it = |sent: &Sent| sent.last.as_ref() == Some(committed);
        let Some(index) = self.sent.iter().position(is_it) else { return };
        for sent in self.sent.drain(..=index) {
            self.landed_rows += sent.rows;
            self.landed_requests += 1;
            self.lag = now.since(sent.at);
            self.retained_bytes -= sent.body.map_or(0, |body| body.wire.len());
        }
        self.preceding = self.preceding.saturating_sub(index + 1);
        self.landed = Some(committed.clone());
    }

    /// Whether what was sent here can have brought the channel to that token.
    pub(crate) fn explains(&self, committed: Option<&OffsetToken>) -> bool {
        committed == self.landed.as_ref() || self.sent.iter().any(|sent| sent.last.as_ref() == committed)
    }

    /// Gives the bodies back, to be sent again in order; nothing is in in_flight afterwards.
    pub(crate) fn take_back(&mut self) -> impl DoubleEndedIterator<Item = Payload> {
        self.retained_bytes = 0;
        self.sent.drain(..).filter_map(|sent| sent.body)
    }

    /// Gives back the body that was sent last.
    pub(crate) fn take_back_newest(&mut self) -> Option<Payload> {
        let body = self.sent.pop_back()?.body?;
        self.retained_bytes -= body.wire.len();
        Some(body)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn landed(&self) -> Option<&OffsetToken> {
        self.landed.as_ref()
    }

    pub(crate) fn landed_rows(&self) -> u64 {
        self.landed_rows
    }

    pub(crate) fn landed_requests(&self) -> u64 {
        self.landed_requests
    }

    pub(crate) fn lag(&self) -> Duration {
        self.lag
    }

    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FakeClock};

    fn payload(last: u64, rows: usize, bytes: usize) -> Payload {
        Payload { wire: vec![0; bytes], rows, last: Some(last.into()), ..Payload::default() }
    }

    #[test]
    fn rows_land_in_order_and_free_their_memory() {
        let clock = FakeClock::new();
        let mut in_flight = InFlight::after(Some(10.into()));
        in_flight.push_retained(payload(15, 5, 100), clock.now());
        in_flight.push_retained(payload(25, 8, 200), clock.now());
        in_flight.push_retained(payload(30, 5, 300), clock.now());
        clock.pass(Duration::from_secs(7));
        in_flight.land(&25.into(), clock.now());
        assert_eq!(
            (in_flight.landed(), in_flight.landed_rows(), in_flight.retained_bytes()),
            (Some(&25.into()), 13, 300)
        );
        assert_eq!((in_flight.landed_requests(), in_flight.lag()), (2, Duration::from_secs(7)));
        in_flight.land(&15.into(), clock.now());
        in_flight.land(&27.into(), clock.now());
        assert_eq!(in_flight.landed(), Some(&25.into()), "neither an old token nor a foreign one lands anything");
        assert_eq!(in_flight.take_back().map(|body| body.wire.len()).collect::<Vec<_>>(), [300]);
        assert!(in_flight.is_empty());
        assert_eq!(in_flight.retained_bytes(), 0);
    }

    #[test]
    fn only_what_was_sent_explains_a_token() {
        let mut in_flight = InFlight::after(Some(10.into()));
        in_flight.push(&payload(15, 5, 0), FakeClock::new().now());
        assert!(in_flight.explains(Some(&10.into())) && in_flight.explains(Some(&15.into())));
        assert!(!in_flight.explains(None) && !in_flight.explains(Some(&12.into())));
        assert!(InFlight::after(None).explains(None));
    }
}
