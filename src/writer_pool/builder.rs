use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use uuid::Uuid;

use super::WriterPool;
use super::channel_thread;
use super::core::{PoolCore, closed};
use super::feeder::{FeederLimits, Remains};
use super::names::{channel_names, check_unopened};
use super::row_queue::{QueueLimits, RowQueue};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::Batch;

/// Configures a [`WriterPool`]; made by [`Pipe::writer_pool`].
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
///
/// let pool = pipe.writer_pool("events").channels(4).max_age(Duration::from_millis(500)).start()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WriterPoolBuilder {
    pipe: Pipe,
    name: String,
    channels: usize,
    max_bytes: usize,
    max_age: Duration,
    queue_bytes: usize,
    write_timeout: Duration,
    commit_timeout: Duration,
    open_timeout: Duration,
}

impl Pipe {
    /// Prepares a pool of channels for rows of any number of threads.
    ///
    /// Its channels are `<NAME>-POOL-1` and so on, in upper case unless the name is in double quotes. One pool at a time uses
    /// a name.
    pub fn writer_pool(&self, name: impl Into<String>) -> WriterPoolBuilder {
        WriterPoolBuilder {
            pipe: self.clone(),
            name: name.into(),
            channels: 1,
            max_bytes: Batch::FULL_BYTES,
            max_age: MAX_AGE,
            queue_bytes: WriterPool::QUEUE_BYTES,
            write_timeout: TIMEOUT,
            commit_timeout: TIMEOUT,
            open_timeout: TIMEOUT,
        }
    }
}

impl WriterPoolBuilder {
    /// How many channels, and so threads: from 1, the default, to [`WriterPool::MAX_CHANNELS`].
    ///
    /// One keeps up with several producers: its thread compresses and sends what they have encoded. More than one help when that
    /// thread is busy all the time. Rows go to another channel when one is full, so what is not needed costs no requests.
    pub fn channels(mut self, channels: usize) -> WriterPoolBuilder {
        self.channels = channels;
        self
    }

    /// A request is sent when so many bytes wait in a channel's queue, before compression. Default and maximum:
    /// [`Batch::FULL_BYTES`], or half of the channel's part of [`queue_bytes`](WriterPoolBuilder::queue_bytes) if that is
    /// less.
    pub fn max_bytes(mut self, bytes: usize) -> WriterPoolBuilder {
        self.max_bytes = bytes;
        self
    }

    /// A request is sent when the oldest row in a channel's queue is so old; default one second.
    pub fn max_age(mut self, age: Duration) -> WriterPoolBuilder {
        self.max_age = age;
        self
    }

    /// What rows take before they are compressed, in all queues together; default [`WriterPool::QUEUE_BYTES`]. Each channel has
    /// an equal part of it, of which one half is filled while the other is compressed. A longer row goes alone.
    pub fn queue_bytes(mut self, bytes: usize) -> WriterPoolBuilder {
        self.queue_bytes = bytes;
        self
    }

    /// How long [`PoolHandle::write`](crate::PoolHandle::write) waits while all queues are full; default two minutes.
    pub fn write_timeout(mut self, timeout: Duration) -> WriterPoolBuilder {
        self.write_timeout = timeout;
        self
    }

    /// After how long without a commit a channel asks whether what it has sent is lost; default two minutes.
    pub fn commit_timeout(mut self, timeout: Duration) -> WriterPoolBuilder {
        self.commit_timeout = timeout;
        self
    }

    /// How long to wait for rows of an earlier run to be committed, or for another open to end; default two minutes.
    pub fn open_timeout(mut self, timeout: Duration) -> WriterPoolBuilder {
        self.open_timeout = timeout;
        self
    }

    /// Opens the channels, all at the same time, and starts a thread for each.
    ///
    /// # Blocking
    ///
    /// Until the last channel is open: a few requests, and the [`open_timeout`](WriterPoolBuilder::open_timeout).
    ///
    /// # Errors
    ///
    /// Then no thread is left, and no row was sent:
    ///
    /// - [`Config`](ErrorKind::Config): a setting or the name cannot work, or the system starts no more threads.
    /// - [`Conflict`](ErrorKind::Conflict): a channel has rows that are none of a pool's. It belongs to something else, and is
    ///   not taken away from it.
    /// - otherwise those of [`ChannelBuilder::open`](crate::ChannelBuilder::open).
    pub fn start(self) -> Result<WriterPool, Error> {
        self.check()?;
        let names = channel_names(&self.name, self.channels);
        check_unopened(&self.pipe, &names)?;
        let limits = FeederLimits {
            pool: Uuid::new_v4().as_u64_pair().1,
            max_retained: Delivery::RETAINED_BYTES / self.channels,
            commit_timeout: self.commit_timeout,
        };
        let queues = names.iter().map(|_| RowQueue::new(self.limits())).collect();
        let core = Arc::new(PoolCore::new(&self.pipe, self.name, queues, self.write_timeout));
        let (mut threads, mut started) = (Vec::new(), Ok(()));
        for (index, channel) in names.into_iter().enumerate() {
            match channel_thread::start(&core, index, channel, self.open_timeout, limits) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    started = Err(error);
                    break;
                }
            }
        }
        match started.and_then(|()| core.wait_until_open()) {
            Ok(()) => Ok(WriterPool::new(core, threads)),
            Err(error) => Err(give_up(&core, threads, error)),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |happened: String| {
            Err(Error::new(ErrorKind::Config, happened).attempting(format!("start writer pool {}", self.name)))
        };
        if self.name.trim_matches('"').trim().is_empty() {
            return refuse("it has no name".into());
        }
        if self.channels == 0 || self.channels > WriterPool::MAX_CHANNELS {
            return refuse(format!(
                "it cannot have {} channels: choose from 1 to {}",
                self.channels,
                WriterPool::MAX_CHANNELS
            ));
        }
        Ok(())
    }

    fn limits(&self) -> QueueLimits {
        let capacity = (self.queue_bytes / self.channels / 2).max(1);
        let due_bytes = self.max_bytes.min(Batch::FULL_BYTES).min(capacity).max(1);
        QueueLimits { capacity, due_bytes, max_age: self.max_age }
    }
}

fn give_up(core: &PoolCore, threads: Vec<JoinHandle<Remains>>, error: Error) -> Error {
    core.refuse(&closed());
    core.abandon();
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
    error
}

/// Well below the ten requests a second that the service takes.
const MAX_AGE: Duration = Duration::from_secs(1);

/// As long as a client retries a request, and waits for commits.
const TIMEOUT: Duration = Duration::from_secs(120);
