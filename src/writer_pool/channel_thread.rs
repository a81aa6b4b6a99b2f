use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::core::PoolCore;
use super::feeder::{Feeder, FeederLimits, Remains};
use super::names::check_channel;
use super::progress::{ChannelProgress, ChannelStage, Standing};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind};

/// Opens a channel in a thread of its own, which then feeds it until the pool ends.
pub(super) fn start(
    core: &Arc<PoolCore>,
    index: usize,
    channel: String,
    open_timeout: Duration,
    limits: FeederLimits,
) -> Result<JoinHandle<Remains>, Error> {
    let name = format!("snowpipe-{}", index + 1);
    let attempted = format!("start a thread for channel {channel}");
    let core = core.clone();
    let spawned = thread::Builder::new().name(name).spawn(move || {
        let _ending = EndOnPanic { core: &core, index };
        match open(&core, &channel, open_timeout) {
            Ok(opened) => Feeder::new(core.clone(), index, opened, limits).run(),
            Err(error) => {
                let standing = Standing::after(error.clone());
                core.set_progress(
                    index,
                    ChannelProgress { standing, stage: ChannelStage::Ended, ..ChannelProgress::default() },
                );
                Remains { channel, failure: Some(error), ..Remains::default() }
            }
        }
    });
    spawned.map_err(|error| {
        Error::new(ErrorKind::Config, format!("the system starts no more threads: {error}"))
            .attempting(attempted)
            .advise("use fewer channels, or raise the limit")
            .with_source(error)
    })
}

fn open(core: &PoolCore, channel: &str, timeout: Duration) -> Result<Channel, Error> {
    let builder = core.pipe.channel(channel).made_in_upper_case();
    let opened = builder.open_timeout(timeout).open()?;
    check_channel(channel, opened.status_at_open())?;
    Ok(opened)
}

/// Ends the pool if one of its threads panics, so that no other waits for it.
struct EndOnPanic<'c> {
    core: &'c PoolCore,
    index: usize,
}

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = Error::new(ErrorKind::Protocol, "a thread of the writer pool panicked, which is a defect")
                .advise("report it, with the panic's text; close the pool");
            self.core.refuse(&error);
            let standing = Standing::Hindered(error);
            self.core.set_progress(
                self.index,
                ChannelProgress { standing, stage: ChannelStage::Ended, ..ChannelProgress::default() },
            );
        }
    }
}
