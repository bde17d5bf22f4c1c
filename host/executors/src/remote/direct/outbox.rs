//! What waits to be said to one worker. The driver puts things in, the task of the link takes them
//! out as fast as the link goes, so that a slow link holds up nobody and what has gathered goes in
//! few messages.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use sandmill_core::{Component, Usage};
use sandmill_transport::message::{LeaseId, Order, Payload, RunLease, Spec, ToWorker};
use sandmill_wire::Digest;
use tokio::sync::Notify;

use super::config::{MESSAGE_BYTES, MESSAGE_ITEMS};

/// What waits to be said to one worker. Bounded by the runs that the worker is given.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Rung when there is something to say.
    pub(super) words: Notify,
    /// Rung when there is something to bring or to get.
    pub(super) bytes: Notify,
}

#[derive(Default)]
struct Waiting {
    /// For which of the connections, counted from 1, this is. Earlier ones get nothing any more.
    connection: u64,
    specs: Vec<Spec>,
    orders: Vec<Order>,
    cancel: Vec<RunLease>,
    recall: Vec<RunLease>,
    settled: Vec<RunLease>,
    transfers: VecDeque<Transfer>,
    /// Orders that wait for their arguments to be brought.
    on_the_way: HashSet<LeaseId>,
    components: HashSet<Digest>,
    hang_up: Option<String>,
}

/// Bytes to bring or to get.
pub(super) enum Transfer {
    /// A component that the worker needs.
    Component(Component),
    /// The arguments of an order, which goes after them.
    Arguments(Box<Order>, Bytes),
    /// A result.
    Result(Fetch),
}

/// A result to get.
#[derive(Clone)]
pub(in crate::remote) struct Fetch {
    pub(in crate::remote) of: RunLease,
    pub(in crate::remote) digest: Digest,
    pub(in crate::remote) usage: Usage,
    /// Whether it is a failure, with large details.
    pub(in crate::remote) is_failure: bool,
    pub(in crate::remote) limit: u64,
}

impl Outbox {
    /// Begins anew for this connection.
    pub(super) fn open(&self, connection: u64) {
        *self.waiting.lock() = Waiting { connection, ..Waiting::default() };
        self.words.notify_one();
        self.bytes.notify_one();
    }

    /// Has this connection ended by its own task.
    pub(super) fn hang_up(&self, why: impl Into<String>) {
        self.waiting.lock().hang_up = Some(why.into());
        self.words.notify_one();
    }

    pub(super) fn spec(&self, spec: Spec) {
        self.waiting.lock().specs.push(spec);
    }

    /// Has a run made; `arguments` are brought first where they go by digest.
    pub(super) fn order(&self, order: Order, arguments: &Bytes) {
        let mut waiting = self.waiting.lock();
        if matches!(order.arguments, Payload::Inline(_)) {
            waiting.orders.push(order);
            drop(waiting);
            self.words.notify_one();
        } else {
            waiting.on_the_way.insert(order.lease);
            let transfer = Transfer::Arguments(Box::new(order), arguments.clone());
            waiting.transfers.push_back(transfer);
            drop(waiting);
            self.bytes.notify_one();
        }
    }

    /// The arguments of an order were brought: the order goes, if it is still wanted.
    pub(super) fn arguments_are_there(&self, order: Order) {
        let mut waiting = self.waiting.lock();
        if waiting.on_the_way.remove(&order.lease) {
            waiting.orders.push(order);
            drop(waiting);
            self.words.notify_one();
        }
    }

    /// Takes back an order whose arguments are on their way; whether there was one.
    pub(super) fn take_back(&self, of: RunLease) -> bool {
        self.waiting.lock().on_the_way.remove(&of.lease)
    }

    pub(super) fn cancel(&self, of: RunLease) {
        self.waiting.lock().cancel.push(of);
        self.words.notify_one();
    }

    pub(super) fn recall(&self, of: RunLease) {
        self.waiting.lock().recall.push(of);
        self.words.notify_one();
    }

    pub(super) fn settled(&self, of: RunLease) {
        self.waiting.lock().settled.push(of);
        self.words.notify_one();
    }

    /// Has a component brought, once however often it is asked for meanwhile.
    pub(super) fn component(&self, component: &Component) {
        let mut waiting = self.waiting.lock();
        if waiting.components.insert(component.digest()) {
            waiting.transfers.push_back(Transfer::Component(component.clone()));
            drop(waiting);
            self.bytes.notify_one();
        }
    }

    /// A component was brought, or could not be.
    pub(super) fn component_done(&self, digest: &Digest) {
        self.waiting.lock().components.remove(digest);
    }

    pub(super) fn fetch(&self, fetch: Fetch) {
        self.waiting.lock().transfers.push_back(Transfer::Result(fetch));
        self.bytes.notify_one();
    }

    /// The next bytes to bring or get over this connection.
    pub(super) fn next_transfer(&self, connection: u64) -> Option<Transfer> {
        let mut waiting = self.waiting.lock();
        if waiting.connection != connection {
            return None;
        }
        waiting.transfers.pop_front()
    }

    /// All that is to be said over this connection, in the order in which it has to be; none while
    /// the driver has not opened it.
    ///
    /// # Errors
    /// Why the connection is to end.
    pub(super) fn take(&self, connection: u64) -> Result<Vec<ToWorker>, String> {
        let mut waiting = self.waiting.lock();
        if waiting.connection != connection {
            return Ok(Vec::new());
        }
        if let Some(why) = waiting.hang_up.take() {
            return Err(why);
        }
        let mut messages = Vec::new();
        let settled = std::mem::take(&mut waiting.settled);
        let specs = std::mem::take(&mut waiting.specs);
        let orders = std::mem::take(&mut waiting.orders);
        let cancel = std::mem::take(&mut waiting.cancel);
        let recall = std::mem::take(&mut waiting.recall);
        drop(waiting);
        // What is settled first: it makes room for what is ordered.
        in_messages(settled, |_| 64, ToWorker::Settled, &mut messages);
        in_messages(specs, size_of_spec, ToWorker::Specs, &mut messages);
        in_messages(orders, size_of_order, ToWorker::Orders, &mut messages);
        in_messages(cancel, |_| 64, ToWorker::Cancel, &mut messages);
        in_messages(recall, |_| 64, ToWorker::Recall, &mut messages);
        Ok(messages)
    }
}

fn size_of_order(order: &Order) -> usize {
    const BASE: usize = 160;
    match &order.arguments {
        Payload::Inline(bytes) => BASE + bytes.len(),
        Payload::Blob { .. } => BASE,
    }
}

pub(in crate::remote) fn size_of_spec(spec: &Spec) -> usize {
    const BASE: usize = 512;
    let grants = &spec.grants;
    let env: usize = grants.env.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let dirs: usize =
        grants.dirs.iter().map(|dir| dir.guest.len() + dir.host.as_os_str().len() + 64).sum();
    let peers: usize = grants.net.iter().map(|peer| peer.host.len() + 16).sum();
    let servers: usize = grants.http.iter().map(|server| server.host.len() + 16).sum();
    BASE + spec.task.len() + spec.stage.len() + env + dirs + peers + servers
}

/// Puts items into as few messages as they fit in.
fn in_messages<T>(
    items: Vec<T>,
    size: impl Fn(&T) -> usize,
    message: impl Fn(Vec<T>) -> ToWorker,
    messages: &mut Vec<ToWorker>,
) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for item in items {
        let more = size(&item);
        if !batch.is_empty() && (bytes + more > MESSAGE_BYTES || batch.len() >= MESSAGE_ITEMS) {
            messages.push(message(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += more;
        batch.push(item);
    }
    if !batch.is_empty() {
        messages.push(message(batch));
    }
}
