//! Where the executor and its fleet meet: tickets lie here until the fleet takes them, and the
//! fleet says here how many it wants. What becomes of a ticket is said on the ticket itself.

use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::Report;
use sandmill_wire::{End, EndKind, RunId};
use tokio::sync::Notify;

use super::ends::Ends;
use super::ticket::Ticket;
use crate::pool::Queue;

/// Where a fleet gets its tickets. One a session: from [`super::Fleet::start`] to
/// [`super::Fleet::stop`].
pub struct Desk {
    queue: Arc<Queue>,
    ends: Arc<Ends>,
    inbox: Mutex<Inbox>,
    /// Told once when something came into an empty inbox.
    news: Notify,
}

#[derive(Default)]
struct Inbox {
    tickets: Vec<Ticket>,
    /// Runs that were asked to stop.
    cancelled: Vec<RunId>,
    /// Why no more tickets are carried, once that is so.
    closed: Option<String>,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.tickets.is_empty() && self.cancelled.is_empty()
    }
}

impl Desk {
    pub(super) fn new(queue: &Arc<Queue>, ends: &Arc<Ends>) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::clone(queue),
            ends: Arc::clone(ends),
            inbox: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Puts a ticket before the fleet. At most as many lie here as the fleet has asked for, and
    /// one for each lane.
    pub(super) fn put(self: &Arc<Self>, ticket: Ticket) {
        // Before it lies here: a cancel that comes in between is found on the ticket.
        ticket.watch(self);
        let mut inbox = self.inbox.lock();
        if let Some(why) = inbox.closed.clone() {
            drop(inbox);
            ticket.finish(Report::unstarted(End::new(EndKind::HostError, why)));
            return;
        }
        let news = inbox.is_empty();
        inbox.tickets.push(ticket);
        drop(inbox);
        if news {
            self.news.notify_one();
        }
    }

    pub(super) fn cancelled(&self, run: RunId) {
        let mut inbox = self.inbox.lock();
        if inbox.closed.is_none() {
            let news = inbox.is_empty();
            inbox.cancelled.push(run);
            drop(inbox);
            if news {
                self.news.notify_one();
            }
        }
    }

    /// Takes all that lies here: tickets, and runs that were asked to stop. The ticket of such a
    /// run may be among those taken now, may have been taken before, or may have ended.
    pub fn take(&self, tickets: &mut Vec<Ticket>, cancelled: &mut Vec<RunId>) {
        let mut inbox = self.inbox.lock();
        tickets.append(&mut inbox.tickets);
        cancelled.append(&mut inbox.cancelled);
    }

    /// Ready when something may lie here. For one waiter at a time.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// How many runs the fleet wants to have at a time, with those that it has: under way, and
    /// waiting so that no host runs dry. Runs whose end it told count until that was taken notice
    /// of, so a slow reader of results slows the intake. At the start it is 0.
    pub fn set_window(&self, most: usize) {
        self.queue.set_window(most);
    }

    /// Ready when little is waiting to be told: for a fleet to await before it takes in more of
    /// what runs say, so that a slow observer needs no memory.
    pub async fn calm(&self) {
        self.ends.calm().await;
    }

    /// The fleet carries no more: what lies here and what comes ends as `host-error`, for this
    /// reason. What it has taken it ends itself.
    pub fn close(&self, why: &str) {
        let tickets = {
            let mut inbox = self.inbox.lock();
            inbox.closed.get_or_insert_with(|| why.to_owned());
            inbox.cancelled.clear();
            std::mem::take(&mut inbox.tickets)
        };
        for ticket in tickets {
            ticket.finish(Report::unstarted(End::new(EndKind::HostError, why)));
        }
        // Whatever waits still is taken out, to end here.
        self.queue.set_window(usize::MAX);
    }
}
