use std::collections::VecDeque;

use crate::rows::Payload;

/// What was sent and is not yet known to be committed, in order. Pure.
#[derive(Debug, Default)]
pub(super) struct Flight {
    sent: VecDeque<Sent>,
    /// The position up to which everything is committed.
    landed: u64,
    /// Rows of the source up to there.
    landed_rows: u64,
    retained_bytes: usize,
}

#[derive(Debug)]
struct Sent {
    /// The position of its last row.
    last: u64,
    rows: u64,
    /// The body itself, where the source cannot be read again.
    body: Option<Payload>,
}

impl Flight {
    pub(super) fn after(landed: u64, landed_rows: u64) -> Flight {
        Flight { landed, landed_rows, ..Flight::default() }
    }

    /// The body is about to be sent from elsewhere.
    pub(super) fn push(&mut self, payload: &Payload) {
        self.sent.push_back(Sent { last: last_position(payload), rows: payload.rows as u64, body: None });
    }

    /// Keeps the body, and lends it for sending.
    pub(super) fn push_retained(&mut self, payload: Payload) -> &Payload {
        self.retained_bytes += payload.wire.len();
        let (last, rows) = (last_position(&payload), payload.rows as u64);
        self.sent.push_back(Sent { last, rows, body: None });
        let newest = self.sent.len() - 1;
        self.sent[newest].body.insert(payload)
    }

    /// Everything up to this position is committed. Only ends of what was sent are believed.
    pub(super) fn land(&mut self, committed: u64) {
        let Some(index) = self.sent.iter().position(|sent| sent.last == committed) else { return };
        for sent in self.sent.drain(..=index) {
            self.landed_rows += sent.rows;
            self.retained_bytes -= sent.body.map_or(0, |body| body.wire.len());
        }
        self.landed = committed;
    }

    /// Whether this load can have brought the channel to that position.
    pub(super) fn explains(&self, committed: u64) -> bool {
        committed == self.landed || self.sent.iter().any(|sent| sent.last == committed)
    }

    /// Gives the bodies back, to be sent again in order; nothing is in flight afterwards.
    pub(super) fn take_back(&mut self) -> Vec<Payload> {
        self.retained_bytes = 0;
        self.sent.drain(..).filter_map(|sent| sent.body).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) fn landed(&self) -> u64 {
        self.landed
    }

    pub(super) fn landed_rows(&self) -> u64 {
        self.landed_rows
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }
}

/// The feed marks every row with its position.
fn last_position(payload: &Payload) -> u64 {
    payload.last.as_ref().and_then(|token| token.as_u64()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(last: u64, rows: usize, bytes: usize) -> Payload {
        Payload { wire: vec![0; bytes], rows, last: Some(last.into()), ..Payload::default() }
    }

    #[test]
    fn rows_land_in_order_and_free_their_memory() {
        let mut flight = Flight::after(10, 9);
        flight.push_retained(payload(15, 5, 100));
        flight.push_retained(payload(25, 8, 200));
        flight.push_retained(payload(30, 5, 300));
        flight.land(25);
        assert_eq!((flight.landed(), flight.landed_rows(), flight.retained_bytes()), (25, 22, 300));
        flight.land(15);
        flight.land(27);
        assert_eq!(flight.landed(), 25, "neither an old position nor a foreign one lands anything");
        assert_eq!(flight.take_back().iter().map(|body| body.wire.len()).collect::<Vec<_>>(), [300]);
        assert!(flight.is_empty());
        assert_eq!(flight.retained_bytes(), 0);
    }

    #[test]
    fn only_what_was_sent_explains_a_position() {
        let mut flight = Flight::after(10, 9);
        flight.push(&payload(15, 5, 0));
        assert!(flight.explains(10) && flight.explains(15));
        assert!(!flight.explains(0) && !flight.explains(12) && !flight.explains(16));
    }
}
