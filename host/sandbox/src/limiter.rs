//! Memory of one run: every linear memory and table of it counts against one limit. (wasmtime's
//! own limits count each by itself.)

use wasmtime::ResourceLimiter;

use crate::engine::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};

/// Bytes that a table element takes on the host.
const ELEMENT_BYTES: u64 = 8;

/// A limit that a guest has hit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitHit {
    #[error(
        "memory: the guest asked for {asked} in all, the limit is {limit}",
        asked = sandmill_core::units::format_size(*asked),
        limit = sandmill_core::units::format_size(*limit)
    )]
    Memory { asked: u64, limit: u64 },
    #[error("tables: the guest asked for {asked} elements in all, the limit is {limit}")]
    TableElements { asked: u64, limit: u64 },
    #[error("the machine has no memory for the guest: {0}")]
    Machine(String),
}

/// Counts the memory of one run, and denies what is over the limit. Denied growth traps: a guest
/// never goes on without memory it asked for, so what it computes does not depend on its limit.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_limit: u64,
    element_limit: u64,
    memory: u64,
    elements: u64,
    peak: u64,
}

impl Limiter {
    pub(crate) fn new(memory_limit: u64, element_limit: u64) -> Self {
        Self { memory_limit, element_limit, memory: 0, elements: 0, peak: 0 }
    }

    /// The most bytes there were at a time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    fn grow(&mut self, memory: u64, elements: u64) -> Result<(), LimitHit> {
        if elements > self.element_limit {
            return Err(LimitHit::TableElements { asked: elements, limit: self.element_limit });
        }
        let total = memory.saturating_add(elements.saturating_mul(ELEMENT_BYTES));
        if total > self.memory_limit {
            return Err(LimitHit::Memory { asked: total, limit: self.memory_limit });
        }
        self.memory = memory;
        self.elements = elements;
        self.peak = self.peak.max(total);
        Ok(())
    }
}

/// What `total` becomes when one part of it goes from `current` to `desired`.
fn after(total: u64, current: usize, desired: usize) -> u64 {
    total.saturating_sub(current as u64).saturating_add(desired as u64)
}

/// Whether the guest's own declaration forbids the growth. The limit on the other hand is never
/// smaller than what the pool can give, so a maximum below it is the guest's.
fn is_declared(desired: usize, maximum: Option<usize>, limit: u64) -> bool {
    maximum.is_some_and(|maximum| desired > maximum && (maximum as u64) < limit)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_declared(desired, maximum, self.memory_limit) {
            return Ok(false);
        }
        self.grow(after(self.memory, current, desired), self.elements)?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(LimitHit::Machine(format!("{error:#}")).into())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_declared(desired, maximum, self.element_limit) {
            return Ok(false);
        }
        self.grow(self.memory, after(self.elements, current, desired))?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(LimitHit::Machine(format!("{error:#}")).into())
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counts_against_one_limit() {
        let mut limiter = Limiter::new(1000, 50);
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.table_growing(0, 20, None).unwrap());
        let hit = limiter.memory_growing(400, 500, None).unwrap_err();
        let hit = hit.downcast_ref::<LimitHit>().unwrap();
        assert_eq!(*hit, LimitHit::Memory { asked: 1060, limit: 1000 });
        let hit = limiter.table_growing(20, 51, None).unwrap_err();
        let hit = hit.downcast_ref::<LimitHit>().unwrap();
        assert_eq!(*hit, LimitHit::TableElements { asked: 51, limit: 50 });
        assert_eq!(limiter.peak(), 960);
    }

    #[test]
    fn growth_past_the_guests_own_maximum_is_its_own_affair() {
        let mut limiter = Limiter::new(1000, 50);
        assert!(!limiter.memory_growing(100, 300, Some(200)).unwrap());
        assert!(!limiter.table_growing(1, 30, Some(20)).unwrap());
        assert!(limiter.memory_growing(100, 3000, Some(2000)).is_err());
    }
}
