//! Who may still ask for a run of a flow component, and what becomes of runs that nobody can ask
//! for: their results are let go of, and what is not done is not done, unless its call said
//! `detach`.

use std::sync::Arc;

use sandmill_core::{FlowWatched, FutureKey};

use super::book::Book;
use super::command::{CANCELLED_UNCALLED, Command, count_down};
use super::inputs::Source;
use super::watch::Watch;
use crate::schedule::Cause;

impl Book {
    /// Whether somebody may ask for this run, or takes its result.
    pub(super) fn wants(&self, number: u32, position: u64) -> bool {
        let Some(command) = self.commands.get(&number) else { return false };
        command.holds > 0
            || command.needs > 0
            || command.holds_on.contains_key(&position)
            || command.needs_on.contains_key(&position)
            || command.pipes.iter().any(|pipe| {
                self.commands.get(pipe).is_some_and(|to| !to.cut && !to.handed.has(position))
            })
            || command.watchers.iter().any(|watcher| {
                self.watches.get(watcher).is_some_and(|watch| watch.wants(number, position))
            })
    }

    /// The flow holds one handle more.
    pub(super) fn hold(&mut self, what: FlowWatched) {
        match what {
            FlowWatched::One(FutureKey { command, index }) => {
                if let Some(command) = self.commands.get_mut(&command) {
                    *command.holds_on.entry(index.unwrap_or(0)).or_default() += 1;
                }
            }
            FlowWatched::All(command) => {
                if let Some(command) = self.commands.get_mut(&command) {
                    command.holds += 1;
                }
            }
        }
    }

    /// The flow holds one handle less.
    pub(super) fn let_go(&mut self, what: FlowWatched) {
        match what {
            FlowWatched::One(FutureKey { command: number, index }) => {
                let Some(command) = self.commands.get_mut(&number) else { return };
                let position = index.unwrap_or(0);
                count_down(&mut command.holds_on, position);
                self.unheld.push_back((number, Some(position)));
            }
            FlowWatched::All(number) => {
                let Some(command) = self.commands.get_mut(&number) else { return };
                command.holds = command.holds.saturating_sub(1);
                if command.holds == 0 {
                    self.unheld.push_back((number, None));
                }
            }
        }
        self.look_after_unheld();
    }

    /// The flow's instance has ended: it holds nothing any more.
    pub(super) fn let_all_go(&mut self) {
        self.watches.clear();
        for (number, command) in &mut self.commands {
            command.holds = 0;
            command.holds_on.clear();
            command.watchers.clear();
            self.unheld.push_back((*number, None));
        }
        self.look_after_unheld();
    }

    /// Looks whether somebody still wants the runs that handles were let go of.
    pub(super) fn look_after_unheld(&mut self) {
        while let Some((number, position)) = self.unheld.pop_front() {
            let Some(command) = self.commands.get(&number) else { continue };
            if command.holds > 0 {
                continue;
            }
            let detach = command.spec.options.detach;
            let (kept, flying): (Vec<u64>, Vec<u64>) = match position {
                Some(position) => {
                    let flies = command.flying.contains_key(&position);
                    (vec![position], flies.then_some(position).into_iter().collect())
                }
                None => {
                    let odd = command.odd_states.keys().chain(command.blames.keys());
                    let kept = command.kept.keys().chain(odd);
                    (kept.copied().collect(), command.flying.keys().copied().collect())
                }
            };
            for position in kept {
                if !self.wants(number, position) {
                    self.drop_kept(number, position);
                }
            }
            for position in flying {
                if !detach && !self.wants(number, position) {
                    self.stop_flying(number, Some(position));
                }
            }
            let command = &self.commands[&number];
            if !detach && command.is_forgotten() && command.has_left() && !command.cut {
                self.cut(number);
            }
            self.forget(number);
        }
    }

    /// Calls nothing more of a command: what is left of it ends as cancelled.
    pub(super) fn cut(&mut self, number: u32) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        command.cut = true;
        if command.total.is_none() {
            return self.fail(number, Cause::NotRun(Arc::from(CANCELLED_UNCALLED)));
        }
        self.close(number);
        self.make_ready(number);
    }

    /// Has runs under way stopped: one, or all of a command. The runner does it; but while an
    /// executor runs one of them on the runner's own thread, it cannot be told, so that one is
    /// stopped here.
    fn stop_flying(&mut self, number: u32, position: Option<u64>) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        for (at, flying) in &mut command.flying {
            if position.is_none_or(|position| position == *at) && flying.future.is_none() {
                flying.asked = true;
                flying.cancel.iter().for_each(|cancel| _ = cancel.cancel());
            }
        }
        let index = position.and_then(|position| command.index(position));
        self.cancels.push_back((number, index));
    }

    /// Asks a run to stop, or all runs of a command.
    pub(super) fn cancel(&mut self, what: FlowWatched) {
        match what {
            FlowWatched::All(number) => {
                let Some(command) = self.commands.get(&number) else { return };
                let (flies, left) = (!command.flying.is_empty(), command.has_left());
                if command.spec.mapped && flies {
                    self.stop_flying(number, None);
                }
                if left {
                    self.cut(number);
                }
            }
            FlowWatched::One(FutureKey { command: number, index }) => {
                let position = index.unwrap_or(0);
                let Some(command) = self.commands.get_mut(&number) else { return };
                if command.flying.contains_key(&position) {
                    self.stop_flying(number, Some(position));
                } else if command.total.is_some() && command.hand(position) {
                    let is_last = !command.has_left();
                    self.end_early(number, position);
                    if is_last {
                        self.close(number);
                    }
                }
            }
        }
        self.look_after_unheld();
    }

    /// Lets go of what a command takes from others: when it is opened, of what is read at once;
    /// else of all.
    pub(super) fn release_sources(&mut self, number: u32, opening: bool) {
        let Some(command) = self.commands.get_mut(&number) else { return };
        let (kept, released): (Vec<Source>, Vec<Source>) = std::mem::take(&mut command.sources)
            .into_iter()
            .partition(|source| opening && matches!(source, Source::Pipe(_)));
        command.sources = kept;
        for source in released {
            match source {
                Source::One(key) => {
                    let position = key.index.unwrap_or(0);
                    if let Some(from) = self.commands.get_mut(&key.command) {
                        count_down(&mut from.needs_on, position);
                    }
                    self.unheld.push_back((key.command, Some(position)));
                }
                Source::All(of) => {
                    if let Some(from) = self.commands.get_mut(&of) {
                        from.needs = from.needs.saturating_sub(1);
                    }
                    self.unheld.push_back((of, None));
                }
                Source::Pipe(of) => {
                    if let Some(from) = self.commands.get_mut(&of)
                        && let Some(place) = from.pipes.iter().position(|pipe| *pipe == number)
                    {
                        from.pipes.swap_remove(place);
                    }
                    self.unheld.push_back((of, None));
                }
            }
        }
    }

    /// Forgets a command that nobody can ask for and that is done with.
    pub(super) fn forget(&mut self, number: u32) {
        let is_done = |command: &Command| {
            command.is_finished()
                && command.is_forgotten()
                && command.untold == 0
                && !command.has_left()
                && command.flying.is_empty()
                && !command.is_ready
        };
        if self.commands.get(&number).is_some_and(is_done) {
            self.close(number);
            if let Some(command) = self.commands.remove(&number) {
                let bytes: u64 = command.kept.values().map(super::command::Kept::bytes).sum();
                self.held_bytes = self.held_bytes.saturating_sub(bytes);
            }
        }
    }

    /// Has a set watch something as well.
    pub(super) fn watch(&mut self, set: u32, what: FlowWatched) {
        let Some(watch) = self.watches.get_mut(&set) else { return };
        let source = watch.next_source();
        self.watch_as(set, what, source);
    }

    fn watch_as(&mut self, set: u32, what: FlowWatched, source: u32) {
        let Some(watch) = self.watches.get_mut(&set) else { return };
        let (FlowWatched::One(FutureKey { command: number, .. }) | FlowWatched::All(number)) = what;
        let Some(command) = self.commands.get_mut(&number) else { return };
        if !command.watchers.contains(&set) {
            command.watchers.push(set);
        }
        match what {
            FlowWatched::One(key) => {
                let position = key.index.unwrap_or(0);
                watch.add_one(number, position, source);
                if command.ended.has(position) {
                    watch.on_end(number, position, key.index);
                }
            }
            FlowWatched::All(_) => {
                watch.add_all(number, source);
                for position in command.ended.iter() {
                    let index = if command.spec.mapped { Some(position) } else { None };
                    watch.on_end(number, position, index);
                }
            }
        }
    }

    /// A set that watches all of these, under a number that the flow does not see.
    pub(super) fn watch_all(&mut self, set: u32, keys: &[FutureKey]) {
        self.watches.insert(set, Watch::default());
        for key in keys {
            self.watch_as(set, FlowWatched::One(*key), 0);
        }
    }

    /// A set is of no more use.
    pub(super) fn unwatch(&mut self, set: u32) {
        let Some(watch) = self.watches.remove(&set) else { return };
        for (number, position) in watch.watched() {
            if let Some(command) = self.commands.get_mut(&number) {
                command.watchers.retain(|watcher| *watcher != set);
            }
            self.unheld.push_back((number, position));
        }
        self.look_after_unheld();
    }

    /// How many runs a set brings in all, where that is known, and how many it has not brought.
    pub(super) fn watched(&self, set: u32) -> (Option<u64>, u64) {
        self.watches.get(&set).map_or((Some(0), 0), |watch| {
            watch.counts(|number| {
                let command = self.commands.get(&number)?;
                if command.failed.is_some() { Some(0) } else { command.total }
            })
        })
    }
}
