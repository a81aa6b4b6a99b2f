use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::stop::Stop;
#[cfg(test)]
use crate::stop::StopHandle;

/// The time, and waiting; tests use a clock that does not wait.
pub(crate) trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Moment;
    fn sleep(&self, duration: Duration);

    /// Sleeps, or until a moment after a stop.
    fn pause(&self, duration: Duration, stop: &Stop) {
        let Some(step) = stop.look_after() else { return self.sleep(duration) };
        let end = self.now().deadline(duration);
        loop {
            let left = end.left(self.now());
            if left.is_zero() || stop.is_stopped() {
                return;
            }
            self.sleep(left.min(step));
        }
    }
}

/// How far the server's clock is from this machine's.
///
/// ```
/// use snowpipe_streaming::{Client, ClockOffset, Credentials};
///
/// let client = Client::builder("myorg-account123", Credentials::oauth_token("a-token")).build()?;
/// assert_eq!(client.clock_offset(), ClockOffset::NotDetected);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOffset {
    /// No difference beyond network delay and the resolution of a second, or no response so far.
    NotDetected,
    /// The server's clock is ahead by this much: this machine's is slow.
    ServerAhead(Duration),
    /// The server's clock is behind by this much: this machine's is fast.
    ServerBehind(Duration),
}

/// One instant on both clocks.
///
/// A [`Deadline`] bounds what is waited for, an [`Expiry`] how long something is valid. They differ in the clock that counts,
/// so neither can be used for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

/// When a wait ends: by the monotonic clock alone, because a wall clock that is stepped must not end it, or prolong it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

/// When something ceases to be valid that another machine issued: by the clock that is there first.
///
/// The monotonic clock stops while the machine is suspended, and the wall clock may be stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(Moment);

impl Moment {
    /// The end of a wait that begins now, at most [`FOREVER`].
    pub(crate) fn deadline(self, wait: Duration) -> Deadline {
        Deadline(self.monotonic + wait.min(FOREVER))
    }

    /// The end of a lifetime that begins now, at most [`FOREVER`].
    pub(crate) fn expiry(self, lifetime: Duration) -> Expiry {
        let bounded = lifetime.min(FOREVER);
        Expiry(Moment { monotonic: self.monotonic + bounded, wall: self.wall + bounded })
    }

    /// The time that has passed since the earlier moment, by the monotonic clock.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        self.monotonic.saturating_duration_since(earlier.monotonic)
    }

    /// How old something is that was made at the earlier moment, by the clock that shows more.
    pub(crate) fn age_of(self, earlier: Moment) -> Duration {
        self.since(earlier).max(self.wall.duration_since(earlier.wall).unwrap_or(Duration::ZERO))
    }

    /// Whether the wall clock has gone another way than the monotonic one since: it was stepped, or the machine suspended.
    fn has_diverged_since(self, earlier: Moment) -> bool {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let passed = match self.monotonic.checked_duration_since(earlier.monotonic) {
            Some(passed) => ms(passed),
            None => -ms(earlier.monotonic.saturating_duration_since(self.monotonic)),
        };
        signed_ms(self.wall, earlier.wall).abs_diff(passed) > MAX_DRIFT_MS
    }
}

impl Deadline {
    pub(crate) fn is_reached(self, now: Moment) -> bool {
        now.monotonic >= self.0
    }

    /// The time that is left; zero if it is reached.
    pub(crate) fn left(self, now: Moment) -> Duration {
        self.0.saturating_duration_since(now.monotonic)
    }
}

impl Expiry {
    pub(crate) fn is_past(self, now: Moment) -> bool {
        now.monotonic >= self.0.monotonic || now.wall >= self.0.wall
    }

    /// The time that is left; zero if it is past.
    pub(crate) fn left(self, now: Moment) -> Duration {
        let monotonic = self.0.monotonic.saturating_duration_since(now.monotonic);
        monotonic.min(self.0.wall.duration_since(now.wall).unwrap_or(Duration::ZERO))
    }

    /// Whether it is later than the other, both having been computed from lifetimes of the same token.
    pub(crate) fn is_after(self, other: Expiry) -> bool {
        self.0.monotonic > other.0.monotonic
    }
}

/// The clocks of this machine.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock whose sleeps end at a stop.
#[derive(Clone, Debug)]
pub(crate) struct StoppableClock {
    clock: Arc<dyn Clock>,
    stop: Stop,
}

impl StoppableClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> StoppableClock {
        StoppableClock { clock, stop: Stop::default() }
    }

    /// The same clock with another stop.
    pub(crate) fn stopped_by(&self, stop: Stop) -> StoppableClock {
        StoppableClock { stop, ..self.clone() }
    }
}

impl Clock for StoppableClock {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) {
        self.clock.pause(duration, &self.stop);
    }
}

/// How far the server's clock is ahead of this machine's, by the `Date` of its responses (RFC 9110, section 6.6.1).
///
/// A difference counts if it is larger than network delay and the one-second resolution of `Date` explain. It is forgotten when
/// this machine's clock has been stepped since: what was wrong with it may have been set right.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    measured: Mutex<Option<Measured>>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    ahead_ms: i64,
    at: Moment,
}

impl ServerClock {
    /// `date` is from a response that arrived at `received`, to a request sent at `sent`.
    pub(crate) fn observe(&self, date: SystemTime, sent: Moment, received: Moment) {
        // By the clock that shows more: a wall clock that was stepped meanwhile makes the measurement doubtful.
        let round_trip = received.age_of(sent);
        // `Date` is cut to whole seconds: on average it is half a second old.
        let server = date + Duration::from_millis(500);
        let ahead = signed_ms(server, sent.wall + round_trip / 2);
        let noise = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX).saturating_add(1000);
        let ahead_ms = if ahead.abs() > noise { ahead } else { 0 };
        *self.measured.lock() = Some(Measured { ahead_ms, at: received });
    }

    /// In milliseconds; negative if the server's clock is behind, zero if no difference is known now.
    pub(crate) fn ahead_ms(&self, now: Moment) -> i64 {
        let measured = *self.measured.lock();
        measured.filter(|measured| !now.has_diverged_since(measured.at)).map_or(0, |measured| measured.ahead_ms)
    }

    /// The same for callers.
    pub(crate) fn offset(&self, now: Moment) -> ClockOffset {
        let ahead = self.ahead_ms(now);
        let difference = Duration::from_millis(ahead.unsigned_abs());
        match ahead {
            0 => ClockOffset::NotDetected,
            1.. => ClockOffset::ServerAhead(difference),
            _ => ClockOffset::ServerBehind(difference),
        }
    }

    /// What the server's clock shows now.
    pub(crate) fn at(&self, now: Moment) -> SystemTime {
        let ahead = self.ahead_ms(now);
        let difference = Duration::from_millis(ahead.unsigned_abs());
        let shifted = if ahead < 0 { now.wall.checked_sub(difference) } else { now.wall.checked_add(difference) };
        shifted.unwrap_or(now.wall)
    }
}

fn signed_ms(later: SystemTime, earlier: SystemTime) -> i64 {
    match later.duration_since(earlier) {
        Ok(ahead) => i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX),
        Err(behind) => -i64::try_from(behind.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// More than the two clocks of a machine drift apart by themselves between two responses, and less than matters for a token.
const MAX_DRIFT_MS: u64 = 2000;

/// Longer than any wait or lifetime, and short enough to be added to any clock without overflow.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A clock that stands still unless a test moves it; sleeping moves it too.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct FakeClock {
    now: Mutex<Moment>,
    slept: Mutex<Vec<Duration>>,
    /// A handle that stops when it is so late.
    stops: Mutex<Option<(Deadline, StopHandle)>>,
}

#[cfg(test)]
impl FakeClock {
    pub(crate) fn new() -> FakeClock {
        let now = Moment { monotonic: Instant::now(), wall: SystemTime::now() };
        FakeClock { now: Mutex::new(now), slept: Mutex::default(), stops: Mutex::default() }
    }

    /// Moves both clocks.
    pub(crate) fn pass(&self, duration: Duration) {
        let mut now = self.now.lock();
        let bounded = duration.min(FOREVER);
        *now = Moment { monotonic: now.monotonic + bounded, wall: now.wall + bounded };
        let due = self.stops.lock().take_if(|(at, _)| at.is_reached(*now));
        due.iter().for_each(|(_, handle)| handle.stop());
    }

    /// Stops the handle when so much time has passed.
    pub(crate) fn stop_after(&self, duration: Duration, handle: &StopHandle) {
        *self.stops.lock() = Some((self.now().deadline(duration), handle.clone()));
    }

    /// Only the wall clock moves: it was stepped, or the machine was suspended.
    pub(crate) fn step_wall(&self, seconds: i64) {
        let mut now = self.now.lock();
        let step = Duration::from_secs(seconds.unsigned_abs());
        now.wall = if seconds < 0 { now.wall - step } else { now.wall + step };
    }

    /// Every sleep so far, in order.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.slept.lock().clone()
    }
}

#[cfg(test)]
impl Clock for FakeClock {
    fn now(&self) -> Moment {
        *self.now.lock()
    }

    fn sleep(&self, duration: Duration) {
        self.slept.lock().push(duration);
        self.pass(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(ahead: i64, round_trip: Duration) -> i64 {
        let clock = FakeClock::new();
        let (server, sent) = (ServerClock::default(), clock.now());
        clock.pass(round_trip);
        let middle = sent.wall + round_trip / 2;
        let shift = Duration::from_millis(ahead.unsigned_abs());
        let true_time = if ahead < 0 { middle - shift } else { middle + shift };
        server.observe(true_time - Duration::from_millis(500), sent, clock.now());
        server.ahead_ms(clock.now())
    }

    #[test]
    fn a_difference_beyond_delay_and_resolution_is_believed() {
        assert_eq!(measure(600_000, Duration::from_millis(80)), 600_000);
        assert_eq!(measure(-600_000, Duration::from_millis(80)), -600_000);
        assert_eq!(measure(900, Duration::from_millis(80)), 0);
        assert_eq!(measure(3_000, Duration::from_secs(10)), 0);
    }

    #[test]
    fn a_difference_is_known_until_the_wall_clock_is_stepped() {
        let (clock, server) = (FakeClock::new(), ServerClock::default());
        let sent = clock.now();
        server.observe(sent.wall + Duration::from_secs(3 * 3600), sent, sent);
        clock.pass(Duration::from_secs(24 * 3600));
        let ahead = Duration::from_millis(3 * 3_600_000 + 500);
        assert_eq!(server.offset(clock.now()), ClockOffset::ServerAhead(ahead));
        assert_eq!(server.at(clock.now()), clock.now().wall + ahead);
        clock.step_wall(3 * 3600);
        assert_eq!(server.offset(clock.now()), ClockOffset::NotDetected, "it was set right");
        assert_eq!(server.at(clock.now()), clock.now().wall);
        let before = Moment { monotonic: sent.monotonic - Duration::from_secs(1), ..sent };
        assert_eq!(
            server.at(Moment { wall: sent.wall - Duration::from_secs(1), ..before }),
            before.wall + ahead - Duration::from_secs(1)
        );
    }

    #[test]
    fn a_step_of_the_wall_clock_neither_ends_a_wait_nor_prolongs_it() {
        let clock = FakeClock::new();
        let (began, minute) = (clock.now(), Duration::from_secs(60));
        let deadline = began.deadline(minute);
        for step in [3600, -7200] {
            clock.step_wall(step);
            assert!(!deadline.is_reached(clock.now()), "{step}");
            assert_eq!((deadline.left(clock.now()), clock.now().since(began)), (minute, Duration::ZERO), "{step}");
        }
        clock.pass(minute);
        assert!(deadline.is_reached(clock.now()));
        assert_eq!((deadline.left(clock.now()), clock.now().since(began)), (Duration::ZERO, minute));
    }

    #[test]
    fn a_lifetime_ends_by_either_clock() {
        let clock = FakeClock::new();
        let (issued, expiry) = (clock.now(), clock.now().expiry(Duration::from_secs(60)));
        assert!(!expiry.is_past(clock.now()));
        clock.step_wall(3600);
        assert!(expiry.is_past(clock.now()), "suspended machine");
        assert_eq!((expiry.left(clock.now()), clock.now().age_of(issued)), (Duration::ZERO, Duration::from_secs(3600)));
        clock.step_wall(-7200);
        assert!(!expiry.is_past(clock.now()));
        clock.pass(Duration::from_secs(60));
        assert!(expiry.is_past(clock.now()), "wall clock stepped back");
    }

    #[test]
    fn a_pause_ends_soon_after_a_stop_and_otherwise_takes_its_time() {
        let (clock, handle) = (FakeClock::new(), StopHandle::new());
        let minute = Duration::from_secs(60);
        clock.pause(minute, &Stop::default());
        assert_eq!(clock.slept(), [minute], "nothing has to be looked for");
        let (stop, began) = (Stop::by(&handle), clock.now());
        clock.pause(minute, &stop);
        assert_eq!(clock.now().since(began), minute);
        clock.stop_after(minute / 2, &handle);
        clock.pause(minute, &stop);
        let late = clock.now().since(began) - minute * 3 / 2;
        assert!(late < Duration::from_secs(1), "{late:?}");
        let before = clock.now();
        StoppableClock::new(Arc::new(FakeClock::new())).stopped_by(stop.clone()).sleep(minute);
        clock.pause(minute, &stop);
        assert_eq!(clock.now(), before, "after a stop there is no pause at all");
    }

    #[test]
    fn the_longest_duration_does_not_overflow() {
        let now = FakeClock::new().now();
        assert!(!now.deadline(Duration::MAX).is_reached(now));
        assert!(!now.expiry(Duration::MAX).is_past(now));
        assert_eq!(now.deadline(Duration::MAX).left(now), FOREVER);
    }
}
