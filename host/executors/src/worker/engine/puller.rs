//! Pulls items of the classes that the worker can make, as many as it has room for, and gives each
//! to its session.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_transport::engine::{
    Class, ClassId, ClassNews, Engine, EngineError, ItemQueue, MAX_CLASSES, Pulled,
};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::worker::Worker;
use super::config::{
    EngineServeConfig, FEED_QUEUE, LOOK_EVERY, PULL_WAIT, PULLS_BEYOND, TRY_MOST, TURN_WAIT,
};
use super::feed::feed;
use super::hands::{Hands, Hold, satisfies};
use super::items::Given;
use super::turns::Turns;

/// A class that the worker can make.
struct Known {
    class: Class,
    queue: Option<ItemQueue>,
    /// Pulls that wait for its items.
    pulls: usize,
}

/// What came of a pull: whose it was, its queue, and an item where there was one.
type Came = (ClassId, Result<(ItemQueue, Option<Pulled>), EngineError>);

/// Pulls for a worker.
pub(super) struct Puller {
    engine: Engine,
    worker: Arc<Worker>,
    config: EngineServeConfig,
    hands: Arc<Hands>,
    classes: HashMap<ClassId, Known>,
    turns: Turns,
    /// The look at which classes have items, where there are more than can be asked at a time.
    looks: JoinSet<Result<HashSet<ClassId>, EngineError>>,
    looked_at: Option<Instant>,
    pulls: JoinSet<Came>,
    /// The room that each of them holds.
    holds: HashMap<Id, Hold>,
    /// Pulls of a connection that broke: some may have been sent over the next one.
    late: JoinSet<Came>,
    feeds: HashMap<Uuid, mpsc::Sender<Given>>,
    serving: JoinSet<Uuid>,
    /// Tasks of sessions, so that one that ended is not taken for its successor.
    current: HashMap<Uuid, Id>,
}

impl Puller {
    pub(super) fn new(engine: Engine, worker: Arc<Worker>, config: EngineServeConfig) -> Self {
        let hands = Hands::new(worker.config(), config.prefetch);
        Self {
            engine,
            worker,
            config,
            hands,
            classes: HashMap::new(),
            turns: Turns::default(),
            looks: JoinSet::new(),
            looked_at: None,
            pulls: JoinSet::new(),
            holds: HashMap::new(),
            late: JoinSet::new(),
            feeds: HashMap::new(),
            serving: JoinSet::new(),
            current: HashMap::new(),
        }
    }

    /// Pulls until `stop`; then ready when every session has said what it had to say, which the
    /// worker's drain brings about.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (news, mut told) = mpsc::channel(FEED_QUEUE);
        let engine = self.engine.clone();
        let watching = stop.child_token();
        let guard = watching.clone().drop_guard();
        tokio::spawn(async move {
            tokio::select! {
                () = watch(engine, news) => {}
                () = watching.cancelled() => {}
            }
        });
        let mut link = self.engine.link();
        let mut connection = link.borrow_and_update().count;
        while !stop.is_cancelled() {
            self.pull();
            let hands = Arc::clone(&self.hands);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(news) = told.recv() => self.learn(news),
                Some(came) = self.pulls.join_next_with_id() => {
                    let hold = self.holds.remove(&id_of(&came));
                    if let (Ok((_, came)), Some(hold)) = (came, hold) {
                        self.came(came, hold).await;
                    }
                }
                Some(found) = self.looks.join_next() => {
                    self.looked_at = Some(Instant::now());
                    // Where it cannot be known, each has its turn.
                    self.turns.found(found.ok().and_then(Result::ok));
                }
                Some(came) = self.late.join_next() => self.came_late(came.ok()).await,
                Some(ended) = self.serving.join_next_with_id() => self.ended(ended),
                () = hands.freed.notified() => {}
                Ok(()) = link.changed() => {
                    let now = link.borrow_and_update().clone();
                    if now.is_up && now.count != connection {
                        connection = now.count;
                        self.anew();
                    }
                }
            }
        }
        drop(guard);
        // What was asked for still comes: somebody else is to be given it.
        while let Some(came) = self.pulls.join_next().await {
            give_back_now(came.ok()).await;
        }
        while let Some(came) = self.late.join_next().await {
            give_back_now(came.ok()).await;
        }
        self.feeds.clear();
        while self.serving.join_next().await.is_some() {}
    }

    /// The connection is another one: what was asked on the former is not answered, and needs no room.
    /// What was asked when it was broken already may be answered, so it is listened for.
    fn anew(&mut self) {
        self.holds.clear();
        if self.late.is_empty() {
            self.late = std::mem::take(&mut self.pulls);
        } else {
            self.pulls.detach_all();
        }
        for known in self.classes.values_mut() {
            known.pulls = 0;
            known.queue = None;
        }
    }

    fn learn(&mut self, news: ClassNews) {
        match news {
            ClassNews::Known(id, class) => {
                if self.classes.contains_key(&id) || self.classes.len() >= MAX_CLASSES {
                    return;
                }
                if satisfies(self.worker.config(), &class) {
                    self.turns.add(id.clone());
                    self.classes.insert(id, Known { class: *class, queue: None, pulls: 0 });
                }
            }
            ClassNews::Gone(id) => {
                self.classes.remove(&id);
                self.turns.remove(&id);
            }
        }
    }

    /// Asks for as many items as there is room for, from all classes in turn.
    fn pull(&mut self) {
        if !self.engine.is_up() || !self.worker.is_open() {
            return;
        }
        // Kinds of runs are known for long after the last run of theirs, so most have nothing.
        let is_crowded = self.turns.len() > self.reach();
        if is_crowded && self.has_room() {
            self.look();
        } else if !is_crowded {
            self.turns.found(None);
        }
        self.turns.begin();
        while self.has_room() {
            let Some(id) = self.turns.next() else { return };
            let is_idle = self.is_idle();
            let Some(known) = self.classes.get_mut(&id) else { continue };
            let beyond = if is_idle && known.pulls == 0 { PULLS_BEYOND } else { 0 };
            let Some(hold) = self.hands.hold(&known.class.resources, beyond) else { continue };
            known.pulls += 1;
            self.turns.begin();
            // Where others wait for their turn, what has nothing is to be done with soon.
            let wait = if is_crowded { TURN_WAIT } else { PULL_WAIT };
            let (engine, queue) = (self.engine.clone(), known.queue.clone());
            let pull = self.pulls.spawn(async move {
                let came = async {
                    let queue = match queue {
                        Some(queue) => queue,
                        None => engine.queue(&id).await?,
                    };
                    let pulled = queue.pull(wait).await?;
                    Ok((queue, pulled))
                };
                let came = came.await;
                if came.is_err() {
                    // Whatever it is, asking at once again does not help.
                    tokio::time::sleep(TURN_WAIT).await;
                }
                (id, came)
            });
            self.holds.insert(pull.id(), hold);
        }
    }

    /// Whether a slot has nothing to do: then no class is to wait for pulls of others to be over,
    /// since nobody knows which of them will get anything.
    fn is_idle(&self) -> bool {
        let in_hand = self.hands.taken().saturating_sub(self.pulls.len());
        in_hand < self.worker.config().slots
    }

    /// Whether anything may be asked for now. When what leaves no room ends, this is looked at again.
    fn has_room(&self) -> bool {
        self.is_idle() || (self.hands.free() > 0 && !self.hands.rests())
    }

    /// How many classes can be asked at a time.
    fn reach(&self) -> usize {
        let beyond = if self.is_idle() { PULLS_BEYOND } else { 0 };
        let in_hand = self.hands.taken().saturating_sub(self.pulls.len());
        (self.hands.most() + beyond).saturating_sub(in_hand)
    }

    /// Looks which classes have items, if nobody looks yet.
    fn look(&mut self) {
        if !self.looks.is_empty() {
            return;
        }
        let engine = self.engine.clone();
        let pause =
            self.looked_at.map_or(Duration::ZERO, |at| LOOK_EVERY.saturating_sub(at.elapsed()));
        self.looks.spawn(async move {
            tokio::time::sleep(pause).await;
            engine.busy_classes().await
        });
    }

    async fn came(&mut self, came: Came, hold: Hold) {
        let (id, came) = came;
        let known = self.classes.get_mut(&id);
        let has_effects = known.as_ref().is_none_or(|known| known.class.has_effects);
        if let Some(known) = known {
            known.pulls = known.pulls.saturating_sub(1);
            known.queue = came.as_ref().ok().map(|(queue, _)| queue.clone());
        }
        let Ok((queue, Some(pulled))) = came else { return };
        self.give(queue, pulled, hold, has_effects).await;
    }

    /// Takes what comes of a pull of a former connection, if there is room for it now.
    async fn came_late(&mut self, came: Option<Came>) {
        let Some((id, Ok((queue, Some(pulled))))) = came else { return };
        let class = self.classes.get(&id).map(|known| known.class.clone());
        let hold = class.as_ref().and_then(|class| self.hands.hold(&class.resources, 0));
        match (class, hold) {
            (Some(class), Some(hold)) => {
                self.give(queue, pulled, hold, class.has_effects).await;
            }
            // Not said: somebody is given it once its time is over.
            _ => drop(pulled.give_back(Duration::ZERO).await),
        }
    }

    /// Gives an item to its session.
    async fn give(&mut self, queue: ItemQueue, pulled: Pulled, hold: Hold, has_effects: bool) {
        let given = Given {
            hold: Some(hold),
            has_effects,
            ack_wait: queue.ack_wait(),
            max_deliver: queue.max_deliver(),
            pulled,
        };
        let session = match &given.pulled.item {
            Ok(item) => item.session,
            Err(_) => {
                let _ = given.pulled.discard().await;
                return;
            }
        };
        let mut given = given;
        for _ in 0..2 {
            let sender = self.feeds.get(&session).cloned();
            let sender = sender.unwrap_or_else(|| self.open(session));
            match sender.send(given).await {
                Ok(()) => return,
                // It ended just now.
                Err(unsent) => {
                    given = unsent.0;
                    self.feeds.remove(&session);
                }
            }
        }
        given.give_back_now().await;
    }

    fn open(&mut self, session: Uuid) -> mpsc::Sender<Given> {
        let (sender, given) = mpsc::channel(FEED_QUEUE);
        let (engine, worker) = (self.engine.clone(), Arc::clone(&self.worker));
        let (config, hands) = (self.config.clone(), Arc::clone(&self.hands));
        let task = self.serving.spawn(async move {
            feed(engine, worker, config, hands, session, given).await;
            session
        });
        self.current.insert(session, task.id());
        self.feeds.insert(session, sender.clone());
        sender
    }

    fn ended(&mut self, ended: Result<(Id, Uuid), JoinError>) {
        if let Ok((id, session)) = ended
            && self.current.get(&session) == Some(&id)
        {
            self.current.remove(&session);
            self.feeds.remove(&session);
        }
    }
}

/// Which task that was.
fn id_of<T>(ended: &Result<(Id, T), JoinError>) -> Id {
    match ended {
        Ok((id, _)) => *id,
        Err(error) => error.id(),
    }
}

/// Gives what came of a pull to somebody else.
async fn give_back_now(came: Option<Came>) {
    if let Some((_, Ok((_, Some(pulled))))) = came {
        // Not said: somebody is given it once its time is over.
        drop(pulled.give_back(Duration::ZERO).await);
    }
}

/// Hears of classes for as long as somebody listens.
async fn watch(engine: Engine, news: mpsc::Sender<ClassNews>) {
    while !news.is_closed() {
        if let Err(EngineError::Missing(_) | EngineError::Failed { .. }) =
            engine.watch_classes(&news).await
            && engine.is_up()
        {
            // It may have been removed.
            let _ = engine.ensure().await;
        }
        tokio::time::sleep(TRY_MOST / 4).await;
    }
}
