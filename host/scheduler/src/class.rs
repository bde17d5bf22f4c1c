//! Runs of equal needs, which wait in one queue: all of them, and those that wait in the order of
//! their first runs. Those that are under suspicion of costing their hosts wait apart from the others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_wire::Digest;

use crate::config::{MAX_IDLE_CLASSES, MAX_PREFETCH_BYTES};
use crate::host::Host;
use crate::keys::NumberMap;
use crate::pace::Pace;
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
    /// How long its runs take.
    pace: Pace,
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

    /// Whether one of these runs waits for others to end at the host, and for nothing else there.
    pub(crate) fn waits_for_room(&self, index: u32, host: &Host) -> bool {
        self.waiting > 0
            && u64::from(host.assigned()) >= self.capacity(host)
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

    /// Its place in the order of the classes that wait.
    pub(crate) const fn key(&self) -> Option<u64> {
        self.key
    }

    /// How many runs each slot is given beyond the one in it.
    pub(crate) const fn ahead(&self) -> u32 {
        if self.exclusive { 0 } else { self.pace.ahead() }
    }

    /// How many runs the host may have for it to get one of these.
    pub(crate) fn capacity(&self, host: &Host) -> u64 {
        let short_of_room = host.input_bytes >= MAX_PREFETCH_BYTES;
        host.capacity(if short_of_room {
            self.ahead().min(self.pace.least())
        } else {
            self.ahead()
        })
    }

    /// Whether the host, which takes runs, takes one of these now.
    pub(crate) fn accepted(&mut self, index: u32, host: &Host) -> bool {
        u64::from(host.assigned()) < self.capacity(host) && self.suits_now(index, host)
    }

    /// Whether the host, which takes runs, takes one of these into a slot now.
    pub(crate) fn accepted_in_slot(&mut self, index: u32, host: &Host) -> bool {
        host.assigned() < host.slots && self.suits_now(index, host)
    }

    fn suits_now(&mut self, index: u32, host: &Host) -> bool {
        (!self.exclusive || host.used.leave_for(&host.total, &self.need.resources))
            && !self.is_barred(host)
            && self.fits(index, host)
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
pub(crate) struct Classes {
    /// Of runs that nothing is known of.
    pace: Pace,
    /// The most runs that a slot is given ahead of any class.
    ahead: u32,
    table: Vec<Option<Class>>,
    free: Vec<u32>,
    /// Those of runs that are under no suspicion, and those of the others.
    known: [Known; 2],
    /// Those that wait, by the stamps of their first runs.
    order: BTreeSet<(u64, u32)>,
    /// The same by how many of their runs a slot is given ahead.
    by_ahead: BTreeSet<(u32, u32)>,
    /// How many of them get a slot or nothing.
    exclusive: usize,
    /// Whether any of which a slot is given fewer than of others waits no more, or is given more now,
    /// since that was last asked: hosts may have been kept for it.
    freed: bool,
    /// Those without runs, the longest first, with some that have runs again.
    idle: VecDeque<u32>,
}

impl Classes {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            ahead: pace.ahead(),
            table: Vec::new(),
            free: Vec::new(),
            known: Default::default(),
            order: BTreeSet::new(),
            by_ahead: BTreeSet::new(),
            exclusive: 0,
            freed: false,
            idle: VecDeque::new(),
        }
    }

    /// Notes how long a run of the class took; whether that changed how many are given ahead.
    pub(crate) fn took(&mut self, index: u32, time: Duration) -> bool {
        let Some(class) = self.get_mut(index) else { return false };
        let (before, waits) = (class.ahead(), class.key.is_some());
        class.pace.took(time);
        let after = class.ahead();
        let changed = after != before;
        if changed {
            if waits {
                self.by_ahead.remove(&(before, index));
                self.by_ahead.insert((after, index));
            }
            let since = self.key(index).unwrap_or(u64::MAX);
            self.freed |=
                after > before && self.waits_between(since, u64::MAX, |other| other > before);
            let most = self.table.iter().flatten().map(Class::ahead).max();
            self.ahead = most.unwrap_or_default().max(self.pace.ahead());
        }
        changed
    }

    /// The most runs that a slot is given ahead of any class.
    pub(crate) const fn ahead(&self) -> u32 {
        self.ahead
    }

    /// How many a slot is given ahead of runs with this need.
    pub(crate) fn prefetch(&self, need: &Arc<Need>, suspect: bool) -> u32 {
        self.of(need, suspect).map_or(self.pace.ahead(), Class::ahead)
    }

    /// How long runs with this need take, where that is known.
    pub(crate) fn typical(&self, need: &Arc<Need>, suspect: bool) -> Option<Duration> {
        self.of(need, suspect)?.pace.typical()
    }

    fn of(&self, need: &Arc<Need>, suspect: bool) -> Option<&Class> {
        let known = &self.known[usize::from(suspect)];
        let by_address = known.by_address.get(&(Arc::as_ptr(need) as usize));
        self.get(*by_address.or_else(|| known.by_need.get(need))?)
    }

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
            pace: self.pace,
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
        let (exclusive, ahead) = (usize::from(class.exclusive), class.ahead());
        let old = std::mem::replace(&mut class.key, key);
        if let Some(old) = old {
            self.order.remove(&(old, index));
        }
        if let Some(new) = key {
            self.order.insert((new, index));
        }
        match (old, key) {
            (None, Some(_)) => {
                self.by_ahead.insert((ahead, index));
                self.exclusive += exclusive;
            }
            (Some(old), new) if new != Some(old) => {
                if new.is_none() {
                    self.by_ahead.remove(&(ahead, index));
                    self.exclusive -= exclusive;
                }
                let new = new.unwrap_or(u64::MAX);
                // What is younger than the one before, and older than the one now, was kept for it; and
                // it was for those that are younger than the one now.
                self.freed |= self.waits_between(old, new, |other| other > ahead)
                    || self.waits_between(new, old, |other| other < ahead);
            }
            _ => {}
        }
    }

    /// Whether runs wait that get a slot or nothing.
    pub(crate) const fn exclusive_wait(&self) -> bool {
        self.exclusive > 0
    }

    /// Whether a class waits from between these places of which a slot is given such a number.
    fn waits_between(&self, after: u64, before: u64, is: impl Fn(u32) -> bool) -> bool {
        let is = |class: u32| self.get(class).is_some_and(|class| is(class.ahead()));
        after < before
            && self.order.range((after, u32::MAX)..(before, 0)).any(|(_, class)| is(*class))
    }

    /// Whether hosts may have been kept, since this was last asked, for runs for which they are not any
    /// more.
    pub(crate) const fn take_freed(&mut self) -> bool {
        std::mem::replace(&mut self.freed, false)
    }

    /// Whether the host is kept from getting more of what came after `before`: an older run, of which
    /// it may have fewer, waits for others to end there, and would wait for ever behind runs that are
    /// always there already.
    pub(crate) fn keep_room(&self, index: u32, host: &Host, before: u64) -> bool {
        let assigned = u64::from(host.assigned());
        let shallower = self.by_ahead.iter();
        shallower.take_while(|(ahead, _)| host.capacity(*ahead) <= assigned).any(|(_, class)| {
            self.get(*class).is_some_and(|class| {
                class.key.is_some_and(|key| key < before) && class.waits_for_room(index, host)
            })
        })
    }

    /// Whether the host, which takes runs, takes one of the class now.
    pub(crate) fn accepted(&mut self, class: u32, index: u32, host: &Host) -> bool {
        let Some(class) = self.get_mut(class) else { return false };
        let before = class.key.unwrap_or(u64::MAX);
        class.accepted(index, host) && !self.keep_room(index, host, before)
    }

    /// Whether the host, which takes runs, takes one of the class into a slot now.
    pub(crate) fn accepted_in_slot(&mut self, class: u32, index: u32, host: &Host) -> bool {
        self.get_mut(class).is_some_and(|class| class.accepted_in_slot(index, host))
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
