//! What the runs of one stage have in common, as a worker keeps it, and orders once they are
//! checked: everything about an order that can be found out without the worker's state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::units::format_size;
use sandmill_core::{Access, CallOptions};
use sandmill_transport::message::{Order, Payload, RunLease, Spec};
use sandmill_wire::{Bounds, Digest, End, EndKind, Value};

use super::config::WorkerConfig;

/// A spec with what follows from it, found out once.
#[derive(Debug)]
pub(super) struct SpecEntry {
    pub(super) component: Digest,
    pub(super) size: u64,
    pub(super) task: Arc<str>,
    pub(super) options: Arc<CallOptions>,
    /// Why none of its runs is made here.
    pub(super) refusal: Option<End>,
    /// Whether its runs can change anything outside: then it matters whether one has started.
    pub(super) has_effects: bool,
}

impl SpecEntry {
    pub(super) fn new(spec: Spec, config: &WorkerConfig) -> Self {
        let refusal = refusal(&spec, config);
        let grants = &spec.grants;
        let has_effects = !grants.net.is_empty()
            || !grants.http.is_empty()
            || grants.dirs.iter().any(|dir| dir.access == Access::ReadWrite);
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
        }
    }

    /// Whether a run under either would be the same run.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.component == other.component
            && self.task == other.task
            && self.options.limits == other.options.limits
            && self.options.grants == other.options.grants
    }
}

fn refusal(spec: &Spec, config: &WorkerConfig) -> Option<End> {
    let mut over = config.ceiling.refuses(&spec.grants, &spec.limits);
    let most = config.component_bytes.min(config.components_bytes);
    if spec.size > most {
        over.push(format!("the component has {} bytes, the limit is {most}", spec.size));
    }
    let words = format!("the worker {} does not allow it: {}", config.name, over.join("; "));
    (!over.is_empty()).then(|| End::new(EndKind::Refused, words))
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
    pub(super) arguments: Result<Value, End>,
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
            Err(refusal.clone())
        } else if size > limit {
            // In the words of the sandbox, so that the answer is the same everywhere.
            let (size, limit) = (format_size(size), format_size(limit));
            Err(refused(format!("the arguments have {size}, the limit is {limit}")))
        } else {
            arguments_of(bytes?)
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

    /// Bytes of the arguments.
    pub(super) fn bytes(&self) -> u64 {
        self.arguments.as_ref().map_or(0, |value| value.len_bytes() as u64)
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
