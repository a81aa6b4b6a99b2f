//! A writer that runs for weeks: outages of hours, revoked tokens, stolen channels and restarts, on a clock that does not wait.

use std::time::Duration;

use super::load_check::check_kind;
use super::programs::Program;
use super::schedule::{Fault, Rules, Schedule};
use super::stream::Stream;
use super::world::World;
use super::writing::{Writing, is_taken};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::writer::Writer;

#[test]
fn a_writer_of_two_weeks_keeps_its_bounds_and_every_row_lands_once() {
    run(2);
}

#[test]
#[ignore = "takes minutes"]
fn the_same_for_a_year() {
    run(52);
}

fn run(weeks: u16) {
    let seed = super::variable("WEEKS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("weeks from WEEKS_SEED={seed}");
    let mut life = Life::new(seed, weeks);
    if let Err(oddity) = life.live() {
        panic!("WEEKS_SEED={seed}, row {}, process {}: {oddity}", life.next, life.processes);
    }
    println!(
        "{} processes, {} reopenings, {} rows refused for the time being",
        life.processes, life.reopens, life.refused
    );
    assert!(life.processes > 1 && life.reopens > 0 && life.refused > 0, "too little happened");
}

/// What a program is that writes a row every ten minutes and resumes after each restart.
struct Life {
    random: fastrand::Rng,
    stream: Stream,
    world: World,
    writer: Option<Writer>,
    next: u16,
    /// The first row of this process.
    first: u16,
    /// Rejected rows that this process was told of.
    reported: u64,
    processes: u32,
    reopens: u64,
    refused: u32,
}

impl Life {
    fn new(seed: u64, weeks: u16) -> Life {
        let mut random = fastrand::Rng::with_seed(seed);
        // The pauses between retries are random.
        fastrand::seed(seed);
        let program = Program::Write(Writing::random(&mut random));
        let rules = Rules { commit_ms: 1500, latency_ms: 20, budget_s: 30, ..Rules::PLAIN };
        let world = World::new(&Schedule { program, rules, events: Vec::new() });
        let stream = Stream { count: weeks * 7 * ROWS_A_DAY, bad_every: 97, has_text_tokens: random.bool() };
        Life {
            random,
            stream,
            world,
            writer: None,
            next: 1,
            first: 1,
            reported: 0,
            processes: 0,
            reopens: 0,
            refused: 0,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        while self.next <= self.stream.count {
            self.trouble();
            self.step()?;
            self.world.clock.pass(Duration::from_secs(600));
            if self.next.is_multiple_of(ROWS_A_DAY) {
                self.stream.check_stored(&self.world.lock())?;
            }
        }
        self.world.lock().calm();
        while self.writer.is_none() {
            self.start()?;
        }
        self.commit_at_last()
    }

    /// Something goes wrong about twice a day.
    fn trouble(&mut self) {
        let minutes = self.random.u64(1..600);
        let mut state = self.world.lock();
        match self.random.u8(..) {
            0..3 => {
                let fault = self.random.choice(OUTAGES).unwrap_or(Fault::Busy);
                let until = self.world.clock.now().monotonic + Duration::from_secs(60 * minutes);
                state.begin_outage(fault, until);
            }
            3..6 => state.service.steal(Stream::CHANNEL, self.random.bool()),
            6..8 => {
                drop(state);
                self.end_process();
            }
            _ => {}
        }
    }

    fn end_process(&mut self) {
        self.reopens += self.writer.take().map_or(0, |writer| writer.report().reopens);
    }

    /// Resumes after the committed offset, if the channel can be opened.
    fn start(&mut self) -> Result<(), String> {
        self.processes += 1;
        let pipe = self.world.start_process();
        let channel = match pipe.channel(Stream::CHANNEL).open() {
            Ok(channel) => channel,
            Err(error) => return self.seen(&error),
        };
        let committed = channel.committed_offset().map(|offset| offset.to_string());
        self.next = self.stream.after(committed.as_deref()).ok_or("the offset at open is none of ours")?;
        (self.first, self.reported) = (self.next, 0);
        self.writer = Some(channel.into_writer().max_bytes(MAX_BYTES).retaining_at_most(RETAINED));
        Ok(())
    }

    /// The next row, and what the program does besides.
    fn step(&mut self) -> Result<(), String> {
        let Some(mut writer) = self.writer.take() else { return self.start() };
        let (row, token) = (self.stream.row(self.next), self.stream.token(self.next));
        let written = writer.write_json(row.as_bytes(), token);
        let taken = is_taken(&written)?;
        (self.next, self.refused) = (self.next + u16::from(taken), self.refused + u32::from(!taken));
        let calls = [written, self.call(&mut writer)];
        self.check_report(&writer)?;
        self.writer = Some(writer);
        calls.into_iter().filter_map(Result::err).try_for_each(|error| self.seen(&error))?;
        // No process sends more requests than the model takes for endless.
        if self.next - self.first > 2 * ROWS_A_DAY {
            self.end_process();
        }
        Ok(())
    }

    fn call(&mut self, writer: &mut Writer) -> Result<(), Error> {
        // Older than a second now.
        self.world.clock.pass(Duration::from_secs(2));
        match self.random.u8(..8) {
            0 => writer.flush(),
            1 => writer.commit(Duration::from_secs(60)),
            2 | 3 => writer.try_commit().map(drop),
            _ => writer.tick(),
        }
    }

    fn seen(&mut self, error: &Error) -> Result<(), String> {
        self.reported += error.rows_rejected();
        match error.kind() {
            ErrorKind::NotStored => Ok(()),
            _ => check_kind(error, false, &self.world.lock()).map_err(|oddity| format!("{oddity}: {error:?}")),
        }
    }

    fn check_report(&self, writer: &Writer) -> Result<(), String> {
        let report = writer.report();
        let placed = report.rows_buffered + report.rows_uncommitted + report.rows_committed;
        if report.rows_written != placed || report.rows_written != u64::from(self.next - self.first) {
            return Err(format!("the rows from {} on were taken: {report:?}", self.first));
        }
        if report.memory > RETAINED + MAX_BYTES + LONGEST_ROW {
            return Err(format!("{} bytes are too many", report.memory));
        }
        Ok(())
    }

    fn commit_at_last(&mut self) -> Result<(), String> {
        let Some(mut writer) = self.writer.take() else { return Err("no writer".into()) };
        for number in self.next..=self.stream.count {
            let written = writer.write_json(self.stream.row(number).as_bytes(), self.stream.token(number));
            written.or_else(|error| self.seen(&error))?;
        }
        let closed = match writer.close(Duration::from_secs(60)) {
            Err(failure) if failure.error().kind() == ErrorKind::NotStored => {
                let (error, writer) = failure.into_parts();
                self.seen(&error)?;
                writer.close(Duration::from_secs(60))
            }
            closed => closed,
        };
        let offset = closed.map_err(|failure| format!("{failure:?}"))?;
        if offset.is_none_or(|offset| offset.as_str() != self.stream.token(self.stream.count)) {
            return Err("the last row is not committed".into());
        }
        let state = self.world.lock();
        self.stream.check_committed(self.stream.count, &state)?;
        let expected = self.stream.rejected(&state);
        if self.reported != expected {
            return Err(format!(
                "{expected} rows were rejected since the last start, and {} are reported",
                self.reported
            ));
        }
        state.oddities.first().map_or(Ok(()), |oddity| Err(oddity.clone()))
    }
}

/// What the service does, or what is in front of it, for hours.
const OUTAGES: [Fault; 9] = [
    Fault::NoConnection,
    Fault::CutSending,
    Fault::LoseReply,
    Fault::SilenceApplied,
    Fault::Throttle,
    Fault::Busy,
    Fault::BusyApplied,
    Fault::Unauthorized,
    Fault::HtmlNotFound,
];

/// One every ten minutes.
const ROWS_A_DAY: u16 = 144;

/// So little that an outage of some hours fills it.
const RETAINED: usize = 12_000;

/// A few rows.
const MAX_BYTES: usize = 300;

/// With its token, which may be a text.
const LONGEST_ROW: usize = 120;
