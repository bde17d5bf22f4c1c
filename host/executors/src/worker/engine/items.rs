//! The items that a session has in hand: taken, with the bytes that they need given to the worker,
//! and done when all of their runs are. What is said of them is the session's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sandmill_transport::engine::{Pulled, ValueName};
use sandmill_transport::frame::encode;
use sandmill_transport::message::{FromWorker, HandBack, Order, Payload, RunLease, Spec, ToWorker};
use sandmill_wire::Digest;

use super::super::spec::bytes_of;
use super::config::{DONE_TRIES, GIVE_BACK_PAUSE};
use super::feed::{Done, Feed, Stage};
use super::hands::Hold;
use super::supply::{Wanted, supply};
use super::told::Number;

/// An item that was pulled, on its way to its session.
pub(super) struct Given {
    pub(super) pulled: Pulled,
    /// The room that it takes, until it is done.
    pub(super) hold: Option<Hold>,
    pub(super) has_effects: bool,
    pub(super) ack_wait: Duration,
    pub(super) max_deliver: i64,
}

impl Given {
    /// Gives it back to whoever is free, since this worker leaves.
    pub(super) async fn give_back_now(&self) {
        // Not said: somebody is given it once its time is over.
        let _ = self.pulled.give_back(Duration::ZERO).await;
    }

    /// Gives it back, unless it was given out so often that nobody would be given it again: then it
    /// is removed, and its coordinator, which knows of it, orders its runs anew.
    pub(super) async fn give_back(&self) {
        let given = if self.pulled.delivered + 1 < self.max_deliver {
            self.pulled.give_back(GIVE_BACK_PAUSE).await
        } else {
            self.pulled.discard().await
        };
        // Not said: somebody is given it once its time is over.
        drop(given);
    }
}

/// An item in hand.
pub(super) struct InHand {
    pub(super) given: Arc<Given>,
    #[expect(dead_code, reason = "the room is held for as long as the item is in hand")]
    hold: Option<Hold>,
    specs: Vec<Spec>,
    pub(super) orders: HashMap<RunLease, Order>,
    /// Whether its bytes are on their way yet.
    pub(super) preparing: bool,
}

impl Feed {
    /// Takes an item in hand.
    pub(super) fn take(&mut self, given: Given) {
        let item = match &given.pulled.item {
            Ok(item) => item.clone(),
            Err(_) => {
                // Nobody could read it.
                self.tasks.spawn(async move {
                    let _ = given.pulled.discard().await;
                    Done::Nothing
                });
                return;
            }
        };
        if given.has_effects && given.pulled.delivered > 1 {
            // Somebody had it before, and may have started it: its coordinator finds it gone.
            self.done(Arc::new(given));
            return;
        }
        let mut orders = HashMap::with_capacity(item.orders.len());
        for order in item.orders {
            let of = RunLease { run: order.run, lease: order.lease };
            if !matches!(self.runs.get(&of), Some(Stage::Said(_))) {
                self.runs.insert(of, Stage::Open);
                orders.insert(of, order);
            }
        }
        if orders.is_empty() {
            self.done(Arc::new(given));
            return;
        }
        self.next_item += 1;
        let number = self.next_item;
        let blobs: Vec<(RunLease, Digest, u64)> = orders
            .iter()
            .filter_map(|(of, order)| match &order.arguments {
                Payload::Blob { digest, size } => Some((*of, *digest, *size)),
                Payload::Inline(_) => None,
            })
            .collect();
        let preparing = !blobs.is_empty();
        let leases: Vec<RunLease> = orders.keys().copied().collect();
        let mut given = given;
        let hold = given.hold.take();
        let (specs, given) = (item.specs, Arc::new(given));
        let item = InHand { given, hold, specs, orders, preparing };
        self.items.insert(number, item);
        if !preparing {
            self.order(number, &leases);
            return;
        }
        let (engine, worker) = (self.engine.clone(), Arc::clone(&self.worker));
        let (say, session) = (self.say.clone(), self.hello.session);
        self.tasks.spawn(async move {
            let mut without = Vec::new();
            for (of, digest, size) in blobs {
                let wanted = Wanted::Value(ValueName::Arguments(session, digest), digest, size);
                if let Err(why) = supply(&engine, &worker, wanted, &say).await {
                    without.push((of, format!("its arguments cannot be had: {why}")));
                }
            }
            Done::Prepared(number, without)
        });
    }

    pub(super) fn prepared(&mut self, number: u64, without: Vec<(RunLease, String)>) {
        let Some(item) = self.items.get_mut(&number) else { return };
        item.preparing = false;
        let mut back: Vec<HandBack> =
            without.into_iter().map(|(of, why)| HandBack { of, why: Some(why) }).collect();
        let mut orders = Vec::new();
        for of in item.orders.keys() {
            if self.cancelled.remove(of) {
                let why = Some("cancelled before it started".to_owned());
                back.push(HandBack { of: *of, why });
            } else if back.iter().all(|back| back.of != *of) {
                orders.push(*of);
            }
        }
        self.order(number, &orders);
        if !back.is_empty() {
            // Where there is no room, the link is opened anew, and all of it done again.
            let _ = self.say.try_send(FromWorker::HandBack(back));
        }
    }

    /// Gives orders of an item to the worker.
    pub(super) fn order(&mut self, number: u64, leases: &[RunLease]) {
        let Some(item) = self.items.get(&number) else { return };
        let mut orders = Vec::with_capacity(leases.len());
        for of in leases {
            let Some(order) = item.orders.get(of) else { continue };
            let Some(spec) = item.specs.iter().find(|spec| spec.id == order.spec) else {
                let why = Some("its item names a spec that is not in it".to_owned());
                let _ = self.say.try_send(FromWorker::HandBack(vec![HandBack { of: *of, why }]));
                continue;
            };
            let same = Spec { id: 0, ..spec.clone() };
            let digest = Digest::of(&encode(&same));
            let number = self.told.number(digest, bytes_of(&same));
            if matches!(number, Number::Anew(_)) && !orders.is_empty() {
                let orders = std::mem::take(&mut orders);
                let _ = self.speak.try_send(ToWorker::Orders(orders));
            }
            let id = match number {
                Number::Known(id) => id,
                Number::New(id) | Number::Anew(id) => {
                    let _ = self.speak.try_send(ToWorker::Specs(vec![Spec { id, ..same }]));
                    id
                }
            };
            orders.push(Order { spec: id, ..order.clone() });
        }
        if !orders.is_empty() {
            let _ = self.speak.try_send(ToWorker::Orders(orders));
        }
    }

    /// Runs whose bytes are on their way to the worker.
    pub(super) fn preparing(&self) -> HashSet<RunLease> {
        let preparing = self.items.values().filter(|item| item.preparing);
        preparing.flat_map(|item| item.orders.keys().copied()).collect()
    }

    pub(super) fn drop_runs(&mut self, runs: &[RunLease]) {
        for of in runs {
            self.runs.remove(of);
            self.cancelled.remove(of);
        }
        self.close_runs(runs);
    }

    /// Takes runs out of their items; an item without any is done.
    pub(super) fn close_runs(&mut self, runs: &[RunLease]) {
        let mut done = Vec::new();
        for (number, item) in &mut self.items {
            for of in runs {
                item.orders.remove(of);
            }
            if item.orders.is_empty() {
                done.push(*number);
            }
        }
        for number in done {
            if let Some(item) = self.items.remove(&number) {
                self.done(item.given);
            }
        }
    }

    /// Acknowledges an item. Where that is not known to be kept, the server gives it out again, and
    /// its runs are made again, for nobody.
    pub(super) fn done(&mut self, given: Arc<Given>) {
        self.tasks.spawn(async move {
            for _ in 0..DONE_TRIES {
                if given.pulled.done().await.is_ok() {
                    break;
                }
            }
            Done::Nothing
        });
    }
}
