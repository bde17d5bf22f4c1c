//! The bare loop: the engine, tuned as well as we know, an instance that is linked once, a store for
//! each run, and nothing else. It is what Sandmill is held against: the same component, the same
//! call, the same limits of memory and time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use sandmill::Value;
use sandmill::core::{DEFAULT_MEMORY_BYTES, DEFAULT_TIMEOUT};
use sandmill::sandbox::{EPOCH_TICK, MAX_WASM_STACK_BYTES};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    StoreLimits, StoreLimitsBuilder,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::arguments;
use crate::measure::{Answer, Latency, Measure};
use crate::subject::Subject;

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit/task-0.1", world: "sandmill:task/task" });
}

use bindings::TaskPre;

/// Memory and table bytes that stay mapped in a free slot, as the sandbox has them.
const MEMORY_KEPT_RESIDENT: usize = 1 << 20;
const TABLE_KEPT_RESIDENT: usize = 64 << 10;
/// Runs that a thread takes at a time.
const CHUNK: u64 = 64;

/// What a store knows of its run.
struct State {
    limits: StoreLimits,
    table: ResourceTable,
    /// Made when a guest first asks for it.
    wasi: Option<Box<WasiCtx>>,
}

impl State {
    fn new() -> Self {
        let memory = usize::try_from(DEFAULT_MEMORY_BYTES).unwrap_or(usize::MAX);
        let limits = StoreLimitsBuilder::new().memory_size(memory).build();
        Self { limits, table: ResourceTable::new(), wasi: None }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| Box::new(WasiCtx::builder().build()));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// The engine's configuration. What follows from Sandmill's promises alone (canonical NaNs) is not
/// there.
fn config(pooled: bool, slots: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .generate_address_map(false)
        .memory_init_cow(true);
    if pooled {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_core_instances(slots * 16)
            .total_memories(slots * 4)
            .total_tables(slots * 8)
            .table_elements(100_000)
            .max_unused_warm_slots(slots);
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pool.pagemap_scan(Enabled::Yes)
                .linear_memory_keep_resident(MEMORY_KEPT_RESIDENT)
                .table_keep_resident(TABLE_KEPT_RESIDENT);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn link(engine: &Engine, component: &Component) -> Result<TaskPre<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    linker.define_unknown_imports_as_traps(component)?;
    Ok(TaskPre::new(linker.instantiate_pre(component)?)?)
}

fn run(pre: &TaskPre<State>, task: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    let engine = pre.engine();
    let mut store = Store::new(engine, State::new());
    store.limiter(|state| &mut state.limits);
    store.set_epoch_deadline(ticks(DEFAULT_TIMEOUT));
    let instance = pre.instantiate(&mut store)?;
    let result = instance.sandmill_task_runner().call_run(&mut store, task, arguments)?;
    result.map_err(|failure| anyhow!("{}: {}", failure.kind, failure.message))
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / EPOCH_TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// The bare loop on so many threads.
pub(crate) struct Bare {
    pre: TaskPre<State>,
    threads: usize,
    over: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Bare {
    /// Compiles the guest and links it.
    pub(crate) fn open(guest: &Path, threads: usize) -> Result<Self> {
        let slots = u32::try_from(threads)?.saturating_add(4);
        let engine = Engine::new(&config(true, slots))?;
        let component = Component::from_file(&engine, guest)?;
        let pre = link(&engine, &component)?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let ticker = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH_TICK);
                engine.increment_epoch();
            }
        });
        Ok(Self { pre, threads, over, ticker: Some(ticker) })
    }

    /// So many runs of the same call on all threads.
    fn many(&self, runs: u64, task: &str, arguments: &Value) -> Result<Answer> {
        let taken = AtomicU64::new(0);
        let arguments = arguments.as_bytes();
        let work = || -> Result<()> {
            loop {
                let first = taken.fetch_add(CHUNK, Ordering::Relaxed);
                if first >= runs {
                    return Ok(());
                }
                for _ in first..runs.min(first + CHUNK) {
                    run(&self.pre, task, arguments)?;
                }
            }
        };
        let start = Instant::now();
        if self.threads == 1 {
            work()?;
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|_| bail!("a thread of the bare loop panicked"))
                })
            })?;
        }
        Ok(Answer { runs, seconds: start.elapsed().as_secs_f64(), ..Answer::default() })
    }

    fn one_by_one(&self, runs: u64) -> Result<Answer> {
        let arguments = arguments::nothing()?;
        let mut times = Vec::new();
        let start = Instant::now();
        for _ in 0..runs {
            let start = Instant::now();
            run(&self.pre, "nothing", arguments.as_bytes())?;
            times.push(start.elapsed().as_secs_f64());
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Answer { runs, seconds, latency: Latency::of(times), peak_bytes: None })
    }
}

impl Subject for Bare {
    fn measure(&mut self, measure: Measure) -> Result<Answer> {
        match measure {
            Measure::Nothing { runs } => self.many(runs, "nothing", &arguments::nothing()?),
            Measure::Spin { runs, rounds, .. } => {
                self.many(runs, "spin", &arguments::spin(rounds)?)
            }
            Measure::Echo { runs, bytes } => self.many(runs, "echo", &arguments::echo(bytes)?),
            Measure::RoundTrip { runs } => self.one_by_one(runs),
            Measure::Hold { .. } | Measure::Flow { .. } | Measure::Start { .. } => {
                bail!("a bare loop has none of this")
            }
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            // It may have panicked, which harms nobody any more.
            let _ = ticker.join();
        }
    }
}

/// Compiles the guest for [`start`].
pub(crate) fn precompile(guest: &Path, to: &Path) -> Result<()> {
    let engine = Engine::new(&config(false, 1))?;
    let bytes = std::fs::read(guest).with_context(|| format!("{}", guest.display()))?;
    Ok(std::fs::write(to, engine.precompile_component(&bytes)?)?)
}

/// What a whole process has to do at least: takes compiled code, links it, and makes one run.
#[expect(unsafe_code, reason = "machine code cannot be checked by looking at it")]
pub(crate) fn start(code: &Path) -> Result<()> {
    let engine = Engine::new(&config(false, 1))?;
    // SAFETY: the file was made by `precompile` of this very program for this very purpose.
    let component = unsafe { Component::deserialize_file(&engine, code) }?;
    let pre = link(&engine, &component)?;
    let arguments = arguments::nothing()?;
    run(&pre, "nothing", arguments.as_bytes())?;
    Ok(())
}
