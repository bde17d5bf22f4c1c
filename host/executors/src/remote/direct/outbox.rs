//! What waits to be said to one worker. The driver puts things in, the task of the link takes them
//! out as fast as the link goes, so that a slow link holds up nobody and what has gathered goes in
//! few messages.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use sandmill_core::{Component, Usage};
use sandmill_transport::message::{LeaseId, Payload, RunLease, Spec, ToWorker};
use sandmill_wire::Digest;
use tokio::sync::Notify;

use super::config::{MAX_UNSAID, MESSAGE_BYTES, MESSAGE_ITEMS, WORD_DELAY, WORDS_TOGETHER};
use super::outgoing::Outgoing;
use super::specs::Specs;
use crate::together::{Company, Most, in_messages};

/// What waits to be said to one worker. Bounded by the runs that the worker is given.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Rung when there is something to say.
    pub(super) words: Notify,
    /// Rung when there is something to bring or to get.
    pub(super) bytes: Notify,
    /// Rung when something was taken to be said.
    taken: Notify,
}

#[derive(Default)]
struct Waiting {
    /// For which of the connections, counted from 1, this is. Earlier ones get nothing any more.
    connection: u64,
    specs: Specs,
    orders: Vec<Outgoing>,
    cancel: Vec<RunLease>,
    recall: Vec<RunLease>,
    settled: Vec<RunLease>,
    transfers: VecDeque<Transfer>,
    /// Orders that wait for their arguments to be brought.
    on_the_way: HashMap<LeaseId, RunLease>,
    components: HashSet<Digest>,
    company: Company,
    hang_up: Option<String>,
    /// Whether the worker cannot be used.
    is_refused: bool,
}

/// Bytes to bring or to get.
pub(super) enum Transfer {
    /// A component that the worker needs.
    Component(Component),
    /// The arguments of an order, which goes after them.
    Arguments(Box<Outgoing>, Bytes),
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

    /// Has this connection ended, since the worker cannot be used.
    pub(super) fn refuse(&self, why: impl Into<String>) {
        self.waiting.lock().is_refused = true;
        self.hang_up(why);
    }

    /// Whether the worker of the last connection cannot be used.
    pub(super) fn is_refused(&self) -> bool {
        self.waiting.lock().is_refused
    }

    /// Has this connection ended by its own task.
    pub(super) fn hang_up(&self, why: impl Into<String>) {
        self.say(None, |waiting| waiting.hang_up = Some(why.into()));
    }

    /// Adds something to be said. What may wait does so, for a little, for more to go with it.
    fn say(&self, may_wait: Option<Duration>, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        let is_first = waiting.items() == 0;
        add(&mut waiting);
        let may_wait = may_wait.filter(|_| waiting.items() < WORDS_TOGETHER);
        let wakes = waiting.company.joined(is_first, may_wait);
        drop(waiting);
        if wakes {
            self.words.notify_one();
        }
    }

    /// Until when what there is to say may wait for more.
    pub(super) fn may_wait_until(&self) -> Option<Instant> {
        self.waiting.lock().company.due()
    }

    /// Has a run made; `arguments` are brought first where they go by digest. The order may wait that
    /// long where the worker has enough to do.
    pub(super) fn order(&self, order: Outgoing, arguments: &Bytes, may_wait: Option<Duration>) {
        if matches!(order.arguments, Payload::Inline(_)) {
            self.say(may_wait, |waiting| waiting.orders.push(order));
        } else {
            let mut waiting = self.waiting.lock();
            waiting.on_the_way.insert(order.of.lease, order.of);
            let transfer = Transfer::Arguments(Box::new(order), arguments.clone());
            waiting.transfers.push_back(transfer);
            drop(waiting);
            self.bytes.notify_one();
        }
    }

    /// The arguments of an order were brought: the order goes, if it is still wanted.
    pub(super) fn arguments_are_there(&self, order: Outgoing) {
        self.say(None, |waiting| {
            if waiting.on_the_way.remove(&order.of.lease).is_some() {
                waiting.orders.push(order);
            }
        });
    }

    /// Takes back an order whose arguments are on their way; whether there was one.
    pub(super) fn take_back(&self, of: RunLease) -> bool {
        self.waiting.lock().on_the_way.remove(&of.lease).is_some()
    }

    /// Orders that have not gone.
    pub(super) fn unsent(&self) -> Vec<RunLease> {
        let waiting = self.waiting.lock();
        let brought = waiting.orders.iter().map(|order| order.of);
        brought.chain(waiting.on_the_way.values().copied()).collect()
    }

    pub(super) fn cancel(&self, of: RunLease) {
        self.say(None, |waiting| waiting.cancel.push(of));
    }

    pub(super) fn recall(&self, of: RunLease) {
        self.say(None, |waiting| waiting.recall.push(of));
    }

    /// A report was taken, and need not be kept. Nobody waits for that.
    pub(super) fn settled(&self, of: RunLease) {
        self.say(Some(WORD_DELAY), |waiting| waiting.settled.push(of));
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

    /// Ready when little waits to be said.
    pub(super) async fn calm(&self) {
        loop {
            let taken = self.taken.notified();
            if self.waiting.lock().words() < MAX_UNSAID {
                return;
            }
            taken.await;
        }
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
        waiting.company.goes();
        if let Some(why) = waiting.hang_up.take() {
            return Err(why);
        }
        let settled = std::mem::take(&mut waiting.settled);
        let cancel = std::mem::take(&mut waiting.cancel);
        let recall = std::mem::take(&mut waiting.recall);
        let mut messages = Vec::new();
        // What is settled first: it makes room for what is ordered.
        gathered(settled, |_| 64, ToWorker::Settled, &mut messages);
        waiting.take_orders(&mut messages);
        drop(waiting);
        self.taken.notify_one();
        gathered(cancel, |_| 64, ToWorker::Cancel, &mut messages);
        gathered(recall, |_| 64, ToWorker::Recall, &mut messages);
        Ok(messages)
    }
}

impl Waiting {
    /// How much there is to say.
    fn items(&self) -> usize {
        let asked = self.cancel.len() + self.recall.len() + usize::from(self.hang_up.is_some());
        self.orders.len() + self.settled.len() + asked
    }

    /// What waits to be said by what the worker itself says.
    fn words(&self) -> usize {
        self.settled.len() + self.cancel.len()
    }

    /// The orders, and before them what they refer to.
    fn take_orders(&mut self, messages: &mut Vec<ToWorker>) {
        let now = Instant::now();
        let (mut specs, mut orders) = (Vec::new(), Vec::new());
        for outgoing in std::mem::take(&mut self.orders) {
            let id = self.specs.number(&outgoing.stage).unwrap_or_else(|| {
                if self.specs.is_full() {
                    // Before a number stands for another stage.
                    let specs = std::mem::take(&mut specs);
                    gathered(specs, size_of_spec, ToWorker::Specs, messages);
                    let orders = std::mem::take(&mut orders);
                    gathered(orders, Outgoing::size, ToWorker::Orders, messages);
                    self.specs.start_over();
                }
                let spec = self.specs.tell(&outgoing.stage);
                let id = spec.id;
                specs.push(spec);
                id
            });
            orders.push(outgoing.order(id, now));
        }
        gathered(specs, size_of_spec, ToWorker::Specs, messages);
        gathered(orders, Outgoing::size, ToWorker::Orders, messages);
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

/// Adds items in as few messages as they fit in.
fn gathered<T>(
    items: Vec<T>,
    size: impl Fn(&T) -> usize,
    message: impl Fn(Vec<T>) -> ToWorker,
    messages: &mut Vec<ToWorker>,
) {
    let most = Most { bytes: MESSAGE_BYTES, items: MESSAGE_ITEMS };
    in_messages(items, most, size, |items| messages.push(message(items)));
}

#[cfg(test)]
mod tests {
    use sandmill_core::{Call, CallOptions};
    use sandmill_transport::message::MAX_INLINE;
    use sandmill_wire::{RunId, Value};

    use super::super::super::stages::{Stage, Stages};
    use super::super::config::LINK_SPECS;
    use super::*;

    struct Bench {
        stages: Stages,
        outbox: Outbox,
        leases: u64,
        /// The task that each run is to be.
        asked: HashMap<RunId, String>,
        /// What the worker makes of numbers.
        specs: HashMap<u32, Spec>,
        made: usize,
    }

    impl Bench {
        fn new() -> Self {
            let outbox = Outbox::default();
            outbox.open(1);
            Self {
                stages: Stages::default(),
                outbox,
                leases: 0,
                asked: HashMap::new(),
                specs: HashMap::new(),
                made: 0,
            }
        }

        fn stage(&mut self, task: String, options: CallOptions) -> std::sync::Arc<Stage> {
            let component = Component::new(&b"any"[..], "memory");
            let call = Call::new(&component, task, Value::nil()).with_options(options);
            self.stages.of(&call).unwrap()
        }

        fn order(&mut self, task: &str, arguments: &Bytes, options: CallOptions) {
            self.leases += 1;
            let of = RunLease { run: RunId::new(), lease: LeaseId(self.leases) };
            self.asked.insert(of.run, task.to_owned());
            let order = Outgoing {
                of,
                stage: self.stage(task.to_owned(), options),
                attempt: 1,
                arguments: Payload::of(arguments),
                index: None,
                deadline: None,
            };
            self.outbox.order(order, arguments, None);
        }

        /// What was to be brought is there.
        fn bring(&mut self) {
            while let Some(Transfer::Arguments(order, _)) = self.outbox.next_transfer(1) {
                self.outbox.arguments_are_there(*order);
            }
        }

        /// The worker is told all that there is.
        fn tell(&mut self) {
            for message in self.outbox.take(1).unwrap() {
                match message {
                    ToWorker::Specs(specs) => {
                        self.specs.extend(specs.into_iter().map(|spec| (spec.id, spec)));
                    }
                    ToWorker::Orders(orders) => {
                        for order in orders {
                            assert_eq!(self.specs[&order.spec].task, self.asked[&order.run]);
                            self.made += 1;
                        }
                    }
                    ToWorker::Settled(_) | ToWorker::Cancel(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn each_order_is_of_its_own_task_however_many_stages_there_are() {
        let mut bench = Bench::new();
        let (small, large) = (Bytes::from_static(b"x"), Bytes::from(vec![0; MAX_INLINE + 1]));
        bench.order("first", &small, CallOptions::default());
        bench.order("large", &large, CallOptions::default());
        bench.tell();
        // The numbers begin anew while arguments are on their way, and within what is said at once.
        for n in 0..2 * LINK_SPECS + 10 {
            bench.order(&format!("t{n}"), &small, CallOptions::default());
        }
        bench.order("first", &small, CallOptions::default());
        bench.bring();
        bench.tell();
        assert_eq!(bench.made, bench.asked.len());
    }

    #[test]
    fn what_may_wait_does_until_something_may_not() {
        let mut bench = Bench::new();
        let of = |lease| RunLease { run: RunId::new(), lease: LeaseId(lease) };
        assert_eq!(bench.outbox.may_wait_until(), None);
        bench.outbox.settled(of(1));
        let due = bench.outbox.may_wait_until().expect("nobody waits for it");
        bench.outbox.settled(of(2));
        assert_eq!(bench.outbox.may_wait_until(), Some(due), "the first one says until when");
        bench.order("t", &Bytes::from_static(b"x"), CallOptions::default());
        assert_eq!(bench.outbox.may_wait_until(), None);
        bench.outbox.settled(of(3));
        assert_eq!(bench.outbox.may_wait_until(), None, "it goes with the order");
        bench.tell();
        for lease in 0..WORDS_TOGETHER as u64 {
            bench.outbox.settled(of(lease));
        }
        assert_eq!(bench.outbox.may_wait_until(), None, "these are enough");
        bench.tell();
        bench.outbox.settled(of(4));
        assert!(bench.outbox.may_wait_until().is_some());
        bench.outbox.cancel(of(5));
        assert_eq!(bench.outbox.may_wait_until(), None);
    }

    #[test]
    fn stages_are_told_once_and_a_worker_never_has_many_bytes_of_them() {
        let mut bench = Bench::new();
        let small = Bytes::from_static(b"x");
        for _ in 0..100 {
            bench.order("t", &small, CallOptions::default());
        }
        bench.tell();
        assert_eq!(bench.specs.len(), 1);
        let wide = |n: usize| {
            let mut options = CallOptions::default();
            options.grants.env.insert(format!("A{n}"), "x".repeat(400 << 10));
            options
        };
        for n in 0..200 {
            bench.order("t", &small, wide(n));
            bench.tell();
        }
        let bytes: usize = bench.specs.values().map(size_of_spec).sum();
        assert!(bytes <= 2 * super::super::config::LINK_SPEC_BYTES, "{bytes}");
    }
}
