//! The one task of a session: it waits for tickets, for what is heard at the engine and for the
//! time, has the carrier take it all up, and has done what follows.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{Report, StartError};
use sandmill_transport::engine::{CLASS_REFRESH, Engine, Incarnation, ToSession};
use sandmill_transport::message::{Goodbye, Hello, RunLease, ToWorker, Versions};
use sandmill_wire::{End, EndKind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::super::session::{Session, Shown};
use super::carrier::{Carrier, Errand};
use super::checking::{Found, look};
use super::config::{EngineFleetConfig, NEWS_QUEUE, STOP_PATIENCE, TICK};
use super::courier::Courier;
use super::hearing::Asked;
use super::tasks::{News, fetch, spawn_all};

/// Leases in one message to workers.
const LEASES: usize = 4_096;
/// News that are taken up before what follows is done.
const NEWS_BATCH: usize = 64;

/// The one task of a session.
pub(super) struct Driver {
    config: Arc<EngineFleetConfig>,
    session: Session,
    engine: Engine,
    courier: Arc<Courier>,
    carrier: Carrier,
    id: Uuid,
    news: mpsc::Sender<News>,
    incarnation: Option<Incarnation>,
    /// What goes on beside this.
    errands: JoinSet<()>,
    publishes: JoinSet<()>,
    on_the_way: usize,
    window: usize,
    connection: u64,
    refreshed: Instant,
}

/// Opens a session at the engine, says whether that could be, and carries until it is stopped.
pub(super) async fn drive(config: Arc<EngineFleetConfig>, mut session: Session) {
    let connected = tokio::select! {
        connected = Engine::connect(config.engine.clone()) => connected,
        () = session.stop.cancelled() => return,
    };
    let engine = match connected {
        Ok(engine) => engine,
        Err(error) => {
            session.answer(Err(StartError::Unavailable(error.to_string())));
            return;
        }
    };
    let (news, heard) = mpsc::channel(NEWS_QUEUE);
    let id = Uuid::now_v7();
    let hello = Hello {
        versions: Versions::OURS,
        program: config.program.clone(),
        name: config.name.clone(),
        session: id,
        grace: config.grace,
        // Workers take three missed ones for the coordinator's end.
        heartbeat: config.beat,
    };
    let mut tasks = JoinSet::new();
    spawn_all(&mut tasks, &engine, &hello, &config, &news);
    let listed = engine.workers().await.unwrap_or_default();
    let connection = engine.link().borrow().count;
    let mut driver = Driver {
        carrier: Carrier::new(Arc::clone(&config), id),
        courier: Courier::new(engine.clone(), id),
        config,
        session,
        engine,
        id,
        news,
        incarnation: None,
        errands: JoinSet::new(),
        publishes: JoinSet::new(),
        on_the_way: 0,
        window: 0,
        connection,
        refreshed: Instant::now(),
    };
    let now = driver.carrier.clock.now();
    driver.carrier.hosts.listed(listed, now);
    driver.show();
    driver.session.desk.set_window(driver.carrier.window());
    driver.session.answer(Ok(()));
    driver.carry(heard).await;
    tasks.abort_all();
    driver.end().await;
}

impl Driver {
    async fn carry(&mut self, mut heard: mpsc::Receiver<News>) {
        let (mut tickets, mut cancelled) = (Vec::new(), Vec::new());
        let (desk, stop) = (Arc::clone(&self.session.desk), self.session.stop.clone());
        let mut tick = Instant::now() + TICK;
        loop {
            let held = self.carrier.held_until.map(Instant::from_std);
            let next = held.map_or(tick, |held| held.min(tick));
            tokio::select! {
                () = stop.cancelled() => return,
                () = desk.news() => {}
                news = heard.recv() => {
                    let Some(news) = news else { return };
                    self.hear(news).await;
                    for _ in 0..NEWS_BATCH {
                        let Ok(news) = heard.try_recv() else { break };
                        self.hear(news).await;
                    }
                }
                () = sleep_until(next) => {}
                Some(_) = self.errands.join_next() => {}
            }
            desk.take(&mut tickets, &mut cancelled);
            tickets.drain(..).for_each(|ticket| self.carrier.take(ticket));
            cancelled.drain(..).for_each(|run| self.carrier.cancel(&run));
            if Instant::now() >= tick || self.is_due() {
                tick = Instant::now() + TICK;
                self.look_at_time().await;
            }
            self.follow();
        }
    }

    fn is_due(&self) -> bool {
        self.carrier.runs.next_expiry().is_some_and(|at| at <= std::time::Instant::now())
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Published(item, published) => {
                self.on_the_way -= 1;
                self.published(item, published);
            }
            News::Said(said) => {
                // What observers are slow to hear is not heaped up here.
                let desk = Arc::clone(&self.session.desk);
                let _ = timeout(Duration::from_secs(1), desk.calm()).await;
                let mut asked = Vec::new();
                for one in &said {
                    if let Ok(messages) = &one.messages {
                        for message in messages.clone() {
                            self.carrier.said(one.worker, message, &mut asked);
                        }
                    }
                }
                // They were taken: what is not settled, workers say again.
                self.errands.spawn(async move {
                    for one in said {
                        let _ = one.taken().await;
                    }
                });
                asked.into_iter().for_each(|asked| self.do_asked(asked));
            }
            News::Beat(beat) => self.carrier.beat(*beat),
            News::Listed(listed) => {
                let now = self.carrier.clock.now();
                self.carrier.hosts.listed(listed, now);
            }
            News::Ensured(incarnation) => {
                let before = self.incarnation.replace(incarnation.clone());
                if before.is_some_and(|before| before != incarnation) {
                    self.courier.forget().await;
                    self.carrier.stores_are_new();
                }
            }
            News::Spent(sequence) => {
                if let Some(item) = self.carrier.runs.item_at(sequence) {
                    self.carrier.spent(item);
                }
            }
            News::Found(item, found) => {
                if found == Found::NoQueue {
                    // It is made anew with the next item, or right now.
                    self.courier.forget().await;
                    self.tell_class_of(item);
                }
                self.carrier.found(item, found);
            }
            News::Fetched(worker, fetch, got) => self.carrier.fetched(worker, &fetch, got),
        }
    }

    fn tell_class_of(&mut self, item: u64) {
        let class = self.carrier.runs.items.get(&item).map(|item| item.class.clone());
        let class = class.and_then(|class| self.carrier.classes.get(&class).cloned());
        if let Some(class) = class {
            let engine = self.engine.clone();
            self.errands.spawn(async move {
                let _ = engine.ensure().await;
                let _ = engine.tell_class(&class).await;
            });
        }
    }

    fn do_asked(&mut self, asked: Asked) {
        let (engine, courier) = (self.engine.clone(), Arc::clone(&self.courier));
        match asked {
            Asked::Fetch(worker, what) => {
                let news = self.news.clone();
                self.errands.spawn(async move {
                    let _ = news.send(fetch(engine, worker, what).await).await;
                });
            }
            Asked::Component(component) => {
                self.errands.spawn(async move { courier.component(component).await });
            }
            Asked::Value(name, bytes) => {
                self.errands.spawn(async move {
                    // Where it is not there then, the worker gives the run back.
                    let _ = engine.put_value(name, &bytes).await;
                });
            }
        }
    }

    fn published(
        &mut self,
        number: u64,
        published: Result<
            sandmill_transport::engine::Published,
            sandmill_transport::engine::EngineError,
        >,
    ) {
        let incarnation = self.carrier.incarnation;
        let Some(item) = self.carrier.runs.items.get_mut(&number) else { return };
        match published {
            Ok(published) => {
                item.sequence = Some(published.sequence);
                item.incarnation = incarnation;
                item.looked = std::time::Instant::now();
                if item.runs.is_empty() {
                    // All of it ended, or was stopped, meanwhile.
                    self.carrier.errands.push(Errand::RemoveItem(published.sequence));
                    if let Some(item) = self.carrier.runs.remove_item(number) {
                        self.carrier.release(&item);
                    }
                    return;
                }
                self.carrier.runs.item_is_at(number, published.sequence);
            }
            Err(error) => {
                let runs: Vec<_> = item.runs.iter().copied().collect();
                for run in runs {
                    if let Some(entry) = self.carrier.remove(&run) {
                        let words = format!("the run could not be put into the engine: {error}");
                        let end = End::new(EndKind::HostError, words);
                        entry.ticket.finish(Report::unstarted(end));
                    }
                }
                if let Some(item) = self.carrier.runs.remove_item(number) {
                    self.carrier.release(&item);
                }
            }
        }
    }

    async fn look_at_time(&mut self) {
        let now = std::time::Instant::now();
        self.carrier.expire(now);
        self.carrier.runs.resume(now);
        self.carrier.end_stopping();
        let link = self.engine.link().borrow().clone();
        if link.is_up && link.count != self.connection {
            self.connection = link.count;
            self.carrier.engine_is_back();
        }
        let trouble = match &link.why {
            _ if link.is_up => self.courier.trouble.lock().clone(),
            why => Some(format!(
                "the engine is away: {}",
                why.as_deref().unwrap_or("the connection broke")
            )),
        };
        self.carrier.tell_why(trouble.as_deref());
        if link.is_up {
            self.carrier.lose_silent();
            self.carrier.share(now);
            for (item, class, sequence) in self.carrier.next_looks() {
                let (engine, news) = (self.engine.clone(), self.news.clone());
                let session = self.id;
                self.errands.spawn(async move {
                    let found = look(&engine, session, &class, sequence).await;
                    let _ = news.send(News::Found(item, found)).await;
                });
            }
        } else {
            self.carrier.hosts.forgive();
        }
        if self.refreshed.elapsed() >= CLASS_REFRESH {
            self.refreshed = Instant::now();
            self.courier.refresh().await;
        }
        self.show();
    }

    /// Has done what follows from all that.
    fn follow(&mut self) {
        while self.publishes.try_join_next().is_some() {}
        for (number, parcel) in self.carrier.fill(self.on_the_way) {
            self.on_the_way += 1;
            let (courier, news) = (Arc::clone(&self.courier), self.news.clone());
            self.publishes.spawn(async move {
                let published = courier.deliver(parcel).await;
                let _ = news.send(News::Published(number, published)).await;
            });
        }
        for errand in std::mem::take(&mut self.carrier.errands) {
            let engine = self.engine.clone();
            self.errands.spawn(async move {
                // What is left there ages.
                let _ = match errand {
                    Errand::RemoveItem(sequence) => engine.remove_item(sequence).await,
                    Errand::RemoveValue(name) => engine.remove_value(name).await,
                };
            });
        }
        self.speak();
        let window = self.carrier.window();
        if window != self.window {
            self.window = window;
            self.session.desk.set_window(window);
        }
    }

    /// Says to workers what they are to hear. What is not heard is said again on their next beat.
    fn speak(&mut self) {
        let all = std::mem::take(&mut self.carrier.cancel_all);
        if !all.is_empty() {
            self.say(ToSession::All, in_messages(all, ToWorker::Cancel));
        }
        let mut saying = Vec::new();
        for (worker, host) in self.carrier.hosts.iter_mut() {
            let take = std::mem::take::<Vec<RunLease>>;
            let mut messages = in_messages(take(&mut host.cancelled), ToWorker::Cancel);
            messages.extend(in_messages(take(&mut host.recalled), ToWorker::Recall));
            messages.extend(in_messages(take(&mut host.settled), ToWorker::Settled));
            if !messages.is_empty() {
                saying.push((*worker, messages));
            }
        }
        for (worker, messages) in saying {
            self.say(ToSession::Worker(worker), messages);
        }
    }

    fn say(&mut self, to: ToSession, messages: Vec<ToWorker>) {
        let (engine, session) = (self.engine.clone(), self.id);
        self.errands.spawn(async move {
            for message in messages {
                let _ = engine.say(session, to, &[message]).await;
            }
        });
    }

    fn show(&self) {
        let link = self.engine.link().borrow().clone();
        let away = (!link.is_up).then(|| {
            format!("the engine is away: {}", link.why.as_deref().unwrap_or("the connection broke"))
        });
        let address = self.engine.config().shown();
        let hosts = self.carrier.hosts.shown(&address, away.as_deref(), self.config.lease);
        *self.session.shown.lock() = Shown {
            slots: self.carrier.hosts.slots(),
            hosts,
            max_memory: self.carrier.hosts.max_memory(),
        };
    }

    /// Lets go of all, and of what is in the engine of this session.
    async fn end(mut self) {
        self.carrier.runs.clear();
        self.publishes.abort_all();
        let session = self.id;
        let end = async {
            let words = "the coordinator has ended".to_owned();
            let goodbye = [ToWorker::Goodbye(Goodbye::Leaving(words))];
            let _ = self.engine.say(session, ToSession::All, &goodbye).await;
            for errand in std::mem::take(&mut self.carrier.errands) {
                let _ = match errand {
                    Errand::RemoveItem(sequence) => self.engine.remove_item(sequence).await,
                    Errand::RemoveValue(name) => self.engine.remove_value(name).await,
                };
            }
            self.engine.close_out(session).await;
            self.engine.close().await;
        };
        if self.engine.is_up() {
            let _ = timeout(STOP_PATIENCE, end).await;
        }
        self.errands.abort_all();
    }
}

/// So many leases in as many messages as that needs.
fn in_messages(of: Vec<RunLease>, message: fn(Vec<RunLease>) -> ToWorker) -> Vec<ToWorker> {
    of.chunks(LEASES).map(|runs| message(runs.to_vec())).collect()
}
