//! The service, the clock and what goes wrong, behind the client's own transport.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use super::request::{Append, Ask, ORIGIN};
use super::schedule::{Event, Fault, Schedule, What};
use super::service::{Answer, Service};
use crate::auth::{Grant, TokenCache, TokenSource};
use crate::clock::{Clock, FakeClock, ServerClock};
use crate::error::Error;
use crate::http::{Call, Failure, Limits, Origin, Response, RetryPolicy, Sender, Stage, Transport};
use crate::pipe::Pipe;
use crate::session::{Principal, Session};
use crate::snowflake::api::PipeName;
use crate::snowflake::dialect::SnowflakeDialect;
use crate::stop::StopHandle;

/// Everything outside the process under test.
#[derive(Clone, Debug)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    pub(super) clock: Arc<FakeClock>,
    budget: Duration,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) service: Service,
    events: Vec<Event>,
    /// One for each channel of a load.
    lanes: Vec<Lane>,
    /// The number of the current process, and the last one that was killed.
    process: u32,
    killed: Option<u32>,
    /// Appends in the order in which they were applied.
    pub(super) appends: Vec<Append>,
    /// Where another program appends rows.
    pub(super) file: Option<PathBuf>,
    pub(super) grown: Vec<String>,
    /// All of them, over all runs.
    grown_rows: u32,
    /// What every request meets until then.
    outage: Option<(Fault, Instant)>,
    /// What struck in the current run.
    pub(super) struck: Vec<What>,
    /// The faults among them that met a request, also ones that are left over from an earlier run.
    met: Vec<Fault>,
    /// Requests that no client should send.
    pub(super) oddities: Vec<String>,
    requests_in_run: u32,
    /// Of the current process.
    pub(super) stop: StopHandle,
}

#[derive(Debug, Default)]
struct Lane {
    requests: u16,
    /// With the number of requests that each has still to strike.
    faults: VecDeque<(Fault, u8)>,
}

impl World {
    pub(super) fn new(schedule: &Schedule) -> World {
        let state = State {
            service: Service::new(schedule.rules.clone()),
            events: schedule.events.clone(),
            lanes: (0..schedule.program.channels().max(4)).map(|_| Lane::default()).collect(),
            process: 0,
            killed: None,
            appends: Vec::new(),
            file: None,
            grown: Vec::new(),
            grown_rows: 0,
            outage: None,
            struck: Vec::new(),
            met: Vec::new(),
            oddities: Vec::new(),
            requests_in_run: 0,
            stop: StopHandle::new(),
        };
        let budget = Duration::from_secs(schedule.rules.budget_s.into());
        World { state: Arc::new(Mutex::new(state)), clock: Arc::new(FakeClock::new()), budget }
    }

    /// A client as a new process makes one.
    pub(super) fn start_process(&self) -> Pipe {
        let mut state = self.lock();
        state.process += 1;
        state.service.begin_run();
        state.struck.clear();
        state.met.clear();
        state.requests_in_run = 0;
        state.stop = StopHandle::new();
        let wire = Wire { world: self.clone(), process: state.process };
        let policy = RetryPolicy { budget: self.budget, ..RetryPolicy::default() };
        let sender = Sender::new(Box::new(wire), policy, self.clock.clone(), Arc::new(ServerClock::default()));
        let session = Session::new(
            TokenCache::new(Box::new(Tokens { clock: self.clock.clone() }), self.clock.clone()),
            Arc::new(sender),
            Arc::default(),
            Box::new(SnowflakeDialect::Ingest),
            Principal { identity: "the login itself was accepted".into(), advice: "check the role" },
        );
        let name = PipeName {
            database: "DB".into(),
            schema: "PUBLIC".into(),
            pipe: "T-STREAMING".into(),
            table: Some("T".into()),
        };
        Pipe::new(Arc::new(session), self.clock.clone(), name)
    }

    /// As the service is at this moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.service.settle(self.clock.now().monotonic);
        state
    }
}

impl State {
    /// Whether rejected rows may be reported in another number: a deleted channel takes its count along.
    pub(super) fn may_miscount(&self) -> bool {
        self.has_struck(|what| *what == What::Drop)
    }

    /// From now on nothing goes wrong.
    pub(super) fn calm(&mut self) {
        self.events.clear();
        self.outage = None;
        self.lanes.iter_mut().for_each(|lane| lane.faults.clear());
        self.service.hurry();
    }

    /// Whether nothing was in the way of the current run.
    pub(super) fn is_undisturbed(&self) -> bool {
        self.struck.is_empty() && self.met.is_empty()
    }

    pub(super) fn was_killed(&self) -> bool {
        self.killed == Some(self.process)
    }

    pub(super) fn has_struck(&self, matches: impl Fn(&What) -> bool) -> bool {
        self.struck.iter().any(matches)
    }

    /// Whether this fault struck in the current run, or is left over from an earlier one.
    pub(super) fn has_fault(&self, matches: impl Fn(Fault) -> bool) -> bool {
        self.met.iter().any(|fault| matches(*fault))
    }

    fn begin_request(&mut self, ask: &Ask, lane: usize, clock: &FakeClock) -> Option<bool> {
        let number = self.lanes[lane].requests;
        self.lanes[lane].requests = number.saturating_add(1);
        let is_due = |event: &Event| matches!(event, Event::At { channel, request, .. } if usize::from(*channel) == lane && *request == number);
        let due: Vec<_> = self.events.extract_if(.., |event| is_due(event)).collect();
        let mut kill = None;
        for event in due {
            let Event::At { what, .. } = event else { continue };
            self.struck.push(what.clone());
            match what {
                What::Fault(fault, times) => self.lanes[lane].faults.push_back((fault, times)),
                What::Kill { applied } => kill = Some(applied),
                What::StepWall(seconds) => clock.step_wall(seconds.into()),
                What::Pass(ms) => clock.pass(Duration::from_millis(ms.into())),
                What::Slow(ms) => self.service.slower_ms = ms,
                What::Steal { discard } => self.service.steal(ask.channel(), discard),
                What::Drop => drop(self.service.delete(ask.channel())),
                What::Grow(rows) => self.grow(rows),
                What::Stop => self.stop.stop(),
                What::SecondWriter { marked } => {
                    self.service.append_foreign(ask.channel(), marked, clock.now().monotonic);
                }
            }
        }
        self.service.settle(clock.now().monotonic);
        kill
    }

    /// From now on every request meets this fault, as far as it can.
    pub(super) fn begin_outage(&mut self, fault: Fault, until: Instant) {
        self.outage = Some((fault, until));
    }

    fn take_fault(&mut self, lane: usize, ask: &Ask, now: Instant) -> Option<Fault> {
        if let Some((fault, _)) = self.outage.filter(|(fault, until)| now < *until && strikes(*fault, ask)) {
            self.met.push(fault);
            return Some(fault);
        }
        let faults = &mut self.lanes[lane].faults;
        let index = faults.iter().position(|(fault, _)| strikes(*fault, ask))?;
        let (fault, times) = &mut faults[index];
        let fault = *fault;
        self.met.push(fault);
        *times = times.saturating_sub(1);
        if *times == 0 {
            faults.remove(index);
        }
        Some(fault)
    }

    fn grow(&mut self, rows: u8) {
        let Some(path) = &self.file else { return };
        let Ok(mut file) = std::fs::OpenOptions::new().append(true).open(path) else { return };
        // A file of no length may be one whose length the system does not know, and is read to its end.
        if file.metadata().is_ok_and(|file| file.len() == 0) {
            return;
        }
        for _ in 0..rows {
            self.grown_rows += 1;
            let row = format!("{{\"GROWN\":{}}}", self.grown_rows);
            // A line that was left without its end gets it now.
            let _ = if self.grown.is_empty() { writeln!(file, "\n{row}") } else { writeln!(file, "{row}") };
            self.grown.push(row);
        }
    }

    fn apply(&mut self, ask: Ask, fault: Option<Fault>, clock: &FakeClock) -> Answer {
        match ask {
            Ask::Open { channel, fail_on_uncommitted } => {
                let mut answer = self.service.open(&channel, fail_on_uncommitted, fault.is_none());
                if fault == Some(Fault::Unusable) && answer.0 == 200 {
                    answer.1["channel_status"]["channel_status_code"] = "ERR_CHANNEL_MUST_BE_REOPENED".into();
                }
                answer
            }
            Ask::Append(append) => {
                let answer = self.service.append(&append, clock.now().monotonic);
                if answer.0 == 200 {
                    self.appends.push(append);
                }
                answer
            }
            Ask::Drop { channel } => self.service.delete(&channel),
            Ask::Statuses(names) => {
                let lag = if let Some(Fault::Lag(commits)) = fault { usize::from(commits) } else { 0 };
                let (status, mut body) = self.service.statuses(&names, lag);
                match (fault, body["channel_statuses"].as_object_mut()) {
                    (Some(Fault::Absent), Some(statuses)) => statuses.clear(),
                    (Some(Fault::Unusable), Some(statuses)) => statuses
                        .values_mut()
                        .for_each(|status| status["channel_status_code"] = "ERR_CHANNEL_MUST_BE_REOPENED".into()),
                    _ => {}
                }
                (status, body)
            }
        }
    }
}

/// The transport of one process.
#[derive(Debug)]
struct Wire {
    world: World,
    process: u32,
}

impl Transport for Wire {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let clock = &self.world.clock;
        let mut state = self.world.lock();
        state.requests_in_run += 1;
        if state.requests_in_run > ENDLESS {
            state.oddities.push("the run does not end".into());
        }
        if state.killed == Some(self.process) || state.requests_in_run > ENDLESS {
            return Err(failure(Stage::Misconfigured));
        }
        let ask = match Ask::read(call) {
            Ok(ask) => ask,
            Err(oddity) => {
                state.oddities.push(format!("{} {}: {oddity}", call.method, call.url));
                return Ok(response(400, &json!({"code": "ODD"})));
            }
        };
        let lane = lane_of(ask.channel());
        if let Some(applied) = state.begin_request(&ask, lane, clock) {
            state.killed = Some(self.process);
            if applied {
                state.apply(ask, None, clock);
            }
            return Err(failure(Stage::Misconfigured));
        }
        clock.pass(state.service.latency());
        state.service.settle(clock.now().monotonic);
        let fault = state.take_fault(lane, &ask, clock.now().monotonic);
        let answer = if fault.is_none_or(Fault::is_applied) { Some(state.apply(ask, fault, clock)) } else { None };
        match fault {
            Some(Fault::Silence | Fault::SilenceApplied) => Err(silence(call, clock)),
            _ => answered(fault, answer),
        }
    }
}

/// The response does not come before the client gives it up.
fn silence(call: &Call<'_>, clock: &FakeClock) -> Failure {
    let left = call.deadline.map(|deadline| deadline.left(clock.now())).filter(|left| *left < RESPONSE_TIMEOUT);
    clock.pass(left.unwrap_or(RESPONSE_TIMEOUT));
    left.map_or(failure(Stage::Receiving), |_| Failure::out_of_time(Stage::Receiving))
}

/// What the client sees of a request that met this fault.
fn answered(fault: Option<Fault>, answer: Option<Answer>) -> Result<Response, Failure> {
    use Fault::*;
    let refuse = |status: u16, code: &str| Ok(response(status, &json!({"code": code, "message": "it is as it is"})));
    match fault {
        None | Some(Lag(_) | Absent | Unusable) => {
            answer.map(|(status, body)| response(status, &body)).ok_or(failure(Stage::Receiving))
        }
        Some(NoConnection) => Err(failure(Stage::Connecting)),
        Some(CutSending | CutSendingApplied) => Err(failure(Stage::Sending)),
        Some(LoseReply | Silence | SilenceApplied) => Err(failure(Stage::Receiving)),
        Some(Garbled) => Ok(Response::new(200, HeaderMap::new(), b"{\"next".to_vec())),
        Some(Throttle) => refuse(429, "ReceiverSaturated"),
        Some(Busy | BusyApplied) => refuse(503, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST"),
        Some(Unauthorized) => refuse(401, "390144"),
        Some(Conflict) => refuse(409, "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"),
        Some(HtmlNotFound) => Ok(Response::new(404, HeaderMap::new(), b"<html>Not Found</html>".to_vec())),
        Some(Gone) => refuse(410, "MOVED"),
        Some(StalePipe) => refuse(500, "STALE_PIPE_CACHE"),
        Some(MustReopen) => refuse(409, "ERR_CHANNEL_MUST_BE_REOPENED"),
        Some(OpenInProgress) => refuse(409, "ERR_OPEN_CHANNEL_IN_PROGRESS"),
    }
}

fn strikes(fault: Fault, ask: &Ask) -> bool {
    match fault {
        // Of the names of all numbers of channels an incomplete response would be a lie that nothing can reveal.
        Fault::Absent => matches!(ask, Ask::Statuses(names) if names.len() == 1),
        Fault::Lag(_) => matches!(ask, Ask::Statuses(_)),
        Fault::Unusable => matches!(ask, Ask::Statuses(_) | Ask::Open { .. }),
        Fault::OpenInProgress => matches!(ask, Ask::Open { .. }),
        _ => true,
    }
}

/// `load-2-of-3` is the second of three.
fn lane_of(channel: &str) -> usize {
    let upper = channel.to_uppercase();
    let number = upper.split_once("-OF-").and_then(|(first, _)| first.rsplit_once('-')?.1.parse::<usize>().ok());
    number.map_or(0, |number| (number - 1) % 4)
}

fn response(status: u16, body: &Value) -> Response {
    Response::new(status, HeaderMap::new(), body.to_string().into_bytes())
}

fn failure(stage: Stage) -> Failure {
    Failure::new(stage, "cut off")
}

/// Mints tokens without a network.
#[derive(Debug)]
struct Tokens {
    clock: Arc<FakeClock>,
}

impl TokenSource for Tokens {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        let bearer = format!("token-{}", fastrand::u32(..));
        let origin = Origin::parse(ORIGIN, "URL of the model")?;
        Ok(Grant {
            bearer: bearer.as_str().into(),
            origin,
            lifetime: Duration::from_secs(3600),
            asked: self.clock.now(),
            reread_after: None,
        })
    }
}

/// How long the client waits for a response by default.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Far more than any run needs.
const ENDLESS: u32 = 20_000;
