use std::collections::HashMap;

use super::Settings;
use super::partition::Partition;
use crate::channel::Channel;
use crate::error::{Error, ErrorKind};
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
        let Some(other) = self.find_other_count(channels)? else { return Ok(channel) };
        self.drop_if_unused(channel);
        let happened = format!("channel {other} shows that it was begun with another number of channels");
        Err(Error::new(ErrorKind::Conflict, happened)
            .attempting(format!("load through {channels} channels named after {}", self.channel))
            .advise("use the same number as before: under another name all of it is loaded"))
    }

    /// The name of a channel that a load with another number has opened.
    fn find_other_count(&self, channels: u64) -> Result<Option<String>, Error> {
        let others = (1..=MAX_CHANNELS.into()).filter(|count| *count != channels).map(Partition::first);
        let names: Vec<_> = others.flat_map(|first| self.spellings(first)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let found: HashMap<String, ChannelStatus> = self.pipe.statuses(&names)?;
        Ok(found.into_keys().min())
    }

    /// The names under which the service may know a channel: as given, or as it spells what is not quoted.
    fn spellings(&self, partition: Partition) -> Vec<String> {
        let name = partition.channel_name(&self.channel);
        let mut spellings = vec![name.to_ascii_uppercase(), name.to_ascii_lowercase(), name];
        spellings.sort_unstable();
        spellings.dedup();
        spellings
    }

    /// A channel that was made only now would stand in the way of a load with the right number.
    fn drop_if_unused(&self, channel: Channel) {
        let status = channel.status_at_open();
        if status.rows_inserted() + status.rows_parsed() + status.rows_rejected() > 0 {
            return;
        }
        if let Err(error) = self.pipe.drop_channel(channel.name()) {
            log::warn!("the unused channel {} was left behind: {error}", channel.name());
        }
    }
}

/// So few that one request covers the names of all numbers, in every spelling.
pub(super) const MAX_CHANNELS: u32 = 32;
