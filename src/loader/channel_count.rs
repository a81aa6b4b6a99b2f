use std::collections::HashMap;

use super::Settings;
use super::partition::Partition;
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, one_line};
use crate::snowflake::api;
use crate::snowflake::status::ChannelStatus;

impl Settings {
    /// Opens the first channel of a load, before all others, and refuses a load that was begun with another number of
    /// channels: every channel would start from the beginning.
    ///
    /// A channel that has committed something shows by itself that this number is the right one. Otherwise any channel of
    /// another number counts, also an empty one: its rows may be on their way.
    pub(super) fn open_first_channel(&self, channels: u64) -> Result<Channel, Error> {
        let channel = self.open_channel(Partition::first(channels))?;
        if channel.committed_offset().is_some() {
            return Ok(channel);
        }
        match self.find_other_count(channels) {
            Ok(None) => Ok(channel),
            Ok(Some(other)) => Err(self.leave(channel, self.begun_otherwise(channels, &other))),
            Err(error) => Err(self.leave(channel, error)),
        }
    }

    /// The name of a channel that a load with another number has opened.
    ///
    /// Its first two channels are asked for, since one may have been deleted by itself; all of all numbers would be hundreds.
    fn find_other_count(&self, channels: u64) -> Result<Option<String>, Error> {
        let others = (1..=MAX_CHANNELS.into()).filter(|count| *count != channels);
        let others = others.flat_map(|count| Partition::all(count).take(2));
        let names: Vec<_> = others.flat_map(|one| api::listed_names(&one.channel_name(&self.channel))).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let found: HashMap<String, ChannelStatus> = self.pipe.statuses(&names)?;
        Ok(found.into_keys().min())
    }

    fn begun_otherwise(&self, channels: u64, other: &str) -> Error {
        let happened = format!("channel {other} shows that it was begun with another number of channels");
        Error::new(ErrorKind::Conflict, happened)
            .attempting(format!("load through {channels} channels named after {}", self.channel))
            .advise("use the same number as before: under another name all of it is loaded")
    }

    /// A channel that was made only now would stand in the way of a load with the right number, so it is dropped.
    fn leave(&self, channel: Channel, reason: Error) -> Error {
        let (name, status) = (channel.given_name(), channel.status_at_open());
        if status.rows_inserted() + status.rows_parsed() + status.rows_rejected() > 0 {
            return reason;
        }
        // Where the look has failed by an overload, so would the drop, after as many retries.
        let dropped = if reason.is_retryable() {
            Err(reason.clone())
        } else {
            // Another run may have opened it since and be at work.
            api::drop_settled_channel(self.pipe.session(), self.pipe.name(), name)
        };
        let Err(error) = dropped else { return reason };
        log::warn!("the unused channel {} was left behind: {error}", one_line(name));
        reason.and_advise(&format!(
            "channel {name} was opened, found empty and left behind: before loading with another number of channels, drop it \
             with Pipe::drop_channel({name:?}), unless another run uses it"
        ))
    }
}

/// So few that one request covers names of all numbers, in every spelling.
pub(super) const MAX_CHANNELS: u32 = 32;
