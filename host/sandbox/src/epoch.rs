//! The ticker: ends the engines' epochs while guests run, so that a guest that never calls the
//! host is looked at all the same. What is looked at then is in `host`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How often a running guest is looked at: the most by which a busy guest outlives its deadline
/// or its cancellation, but for one long instruction such as `memory.fill`.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Ends epochs every [`EPOCH_TICK`] while runs are under way, and sleeps while none is.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: OnceLock<std::io::Result<()>>,
}

struct Shared {
    running: AtomicUsize,
    started: AtomicU64,
    asleep: AtomicBool,
    closed: AtomicBool,
    gate: Mutex<()>,
    wake: Condvar,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                running: AtomicUsize::new(0),
                started: AtomicU64::new(0),
                asleep: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                gate: Mutex::new(()),
                wake: Condvar::new(),
            }),
            thread: OnceLock::new(),
        }
    }

    /// Makes sure of ticks until the answer is dropped. `tick` is what the thread calls, as long
    /// as `of` lives.
    pub(crate) fn running<T: Send + Sync + 'static>(
        &self,
        of: &Arc<T>,
        tick: fn(&T),
    ) -> Result<Running<'_>, &std::io::Error> {
        let started = self.thread.get_or_init(|| {
            let shared = Arc::clone(&self.shared);
            let of = Arc::downgrade(of);
            let thread = std::thread::Builder::new().name("sandmill-epoch".to_owned());
            thread.spawn(move || shared.tick_until_closed(&of, tick)).map(drop)
        });
        if let Err(error) = started {
            return Err(error);
        }
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        self.shared.started.fetch_add(1, Ordering::Relaxed);
        if self.shared.asleep.load(Ordering::SeqCst) {
            let _gate = self.shared.gate.lock();
            self.shared.wake.notify_one();
        }
        Ok(Running(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _gate = self.shared.gate.lock();
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn tick_until_closed<T>(&self, of: &Weak<T>, tick: fn(&T)) {
        let mut seen = 0;
        while !self.closed.load(Ordering::SeqCst) {
            let started = self.started.load(Ordering::Relaxed);
            // Short runs in a row leave gaps; only a whole tick without a run puts this to sleep,
            // so that starting a run hardly ever has to wake a thread.
            if started == seen && self.running.load(Ordering::SeqCst) == 0 {
                let mut gate = self.gate.lock();
                self.asleep.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.closed.load(Ordering::SeqCst) {
                    self.wake.wait(&mut gate);
                }
                self.asleep.store(false, Ordering::SeqCst);
            }
            seen = started;
            std::thread::sleep(EPOCH_TICK);
            match of.upgrade() {
                Some(of) => tick(&of),
                None => return,
            }
        }
    }
}

/// A run that needs ticks.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
