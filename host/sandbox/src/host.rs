//! What the host knows of one run while its guest is in it: the data of its store. Each group of
//! host functions has a file of its own (`context`, `clocks`, `random`, `network`, `http`, …).

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_core::{CallOptions, CancelToken, Events, FlowCalls, LogLevel, LogSource};
use sandmill_wire::{Digest, RunId, Value};
use wasmtime::component::ResourceTable;
use wasmtime::{StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::clocks::VirtualClock;
use crate::context::Reporter;
use crate::http::HttpGate;
use crate::keeping::Listings;
use crate::limiter::Limiter;
use crate::logs::Logs;
use crate::network::NetworkGate;
use crate::random::Randomness;
use crate::stdio::Captured;
use crate::stop::StopRule;

/// What a run is, for its store: everything is shared, so that this is cheap to make.
pub(crate) struct RunIdentity {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    pub(crate) map_index: Option<u64>,
    pub(crate) component: Digest,
    pub(crate) task: Arc<str>,
    pub(crate) arguments: Value,
    pub(crate) options: Arc<CallOptions>,
    pub(crate) events: Events,
}

/// The data of one run's store.
pub(crate) struct State {
    pub(crate) identity: RunIdentity,
    pub(crate) stop: StopRule,
    pub(crate) limiter: Limiter,
    pub(crate) table: ResourceTable,
    pub(crate) read_context: bool,
    pub(crate) reporter: Reporter,
    pub(crate) listings: Listings,
    /// Who makes the calls, where the run is that of a flow.
    pub(crate) flow: Option<Box<dyn FlowCalls>>,
    /// Whether the flow says what it has said before, when it was not taken up again yet.
    is_silent: bool,
    /// What WASI needs. Most tasks never call it, so it is made when one does.
    wasi: Option<Box<Wasi>>,
    logs: Option<Arc<Mutex<Logs>>>,
    random: Option<Randomness>,
}

/// What the host functions of WASI need.
struct Wasi {
    ctx: WasiCtx,
    clock: VirtualClock,
    network: NetworkGate,
    http: WasiHttpCtx,
    http_gate: HttpGate,
}

impl State {
    pub(crate) fn new(identity: RunIdentity, stop: StopRule) -> Self {
        let limits = &identity.options.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            limiter: Limiter::new(limits.memory, limits.table_elements),
            table,
            read_context: false,
            reporter: Reporter::default(),
            listings: Listings::default(),
            flow: None,
            is_silent: false,
            wasi: None,
            logs: None,
            random: None,
            identity,
            stop,
        }
    }

    /// The same for the run of a flow, whose calls are made by this.
    pub(crate) fn of_flow(mut self, calls: Box<dyn FlowCalls>) -> Self {
        self.tell_nothing(calls.is_replaying());
        self.flow = Some(calls);
        self
    }

    /// Whether what the run says goes nowhere from now on.
    pub(crate) fn tell_nothing(&mut self, is_silent: bool) {
        if self.is_silent != is_silent {
            self.is_silent = is_silent;
            if let Some(logs) = &self.logs {
                logs.lock().set_silent(is_silent);
            }
        }
    }

    /// Whether somebody is told what the run says.
    pub(crate) fn is_heard(&self) -> bool {
        !self.is_silent && self.identity.events.is_observed()
    }

    /// Uses this context for WASI, made for grants that had to be looked at before the start.
    pub(crate) fn set_wasi(&mut self, ctx: WasiCtx, network: NetworkGate) {
        self.wasi = Some(Box::new(self.wasi_with(ctx, network)));
    }

    fn wasi_with(&self, ctx: WasiCtx, network: NetworkGate) -> Wasi {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(crate::http::MAX_FIELDS_BYTES);
        Wasi {
            ctx,
            clock: VirtualClock::default(),
            network,
            http,
            http_gate: HttpGate::new(self.identity.run, Arc::clone(&self.identity.options)),
        }
    }

    /// A WASI context that has what needs no looking at: captured output and the environment.
    pub(crate) fn wasi_builder(&mut self) -> wasmtime_wasi::WasiCtxBuilder {
        let logs = self.logs();
        let mut builder = WasiCtx::builder();
        builder
            .stdin(wasmtime_wasi::p2::pipe::ClosedInputStream)
            .stdout(Captured::new(Arc::clone(&logs), LogSource::Stdout))
            .stderr(Captured::new(logs, LogSource::Stderr));
        for (name, value) in &self.identity.options.grants.env {
            builder.env(name, value);
        }
        builder
    }

    fn wasi(&mut self) -> &mut Wasi {
        if self.wasi.is_none() {
            let ctx = self.wasi_builder().build();
            self.wasi = Some(Box::new(self.wasi_with(ctx, NetworkGate::default())));
        }
        self.wasi.as_mut().expect("made just now where it was not there")
    }

    /// The clock of a run that was not granted the real one.
    pub(crate) fn virtual_clock(&mut self) -> &VirtualClock {
        &self.wasi().clock
    }

    /// What the run may look up and connect to.
    pub(crate) fn network(&mut self) -> &NetworkGate {
        &self.wasi().network
    }

    /// The random streams of this run.
    pub(crate) fn random(&mut self) -> &mut Randomness {
        let identity = &self.identity;
        self.random.get_or_insert_with(|| {
            if identity.options.grants.random {
                Randomness::System
            } else {
                Randomness::of_call(
                    &identity.component,
                    &identity.task,
                    identity.arguments.as_bytes(),
                )
            }
        })
    }

    /// The log of this run.
    pub(crate) fn logs(&mut self) -> Arc<Mutex<Logs>> {
        let (identity, is_silent) = (&self.identity, self.is_silent);
        let logs = self.logs.get_or_insert_with(|| {
            let limit = identity.options.limits.logs;
            let mut logs = Logs::new(identity.events.clone(), identity.run, limit);
            logs.set_silent(is_silent);
            Arc::new(Mutex::new(logs))
        });
        Arc::clone(logs)
    }

    /// Writes a line of the host's own.
    pub(crate) fn note(&mut self, level: LogLevel, message: &str) {
        self.logs().lock().line(LogSource::Host, level, message);
    }

    /// Sends out what was held back, at the run's end. Answers with the end of standard error.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.reporter.finish(&self.identity.events, self.identity.run);
        self.logs.as_ref().map(|logs| logs.lock().finish()).unwrap_or_default()
    }

    /// Time left until the deadline, if there is one. A flow has none that it could see: it would
    /// not be the same when it is taken up again.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        if self.flow.is_some() {
            return None;
        }
        self.stop.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The request to stop, if somebody makes it.
    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.stop.cancel
    }
}

/// Looks after a busy guest, once a tick.
pub(crate) fn on_epoch(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let stop = &store.data().stop;
    stop.check(stop.cancel.is_cancelled())?;
    Ok(UpdateDeadline::Continue(1))
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let wasi = self.wasi.as_mut().expect("made just now");
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi();
        let wasi = self.wasi.as_mut().expect("made just now");
        WasiHttpCtxView { hooks: &mut wasi.http_gate, table: &mut self.table, ctx: &mut wasi.http }
    }
}
