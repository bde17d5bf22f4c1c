//! What a worker has of one coordinator's session at an engine: the items in hand, the worker's
//! session that they are given to, and what is said of both. Whatever gets lost between any two of
//! them is found by comparing, and given or said again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sandmill_transport::engine::{Beat, Engine, Said, Words};
use sandmill_transport::message::{FromWorker, Goodbye, Hello, RunLease, ToWorker};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::super::worker::Worker;
use super::config::{EngineServeConfig, FEED_IDLE, FEED_QUEUE, RECALL_REST, TRY_LEAST, TRY_MOST};
use super::hands::Hands;
use super::items::{Given, InHand};
use super::publisher::{Published, Publisher};
use super::told::Told;

/// How soon a coordinator hears that an item was taken.
const CLAIM: Duration = Duration::from_millis(3);

/// Where a run is that this worker has.
pub(super) enum Stage {
    /// In hand, or at the worker.
    Open,
    /// It was said to have ended, then; that is not settled.
    Said(Instant),
}

/// The session's task.
pub(super) struct Feed {
    pub(super) engine: Engine,
    pub(super) worker: Arc<Worker>,
    pub(super) config: EngineServeConfig,
    pub(super) hands: Arc<Hands>,
    pub(super) hello: Hello,
    pub(super) items: HashMap<u64, InHand>,
    pub(super) next_item: u64,
    pub(super) runs: HashMap<RunLease, Stage>,
    /// Runs that were asked to stop before they were given to the worker.
    pub(super) cancelled: HashSet<RunLease>,
    pub(super) told: Told,
    pub(super) link: u64,
    pub(super) speak: mpsc::Sender<ToWorker>,
    pub(super) say: mpsc::Sender<FromWorker>,
    pub(super) tell: mpsc::Sender<Published>,
    pub(super) tasks: JoinSet<Done>,
    pub(super) beats: u64,
    pub(super) idle_since: Instant,
    /// When the link went and could not be opened again.
    pub(super) cut_since: Option<Instant>,
}

pub(super) enum Done {
    Nothing,
    /// The bytes of an item are at the worker; or the runs that go without, and why.
    Prepared(u64, Vec<(RunLease, String)>),
}

/// Serves a session for as long as there is anything of it.
pub(super) async fn feed(
    engine: Engine,
    worker: Arc<Worker>,
    config: EngineServeConfig,
    hands: Arc<Hands>,
    session: Uuid,
    mut given: mpsc::Receiver<Given>,
) {
    let hello = greet(&engine, session).await;
    let words = match &hello {
        Some(_) => engine.hear_coordinator(session, worker.id()).await.ok(),
        None => None,
    };
    let (Some(hello), Some(words)) = (hello, words) else {
        given.close();
        while let Some(given) = given.recv().await {
            given.give_back().await;
        }
        return;
    };
    let (tell, told) = mpsc::channel(FEED_QUEUE);
    let (speak, say) = (mpsc::channel(1).0, mpsc::channel(1).0);
    let feed = Feed {
        engine,
        worker,
        config,
        hands,
        hello,
        items: HashMap::new(),
        next_item: 0,
        runs: HashMap::new(),
        cancelled: HashSet::new(),
        told: Told::default(),
        link: 0,
        speak,
        say,
        tell,
        tasks: JoinSet::new(),
        beats: 0,
        idle_since: Instant::now(),
        cut_since: None,
    };
    feed.run(words, told, given).await;
}

/// Asks who the session's coordinator is; none when it is not there.
async fn greet(engine: &Engine, session: Uuid) -> Option<Hello> {
    let mut pause = TRY_LEAST;
    loop {
        match engine.ask_coordinator(session).await {
            Ok(hello) => return hello.filter(|hello| hello.session == session),
            // The engine is away: the coordinator may be there.
            Err(_) if engine.is_up() => return None,
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(TRY_MOST);
    }
}

impl Feed {
    async fn run(
        mut self,
        mut words: Words,
        mut told: mpsc::Receiver<Published>,
        mut given: mpsc::Receiver<Given>,
    ) {
        if !self.open_link() {
            return self.give_all_back(&mut given).await;
        }
        let mut link = self.engine.link();
        let mut connection = link.borrow_and_update().count;
        let mut is_fed = true;
        let (mut beat, mut progress) = (Instant::now(), Instant::now() + self.config.beat);
        loop {
            tokio::select! {
                next = given.recv(), if is_fed => match next {
                    Some(next) => {
                        self.take(next);
                        beat = beat.min(Instant::now() + CLAIM);
                    }
                    // The worker has stopped pulling, or this was closed since it was idle.
                    None => is_fed = false,
                },
                next = words.next() => match next {
                    Some(Said::Words(messages)) => {
                        for message in messages {
                            if matches!(message, ToWorker::Goodbye(_)) {
                                return self.say_goodbye().await;
                            }
                            self.heard(message);
                        }
                    }
                    Some(Said::Beat(_)) => {}
                    None => return self.give_all_back(&mut given).await,
                },
                Some(next) = told.recv() => {
                    if !self.published(next) {
                        return self.give_all_back(&mut given).await;
                    }
                }
                Some(done) = self.tasks.join_next() => {
                    if let Ok(Done::Prepared(item, without)) = done {
                        self.prepared(item, without);
                    }
                }
                Ok(()) = link.changed() => {
                    let now = link.borrow_and_update().clone();
                    if now.is_up && now.count != connection {
                        connection = now.count;
                        // What was said may not have come; what was asked neither.
                        if !self.open_link() {
                            return self.give_all_back(&mut given).await;
                        }
                        beat = Instant::now();
                    }
                }
                () = sleep_until(beat) => {
                    beat = Instant::now() + self.config.beat;
                    self.beat();
                    if self.look_around() && !self.open_link() {
                        return self.give_all_back(&mut given).await;
                    }
                    if self.is_idle() && self.idle_since.elapsed() > FEED_IDLE {
                        given.close();
                    }
                }
                () = sleep_until(progress) => {
                    progress = Instant::now() + self.progress();
                }
            }
            if !self.is_idle() {
                self.idle_since = Instant::now();
            } else if !is_fed {
                while self.tasks.join_next().await.is_some() {}
                return;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.runs.is_empty()
    }

    /// Opens the worker's session, or takes it up again. What the worker does not hold (any more)
    /// is given to it again; what it has to say, it says again. Whether it could be.
    fn open_link(&mut self) -> bool {
        let peer = format!("engine {}", self.hello.session);
        let Ok(opened) = self.worker.open(&peer, &self.hello) else { return false };
        self.link += 1;
        self.cut_since = None;
        self.told.forget();
        let (speak, mut spoken) = mpsc::channel(FEED_QUEUE);
        let to_worker = opened.to_worker;
        tokio::spawn(async move {
            while let Some(message) = spoken.recv().await {
                if to_worker.send(message).await.is_err() {
                    return;
                }
            }
        });
        let (say, also) = mpsc::channel(FEED_QUEUE);
        let publisher = Publisher {
            engine: self.engine.clone(),
            worker: Arc::clone(&self.worker),
            session: self.hello.session,
            link: self.link,
            said: opened.from_worker,
            also,
            say: say.clone(),
            tell: self.tell.clone(),
        };
        tokio::spawn(publisher.run());
        (self.speak, self.say) = (speak, say);
        let there: HashSet<RunLease> = opened.welcome.runs.into_iter().collect();
        // Reports that were settled while nobody could hear that.
        self.runs.retain(|of, stage| matches!(stage, Stage::Open) || there.contains(of));
        let mut gone = Vec::new();
        let numbers: Vec<u64> = self.items.keys().copied().collect();
        for number in numbers {
            let Some(item) = self.items.get(&number) else { continue };
            if item.preparing {
                continue;
            }
            let missing: Vec<RunLease> =
                item.orders.keys().filter(|of| !there.contains(of)).copied().collect();
            if item.given.has_effects {
                // They may have started: only their coordinator can say what is to become of them.
                gone.extend(missing);
            } else {
                self.order(number, &missing);
            }
        }
        self.drop_runs(&gone);
        true
    }

    /// Hands on what the coordinator said, as far as it concerns this worker.
    fn heard(&mut self, message: ToWorker) {
        let message = match message {
            ToWorker::Cancel(mut runs) => {
                runs.retain(|of| self.runs.contains_key(of));
                let preparing = self.preparing();
                self.cancelled.extend(runs.iter().filter(|of| preparing.contains(of)));
                runs.retain(|of| !preparing.contains(of));
                ToWorker::Cancel(runs)
            }
            ToWorker::Recall(mut runs) => {
                // What the worker was not given yet it would give back now, and be given then.
                let preparing = self.preparing();
                runs.retain(|of| self.runs.contains_key(of) && !preparing.contains(of));
                if runs.is_empty() {
                    return;
                }
                self.hands.rest(RECALL_REST);
                ToWorker::Recall(runs)
            }
            ToWorker::Settled(runs) => {
                for of in &runs {
                    if matches!(self.runs.get(of), Some(Stage::Said(_))) {
                        self.runs.remove(of);
                    }
                }
                ToWorker::Settled(runs)
            }
            // Orders come in items.
            ToWorker::Specs(_) | ToWorker::Orders(_) => return,
            other => other,
        };
        // What is not taken, the coordinator says again as long as beats tell of it.
        let _ = self.speak.try_send(message);
    }

    /// Takes note of what was put into the engine; false when the worker has left.
    fn published(&mut self, published: Published) -> bool {
        match published {
            Published::Ended(runs) => {
                let now = Instant::now();
                for of in &runs {
                    if let Some(stage) = self.runs.get_mut(of) {
                        *stage = Stage::Said(now);
                    }
                }
                self.close_runs(&runs);
            }
            Published::Back(runs) => self.drop_runs(&runs),
            Published::Over(link) if link == self.link => {
                // The coordinator was not heard of for a while, or the worker leaves.
                self.cut_since = Some(Instant::now());
                return self.worker.is_open();
            }
            Published::Over(_) => {}
        }
        true
    }

    /// Tells the coordinator what is held.
    fn beat(&mut self) {
        if !self.engine.is_up() {
            return;
        }
        self.beats += 1;
        let beat = Beat {
            worker: self.worker.id(),
            name: self.worker.config().name.clone(),
            load: self.worker.load(),
            number: self.beats,
            last: true,
            runs: self.runs.keys().copied().collect(),
        };
        let (engine, session) = (self.engine.clone(), self.hello.session);
        self.tasks.spawn(async move {
            let _ = engine.beat(session, &beat).await;
            Done::Nothing
        });
    }

    /// Whether the link has to be opened anew: since it went, or since what was said was not heard.
    fn look_around(&mut self) -> bool {
        if !self.engine.is_up() {
            return false;
        }
        if self.cut_since.is_some() {
            return true;
        }
        let unheard = |stage: &Stage| matches!(stage, Stage::Said(at) if at.elapsed() > self.config.say_again);
        self.runs.values().any(unheard)
    }

    /// Has the server know that the items are worked at; when to say so next.
    fn progress(&mut self) -> Duration {
        let mut next = self.config.beat;
        for item in self.items.values() {
            next = next.min(item.given.ack_wait / 3);
            let given = Arc::clone(&item.given);
            self.tasks.spawn(async move {
                let _ = given.pulled.progress().await;
                Done::Nothing
            });
        }
        next.max(TRY_LEAST)
    }

    /// The coordinator has ended: nobody waits for what is here.
    async fn say_goodbye(mut self) {
        let words = "the coordinator has ended".to_owned();
        let _ = self.speak.try_send(ToWorker::Goodbye(Goodbye::Leaving(words)));
        for (_, item) in self.items.drain() {
            let _ = item.given.pulled.discard().await;
        }
    }

    /// Nothing can be given to the worker any more: others are given what is in hand.
    async fn give_all_back(mut self, given: &mut mpsc::Receiver<Given>) {
        given.close();
        while let Some(given) = given.recv().await {
            given.give_back().await;
        }
        for (_, item) in self.items.drain() {
            if item.given.has_effects {
                let _ = item.given.pulled.done().await;
            } else {
                item.given.give_back().await;
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
