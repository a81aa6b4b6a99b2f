use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The time, and waiting; tests use a clock that does not wait.
pub(crate) trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Moment;
    fn sleep(&self, duration: Duration);
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
/// The monotonic clock stops while the machine is suspended, and the wall clock may be stepped: a deadline is reached as soon
/// as either clock has reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// The moment this much later, at most [`FOREVER`].
    pub(crate) fn after(self, duration: Duration) -> Moment {
        let bounded = duration.min(FOREVER);
        Moment { monotonic: self.monotonic + bounded, wall: self.wall + bounded }
    }

    pub(crate) fn reached(self, deadline: Moment) -> bool {
        self.monotonic >= deadline.monotonic || self.wall >= deadline.wall
    }

    /// The time until the deadline, by the clock that reaches it first.
    pub(crate) fn until(self, deadline: Moment) -> Duration {
        let monotonic = deadline.monotonic.saturating_duration_since(self.monotonic);
        let wall = deadline.wall.duration_since(self.wall).unwrap_or(Duration::ZERO);
        monotonic.min(wall)
    }

    /// The time since the earlier moment, by the clock that shows more.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or(Duration::ZERO);
        monotonic.max(wall)
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

/// How far the server's clock is ahead of this machine's, by the `Date` of its responses (RFC 9110, section 6.6.1).
///
/// A difference counts if it is larger than network delay and the one-second resolution of `Date` explain.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    ahead_ms: AtomicI64,
}

impl ServerClock {
    /// `date` is from a response that arrived at `received`, to a request sent at `sent`.
    pub(crate) fn observe(&self, date: SystemTime, sent: Moment, received: Moment) {
        let round_trip = received.since(sent);
        // `Date` is cut to whole seconds: on average it is half a second old.
        let server = date + Duration::from_millis(500);
        let ahead = signed_ms(server, sent.wall + round_trip / 2);
        let noise = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX).saturating_add(1000);
        let believed = if ahead.abs() > noise { ahead } else { 0 };
        self.ahead_ms.store(believed, Ordering::Relaxed);
    }

    /// In milliseconds; negative if the server's clock is behind, zero if no difference is known.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The same for callers.
    pub(crate) fn offset(&self) -> ClockOffset {
        let ahead = self.ahead_ms();
        let difference = Duration::from_millis(ahead.unsigned_abs());
        match ahead {
            0 => ClockOffset::NotDetected,
            1.. => ClockOffset::ServerAhead(difference),
            _ => ClockOffset::ServerBehind(difference),
        }
    }

    /// A time of this machine's wall clock, by the server's clock.
    pub(crate) fn at(&self, wall: SystemTime) -> SystemTime {
        let ahead = self.ahead_ms();
        let difference = Duration::from_millis(ahead.unsigned_abs());
        let shifted = if ahead < 0 { wall.checked_sub(difference) } else { wall.checked_add(difference) };
        shifted.unwrap_or(wall)
    }
}

fn signed_ms(later: SystemTime, earlier: SystemTime) -> i64 {
    match later.duration_since(earlier) {
        Ok(ahead) => i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX),
        Err(behind) => -i64::try_from(behind.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// Longer than the lifetime of any token, and short enough to be added to any clock without overflow.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A clock that stands still unless a test moves it; sleeping moves it too.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct FakeClock {
    now: parking_lot::Mutex<Moment>,
    slept: parking_lot::Mutex<Vec<Duration>>,
}

#[cfg(test)]
impl FakeClock {
    pub(crate) fn new() -> FakeClock {
        let now = Moment { monotonic: Instant::now(), wall: SystemTime::now() };
        FakeClock { now: parking_lot::Mutex::new(now), slept: parking_lot::Mutex::default() }
    }

    /// Moves both clocks.
    pub(crate) fn pass(&self, duration: Duration) {
        let mut now = self.now.lock();
        *now = now.after(duration);
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
        server.ahead_ms()
    }

    #[test]
    fn a_difference_beyond_delay_and_resolution_is_believed() {
        assert_eq!(measure(600_000, Duration::from_millis(80)), 600_000);
        assert_eq!(measure(-600_000, Duration::from_millis(80)), -600_000);
        assert_eq!(measure(900, Duration::from_millis(80)), 0);
        assert_eq!(measure(3_000, Duration::from_secs(10)), 0);
    }

    #[test]
    fn a_deadline_is_reached_by_either_clock() {
        let clock = FakeClock::new();
        let deadline = clock.now().after(Duration::from_secs(60));
        assert!(!clock.now().reached(deadline));
        clock.step_wall(3600);
        assert!(clock.now().reached(deadline), "suspended machine");
        clock.step_wall(-7200);
        assert!(!clock.now().reached(deadline));
        clock.pass(Duration::from_secs(60));
        assert!(clock.now().reached(deadline), "wall clock stepped back");
    }

    #[test]
    fn an_absurd_duration_does_not_overflow() {
        let now = FakeClock::new().now();
        assert!(!now.reached(now.after(Duration::MAX)));
    }
}
