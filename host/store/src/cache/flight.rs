//! Equal calls under way at the same time: one of them runs, the others wait for its result. What
//! is done with results is in `invoker`.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use sandmill_core::CancelToken;
use sandmill_wire::{RunId, Value};

use super::key::KeyDigest;

/// The calls that run for others too, by their keys. There is one for each key under way, so there
/// are never more than there are runs under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<KeyDigest, Arc<Flight>>>);

/// What a call is to do.
pub(super) enum Role {
    /// It runs, and says what became of it.
    Leader(Leader),
    /// It waits for the one that runs.
    Follower(Arc<Flight>),
}

/// One call that runs, and those that wait for it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    landed: Mutex<Option<Landed>>,
    changed: Condvar,
}

/// What became of the call that ran.
#[derive(Debug, Clone)]
pub(super) enum Landed {
    /// A value for all, and the run that made it.
    Value(Value, RunId),
    /// It ended without a value: one of those that wait runs next.
    Failed,
    /// Its result is its own: whoever waits does better to run by itself.
    Unshared,
}

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// The call that ran has ended.
    Landed(Landed),
    /// The call that waited was cancelled.
    Cancelled,
    /// It has waited for as long as it may.
    TimedOut,
}

impl Flights {
    /// The first of equal calls leads, the others follow.
    pub(super) fn join(self: &Arc<Self>, key: KeyDigest) -> Role {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&key) {
            return Role::Follower(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        flights.insert(key, Arc::clone(&flight));
        Role::Leader(Leader { flights: Arc::clone(self), key, flight })
    }
}

/// The one call of its key that runs. When it goes without a word, it has failed.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: KeyDigest,
    flight: Arc<Flight>,
}

impl Leader {
    /// Tells those that wait what became of it.
    pub(super) fn land(self, landed: Landed) {
        *self.flight.landed.lock() = Some(landed);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Out of the map before anybody wakes: who comes back leads a flight of its own.
        self.flights.0.lock().remove(&self.key);
        self.flight.landed.lock().get_or_insert(Landed::Failed);
        self.flight.changed.notify_all();
    }
}

impl Flight {
    /// Waits until the leader has ended, or this call is cancelled, or its time is over.
    pub(super) fn wait(self: &Arc<Self>, cancel: &CancelToken, until: Option<Instant>) -> Waited {
        let waker = Waker::from(Arc::new(Bell(Arc::clone(self))));
        // Before the lock: a waker may be called on the spot, and takes it.
        if cancel.poll_cancelled(&mut Context::from_waker(&waker)).is_ready() {
            return Waited::Cancelled;
        }
        self.wait_for_bell(cancel, until)
    }

    /// Waits, once everybody who may ring knows whom to wake.
    fn wait_for_bell(&self, cancel: &CancelToken, until: Option<Instant>) -> Waited {
        let mut landed = self.landed.lock();
        loop {
            // Under the lock: a cancel that came before it rang while nobody waited yet.
            if cancel.is_cancelled() {
                return Waited::Cancelled;
            }
            if let Some(landed) = &*landed {
                return Waited::Landed(landed.clone());
            }
            let timed_out = match until {
                Some(until) => self.changed.wait_until(&mut landed, until).timed_out(),
                None => {
                    self.changed.wait(&mut landed);
                    false
                }
            };
            if timed_out && landed.is_none() {
                return Waited::TimedOut;
            }
        }
    }
}

/// Wakes whoever waits for a flight.
struct Bell(Arc<Flight>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // Taking the lock once makes sure that whoever looked before is waiting by now.
        drop(self.0.landed.lock());
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cancel_that_rings_just_before_the_wait_is_heard() {
        // Nobody waits for so long, unless the cancel was missed.
        let until = Instant::now() + Duration::from_secs(10);
        let (flight, token) = (Arc::new(Flight::default()), CancelToken::new());
        let waker = Waker::from(Arc::new(Bell(Arc::clone(&flight))));
        assert!(token.poll_cancelled(&mut Context::from_waker(&waker)).is_pending());
        token.cancel();
        assert!(matches!(flight.wait_for_bell(&token, Some(until)), Waited::Cancelled));
    }
}
