//! Components made ready to run: looked at, compiled or taken from the disk, linked, and asked for
//! their tasks. Each distinct one once, however many threads ask at a time.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sandmill_core::{Component, ComponentInfo};
use sandmill_wire::{Digest, End, EndKind};
use wasmtime::component::types::ComponentItem;

use crate::bindings::TaskPre;
use crate::bindings::flow::exports::sandmill::task::flows;
use crate::engine::{Kind, LinkedEngine};
use crate::entry::EntryName;
use crate::host::State;
use crate::sandbox::Shared;
use crate::{describe, invoke, linker, precheck};

/// Components that are kept ready in memory; those not used for longest go first.
pub const PREPARED_COMPONENTS: usize = 128;

/// What every task component exports, up to the last number of its version.
const RUNNER: &str = "sandmill:task/runner@0.1.";
/// What a component with flows exports besides.
const FLOWS: &str = "sandmill:task/flows@0.1.";
/// Bytes of the compiler's words that are told.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Names that are told in one message.
const MAX_TOLD: usize = 20;

/// A component that is ready to run.
pub(crate) struct Prepared {
    pub(crate) info: Arc<ComponentInfo>,
    /// By kind of engine: only the kinds that are asked for are made.
    linked: [OnceLock<Arc<Linked>>; Kind::COUNT],
    making: [Making; Kind::COUNT],
}

/// One kind of engine while it is not there.
#[derive(Default)]
struct Making {
    /// Attempts that have failed.
    failed: AtomicU64,
    /// Held by whoever makes it, with how the last attempt failed.
    last: Mutex<Option<End>>,
}

/// A component compiled for one kind of engine and linked with the host's functions.
pub(crate) struct Linked {
    pub(crate) engine: Arc<LinkedEngine>,
    pub(crate) pre: TaskPre<State>,
    /// How to ask which of its tasks are flows, where it says so.
    pub(crate) flows: Option<flows::GuestIndices>,
}

/// The components that are ready.
#[derive(Default)]
pub(crate) struct PreparedCache {
    slots: Mutex<HashMap<Digest, Arc<Slot>>>,
    clock: AtomicU64,
}

#[derive(Default)]
struct Slot {
    used: AtomicU64,
    ready: OnceLock<Result<Arc<Prepared>, End>>,
}

impl PreparedCache {
    /// The component, made ready if it is not.
    pub(crate) fn get(
        &self,
        shared: &Arc<Shared>,
        component: &Component,
    ) -> Result<Arc<Prepared>, End> {
        let slot = self.slot(component.digest());
        // Whoever comes first makes it; the others wait here.
        let ready = slot
            .ready
            .get_or_init(|| caught("preparing the component", || Prepared::new(shared, component)));
        if let Err(end) = ready
            && end.kind != EndKind::Refused
        {
            // The component is not to blame: let the next one try again.
            let mut slots = self.slots.lock();
            if slots.get(&component.digest()).is_some_and(|there| Arc::ptr_eq(there, &slot)) {
                slots.remove(&component.digest());
            }
        }
        ready.clone()
    }

    fn slot(&self, digest: Digest) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(&digest) {
            slot.used.store(now, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        if slots.len() >= PREPARED_COMPONENTS {
            let used = |slot: &Slot| slot.used.load(Ordering::Relaxed);
            let oldest = slots.iter().min_by_key(|(_, slot)| used(slot)).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let slot = Arc::new(Slot { used: AtomicU64::new(now), ..Slot::default() });
        slots.insert(digest, Arc::clone(&slot));
        slot
    }
}

/// Runs `work`; a panic of it is an end of this run, not of the process.
pub(crate) fn caught<T>(what: &str, work: impl FnOnce() -> Result<T, End>) -> Result<T, End> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic_words(&*panic);
        Err(End::new(EndKind::HostError, format!("a panic of the host while {what}: {message}")))
    })
}

/// What a panic said.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn refused(message: impl Into<String>) -> End {
    End::new(EndKind::Refused, message)
}

fn host_error(message: impl Into<String>) -> End {
    End::new(EndKind::HostError, message)
}

impl Prepared {
    fn new(shared: &Arc<Shared>, component: &Component) -> Result<Arc<Self>, End> {
        let kind = Kind { metered: false, pooled: true };
        let compiled = compile(shared, component, kind)?;
        let imports = check_imports(&compiled)?;
        let linked = Arc::new(link(&compiled)?);
        let info = match compiled.info {
            Some(info) => Arc::new(info),
            None => {
                let (tasks, flows) = ask_for_tasks(shared, component, &linked)?;
                let info = Arc::new(ComponentInfo { tasks, imports, flows });
                keep(shared, component, &compiled.engine, &info, compiled.code.as_deref());
                info
            }
        };
        let prepared = Self {
            info,
            linked: std::array::from_fn(|_| OnceLock::new()),
            making: std::array::from_fn(|_| Making::default()),
        };
        // Nobody else has it yet, so this is the first.
        let _ = prepared.linked[kind.index()].set(linked);
        Ok(Arc::new(prepared))
    }

    /// The component for this kind of engine.
    pub(crate) fn linked(
        &self,
        shared: &Arc<Shared>,
        component: &Component,
        kind: Kind,
    ) -> Result<Arc<Linked>, End> {
        let place = &self.linked[kind.index()];
        if let Some(linked) = place.get() {
            return Ok(Arc::clone(linked));
        }
        // Whoever comes first makes it; the others wait here.
        let making = &self.making[kind.index()];
        let before = making.failed.load(Ordering::Acquire);
        let mut last = making.last.lock();
        if let Some(linked) = place.get() {
            return Ok(Arc::clone(linked));
        }
        // A failure is also that of those who were waiting for it: each might wait as long otherwise, one
        // after another.
        let waited = making.failed.load(Ordering::Acquire) != before;
        if let Some(end) = last.as_ref().filter(|end| waited || end.kind == EndKind::Refused) {
            return Err(end.clone());
        }
        let made = caught("compiling the component", || {
            let compiled = compile(shared, component, kind)?;
            keep(shared, component, &compiled.engine, &self.info, compiled.code.as_deref());
            link(&compiled).map(Arc::new)
        });
        match &made {
            Ok(linked) => drop(place.set(Arc::clone(linked))),
            // Where the component is not to blame, the next one tries again.
            Err(end) => {
                *last = Some(end.clone());
                making.failed.fetch_add(1, Ordering::Release);
            }
        }
        made
    }
}

/// Machine code, in the engine that it will run in.
struct Compiled {
    engine: Arc<LinkedEngine>,
    component: wasmtime::component::Component,
    /// What the disk knew of the component.
    info: Option<ComponentInfo>,
    /// What the disk does not have yet.
    code: Option<Vec<u8>>,
}

fn compile(shared: &Arc<Shared>, component: &Component, kind: Kind) -> Result<Compiled, End> {
    let engine = shared.engines.get(kind).map_err(host_error)?;
    let name = EntryName::new(&component.digest(), &engine.code_hash);
    let kept = shared.compile_cache.load(&name, |info, code| {
        let (engine, component) = load(shared, kind, code).ok()?;
        Some(Compiled { engine, component, info: Some(info), code: None })
    });
    if let Some(compiled) = kept {
        return Ok(compiled);
    }
    // Only what has passed this is ever kept, so what was kept need not be read through again.
    precheck::check(component.bytes()).map_err(refused)?;
    let code = shared.compiler.compile(&engine, kind.metered, component.bytes())?;
    let (engine, component) = load(shared, kind, &code)
        .map_err(|error| host_error(format!("compiled code cannot be loaded: {error:#}")))?;
    Ok(Compiled { engine, component, info: None, code: Some(code) })
}

/// Takes machine code into the engine of that kind, or, where the component does not fit the
/// pool, into one without.
fn load(
    shared: &Arc<Shared>,
    kind: Kind,
    code: &[u8],
) -> wasmtime::Result<(Arc<LinkedEngine>, wasmtime::component::Component)> {
    let get = |kind| shared.engines.get(kind).map_err(wasmtime::Error::msg);
    let engine = get(kind)?;
    match deserialize(&engine, code) {
        Ok(component) => Ok((engine, component)),
        Err(_) if kind.pooled => {
            let engine = get(Kind { pooled: false, ..kind })?;
            let component = deserialize(&engine, code)?;
            Ok((engine, component))
        }
        Err(error) => Err(error),
    }
}

#[expect(unsafe_code, reason = "machine code cannot be checked by looking at it")]
fn deserialize(
    engine: &LinkedEngine,
    code: &[u8],
) -> wasmtime::Result<wasmtime::component::Component> {
    // SAFETY: `code` is memory of this process. It was made by `precompile_component` a moment
    // ago, here or in a process that this one started for it, from a program that it was told to
    // trust, and which sealed these very bytes with a number that only it was told; or it was read
    // from an entry of the compile cache whose seal was checked over these very bytes with a key
    // that only this user's hosts have, and they seal nothing else.
    unsafe { wasmtime::component::Component::deserialize(&engine.engine, code) }
}

fn keep(
    shared: &Shared,
    component: &Component,
    engine: &LinkedEngine,
    info: &ComponentInfo,
    code: Option<&[u8]>,
) {
    if let Some(code) = code {
        let name = EntryName::new(&component.digest(), &engine.code_hash);
        shared.compile_cache.keep(&name, info, code);
    }
}

fn check_imports(compiled: &Compiled) -> Result<Vec<String>, End> {
    let engine = &compiled.engine.engine;
    let imports = compiled.component.component_type();
    let imports: Vec<String> = imports.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let unknown: Vec<&str> =
        imports.iter().filter(|name| !linker::is_known(name)).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(imports);
    }
    Err(refused(format!(
        "the component imports what this host does not have: {}",
        listed(&unknown)
    )))
}

fn link(compiled: &Compiled) -> Result<Linked, End> {
    let engine = &compiled.engine;
    let ty = compiled.component.component_type();
    let exports: Vec<(&str, ComponentItem)> =
        ty.exports(&engine.engine).map(|(name, item)| (name, item.ty)).collect();
    if !exports.iter().any(|(name, _)| name.starts_with(RUNNER)) {
        let names: Vec<&str> = exports.iter().map(|(name, _)| *name).collect();
        let told = match names.is_empty() {
            true => "it exports nothing".to_owned(),
            false => format!("it exports {}", listed(&names)),
        };
        return Err(refused(format!(
            "the component does not export sandmill:task/runner@0.1.0; {told}"
        )));
    }
    let misfit = |error: wasmtime::Error| {
        let message = format!("the component does not fit this host: {error:#}");
        refused(crate::context::cut(&message, MAX_MESSAGE_BYTES))
    };
    let pre = engine.linker.instantiate_pre(&compiled.component).map_err(misfit)?;
    let with_flows = exports.iter().any(|(name, _)| name.starts_with(FLOWS));
    let flows = with_flows.then(|| flows::GuestIndices::new(&pre)).transpose().map_err(misfit)?;
    let pre = TaskPre::new(pre).map_err(misfit)?;
    Ok(Linked { engine: Arc::clone(engine), pre, flows })
}

/// Names, safe to print, and not too many.
fn listed(names: &[&str]) -> String {
    let told: Vec<String> = names
        .iter()
        .take(MAX_TOLD)
        .map(|name| crate::context::cut(&name.escape_debug().to_string(), 200).to_owned())
        .collect();
    match names.len().saturating_sub(MAX_TOLD) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// The tasks, and the names of those that are flows.
fn ask_for_tasks(
    shared: &Arc<Shared>,
    component: &Component,
    linked: &Linked,
) -> Result<(Vec<sandmill_core::TaskDescriptor>, Vec<String>), End> {
    let state = describe::state(component.digest(), shared.config.max_memory);
    let finished = invoke::in_instance(shared, linked, state, async |store, task, instance| {
        let tasks = task.sandmill_task_runner().call_describe(&mut *store).await?;
        let names = match &linked.flows {
            Some(flows) => flows.load(&mut *store, instance)?.call_names(store).await?,
            None => Vec::new(),
        };
        Ok((tasks, names))
    });
    let (tasks, names) = finished.result.map_err(describe::refusal)?;
    let tasks = describe::check(tasks)?;
    let names = describe::check_flows(names, &tasks)?;
    Ok((tasks, names))
}
