use std::sync::Arc;
use std::time::Duration;

use super::core::PoolCore;
use super::pacing::Pacing;
use super::progress::{ChannelProgress, ChannelStage, Standing};
use super::row_queue::{Plan, Work};
use crate::channel::Channel;
use crate::delivery::{Delivery, Effort};
use crate::error::{Error, ErrorKind, one_line};
use crate::rows::{Batch, Compressor, Payload, Payloads, PoolOffset};
use crate::snowflake::status::ChannelStatus;

/// What a channel's thread does: packs the rows of its queue, sends them, asks what is committed.
pub(super) struct Feeder {
    core: Arc<PoolCore>,
    index: usize,
    delivery: Delivery,
    /// Rows that were taken out of the queue and are not packed yet; they have their tokens.
    batch: Batch,
    compressor: Compressor,
    /// Of the row that was taken out last.
    last: PoolOffset,
    pacing: Pacing,
    standing: Standing,
    is_finishing: bool,
    rejected_told: u64,
}

/// What the channels of a pool have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeederLimits {
    /// The pool's id, new in each run.
    pub(super) pool: u64,
    /// Compressed bytes that a channel retains.
    pub(super) max_retained: usize,
    pub(super) commit_timeout: Duration,
}

/// What is left of a channel when its thread has ended.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub(super) channel: String,
    /// Why not everything is committed, as far as that is known.
    pub(super) failure: Option<Error>,
    /// Of the row that was rejected last.
    pub(super) status: ChannelStatus,
    /// Rows that are not known to be committed, in order: compressed, and those that were not packed.
    pub(super) bodies: Vec<Payload>,
    pub(super) unpacked: Batch,
}

impl Feeder {
    pub(super) fn new(core: Arc<PoolCore>, index: usize, channel: Channel, limits: FeederLimits) -> Feeder {
        Feeder {
            core,
            index,
            delivery: Delivery::new(channel, limits.commit_timeout).retaining_at_most(limits.max_retained),
            batch: Batch::new(),
            compressor: Compressor::default(),
            last: PoolOffset { pool: limits.pool, number: 0 },
            pacing: Pacing::new(),
            standing: Standing::Working,
            is_finishing: false,
            rejected_told: 0,
        }
    }

    pub(super) fn run(mut self) -> Remains {
        self.publish(ChannelStage::Open);
        while let Some(work) = self.next_work() {
            let result = self.work(&work);
            self.delivery.end_call();
            if !self.note(result) {
                break;
            }
            self.publish(ChannelStage::Open);
        }
        self.end()
    }

    /// None when there is nothing more to do.
    fn next_work(&mut self) -> Option<Work> {
        let plan = self.plan();
        match self.core.queues[self.index].next_work(&mut self.batch, &plan, self.core.clock()) {
            Work::End => None,
            work => Some(work),
        }
    }

    fn plan(&self) -> Plan {
        let is_done = self.delivery.is_done() && self.batch.is_empty();
        let look_after = |pause| (!is_done).then(|| self.delivery.last_look().deadline(pause));
        let retry_at = self.pacing.retry_at();
        Plan {
            has_memory: self.batch.is_empty() && self.delivery.has_room_for(self.delivery.full_request()),
            is_done,
            is_finishing: self.is_finishing,
            urgent: retry_at.or_else(|| look_after(self.pacing.urgent_pause())),
            idle: retry_at.or_else(|| look_after(Pacing::IDLE_PAUSE)),
        }
    }

    fn work(&mut self, work: &Work) -> Result<(), Error> {
        match work {
            Work::Pack => {
                self.mark_rows();
                // There is room in the queue again.
                self.core.signal.notify();
            }
            Work::Finish => {
                self.is_finishing = true;
                self.pacing.hurry();
            }
            Work::Attempt | Work::End => {}
        }
        // It waits by itself, so that the pool can end meanwhile.
        self.delivery.set_effort(Effort::Brief);
        let is_look_due = *work != Work::Pack || self.standing.failure().is_some();
        let packed = self.pack();
        if self.is_pausing() {
            return packed;
        }
        packed?;
        if is_look_due && !self.delivery.is_done() {
            self.look()?;
            self.pack()?;
        }
        self.note_success();
        Ok(())
    }

    /// Rows that come out of the queue get their tokens.
    fn mark_rows(&mut self) {
        self.batch.mark_from(PoolOffset { number: self.last.number + 1, ..self.last });
        self.last.number += self.batch.rows() as u64;
    }

    /// Packs request by request while there is room, and sends each before the next unless sending fails or pauses: what cannot
    /// be sent is packed all the same, since compressed it takes less.
    fn pack(&mut self) -> Result<(), Error> {
        let is_pausing = self.is_pausing();
        let mut sent = if is_pausing { Ok(()) } else { self.delivery.deliver() };
        let (mut payloads, mut packed_rows) = (Payloads::of(&self.batch), 0);
        while self.delivery.has_room_for(self.delivery.full_request()) {
            let mut payload = Payload::default();
            match payloads.next(&mut self.compressor, &mut payload) {
                Ok(true) if self.delivery.has_room_for(payload.memory()) => {}
                Ok(_) => break,
                Err(error) => {
                    sent = Err(error);
                    break;
                }
            }
            packed_rows += payload.rows;
            self.delivery.enqueue(payload);
            if !is_pausing {
                sent = sent.and_then(|()| self.delivery.deliver());
            }
        }
        self.forget_packed(packed_rows);
        sent
    }

    fn forget_packed(&mut self, rows: usize) {
        if rows < self.batch.rows() {
            self.batch.drop_first(rows);
        } else {
            self.batch.clear();
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let committed = self.delivery.committed_rows();
        let looked = self.delivery.look_once();
        self.pacing.note_look(self.delivery.committed_rows() > committed);
        looked
    }

    fn is_pausing(&self) -> bool {
        self.pacing.is_pausing(self.core.clock().now())
    }

    fn note_success(&mut self) {
        if self.standing.failure().is_some() {
            log::info!("channel {} of a writer pool goes on", one_line(self.delivery.channel().name()));
        }
        self.standing = Standing::Working;
        self.pacing.note_success();
    }

    /// False if nothing more can be done.
    fn note(&mut self, result: Result<(), Error>) -> bool {
        self.tell_rejected();
        let Err(error) = result else { return true };
        let is_stopped = error.kind() == ErrorKind::Stopped;
        if is_stopped && self.core.is_abandoned() {
            // An earlier failure says more.
            return false;
        }
        let has_ended = is_stopped || self.delivery.check_ended().is_err();
        if has_ended {
            self.core.refuse(&ended(&error));
        }
        if self.standing.failure().is_none() {
            log::warn!("a writer pool keeps the rows of channel {}: {error}", one_line(self.delivery.channel().name()));
        }
        self.standing = Standing::after(error);
        self.pacing.note_failure(&self.standing, self.core.clock().now());
        let is_hindered = matches!(self.standing, Standing::Hindered(_));
        !(has_ended || self.is_finishing && is_hindered)
    }

    fn tell_rejected(&mut self) {
        let rejected = self.delivery.totals().rejected;
        let untold = rejected - std::mem::replace(&mut self.rejected_told, rejected);
        if untold > 0 {
            log::warn!("{}", self.delivery.rejected_so_far(untold));
        }
    }

    fn publish(&self, stage: ChannelStage) {
        let totals = self.delivery.totals();
        let progress = ChannelProgress {
            rows_uncommitted: self.delivery.uncommitted_rows(),
            rows_committed: self.delivery.committed_rows(),
            rows_rejected: totals.rejected,
            bytes_sent: totals.bytes,
            batches: totals.batches,
            reopens: self.delivery.reopens(),
            commit_lag: self.delivery.commit_lag(),
            memory: self.delivery.retained_bytes() + self.batch.memory(),
            standing: self.standing.clone(),
            stage,
        };
        self.core.set_progress(self.index, progress);
    }

    /// By now the queue takes in no more rows.
    fn end(mut self) -> Remains {
        self.publish(ChannelStage::Ended);
        let bodies = self.delivery.take_uncommitted();
        let mut rest = self.core.queues[self.index].take_rest();
        rest.mark_from(PoolOffset { number: self.last.number + 1, ..self.last });
        self.batch.join(rest);
        let channel = self.delivery.channel();
        Remains {
            channel: channel.given_name().to_owned(),
            failure: self.standing.failure().cloned(),
            status: channel.status_of_rejections().clone(),
            bodies,
            unpacked: self.batch,
        }
    }
}

/// What producers are told from then on.
fn ended(error: &Error) -> Error {
    error
        .clone()
        .not_retryable()
        .and_advise("the writer pool has ended: close it, which hands back what is not committed")
}
