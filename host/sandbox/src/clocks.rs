//! `wasi:clocks`: the real clocks where they are granted, else one that stands still and moves
//! only when the guest sleeps, by exactly as much as it asked to sleep.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::host::State;

/// What the wall clock shows when a run starts that was not granted the real one, in seconds
/// since 1970-01-01 UTC: 2026-01-01 00:00:00.
pub const VIRTUAL_WALL_START: u64 = 1_767_225_600;
/// What the monotonic clock shows then, in nanoseconds. Not zero, because programs subtract from
/// it: an hour.
pub const VIRTUAL_MONOTONIC_START: u64 = 3_600_000_000_000;

/// A clock that moves only by sleeping. Clones are the same clock.
#[derive(Clone, Default)]
pub(crate) struct VirtualClock(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    /// Nanoseconds slept.
    slept: u64,
    /// Who waits at this moment, and until when: deadline in nanoseconds slept, and a number.
    waiting: BTreeSet<(u64, u64)>,
    next: u64,
}

impl VirtualClock {
    fn slept(&self) -> u64 {
        self.0.lock().slept
    }
}

/// Becomes ready when somebody has waited for it. Time that the guest spends otherwise does not
/// count: it would be real time, and no two runs would agree on it.
struct VirtualTimer {
    clock: VirtualClock,
    deadline: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for VirtualTimer {
    async fn ready(&mut self) {
        let Some(wait) = Wait::begin(&self.clock, self.deadline) else { return };
        // Not ready at the first look, however late that is: whether a timer of a nanosecond has
        // gone off by then is up to the machine.
        look_again().await;
        tokio::time::sleep(wait.duration).await;
        // Of all that wait together, the one with the earliest deadline is first, and alone:
        // in which order and how late the timers of this machine go off must not show.
        std::future::poll_fn(|_| wait.poll_first()).await;
    }
}

/// One wait for a timer, while it lasts.
struct Wait<'a> {
    clock: &'a VirtualClock,
    entry: (u64, u64),
    duration: Duration,
}

impl<'a> Wait<'a> {
    /// None when the deadline is not in the future.
    fn begin(clock: &'a VirtualClock, deadline: u64) -> Option<Self> {
        let mut time = clock.0.lock();
        let left = deadline.checked_sub(time.slept).filter(|&left| left > 0)?;
        let entry = (deadline, time.next);
        time.next += 1;
        time.waiting.insert(entry);
        Some(Self { clock, entry, duration: Duration::from_nanos(left) })
    }

    /// Ready when no other wait is due before this one. An earlier one has a timer of its own,
    /// which wakes whoever waits for both.
    fn poll_first(&self) -> std::task::Poll<()> {
        let mut time = self.clock.0.lock();
        let (deadline, _) = self.entry;
        // Of those with the same deadline, the one that began to wait first.
        let first = time.waiting.first().is_none_or(|&other| other >= self.entry);
        // Another that was due before has just ended its wait, and the guest is told of that one
        // alone: this one goes on in the guest's next wait.
        let begun_at = deadline.saturating_sub(nanos(self.duration));
        if !first || time.slept > begun_at {
            return std::task::Poll::Pending;
        }
        time.slept = time.slept.max(deadline);
        std::task::Poll::Ready(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.clock.0.lock().waiting.remove(&self.entry);
    }
}

/// Is not ready when first looked at. (tokio's own `yield_now` may wait for the scheduler of a
/// runtime that this thread is blocking.)
async fn look_again() {
    let mut looks = 0;
    std::future::poll_fn(|context| {
        looks += 1;
        if looks > 1 {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    fn has_clock(&self) -> bool {
        self.identity.options.grants.clock
    }

    fn virtual_timer(&mut self, deadline: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = self.virtual_clock().clone();
        let timer = self.table.push(VirtualTimer { clock, deadline })?;
        subscribe(&mut self.table, timer)
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        if self.has_clock() {
            return wall_clock::Host::now(&mut clocks(self));
        }
        let slept = Duration::from_nanos(self.virtual_clock().slept());
        Ok(wall_clock::Datetime {
            seconds: VIRTUAL_WALL_START.saturating_add(slept.as_secs()),
            nanoseconds: slept.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        if self.has_clock() {
            return wall_clock::Host::resolution(&mut clocks(self));
        }
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        if self.has_clock() {
            return monotonic_clock::Host::now(&mut clocks(self));
        }
        Ok(VIRTUAL_MONOTONIC_START.saturating_add(self.virtual_clock().slept()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        if self.has_clock() {
            return monotonic_clock::Host::resolution(&mut clocks(self));
        }
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        if self.has_clock() {
            return monotonic_clock::Host::subscribe_instant(&mut clocks(self), when);
        }
        self.virtual_timer(when.saturating_sub(VIRTUAL_MONOTONIC_START))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        if self.has_clock() {
            return monotonic_clock::Host::subscribe_duration(&mut clocks(self), duration);
        }
        let deadline = self.virtual_clock().slept().saturating_add(duration);
        self.virtual_timer(deadline)
    }
}

/// The real clocks.
fn clocks(state: &mut State) -> wasmtime_wasi::clocks::WasiClocksCtxView<'_> {
    let wasmtime_wasi::WasiCtxView { ctx, table } = state.ctx();
    wasmtime_wasi::clocks::WasiClocksCtxView { ctx: ctx.clocks(), table }
}

#[cfg(test)]
mod tests {
    use futures::future::{Either, join, poll_immediate, select};

    use super::*;

    fn timer(clock: &VirtualClock, millis: u64) -> VirtualTimer {
        VirtualTimer { clock: clock.clone(), deadline: millis * 1_000_000 }
    }

    fn in_tokio<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn only_sleep_moves_it_and_exactly() {
        let clock = VirtualClock::default();
        in_tokio(async {
            timer(&clock, 0).ready().await;
            assert_eq!(clock.slept(), 0);
            let mut later = timer(&clock, 20);
            for _ in 0..3 {
                assert!(poll_immediate(later.ready()).await.is_none());
                // A look is not a wait: time that passes between looks does not count.
                std::thread::sleep(Duration::from_millis(15));
            }
            later.ready().await;
            assert_eq!(clock.slept(), 20_000_000);
            timer(&clock, 10).ready().await;
            assert_eq!(clock.slept(), 20_000_000);
        });
        assert!(clock.0.lock().waiting.is_empty());
    }

    #[test]
    fn the_shortest_sleep_is_not_over_at_a_look() {
        let clock = VirtualClock::default();
        in_tokio(async {
            let mut shortest = VirtualTimer { clock: clock.clone(), deadline: 1 };
            for _ in 0..1_000 {
                assert!(poll_immediate(shortest.ready()).await.is_none());
            }
            shortest.ready().await;
        });
        assert_eq!(clock.slept(), 1);
    }

    #[test]
    fn of_equal_ones_only_the_first_goes_off() {
        for _ in 0..50 {
            let clock = VirtualClock::default();
            let (mut one, mut two) = (timer(&clock, 2), timer(&clock, 2));
            in_tokio(async {
                let (mut one, mut two) = (one.ready(), two.ready());
                // As `poll` does it: all are looked at, whichever is ready.
                let ready = std::future::poll_fn(|context| {
                    let ready = [one.as_mut(), two.as_mut()].map(|it| it.poll(context).is_ready());
                    match ready {
                        [false, false] => std::task::Poll::Pending,
                        some => std::task::Poll::Ready(some),
                    }
                });
                assert_eq!(ready.await, [true, false]);
            });
            in_tokio(async { assert!(poll_immediate(two.ready()).await.is_some()) });
        }
    }

    #[test]
    fn of_several_the_earliest_is_first_whatever_the_order() {
        for (first, second) in [(5, 6), (6, 5), (5, 5)] {
            let clock = VirtualClock::default();
            let (mut one, mut two) = (timer(&clock, first), timer(&clock, second));
            let winner = in_tokio(async {
                let (one, two) = (one.ready(), two.ready());
                let both = select(one, two);
                // Both timers are long due when they are looked at.
                let late = async { std::thread::sleep(Duration::from_millis(20)) };
                let (both, ()) = join(both, late).await;
                matches!(both, Either::Left(_))
            });
            assert_eq!(winner, first <= second);
            assert_eq!(clock.slept(), first.min(second) * 1_000_000);
        }
    }
}
