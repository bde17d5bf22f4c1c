//! The one task of a session: it waits for tickets, for what links have to say, for workers that
//! come and go and for the time, and has the carrier take it all up.

use std::sync::Arc;

use sandmill_core::StartError;
use sandmill_scheduler::HostId;
use sandmill_transport::message::{Hello, Versions};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::super::fleet::HostState;
use super::super::session::{Session, Shown};
use super::carrier::Carrier;
use super::config::{DirectConfig, NEWS_BATCH, NEWS_QUEUE, OTHERS_PATIENCE, STOP_PATIENCE, TICK};
use super::hosts::Host;
use super::link::{Link, News};
use super::way::Way;
use super::workers::{Demand, WorkerNews, Workers};

/// The one task of a session.
pub(super) struct Driver {
    config: Arc<DirectConfig>,
    session: Session,
    workers: Arc<dyn Workers>,
    carrier: Carrier,
    hello: Hello,
    news: mpsc::Sender<News>,
    heard: mpsc::Receiver<News>,
    links: tokio::task::JoinSet<()>,
    next_link: u64,
    began: Instant,
    first_up: Option<Instant>,
    /// Why workers could not be had.
    failures: Vec<String>,
    shown_at: Instant,
    window: usize,
}

/// Failures of providers that are kept for a start that gets no worker.
const MAX_FAILURES: usize = 16;

impl Driver {
    pub(super) fn new(
        config: Arc<DirectConfig>,
        workers: Arc<dyn Workers>,
        session: Session,
    ) -> Self {
        let (news, heard) = mpsc::channel(NEWS_QUEUE);
        let hello = Hello {
            versions: Versions::OURS,
            program: config.program.clone(),
            name: config.name.clone(),
            session: Uuid::now_v7(),
            grace: config.grace,
            heartbeat: config.heartbeat,
        };
        Self {
            carrier: Carrier::new(Arc::clone(&config)),
            config,
            session,
            workers,
            hello,
            news,
            heard,
            links: tokio::task::JoinSet::new(),
            next_link: 0,
            began: Instant::now(),
            first_up: None,
            failures: Vec::new(),
            shown_at: Instant::now(),
            window: 0,
        }
    }

    /// Carries tickets until the session is stopped.
    pub(super) async fn run(mut self) {
        let (tell, mut told) = mpsc::unbounded_channel();
        let workers = Arc::clone(&self.workers);
        let stop = self.session.stop.clone();
        let started = tokio::select! {
            started = timeout(self.config.connect_timeout, workers.start(tell)) => started,
            () = stop.cancelled() => return,
        };
        match started {
            Ok(Ok(())) => {
                self.carry(&mut told).await;
                self.hang_up().await;
            }
            Ok(Err(error)) => self.session.answer(Err(error)),
            Err(_) => {
                let words = "the workers were not started in time".to_owned();
                self.session.answer(Err(StartError::Unavailable(words)));
            }
        }
        let _ = timeout(STOP_PATIENCE, workers.stop()).await;
    }

    async fn carry(&mut self, told: &mut mpsc::UnboundedReceiver<WorkerNews>) {
        let (mut tickets, mut cancelled, mut news) = (Vec::new(), Vec::new(), Vec::new());
        let (desk, stop) = (Arc::clone(&self.session.desk), self.session.stop.clone());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = desk.news() => {}
                _ = self.heard.recv_many(&mut news, NEWS_BATCH) => {}
                Some(worker) = told.recv() => {
                    self.worker(worker);
                    while let Ok(worker) = told.try_recv() {
                        self.worker(worker);
                    }
                }
                () = sleep_until(self.carrier.next_look().into()) => {}
                Some(_) = self.links.join_next() => {}
            }
            // Before anything else: whether this process stood still shows in what it did not look
            // at, and not in what had gathered meanwhile.
            self.carrier.tick();
            desk.take(&mut tickets, &mut cancelled);
            tickets.drain(..).for_each(|ticket| self.carrier.take(ticket));
            cancelled.drain(..).for_each(|run| self.carrier.cancel(&run));
            news.drain(..).for_each(|news| self.carrier.hear(news));
            self.look_around();
            tokio::select! {
                () = desk.calm() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// What is to be told after each pass.
    fn look_around(&mut self) {
        for address in std::mem::take(&mut self.carrier.released) {
            self.workers.released(&address);
        }
        let window = self.carrier.runs.len() + self.carrier.scheduler.room();
        if window != self.window {
            self.window = window;
            self.session.desk.set_window(window);
        }
        let slots = self.carrier.scheduler.counts().slots;
        let now = Instant::now();
        if self.session.is_opening() {
            self.try_to_open(slots);
        }
        if now >= self.shown_at || slots != self.session.shown.lock().slots {
            self.shown_at = now + TICK;
            self.show(slots);
        }
    }

    fn show(&mut self, slots: usize) {
        let now = std::time::Instant::now();
        let scheduler = &self.carrier.scheduler;
        let hosts = self.carrier.hosts.values().map(|host| {
            let view = scheduler.host(now, host.id);
            host.status(
                view.as_ref().map_or(0, |view| view.runs as usize),
                view.as_ref().map_or(0, |view| view.holds),
            )
        });
        let there = self.carrier.hosts.values().filter(|host| host.is_placed);
        let memory = there.clone().filter_map(|host| Some(host.welcome.as_ref()?.ceiling.memory));
        let memory = memory.max();
        let usable = there.map(|host| (host.address.as_str(), scheduler.runs_at(host.id).count()));
        let shown = Shown { slots, hosts: hosts.collect(), max_memory: memory };
        *self.session.shown.lock() = shown;
        let counts = scheduler.counts();
        self.workers.demand(Demand {
            waiting: counts.waiting,
            placed: counts.placed,
            slots: counts.slots,
            oldest_wait: scheduler.oldest_wait(now),
            hosts: usable.map(|(address, runs)| (address.to_owned(), runs)).collect(),
        });
    }

    /// Says that the session is open once there is a host, or that there is none to be had.
    fn try_to_open(&mut self, slots: usize) {
        let now = Instant::now();
        let hosts = &self.carrier.hosts;
        let connecting = hosts.values().any(|host| host.state == HostState::Connecting);
        if slots > 0 {
            let first = *self.first_up.get_or_insert(now);
            if !connecting || now >= first + OTHERS_PATIENCE {
                self.show(slots);
                self.session.answer(Ok(()));
            }
        } else if self.is_hopeless() || now >= self.began + self.config.connect_timeout {
            let tried = hosts.values().map(|host| {
                let why = host.why.as_deref().unwrap_or("no answer");
                format!("{}: {why}", host.address)
            });
            let tried: Vec<String> = tried.chain(self.failures.iter().cloned()).collect();
            let words = match tried.is_empty() {
                true => "there are no workers".to_owned(),
                false => format!("no worker can be reached; {}", tried.join("; ")),
            };
            self.session.answer(Err(StartError::Unavailable(words)));
            self.session.stop.cancel();
        }
    }

    /// Whether no host will ever be there unless somebody does something about it.
    fn is_hopeless(&self) -> bool {
        let hosts = &self.carrier.hosts;
        self.workers.is_whole() && !hosts.is_empty() && hosts.values().all(|host| host.is_hopeless)
    }

    fn worker(&mut self, news: WorkerNews) {
        match news {
            WorkerNews::Added(way) => self.link(way),
            WorkerNews::Leaving(address) => {
                if let Some(host) = self.id_of(&address) {
                    self.carrier.leave(HostId(host));
                }
            }
            WorkerNews::Removed(address) => {
                if let Some(host) = self.id_of(&address) {
                    self.carrier.remove(host, "it is gone");
                }
            }
            WorkerNews::GaveUp(why) if !self.session.is_opening() => {
                if !self.carrier.hosts.values().any(|host| host.is_placed) {
                    self.session.desk.close(&format!("no worker can be had any more; {why}"));
                    self.session.stop.cancel();
                }
            }
            WorkerNews::Failed(why) | WorkerNews::GaveUp(why) => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push(why);
                }
            }
        }
    }

    fn id_of(&self, address: &str) -> Option<u64> {
        let mut hosts = self.carrier.hosts.values();
        hosts.find(|host| host.address == address).map(|host| host.id.0)
    }

    fn link(&mut self, way: Arc<dyn Way>) {
        let address = way.address();
        if self.id_of(&address).is_some() {
            return;
        }
        self.next_link += 1;
        let number = self.next_link;
        let stop = self.session.stop.child_token();
        let host = Host::new(HostId(number), address, stop.clone());
        let link = Link {
            number,
            way,
            // One of its own: where two addresses lead to one worker, the second link must not take
            // over what the first one has there.
            hello: Hello { session: Uuid::now_v7(), ..self.hello.clone() },
            config: Arc::clone(&self.config),
            outbox: Arc::clone(&host.outbox),
            news: self.news.clone(),
            stop,
        };
        self.carrier.hosts.insert(number, host);
        self.links.spawn(link.keep());
    }

    /// Has all links say goodbye, and lets them go.
    async fn hang_up(&mut self) {
        self.session.stop.cancel();
        self.carrier.runs.clear();
        let patience = Instant::now() + STOP_PATIENCE;
        loop {
            tokio::select! {
                ended = self.links.join_next() => if ended.is_none() { break },
                // Links must not wait for somebody to listen.
                _ = self.heard.recv() => {}
                () = sleep_until(patience) => break,
            }
        }
        self.links.abort_all();
    }
}
