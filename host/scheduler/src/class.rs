//! Runs of equal needs, which wait in one queue: all of them, and those that wait in the order of
//! their first runs. Those that are under suspicion of costing their hosts wait apart from the others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sandmill_wire::Digest;

use crate::config::MAX_IDLE_CLASSES;
use crate::host::Host;
use crate::keys::NumberMap;
use crate::run::Run;
use crate::{Need, RunNo};

/// Entries of runs that left a queue from its middle and are swept out together: at least so many,
/// and at least as many as there are others.
const SWEEP: usize = 32;

/// Whether a host is one for the runs of a class, leaving aside what it has to do.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Fit {
    #[default]
    Unknown,
    Yes,
    No,
}

/// Whether a host has the component of a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Has {
    /// It has it.
    Held,
    /// It is on its way.
    Getting,
    /// It would have to be sent.
    #[default]
    Not,
}

/// What is known of one host for one class.
#[derive(Clone, Copy, Default)]
struct Cell {
    fit: Fit,
    has: Option<Has>,
}

/// What was said of a class that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    /// That all hosts are busy.
    Busy,
    /// Something else, of this gist.
    Blocked(u64),
}

/// Runs of equal needs.
pub(crate) struct Class {
    pub(crate) need: Arc<Need>,
    /// Whether its runs get a free slot or nothing: those that hold resources while they are at a host,
    /// and those that must not be made twice, which are given up with a host that has them.
    pub(crate) exclusive: bool,
    /// Whether its runs are given up with the next host that is lost under them. A host gets one such
    /// run at a time, so that none of them goes because of another.
    pub(crate) suspect: bool,
    /// Those that wait, first come first, with entries of others that have left.
    queue: VecDeque<(RunNo, u64)>,
    /// How many of them wait.
    pub(crate) waiting: usize,
    /// How many there are, waiting or not.
    runs: usize,
    /// Its place in the order of the classes that wait.
    key: Option<u64>,
    /// By host's index.
    cells: Vec<Cell>,
    /// When one of its runs was last placed, or when they began to wait.
    pub(crate) moved_at: Option<Instant>,
    pub(crate) told: Told,
    /// Whether it is on the list of classes without runs.
    idle: bool,
}

impl Class {
    fn cell(&mut self, host: u32) -> &mut Cell {
        let index = host as usize;
        if self.cells.len() <= index {
            self.cells.resize(index + 1, Cell::default());
        }
        &mut self.cells[index]
    }

    /// Whether the host is one for these runs, leaving aside what it has to do. Found out once.
    pub(crate) fn fits(&mut self, index: u32, host: &Host) -> bool {
        let fit = self.cell(index).fit;
        if fit != Fit::Unknown {
            return fit == Fit::Yes;
        }
        let yes = self.suits(host);
        self.cell(index).fit = if yes { Fit::Yes } else { Fit::No };
        yes
    }

    /// Whether the host carries the labels, has the resources at all, and allows what these runs
    /// reach and use.
    fn suits(&self, host: &Host) -> bool {
        let need = &self.need;
        host.slots > 0
            && need.labels.is_subset(&host.labels)
            && host.total.cover(&need.resources)
            && host.ceiling.refuses(&need.grants, &need.limits).is_empty()
    }

    /// Whether one of these runs waits for a slot of the host, and for nothing else there.
    pub(crate) fn waits_for_slot(&self, index: u32, host: &Host) -> bool {
        self.exclusive
            && self.waiting > 0
            && !self.is_barred(host)
            && host.used.leave_for(&host.total, &self.need.resources)
            && match self.cells.get(index as usize).map(|cell| cell.fit) {
                Some(Fit::Yes) => true,
                Some(Fit::No) => false,
                Some(Fit::Unknown) | None => self.suits(host),
            }
    }

    /// Whether what the host has keeps these runs from it, however much room there is.
    pub(crate) const fn is_barred(&self, host: &Host) -> bool {
        self.suspect && host.suspects > 0
    }

    /// Whether the host, which takes runs, takes one of these now.
    pub(crate) fn accepted(&mut self, index: u32, host: &Host, prefetch_per_slot: u32) -> bool {
        let room = if self.exclusive {
            host.assigned() < host.slots && host.used.leave_for(&host.total, &self.need.resources)
        } else {
            u64::from(host.assigned()) < host.capacity(prefetch_per_slot)
        };
        room && !self.is_barred(host) && self.fits(index, host)
    }

    /// Whether the host has the component.
    pub(crate) fn has(&mut self, index: u32, host: &Host) -> Has {
        if let Some(has) = self.cell(index).has {
            return has;
        }
        let component = &self.need.component;
        let has = if host.holds.contains(component) {
            Has::Held
        } else if host.getting.contains(component) {
            Has::Getting
        } else {
            Has::Not
        };
        self.cell(index).has = Some(has);
        has
    }
}

/// Where classes are found by what their runs need.
#[derive(Default)]
struct Known {
    /// By the address of the need that the class keeps.
    by_address: NumberMap<usize, u32>,
    by_need: HashMap<Arc<Need>, u32>,
}

/// All classes.
#[derive(Default)]
pub(crate) struct Classes {
    table: Vec<Option<Class>>,
    free: Vec<u32>,
    /// Those of runs that are under no suspicion, and those of the others.
    known: [Known; 2],
    /// Those that wait, by the stamps of their first runs.
    order: BTreeSet<(u64, u32)>,
    /// Those of them whose runs get a slot or nothing.
    exclusive: BTreeSet<(u64, u32)>,
    /// Whether any of these has waited since that was last asked.
    exclusive_waited: bool,
    /// Those without runs, the longest first, with some that have runs again.
    idle: VecDeque<u32>,
}

impl Classes {
    pub(crate) fn len(&self) -> usize {
        self.known.iter().map(|known| known.by_need.len()).sum()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Class> {
        self.table.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Class> {
        self.table.get_mut(index as usize)?.as_mut()
    }

    /// The class of a need, for one more run, under suspicion or not.
    pub(crate) fn enter(&mut self, need: &Arc<Need>, suspect: bool) -> u32 {
        let known = &self.known[usize::from(suspect)];
        let index = known.by_address.get(&(Arc::as_ptr(need) as usize));
        let index = match index.or_else(|| known.by_need.get(need)) {
            Some(index) => *index,
            None => self.insert(need, suspect),
        };
        if let Some(class) = self.get_mut(index) {
            class.runs += 1;
        }
        index
    }

    fn insert(&mut self, need: &Arc<Need>, suspect: bool) -> u32 {
        let class = Class {
            need: Arc::clone(need),
            exclusive: !need.resources.is_empty() || need.has_effects_outside(),
            suspect,
            queue: VecDeque::new(),
            waiting: 0,
            runs: 0,
            key: None,
            cells: Vec::new(),
            moved_at: None,
            told: Told::Nothing,
            idle: false,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            // Each has a run or is one of a bounded number.
            u32::try_from(self.table.len() - 1).unwrap_or(u32::MAX)
        });
        self.table[index as usize] = Some(class);
        let known = &mut self.known[usize::from(suspect)];
        known.by_address.insert(Arc::as_ptr(need) as usize, index);
        known.by_need.insert(Arc::clone(need), index);
        index
    }

    /// A run of the class, which does not wait, has left.
    pub(crate) fn leave(&mut self, index: u32) {
        let Some(class) = self.get_mut(index) else { return };
        class.runs -= 1;
        if class.runs > 0 || class.idle {
            return;
        }
        class.idle = true;
        self.idle.push_back(index);
        while self.idle.len() > MAX_IDLE_CLASSES {
            let Some(oldest) = self.idle.pop_front() else { return };
            let Some(class) = self.get_mut(oldest) else { continue };
            class.idle = false;
            if class.runs == 0
                && let Some(class) = self.table[oldest as usize].take()
            {
                let known = &mut self.known[usize::from(class.suspect)];
                known.by_address.remove(&(Arc::as_ptr(&class.need) as usize));
                known.by_need.remove(&class.need);
                self.free.push(oldest);
            }
        }
    }

    /// A run begins to wait, behind the others or, when it comes back, before them.
    pub(crate) fn push(&mut self, index: u32, run: RunNo, stamp: u64, before: bool) {
        let Some(class) = self.get_mut(index) else { return };
        class.waiting += 1;
        if before {
            class.queue.push_front((run, stamp));
        } else {
            class.queue.push_back((run, stamp));
        }
        if before || class.key.is_none() {
            self.set_key(index, Some(stamp));
        }
    }

    /// Takes the first run that waits.
    pub(crate) fn pop(&mut self, index: u32, runs: &NumberMap<RunNo, Run>) -> Option<RunNo> {
        let class = self.get_mut(index)?;
        let first = loop {
            let entry = class.queue.pop_front()?;
            if live(entry, runs) {
                break entry.0;
            }
        };
        class.waiting -= 1;
        self.trim(index, runs);
        Some(first)
    }

    /// The first run that waits.
    pub(crate) fn first(&self, index: u32, runs: &NumberMap<RunNo, Run>) -> Option<RunNo> {
        let queue = &self.get(index)?.queue;
        queue.iter().find(|entry| live(**entry, runs)).map(|(run, _)| *run)
    }

    /// A run that waited has left `runs`. Its entry goes with the next sweep.
    pub(crate) fn forget_waiting(&mut self, index: u32, runs: &NumberMap<RunNo, Run>) {
        let Some(class) = self.get_mut(index) else { return };
        class.waiting -= 1;
        if class.queue.len() >= 2 * class.waiting + SWEEP {
            class.queue.retain(|entry| live(*entry, runs));
        }
        self.trim(index, runs);
    }

    /// Removes the entries of runs that have left from the front, and sets the key to the first.
    fn trim(&mut self, index: u32, runs: &NumberMap<RunNo, Run>) {
        let Some(class) = self.get_mut(index) else { return };
        let key = loop {
            match class.queue.front() {
                Some(entry) if live(*entry, runs) => break Some(entry.1),
                Some(_) => {
                    class.queue.pop_front();
                }
                None => {
                    class.told = Told::Nothing;
                    break None;
                }
            }
        };
        self.set_key(index, key);
    }

    fn set_key(&mut self, index: u32, key: Option<u64>) {
        let Some(class) = self.table.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if class.key == key {
            return;
        }
        let exclusive = class.exclusive;
        if let Some(old) = std::mem::replace(&mut class.key, key) {
            self.order.remove(&(old, index));
            self.exclusive.remove(&(old, index));
        }
        if let Some(new) = key {
            self.order.insert((new, index));
            if exclusive {
                self.exclusive.insert((new, index));
                self.exclusive_waited = true;
            }
        }
    }

    /// Whether runs wait that get a slot or nothing.
    pub(crate) fn exclusive_wait(&self) -> bool {
        !self.exclusive.is_empty()
    }

    /// Whether any have since this was last asked.
    pub(crate) fn take_exclusive_waited(&mut self) -> bool {
        let waits = self.exclusive_wait();
        std::mem::replace(&mut self.exclusive_waited, waits)
    }

    /// Whether the host is kept from getting more than its slots hold: a run that gets a slot or nothing
    /// waits for one of them, and would wait for ever behind runs that are always there already.
    pub(crate) fn keep_slot(&self, index: u32, host: &Host) -> bool {
        host.assigned() >= host.slots
            && self.exclusive.iter().any(|(_, class)| {
                self.get(*class).is_some_and(|class| class.waits_for_slot(index, host))
            })
    }

    /// Whether the host, which takes runs, takes one of the class now.
    pub(crate) fn accepted(
        &mut self,
        class: u32,
        index: u32,
        host: &Host,
        prefetch_per_slot: u32,
    ) -> bool {
        self.get_mut(class).is_some_and(|class| class.accepted(index, host, prefetch_per_slot))
            && !self.keep_slot(index, host)
    }

    /// The first class at or after this place in the order of those that wait.
    pub(crate) fn next_from(&self, from: (u64, u32)) -> Option<(u64, u32)> {
        self.order.range(from..).next().copied()
    }

    /// Where a class is in the order of those that wait.
    pub(crate) fn key(&self, index: u32) -> Option<u64> {
        self.get(index)?.key
    }

    /// The classes that wait, by their first runs.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().map(|(_, index)| *index)
    }

    /// The class of the run that has waited longest.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.order.first().map(|(_, index)| *index)
    }

    /// What was known of the host by this index does not hold any more.
    pub(crate) fn forget_host(&mut self, host: u32) {
        for class in self.table.iter_mut().flatten() {
            if let Some(cell) = class.cells.get_mut(host as usize) {
                *cell = Cell::default();
            }
        }
    }

    /// Whether the host has a component has changed.
    pub(crate) fn forget_has(&mut self, host: u32, component: &Digest) {
        for class in self.table.iter_mut().flatten() {
            if class.need.component == *component
                && let Some(cell) = class.cells.get_mut(host as usize)
            {
                cell.has = None;
            }
        }
    }
}

/// Whether the entry of a queue is that of a run that waits.
fn live((run, stamp): (RunNo, u64), runs: &NumberMap<RunNo, Run>) -> bool {
    runs.get(&run).is_some_and(|run| run.at.is_none() && run.stamp == stamp)
}
