//! What the runs of one stage have in common, as a worker keeps it, and orders once they are
//! checked: everything about an order that can be found out without the worker's state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::units::format_size;
use sandmill_core::{Access, CallOptions, Grants};
use sandmill_transport::frame::encode;
use sandmill_transport::message::{Order, Payload, RunLease, Spec};
use sandmill_wire::{Bounds, Digest, End, EndKind, Value};

use super::config::{MAX_SPEC_BYTES, WorkerConfig};
use super::ending::cut_refusal;

/// Bytes of a name that is kept of a spec that is too large.
const MAX_NAME_BYTES: usize = 256;

/// A spec with what follows from it, found out once.
#[derive(Debug)]
pub(super) struct SpecEntry {
    pub(super) component: Digest,
    pub(super) size: u64,
    pub(super) task: Arc<str>,
    pub(super) options: Arc<CallOptions>,
    /// Why none of its runs is made here.
    pub(super) refusal: Option<Arc<End>>,
    /// Whether its runs can change anything outside: then it matters whether one has started.
    pub(super) has_effects: bool,
    /// Tells what its runs are: under another spec with the same they would be the same runs.
    pub(super) sameness: Digest,
    /// What it takes, roughly.
    pub(super) bytes: usize,
}

impl SpecEntry {
    pub(super) fn new(mut spec: Spec, config: &WorkerConfig) -> Self {
        let refusal = refusal(&spec, config).map(Arc::new);
        let grants = &spec.grants;
        let sameness = Digest::of(&encode(&(spec.component, &spec.task, &spec.limits, grants)));
        let has_effects = !grants.net.is_empty()
            || !grants.http.is_empty()
            || grants.dirs.iter().any(|dir| dir.access == Access::ReadWrite);
        if bytes_of(&spec) > MAX_SPEC_BYTES {
            // None of its runs is made, so what it grants need not be kept.
            spec.grants = Grants::default();
            spec.stage.truncate(spec.stage.floor_char_boundary(MAX_NAME_BYTES));
            spec.task.truncate(spec.task.floor_char_boundary(MAX_NAME_BYTES));
        }
        let bytes = bytes_of(&spec);
        let options = CallOptions {
            name: Some(spec.stage.into()),
            parent: spec.parent,
            limits: spec.limits,
            grants: spec.grants,
            trace: spec.trace,
            ..CallOptions::default()
        };
        Self {
            component: spec.component,
            size: spec.size,
            task: spec.task.into(),
            options: Arc::new(options),
            refusal,
            has_effects,
            sameness,
            bytes,
        }
    }
}

/// What a spec takes, roughly: many short names take more than their letters.
pub(super) fn bytes_of(spec: &Spec) -> usize {
    const BASE: usize = 512;
    const EACH: usize = 128;
    let Grants { env, dirs, net, http, .. } = &spec.grants;
    let env: usize = env.iter().map(|(name, value)| EACH + name.len() + value.len()).sum();
    let dirs: usize =
        dirs.iter().map(|dir| EACH + dir.guest.len() + dir.host.as_os_str().len()).sum();
    let net: usize = net.iter().map(|peer| EACH + peer.host.len()).sum();
    let http: usize = http.iter().map(|server| EACH + server.host.len()).sum();
    BASE + spec.task.len() + spec.stage.len() + env + dirs + net + http
}

fn refusal(spec: &Spec, config: &WorkerConfig) -> Option<End> {
    if bytes_of(spec) > MAX_SPEC_BYTES {
        let words = "its grants are too large to be kept for it";
        return Some(refused(format!("the worker {} does not allow it: {words}", config.name)));
    }
    let mut over = config.ceiling.refuses(&spec.grants, &spec.limits);
    let most = config.component_bytes.min(config.components_bytes);
    if spec.size > most {
        over.push(format!("the component has {} bytes, the limit is {most}", spec.size));
    }
    let words = format!("the worker {} does not allow it: {}", config.name, over.join("; "));
    (!over.is_empty()).then(|| cut_refusal(refused(words)))
}

/// An order of which everything is known but whether there is room for it.
pub(super) struct Checked {
    pub(super) of: RunLease,
    pub(super) spec: Arc<SpecEntry>,
    pub(super) attempt: u32,
    pub(super) index: Option<u64>,
    /// The digest of the arguments.
    pub(super) digest: Digest,
    /// The arguments, or why the run is not made.
    pub(super) arguments: Result<Value, Arc<End>>,
    pub(super) deadline: Option<Instant>,
}

impl Checked {
    /// Checks an order; `blob` is its arguments where they came by digest. None when those are
    /// not here.
    pub(super) fn new(order: Order, spec: &Arc<SpecEntry>, blob: Option<Bytes>) -> Option<Self> {
        let limit = spec.options.limits.input;
        let size = order.arguments.size();
        let (digest, bytes) = match order.arguments {
            Payload::Inline(bytes) => (Digest::of(&bytes), Some(bytes)),
            Payload::Blob { digest, .. } => (digest, blob),
        };
        let arguments = if let Some(refusal) = &spec.refusal {
            Err(Arc::clone(refusal))
        } else if size > limit {
            // In the words of the sandbox, so that the answer is the same everywhere.
            let (size, limit) = (format_size(size), format_size(limit));
            Err(refused(format!("the arguments have {size}, the limit is {limit}")).into())
        } else {
            arguments_of(bytes?).map_err(Arc::new)
        };
        Some(Self {
            of: RunLease { run: order.run, lease: order.lease },
            spec: Arc::clone(spec),
            attempt: order.attempt,
            index: order.index,
            digest,
            arguments,
            deadline: order.time_left.and_then(in_time),
        })
    }

    /// What it takes while it waits: its arguments, and its spec, which may be its alone.
    pub(super) fn bytes(&self) -> u64 {
        let arguments = self.arguments.as_ref().map_or(0, |value| value.len_bytes());
        (arguments + self.spec.bytes) as u64
    }
}

fn in_time(left: Duration) -> Option<Instant> {
    // What does not fit is later than anything that will happen.
    Instant::now().checked_add(left)
}

/// The value that the bytes are.
fn arguments_of(bytes: Bytes) -> Result<Value, End> {
    let bounds = Bounds { max_bytes: usize::MAX, ..Bounds::DEFAULT };
    // Whether they are a map is for the guest to say, as everywhere.
    Value::check(bytes, &bounds)
        .map_err(|error| refused(format!("the arguments are not MessagePack: {error}")))
}

fn refused(words: String) -> End {
    End::new(EndKind::Refused, words)
}
