//! What the fleet knows of the workers at its engine.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sandmill_core::Timestamp;
use sandmill_transport::engine::{Class, Presence};
use sandmill_transport::message::{Load, RunLease, Welcome, WorkerId};
use sandmill_wire::RunId;

use super::super::fleet::{HostState, HostStatus};
use super::config::MAX_HOSTS_SHOWN;
use crate::worker::engine::lacks;

/// A worker.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) welcome: Option<Welcome>,
    pub(super) load: Load,
    pub(super) draining: bool,
    /// When it was heard of last.
    pub(super) heard: Instant,
    /// When it last told what it has of this session.
    pub(super) beaten: Instant,
    pub(super) heard_at: Timestamp,
    /// What it has, by its own word.
    pub(super) runs: HashSet<RunId>,
    /// The beat of which parts have come, and what they tell.
    pub(super) beat: (u64, Vec<RunLease>),
    pub(super) stale: u64,
    pub(super) settled: Vec<RunLease>,
    pub(super) cancelled: Vec<RunLease>,
    pub(super) recalled: Vec<RunLease>,
    /// Since when it has free slots, as far as is known.
    pub(super) idle_since: Option<Instant>,
}

impl Host {
    /// How many more runs could go on there, by its own word and by what is known to be there.
    pub(super) fn open_slots(&self) -> usize {
        let slots = self.welcome.as_ref().map_or(0, |welcome| welcome.slots as usize);
        let has = (self.load.running as usize + self.load.waiting as usize).max(self.runs.len());
        if self.draining { 0 } else { slots.saturating_sub(has) }
    }

    /// Whether all of its slots are taken, by its own word.
    pub(super) fn is_busy(&self) -> bool {
        self.welcome.as_ref().is_some_and(|welcome| self.load.running >= welcome.slots)
    }
}

/// The workers.
#[derive(Default)]
pub(super) struct Hosts {
    known: HashMap<WorkerId, Host>,
}

impl Hosts {
    /// The worker, which was heard of just now.
    pub(super) fn heard(&mut self, worker: WorkerId, now: Timestamp) -> &mut Host {
        let host = self.known.entry(worker).or_insert_with(|| Host {
            name: worker.to_string(),
            welcome: None,
            load: Load::default(),
            draining: false,
            heard: Instant::now(),
            beaten: Instant::now(),
            heard_at: now,
            runs: HashSet::new(),
            beat: (0, Vec::new()),
            stale: 0,
            settled: Vec::new(),
            cancelled: Vec::new(),
            recalled: Vec::new(),
            idle_since: None,
        });
        host.heard = Instant::now();
        host.heard_at = now;
        host
    }

    pub(super) fn get(&self, worker: &WorkerId) -> Option<&Host> {
        self.known.get(worker)
    }

    pub(super) fn get_mut(&mut self, worker: &WorkerId) -> Option<&mut Host> {
        self.known.get_mut(worker)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&WorkerId, &mut Host)> {
        self.known.iter_mut()
    }

    pub(super) fn remove(&mut self, worker: &WorkerId) -> Option<Host> {
        self.known.remove(worker)
    }

    /// Takes up what is listed in the engine.
    pub(super) fn listed(&mut self, listed: Vec<Presence>, now: Timestamp) {
        let there: HashSet<WorkerId> = listed.iter().map(|one| one.welcome.worker).collect();
        for one in listed {
            let Presence { welcome, load, draining, at } = one;
            let is_news = self.known.get(&welcome.worker).is_none_or(|host| {
                host.welcome.is_none() || host.heard_at < at || host.draining != draining
            });
            if is_news {
                let host = self.heard(welcome.worker, now);
                host.name.clone_from(&welcome.name);
                host.load = load;
                host.draining = draining;
                host.welcome = Some(welcome);
                // By its own clock, so that the same entry is no news the next time.
                host.heard_at = at;
            }
        }
        // One that left said so by being listed no more, unless it has something yet.
        self.known.retain(|worker, host| there.contains(worker) || !host.runs.is_empty());
    }

    /// Workers that have runs and were not heard of for so long.
    pub(super) fn overdue(&self, lease: Duration) -> Vec<WorkerId> {
        let overdue = |host: &Host| !host.runs.is_empty() && host.beaten.elapsed() >= lease;
        self.known.iter().filter(|(_, host)| overdue(host)).map(|(worker, _)| *worker).collect()
    }

    /// From now on they have the whole of their lease again: nobody could be heard.
    pub(super) fn forgive(&mut self) {
        for host in self.known.values_mut() {
            host.heard = Instant::now();
            host.beaten = host.heard;
        }
    }

    /// How many runs go on at a time.
    pub(super) fn slots(&self) -> usize {
        let taking = self.known.values().filter(|host| !host.draining);
        taking.filter_map(|host| host.welcome.as_ref()).map(|host| host.slots as usize).sum()
    }

    pub(super) fn max_memory(&self) -> Option<u64> {
        self.known.values().filter_map(|host| host.welcome.as_ref()).map(|w| w.ceiling.memory).max()
    }

    /// Whether any worker could ever make runs of a class.
    pub(super) fn can_make(&self, class: &Class) -> bool {
        self.known.values().filter_map(|host| host.welcome.as_ref()).any(|welcome| {
            lacks(&welcome.labels, &welcome.resources, &welcome.ceiling, class).is_none()
        })
    }

    /// Why runs of a class wait, for a person.
    pub(super) fn why_waits(&self, class: &Class) -> String {
        let mut reasons = BTreeSet::new();
        let mut can = 0;
        for host in self.known.values() {
            let Some(welcome) = &host.welcome else { continue };
            match lacks(&welcome.labels, &welcome.resources, &welcome.ceiling, class) {
                None if host.draining => {
                    reasons.insert(format!("{} is draining", host.name));
                }
                None => can += 1,
                Some(why) => {
                    reasons.insert(format!("{} {why}", host.name));
                }
            }
        }
        if self.known.is_empty() {
            return "there is no worker at the engine".to_owned();
        }
        if can > 0 {
            return format!("all {can} workers at the engine that could take it are busy");
        }
        let mut words = "no worker at the engine can take it".to_owned();
        for (place, why) in reasons.iter().take(MAX_HOSTS_SHOWN).enumerate() {
            let _ = write!(words, "{}{why}", if place == 0 { ": " } else { ", " });
        }
        if reasons.len() > MAX_HOSTS_SHOWN {
            let _ = write!(words, ", and {} more", reasons.len() - MAX_HOSTS_SHOWN);
        }
        words
    }

    /// The hosts for people. `away` says why the engine is, where it is.
    pub(super) fn shown(
        &self,
        address: &str,
        away: Option<&str>,
        lease: Duration,
    ) -> Vec<HostStatus> {
        let mut shown: Vec<HostStatus> = self
            .known
            .values()
            .map(|host| {
                let welcome = host.welcome.as_ref();
                let state = match away {
                    Some(_) => HostState::Silent,
                    None if host.draining => HostState::Draining,
                    None if host.heard.elapsed() * 2 > lease => HostState::Silent,
                    None => HostState::Up,
                };
                HostStatus {
                    name: host.name.clone(),
                    address: address.to_owned(),
                    state,
                    why: away.map(str::to_owned),
                    program: welcome.map(|welcome| welcome.program.clone()),
                    platform: welcome.map(|welcome| welcome.platform.clone()),
                    slots: welcome.map_or(0, |welcome| welcome.slots),
                    runs: host.runs.len(),
                    running: host.load.running,
                    memory: host.load.memory,
                    cpu: Duration::from_micros(host.load.cpu_micros),
                    components: welcome.map_or(0, |welcome| welcome.holds.len()),
                    labels: welcome.map(|welcome| welcome.labels.clone()).unwrap_or_default(),
                    resources: welcome.map(|w| w.resources.clone()).unwrap_or_default(),
                    heard: Some(host.heard_at),
                    stale: host.stale,
                }
            })
            .collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        if let (true, Some(why)) = (shown.is_empty(), away) {
            shown.push(HostStatus {
                name: "engine".to_owned(),
                address: address.to_owned(),
                state: HostState::Down,
                why: Some(why.to_owned()),
                program: None,
                platform: None,
                slots: 0,
                runs: 0,
                running: 0,
                memory: 0,
                cpu: Duration::ZERO,
                components: 0,
                labels: BTreeSet::new(),
                resources: std::collections::BTreeMap::new(),
                heard: None,
                stale: 0,
            });
        }
        shown
    }
}
