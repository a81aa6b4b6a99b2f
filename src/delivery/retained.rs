//! The bodies that a delivery keeps until they are committed, and how many of them may be kept.

use std::collections::VecDeque;

use super::{Delivery, Effort};
use crate::error::Error;
use crate::rows::Payload;

/// Bodies in the order in which they are to be sent, and the memory that they take.
#[derive(Debug, Default)]
pub(super) struct BodyQueue {
    bodies: VecDeque<Payload>,
    memory: usize,
}

impl BodyQueue {
    pub(super) fn push_back(&mut self, body: Payload) {
        self.memory += body.memory();
        self.bodies.push_back(body);
    }

    pub(super) fn push_front(&mut self, body: Payload) {
        self.memory += body.memory();
        self.bodies.push_front(body);
    }

    pub(super) fn pop_front(&mut self) -> Option<Payload> {
        let body = self.bodies.pop_front()?;
        self.memory -= body.memory();
        Some(body)
    }

    pub(super) fn take(&mut self) -> VecDeque<Payload> {
        self.memory = 0;
        std::mem::take(&mut self.bodies)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }
}

impl Delivery {
    /// What all bodies take that wait to be sent or are in flight.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.queue.memory + self.channel.in_flight().retained_bytes()
    }

    #[cfg(test)]
    pub(crate) fn retain_at_most(&mut self, bytes: usize) {
        self.max_retained = bytes;
    }

    /// What to set aside for a request that is still to be compressed.
    pub(crate) fn full_request(&self) -> usize {
        self.max_retained / FULL_REQUESTS
    }

    /// Whether a body that takes so much can be taken over; any body alone.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        let retained = self.retained_bytes();
        retained == 0 || retained + bytes <= self.max_retained
    }

    /// Waits for commits until there is room for a body, with the queue sent. A call that is to be brief waits for nothing.
    pub(crate) fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        while self.effort == Effort::Waiting && !self.has_room_for(bytes) {
            match self.wait_until(|delivery| delivery.has_room_for(bytes), |_| {}) {
                Ok(()) => return Ok(()),
                Err(error) => self.recover(error).and_then(|()| self.deliver())?,
            }
        }
        Ok(())
    }

    /// Whether the next body can be in flight, too.
    pub(super) fn has_room(&self) -> bool {
        let in_flight = self.channel.in_flight();
        let next = self.queue.bodies.front().map_or(0, Payload::memory);
        !in_flight.has_marked() || in_flight.retained_bytes() + next <= self.max_retained
    }
}

/// As many full requests as [`Delivery::RETAINED_BYTES`] are.
const FULL_REQUESTS: usize = 8;
