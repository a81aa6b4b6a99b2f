//! Many threads, random refusals, sources that fail or have no other token, and clocks that are stepped.

use super::*;

/// Its tokens are counted; now and then there is none, or only the one from before.
#[derive(Debug)]
struct Moody {
    clock: Arc<FakeClock>,
    issued: AtomicU32,
    under_way: AtomicU32,
    is_well: Arc<AtomicBool>,
}

impl Moody {
    fn issue(&self) -> Result<Grant, Error> {
        let _one = OneAtATime::enter(&self.under_way);
        for _ in 0..fastrand::u8(..4) {
            thread::yield_now();
        }
        let mood = if self.is_well.load(Ordering::SeqCst) { 9 } else { fastrand::u8(..10) };
        let number = match mood {
            0 => return Err(unavailable()),
            1 => return Err(Error::new(ErrorKind::Credentials, "refused")),
            2 => return Err(Error::new(ErrorKind::Timeout, "out of time")),
            3 => self.issued.load(Ordering::SeqCst),
            _ => self.issued.fetch_add(1, Ordering::SeqCst) + 1,
        };
        let reread_after = (mood == 4).then_some(MINUTE);
        Ok(Grant { reread_after, ..grant(&*self.clock, number, MINUTE * u32::from(fastrand::u8(..60))) })
    }
}

impl TokenSource for Moody {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        self.issue()
    }

    fn replace(&self, refused: &Grant, _limits: Limits) -> Result<Option<Grant>, Error> {
        let grant = self.issue()?;
        Ok((fastrand::bool() || grant.bearer != refused.bearer).then_some(grant))
    }
}

struct OneAtATime<'c>(&'c AtomicU32);

impl OneAtATime<'_> {
    fn enter(under_way: &AtomicU32) -> OneAtATime<'_> {
        assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0, "two fetches at once");
        OneAtATime(under_way)
    }
}

impl Drop for OneAtATime<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Calls at random, and what each of them may never see.
struct Caller<'c> {
    cache: &'c TokenCache,
    clock: &'c FakeClock,
    /// The newest generation that a finished call has refused.
    refused: &'c AtomicU64,
    newest: u64,
}

impl Caller<'_> {
    fn limits(&self) -> Limits {
        match fastrand::u8(..4) {
            0 => Limits::until(self.clock.now().deadline(Duration::from_millis(fastrand::u64(..20)))),
            1 => Limits {
                retries: self.clock.now().deadline(Duration::from_secs(fastrand::u64(..60))),
                ..Limits::unlimited()
            },
            _ => Limits::unlimited(),
        }
    }

    fn call(&mut self) {
        let refused = self.refused.load(Ordering::SeqCst);
        let result = match fastrand::u8(..10) {
            0 => self.cache.refresh(self.limits()),
            _ => self.cache.get(self.limits()),
        };
        let Ok(token) = result else { return };
        assert!(token.generation > refused, "a token of a refused generation");
        self.note(token.generation);
        match fastrand::u8(..20) {
            0..3 => {
                let renewed = self.cache.renew_after(&token, self.limits());
                self.refused.fetch_max(token.generation, Ordering::SeqCst);
                if let Ok(Some(renewed)) = renewed {
                    assert!(renewed.generation > token.generation, "the refused token");
                    self.note(renewed.generation);
                }
            }
            3 => {
                if let Ok(Some(renewed)) = self.cache.renew_after_denial(&token, self.limits()) {
                    assert_ne!(renewed.generation, token.generation);
                    self.note(renewed.generation);
                }
            }
            4 => self.cache.note_refusal(&token, &unavailable()),
            5 => self.clock.pass(Duration::from_secs(fastrand::u64(..300))),
            6 => self.clock.step_wall(fastrand::i64(-4000..4000)),
            _ => {}
        }
    }

    fn note(&mut self, generation: u64) {
        assert!(generation >= self.newest, "time runs backwards");
        self.newest = generation;
    }
}

#[test]
fn no_thread_hangs_and_no_refused_generation_comes_back_whatever_sources_and_clocks_do() {
    const THREADS: usize = 16;
    const ROUNDS: usize = 1000;
    let (clock, is_well) = (Arc::new(FakeClock::new()), Arc::new(AtomicBool::default()));
    let (issued, under_way) = (AtomicU32::default(), AtomicU32::default());
    let source = Moody { clock: clock.clone(), issued, under_way, is_well: is_well.clone() };
    let cache = TokenCache::new(Box::new(source), clock.clone());
    let refused = AtomicU64::default();
    in_threads(THREADS, || {
        let mut caller = Caller { cache: &cache, clock: &clock, refused: &refused, newest: 0 };
        (0..ROUNDS).for_each(|_| caller.call());
    });
    assert!(cache.state.lock().fetch.is_none());
    is_well.store(true, Ordering::SeqCst);
    clock.pass(HOUR);
    assert!(cache.get(Limits::unlimited()).unwrap().generation > refused.load(Ordering::SeqCst));
}
