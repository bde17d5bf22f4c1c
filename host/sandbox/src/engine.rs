//! Engines: how code is compiled and where instances get their memory. What is linked into them
//! is in `linker`, what is compiled with them in `prepared`.

use std::hash::{Hash as _, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};

use crate::compile::Effort;
use crate::config::{SandboxConfig, SandboxError};
use crate::host::State;
use crate::linker;

/// Core instances in one component. Python components have a few dozen.
pub const MAX_CORE_INSTANCES: u32 = 64;
/// Linear memories in one component; how large they are together is the run's limit.
pub const MAX_MEMORIES: u32 = 64;
/// Tables in one component; how many elements they have together is the run's limit.
pub const MAX_TABLES: u32 = 64;
/// Stack of a guest. Deeper calls trap.
pub const MAX_WASM_STACK_BYTES: usize = 512 << 10;

/// Stack of a guest and the host functions it calls.
const STACK_BYTES: usize = 2 << 20;
/// Frames in a backtrace.
const MAX_BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// Memory that stays mapped in a free slot of the pool, where changed pages can be found.
const MEMORY_KEPT_RESIDENT: usize = 1 << 20;
/// Table bytes that stay mapped in a free slot of the pool, where changed pages can be found.
const TABLE_KEPT_RESIDENT: usize = 64 << 10;
/// Memories of one component that the pool has room for. Components with more are not pooled.
const POOLED_MEMORIES: u32 = 4;
/// Tables of one component that the pool has room for. Components with more are not pooled.
const POOLED_TABLES: u32 = 8;
/// Elements of one table that the pool has room for.
pub(crate) const POOLED_TABLE_ELEMENTS: u64 = sandmill_core::DEFAULT_TABLE_ELEMENTS;
/// The most slots a pool is made for: its address space is the product.
const MAX_POOLED_SLOTS: usize = 1_000;
/// Slots beyond the configured ones, for describing components.
const EXTRA_SLOTS: usize = 4;
/// Bytes of an instance's own tables of contents that the pool accepts.
const MAX_INSTANCE_BYTES: usize = 16 << 20;

/// Which engine: whether it counts fuel, and whether its instances come from a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) metered: bool,
    pub(crate) pooled: bool,
}

impl Kind {
    pub(crate) const COUNT: usize = 4;

    pub(crate) const fn index(self) -> usize {
        (self.metered as usize) | ((self.pooled as usize) << 1)
    }
}

/// An engine and everything that guests can import, linked for it.
pub(crate) struct LinkedEngine {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    /// Equal for engines that can run each other's code.
    pub(crate) code_hash: blake3::Hash,
}

/// The engines of a sandbox, made when first needed. Code compiled by one runs in every other
/// that agrees about fuel.
pub(crate) struct Engines {
    config: SandboxConfig,
    pool: Result<(), String>,
    made: Mutex<[Option<Arc<LinkedEngine>>; Kind::COUNT]>,
}

impl Engines {
    /// Makes the engine for ordinary runs: pooled where it can be, else not.
    pub(crate) fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let made: [_; Kind::COUNT] = std::array::from_fn(|_| None);
        let mut engines = Self {
            config: config.clone(),
            pool: if config.pooling { Ok(()) } else { Err("switched off".to_owned()) },
            made: Mutex::new(made),
        };
        if engines.pool.is_ok()
            && let Err(error) = engines.get(Kind { metered: false, pooled: true })
        {
            engines.pool = Err(error);
        }
        if engines.pool.is_err() {
            engines.get(Kind { metered: false, pooled: false }).map_err(SandboxError::Engine)?;
        }
        Ok(engines)
    }

    /// Whether there is a pool, or why not.
    pub(crate) fn pool(&self) -> Result<(), &str> {
        self.pool.as_ref().map(|&()| ()).map_err(String::as_str)
    }

    /// Slots in the pool.
    pub(crate) fn pooled_slots(&self) -> usize {
        pooled_slots(&self.config)
    }

    /// The engine of that kind. A pooled one where there is no pool is one that is not.
    pub(crate) fn get(&self, mut kind: Kind) -> Result<Arc<LinkedEngine>, String> {
        kind.pooled &= self.pool.is_ok();
        let mut made = self.made.lock();
        if let Some(engine) = &made[kind.index()] {
            return Ok(Arc::clone(engine));
        }
        let engine = self.make(kind).map_err(|error| format!("{error:#}"))?;
        made[kind.index()] = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// Ends the current tick of every engine there is.
    pub(crate) fn tick(&self) {
        for engine in self.made.lock().iter().flatten() {
            engine.engine.increment_epoch();
        }
    }

    fn make(&self, kind: Kind) -> wasmtime::Result<Arc<LinkedEngine>> {
        let mut config = code_config(kind.metered);
        if kind.pooled {
            let pool = pool_config(&self.config);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config)?;
        let linker = linker::link(&engine)?;
        let code_hash = code_hash(&engine);
        Ok(Arc::new(LinkedEngine { engine, linker, code_hash }))
    }
}

/// An engine that compiles and runs nothing. What it compiles runs in every engine that agrees about
/// fuel, with whatever effort: that bears on how fast code is, and not on what it computes.
pub(crate) fn compiling(metered: bool, effort: Effort) -> wasmtime::Result<Engine> {
    let mut config = code_config(metered);
    if effort == Effort::Least {
        config.cranelift_opt_level(OptLevel::None);
    }
    Engine::new(&config)
}

/// Equal for engines that can run each other's code and compile with the same effort.
pub(crate) fn code_hash(engine: &Engine) -> blake3::Hash {
    let mut hasher = Wide(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize()
}

/// Takes what is meant for a hash of 64 bits into one of 256.
struct Wide(blake3::Hasher);

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

/// Everything that bears on the machine code. What a guest computes must not depend on the
/// machine, hence canonical NaNs (a few percent of float-heavy code) and deterministic relaxed
/// SIMD. Proposals that no toolchain needs for tasks are off; threads, garbage collection,
/// exceptions and stack switching are not even compiled in.
fn code_config(metered: bool) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_component_model(true)
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(metered)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        // Code reads no stack slot that it has not written, so there is nothing to leak.
        .async_stack_zeroing(false)
        .wasm_backtrace_max_frames(Some(MAX_BACKTRACE_FRAMES))
        // Backtraces name functions; nothing here needs byte offsets.
        .generate_address_map(false)
        .memory_init_cow(true);
    config
}

fn pooled_slots(config: &SandboxConfig) -> usize {
    config.slots.min(MAX_POOLED_SLOTS) + EXTRA_SLOTS
}

fn pool_config(config: &SandboxConfig) -> PoolingAllocationConfig {
    let slots = u32::try_from(pooled_slots(config)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(MAX_CORE_INSTANCES))
        .total_memories(slots.saturating_mul(POOLED_MEMORIES))
        .total_tables(slots.saturating_mul(POOLED_TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(POOLED_MEMORIES)
        .max_memories_per_module(POOLED_MEMORIES)
        .max_tables_per_component(POOLED_TABLES)
        .max_tables_per_module(POOLED_TABLES)
        .table_elements(usize::try_from(POOLED_TABLE_ELEMENTS).unwrap_or(usize::MAX))
        .max_memory_size(usize::try_from(config.max_memory.min(4 << 30)).unwrap_or(usize::MAX))
        .max_core_instance_size(MAX_INSTANCE_BYTES)
        .max_component_instance_size(MAX_INSTANCE_BYTES)
        .max_unused_warm_slots(slots);
    // Keeping memory resident pays only where the kernel tells which pages changed: without
    // that, every page kept is written anew for each run.
    if pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(MEMORY_KEPT_RESIDENT)
            .table_keep_resident(TABLE_KEPT_RESIDENT);
    }
    pool
}

/// Whether the kernel can tell which pages of a memory have changed (Linux 6.7 and later).
pub(crate) fn pagemap_scan_available() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}
