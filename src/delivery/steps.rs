//! A delivery in steps that do not wait for commits, for a thread that has other things to do meanwhile.

use std::time::Duration;

use super::Delivery;
use crate::clock::Moment;
use crate::error::Error;
use crate::rows::Payload;

impl Delivery {
    /// Sends what waits, as far as it may be retained beside what is in flight, although the channel is lost meanwhile.
    pub(crate) fn send_what_fits(&mut self) -> Result<(), Error> {
        loop {
            match self.try_send() {
                Ok(()) => return Ok(()),
                Err(error) => self.recover(error)?,
            }
        }
    }

    fn try_send(&mut self) -> Result<(), Error> {
        self.check_ended()?;
        self.channel.check_link()?;
        while !self.queue.is_empty() && self.has_room() {
            self.send_next()?;
        }
        Ok(())
    }

    /// Asks once what is committed. Where no commit has come for as long as the commit timeout, asks also whether what is in
    /// flight is lost; what is waits to be sent again then.
    pub(crate) fn look_once(&mut self, timeout: Duration) -> Result<(), Error> {
        self.check_ended()?;
        match self.look(Some(timeout)).and_then(|()| self.check_progress()) {
            Ok(()) => Ok(()),
            Err(error) => self.recover(error),
        }
    }

    /// When the service last said what is committed, or the delivery began.
    pub(crate) fn last_look(&self) -> Moment {
        self.last_look
    }

    /// What the bodies take that wait or are in flight.
    pub(crate) fn memory(&self) -> usize {
        let waiting: usize = self.queue.iter().map(Payload::memory).sum();
        waiting + self.channel.in_flight().retained_bytes()
    }
}
