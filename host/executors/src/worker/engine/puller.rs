//! Pulls items of the classes that the worker can make, as many as it has room for, and gives each
//! to its session.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sandmill_transport::engine::{
    Class, ClassId, ClassNews, Engine, EngineError, ItemQueue, MAX_CLASSES, Pulled,
};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::worker::Worker;
use super::config::{EngineServeConfig, FEED_QUEUE, PULL_WAIT, TRY_MOST, TURN_WAIT};
use super::feed::{Given, feed};
use super::hands::{Hands, Hold, satisfies};

/// A class that the worker can make.
struct Known {
    class: Class,
    queue: Option<ItemQueue>,
    /// Pulls that wait for its items.
    pulls: usize,
}

type Came = (ClassId, Hold, Result<(Option<ItemQueue>, Option<Pulled>), EngineError>);

/// Pulls for a worker.
pub(super) struct Puller {
    engine: Engine,
    worker: Arc<Worker>,
    config: EngineServeConfig,
    hands: Arc<Hands>,
    classes: HashMap<ClassId, Known>,
    /// Whose turn it is.
    turns: VecDeque<ClassId>,
    pulls: JoinSet<Came>,
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
            turns: VecDeque::new(),
            pulls: JoinSet::new(),
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
                Some(came) = self.pulls.join_next() => {
                    if let Ok(came) = came {
                        self.came(came, false).await;
                    }
                }
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
            if let Ok(came) = came {
                self.came(came, true).await;
            }
        }
        self.feeds.clear();
        while self.serving.join_next().await.is_some() {}
    }

    /// The connection is another one: what was asked on the former is not answered.
    fn anew(&mut self) {
        self.pulls.abort_all();
        self.pulls = JoinSet::new();
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
                    self.turns.push_back(id.clone());
                    self.classes.insert(id, Known { class: *class, queue: None, pulls: 0 });
                }
            }
            ClassNews::Gone(id) => {
                self.classes.remove(&id);
                self.turns.retain(|turn| *turn != id);
            }
        }
    }

    /// Asks for as many items as there is room for, from all classes in turn.
    fn pull(&mut self) {
        if !self.engine.is_up() || !self.worker.is_open() {
            return;
        }
        let mut passed = HashSet::new();
        while self.hands.free() > 0 && passed.len() < self.turns.len() {
            let Some(id) = self.turns.pop_front() else { return };
            self.turns.push_back(id.clone());
            let Some(known) = self.classes.get_mut(&id) else { continue };
            let Some(hold) = self.hands.hold(&known.class.resources) else {
                passed.insert(id);
                continue;
            };
            known.pulls += 1;
            // Classes that find no room for a pull have their turn soon.
            let is_tight = self.turns.len() > self.hands.free() + self.pulls.len() + 1;
            let wait = if is_tight { TURN_WAIT } else { PULL_WAIT };
            let (engine, queue) = (self.engine.clone(), known.queue.clone());
            self.pulls.spawn(async move {
                let came = async {
                    let queue = match queue {
                        Some(queue) => queue,
                        None => engine.queue(&id).await?,
                    };
                    let pulled = queue.pull(wait).await?;
                    Ok((Some(queue), pulled))
                };
                let came = came.await;
                if came.is_err() {
                    // Whatever it is, asking at once again does not help.
                    tokio::time::sleep(TURN_WAIT).await;
                }
                (id, hold, came)
            });
        }
    }

    async fn came(&mut self, came: Came, leaving: bool) {
        let (id, hold, came) = came;
        let known = self.classes.get_mut(&id);
        let has_effects = known.as_ref().is_none_or(|known| known.class.has_effects);
        let (queue, pulled) = match came {
            Ok((Some(queue), pulled)) => (queue, pulled),
            _ => {
                if let Some(known) = known {
                    known.pulls -= 1;
                    known.queue = None;
                }
                return;
            }
        };
        if let Some(known) = known {
            known.pulls -= 1;
            known.queue.get_or_insert_with(|| queue.clone());
        }
        let Some(pulled) = pulled else { return };
        let given = Given {
            hold,
            has_effects,
            ack_wait: queue.ack_wait(),
            max_deliver: queue.max_deliver(),
            pulled,
        };
        if leaving {
            given.give_back_now().await;
            return;
        }
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
        let config = self.config.clone();
        let task = self.serving.spawn(async move {
            feed(engine, worker, config, session, given).await;
            session
        });
        self.current.insert(session, task.id());
        self.feeds.insert(session, sender.clone());
        sender
    }

    fn ended(&mut self, ended: Result<(Id, Uuid), tokio::task::JoinError>) {
        if let Ok((id, session)) = ended
            && self.current.get(&session) == Some(&id)
        {
            self.current.remove(&session);
            self.feeds.remove(&session);
        }
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
