//! One attempt: a new store and a new instance, the call, and what became of it.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{Attempt, DirCeiling, Limits, LogLevel, Report, Usage};
use sandmill_wire::value::Bounds;
use sandmill_wire::{End, EndKind, Failure, Outcome, Value};
use wasmtime::component::Instance;
use wasmtime::{PoolConcurrencyLimitError, Store};

use crate::bindings::Task;
use crate::bindings::sandmill::task::types;
use crate::block_on::block_on;
use crate::describe::is_name;
use crate::dirs;
use crate::engine::{Kind, POOLED_TABLE_ELEMENTS};
use crate::futures::MAX_WAITED;
use crate::host::{RunIdentity, State, on_epoch};
use crate::network::NetworkGate;
use crate::outcome::{self, Phase, Refusal};
use crate::prepared::{Linked, caught};
use crate::sandbox::Shared;
use crate::stop::StopRule;

/// Bytes that a guest may hand over in one host call, however small its result has to be: 16 MiB.
/// The result has the same bound while it is read, then its own.
const HOSTCALL_BYTES: u64 = 16 << 20;
/// Bytes of a result's frame: the names and flags around its payload.
const HOSTCALL_SLACK: u64 = 1 << 20;
/// Bytes of a failure's message that are kept.
const MAX_FAILURE_MESSAGE_BYTES: usize = 64 << 10;

/// Performs one attempt at a call.
pub(crate) fn invoke(shared: &Arc<Shared>, attempt: &Attempt<'_>) -> Report {
    perform(shared, attempt).unwrap_or_else(Report::unstarted)
}

/// An error is an attempt that never started.
fn perform(shared: &Arc<Shared>, attempt: &Attempt<'_>) -> Result<Report, End> {
    let call = attempt.call;
    let limits = &call.options.limits;
    check_limits(limits, call.arguments.len_bytes(), shared.config.max_memory)?;
    if attempt.cancel.is_cancelled() {
        return Err(End::new(EndKind::Cancelled, "the run was cancelled before it started"));
    }
    let prepared = shared.prepared.get(shared, &call.component)?;
    let kind = Kind {
        metered: limits.fuel.is_some(),
        pooled: limits.table_elements <= POOLED_TABLE_ELEMENTS,
    };
    let linked = prepared.linked(shared, &call.component, kind)?;
    // Compiling may have taken its time.
    if call.options.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Err(End::new(EndKind::TimedOut, "the run's deadline passed before it started"));
    }
    let run = |linked: &Linked| {
        in_store(shared, linked, state_of(attempt), async |store, task| {
            let arguments = call.arguments.as_bytes();
            task.sandmill_task_runner().call_run(store, &call.task, arguments).await
        })
    };
    let mut finished = run(&linked);
    if finished.pool_is_full {
        let kind = Kind { pooled: false, ..kind };
        finished = run(&*prepared.linked(shared, &call.component, kind)?);
    }
    Ok(report(finished, call.arguments.len_bytes(), limits))
}

/// What a task or a flow handed back, looked at.
pub(crate) fn report(
    finished: Finished<Result<Vec<u8>, types::Failure>>,
    input: usize,
    limits: &Limits,
) -> Report {
    let mut usage = finished.usage;
    usage.input = input as u64;
    let outcome = match finished.result {
        Ok(Ok(bytes)) => {
            usage.output = bytes.len() as u64;
            value_of(bytes, limits).map_or_else(Outcome::Ended, Outcome::Value)
        }
        Ok(Err(failure)) => {
            failure_of(failure, limits).map_or_else(Outcome::Ended, Outcome::Failure)
        }
        Err(end) => Outcome::Ended(end),
    };
    Report::new(outcome, usage)
}

/// Refuses a run whose arguments are too large, or that asks for more memory than there is.
pub(crate) fn check_limits(limits: &Limits, input: usize, max_memory: u64) -> Result<(), End> {
    let size = sandmill_core::units::format_size;
    let refused = |message| Err(End::new(EndKind::Refused, message));
    if input as u64 > limits.input {
        let (input, limit) = (size(input as u64), size(limits.input));
        return refused(format!("the arguments have {input}, the limit is {limit}"));
    }
    if limits.memory > max_memory {
        let (asked, limit) = (size(limits.memory), size(max_memory));
        return refused(format!("the call asks for {asked} of memory, this host gives {limit}"));
    }
    Ok(())
}

fn state_of(attempt: &Attempt<'_>) -> State {
    let call = attempt.call;
    let limits = &call.options.limits;
    let cancel = attempt.cancel.clone();
    let stop = StopRule::new(Instant::now(), limits.timeout, cancel, limits.cancel_grace)
        .within(call.options.deadline);
    let identity = RunIdentity {
        run: attempt.run,
        attempt: attempt.number,
        map_index: call.map_index,
        component: call.component.digest(),
        task: Arc::clone(&call.task),
        arguments: call.arguments.clone(),
        options: Arc::clone(&call.options),
        events: attempt.events.clone(),
    };
    State::new(identity, stop)
}

/// What became of a call in a store of its own.
pub(crate) struct Finished<T> {
    pub(crate) result: Result<T, End>,
    pub(crate) usage: Usage,
    /// There was no room for the instance: nothing has run.
    pub(crate) pool_is_full: bool,
}

/// Makes an instance and calls it, on this thread. When this returns, the instance is gone.
pub(crate) fn in_store<T>(
    shared: &Arc<Shared>,
    linked: &Linked,
    state: State,
    call: impl AsyncFnOnce(&mut Store<State>, &Task) -> wasmtime::Result<T>,
) -> Finished<T> {
    in_instance(shared, linked, state, async |store, task, _| call(store, task).await)
}

/// As [`in_store`], for a call that asks for more than tasks.
pub(crate) fn in_instance<T>(
    shared: &Arc<Shared>,
    linked: &Linked,
    state: State,
    call: impl AsyncFnOnce(&mut Store<State>, &Task, &Instance) -> wasmtime::Result<T>,
) -> Finished<T> {
    let start = Instant::now();
    let mut finished =
        Finished { result: Err(nothing()), usage: Usage::default(), pool_is_full: false };
    let ticks = match shared.ticks() {
        Ok(ticks) => ticks,
        Err(error) => {
            let message = format!("the epoch thread cannot start: {error}");
            finished.result = Err(End::new(EndKind::HostError, message));
            return finished;
        }
    };
    let _entered = match shared.io_runtime() {
        Ok(runtime) => runtime.enter(),
        Err(message) => {
            finished.result = Err(End::new(EndKind::HostError, message));
            return finished;
        }
    };
    let options = Arc::clone(&state.identity.options);
    let usage = &mut finished.usage;
    let pool_is_full = &mut finished.pool_is_full;
    finished.result = caught("running the task", || {
        let limits = &options.limits;
        let rule = state.stop.clone();
        let phase = Cell::new(Phase::Instantiating);
        let mut store = new_store(linked, state, limits)?;
        let result = {
            let future = pin!(async {
                open_grants(&mut store, shared.config.roots.as_deref()).await?;
                let instance = linked.pre.instance_pre().instantiate_async(&mut store).await?;
                let task = Task::new(&mut store, &instance)?;
                phase.set(Phase::Calling);
                call(&mut store, &task, &instance).await
            });
            block_on(future, &rule)
        };
        if let Some(fuel) = limits.fuel {
            usage.fuel = Some(fuel.saturating_sub(store.get_fuel().unwrap_or(0)));
        }
        // The instance ends here: its memory goes back to the pool.
        let mut state = store.into_data();
        let tail = state.finish();
        usage.peak_memory = state.limiter.peak();
        usage.read_context = state.read_context;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                *pool_is_full = error.is::<PoolConcurrencyLimitError>();
                Err(outcome::end_of(&error, phase.get(), &tail, limits))
            }
            Err(stop) => Err(outcome::end_of_stop(stop, limits)),
        }
    });
    drop(ticks);
    finished.usage.wall_micros = micros(start.elapsed());
    finished
}

fn nothing() -> End {
    End::new(EndKind::HostError, "nothing has run")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn new_store(linked: &Linked, state: State, limits: &Limits) -> Result<Store<State>, End> {
    let mut store = Store::new(&linked.engine.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(on_epoch);
    let hostcall = limits.output.max(HOSTCALL_BYTES).saturating_add(HOSTCALL_SLACK);
    store.set_hostcall_fuel(usize::try_from(hostcall).unwrap_or(usize::MAX));
    // The engine counts handles as the guest sees them, lent ones once more. Ours is the limit
    // that is to be hit: it has its words.
    let lent = usize::try_from(limits.handles).unwrap_or(usize::MAX).saturating_add(MAX_WAITED);
    let handles = lent.saturating_mul(2).max(store.max_component_handles());
    store.set_max_component_handles(handles);
    if let Some(fuel) = limits.fuel {
        store.set_fuel(fuel).map_err(|error| {
            End::new(EndKind::HostError, format!("fuel cannot be metered: {error:#}"))
        })?;
    }
    Ok(store)
}

/// Opens what is granted and has to be there: directories, and the addresses of names.
async fn open_grants(
    store: &mut Store<State>,
    roots: Option<&[DirCeiling]>,
) -> wasmtime::Result<()> {
    let options = Arc::clone(&store.data().identity.options);
    let grants = &options.grants;
    if grants.dirs.is_empty() && grants.net.is_empty() {
        return Ok(());
    }
    let state = store.data_mut();
    let mut builder = state.wasi_builder();
    dirs::open(&mut builder, &grants.dirs, roots).map_err(Refusal)?;
    let mut network = NetworkGate::default();
    if !grants.net.is_empty() {
        let (gate, unknown) = NetworkGate::resolve(&grants.net).await;
        for name in unknown {
            let message = format!("nothing is granted for a name without an address: {name}");
            state.note(LogLevel::Warn, &message);
        }
        gate.open(&mut builder);
        network = gate;
    }
    state.set_wasi(builder.build(), network);
    Ok(())
}

/// Checks a result.
fn value_of(bytes: Vec<u8>, limits: &Limits) -> Result<Value, End> {
    if bytes.len() as u64 > limits.output {
        return Err(End::new(EndKind::OutputTooLarge, outcome::too_large(limits)));
    }
    Value::check(bytes, &bounds(limits)).map_err(|error| {
        End::new(EndKind::InvalidResult, format!("the result is not MessagePack: {error}"))
    })
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds { max_bytes: usize::try_from(limits.output).unwrap_or(usize::MAX), ..Bounds::DEFAULT }
}

/// Checks a failure.
fn failure_of(failure: types::Failure, limits: &Limits) -> Result<Failure, End> {
    let invalid = |message| End::new(EndKind::InvalidResult, message);
    if !is_name(&failure.kind) {
        let kind = failure.kind.escape_debug().to_string();
        let kind = crate::context::cut(&kind, 200);
        return Err(invalid(format!(
            "the failure's kind `{kind}` is not a name: it takes 1 to 128 of a-z, 0-9, `.`, `_`, `-`"
        )));
    }
    let details = failure.details.map(|bytes| {
        Value::check(bytes, &bounds(limits))
            .map_err(|error| invalid(format!("the failure's details are not MessagePack: {error}")))
    });
    let mut message = failure.message;
    if message.len() > MAX_FAILURE_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_FAILURE_MESSAGE_BYTES));
        message.push('…');
    }
    let details = details.transpose()?;
    Ok(Failure { kind: failure.kind, message, retriable: failure.retriable, details })
}

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
pub(crate) mod support;

#[cfg(test)]
mod tests {
    use sandmill_core::{CancelToken, Events};
    use sandmill_wire::RunId;
    use wasmtime::StoreContextMut;
    use wasmtime::component::{Component, WasmStr};

    use super::*;
    use crate::bindings::TaskPre;
    use crate::bindings::sandmill::task::log::Level;

    #[test]
    fn a_panic_in_a_host_function_ends_its_run_alone() {
        let imports =
            "(import \"sandmill:task/log@0.1.0\" \"write\" (func $log (param i32 i32 i32)))";
        let body = "(call $log (i32.const 2) (i32.const 16) (i32.const 1))
            (call $value (i32.const 18) (i32.const 1))";
        let component = support::guest(imports, "", body);
        let sandbox = support::sandbox();
        let shared = sandbox.shared();
        let engine = shared.engines.get(Kind { metered: false, pooled: true }).unwrap();
        let mut linker = engine.linker.clone();
        linker.allow_shadowing(true);
        let mut log = linker.instance("sandmill:task/log@0.1.0").unwrap();
        type Line = (Level, WasmStr);
        let broken = |_: StoreContextMut<'_, State>, _: Line| -> wasmtime::Result<()> {
            panic!("a fault of the host")
        };
        log.func_wrap("write", broken).unwrap();
        let compiled = Component::new(&engine.engine, component.bytes()).unwrap();
        let pre = TaskPre::new(linker.instantiate_pre(&compiled).unwrap()).unwrap();
        let broken = Linked { engine, pre, flows: None };

        let call = support::call(&component);
        for _ in 0..20 {
            let (cancel, events) = (CancelToken::new(), Events::default());
            let (run, call) = (RunId::new(), &call);
            let attempt = Attempt { run, number: 1, call, cancel: &cancel, events: &events };
            let finished = in_store(shared, &broken, state_of(&attempt), async |store, task| {
                task.sandmill_task_runner().call_run(store, "t", &[]).await
            });
            let Err(end) = finished.result else { panic!("it went well") };
            assert_eq!(end.kind, EndKind::HostError);
            assert!(end.message.contains("a fault of the host"), "{}", end.message);
            assert!(support::run(&sandbox, call).report.outcome.is_success());
        }
    }

    fn failure(kind: &str) -> types::Failure {
        types::Failure {
            kind: kind.to_owned(),
            message: "é".repeat(MAX_FAILURE_MESSAGE_BYTES),
            retriable: true,
            details: Some(vec![0xc0]),
        }
    }

    #[test]
    fn failures_are_bounded_and_checked() {
        let limits = Limits::default();
        let kept = failure_of(failure("not-found"), &limits).unwrap();
        assert_eq!(kept.message.len(), MAX_FAILURE_MESSAGE_BYTES + '…'.len_utf8());
        assert!(kept.retriable && kept.details.is_some());
        for bad in ["", "Not found", "\n"] {
            let end = failure_of(failure(bad), &limits).unwrap_err();
            assert_eq!(end.kind, EndKind::InvalidResult, "{bad:?}");
        }
        let mut broken = failure("a");
        broken.details = Some(vec![0xc0, 0xc0]);
        assert_eq!(failure_of(broken, &limits).unwrap_err().kind, EndKind::InvalidResult);
    }
}
