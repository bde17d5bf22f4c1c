//! What the scheduler answers, done: orders into outboxes, words and ends to tickets.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::{Report, Usage};
use sandmill_scheduler::{
    Action, Event, HandBackWhy, HostId, HostVerdict, LeaseId, LostWhy, RunNo, Standing,
};
use sandmill_transport::message::{self, Payload, RunLease};
use sandmill_wire::{End, EndKind, Outcome};

use super::super::fleet::HostState;
use super::carrier::Carrier;
use super::config::{ENOUGH_A_SLOT, ENOUGH_TIME, WORD_DELAY};
use super::outbox::Outbox;
use super::outgoing::Outgoing;

/// Hosts that one reason for waiting names.
const HOSTS_SHOWN: usize = 8;

impl Carrier {
    /// Does what the scheduler answered. What follows from it for the scheduler is queued.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Assign { run, host, lease } => self.assign(run, host, lease),
            Action::Recall { run, host, lease } => self.ask_back(run, host, lease, Outbox::recall),
            Action::Cancel { run, host, lease } => {
                if self.runs.get(run).is_some_and(|entry| entry.end.is_some()) {
                    return;
                }
                self.runs.answer_by(run, Some(Instant::now() + self.config.lease));
                self.ask_back(run, host, lease, Outbox::cancel);
            }
            Action::Take { run, .. } => self.ended(run),
            Action::Stale { host, .. } => {
                if let Some(host) = self.host_mut(host) {
                    host.stale += 1;
                }
            }
            Action::Lost { run, host, hosts_lost, why } => self.lost(run, host, hosts_lost, why),
            Action::Elsewhere { run, from, hosts_lost } => {
                let name = self.name_of(from);
                self.runs.waits_again(run, Instant::now());
                if let Some(entry) = self.runs.get(run) {
                    let words = format!(
                        "the host {name} was lost; the run goes elsewhere ({hosts_lost} lost so far)"
                    );
                    entry.ticket.remark(words.clone());
                    entry.ticket.waits(words);
                }
            }
            Action::Withdrawn { run } => {
                if let Some(mut entry) = self.runs.remove(run) {
                    if let Some(end) = entry.end.take() {
                        entry.ticket.finish(Report::unstarted(end));
                    } else if entry.ticket.is_cancelled() || !entry.expired {
                        entry.ticket.cancel();
                    } else {
                        entry.ticket.expire();
                    }
                }
            }
            Action::Refused { run, .. } => {
                if let Some(entry) = self.runs.remove(run) {
                    let end = End::new(EndKind::HostError, "there is no room to place the run");
                    entry.ticket.finish(Report::unstarted(end));
                }
            }
            Action::Pending { run, alike, standing, reasons } => {
                if let Some(entry) = self.runs.get(run) {
                    entry.ticket.waits(words_of(alike, standing, &reasons));
                }
            }
            Action::HostRefused { host } => {
                if let Some(host) = self.host_mut(host) {
                    host.is_placed = false;
                    host.state = HostState::Down;
                    host.why = Some("there are as many hosts as there may be".to_owned());
                }
            }
            // A later scheduler says what this driver does not know yet.
            _ => {}
        }
    }

    fn assign(&mut self, run: RunNo, host: HostId, lease: LeaseId) {
        let (Some(entry), Some(known)) = (self.runs.get_mut(run), self.hosts.get(&host.0)) else {
            return;
        };
        entry.started = false;
        entry.fetching = false;
        let has = self.scheduler.runs_a_slot(host).unwrap_or(0);
        let typical = self.scheduler.typical(&entry.stage.need, false).unwrap_or_default();
        let is_busy = has > ENOUGH_A_SLOT && typical * has >= ENOUGH_TIME;
        let wait = is_busy.then_some(WORD_DELAY);
        let call = entry.ticket.call();
        let arguments = call.arguments.clone().into_bytes();
        let order = Outgoing {
            of: RunLease { run: entry.ticket.run(), lease: message::LeaseId(lease.0) },
            stage: Arc::clone(&entry.stage),
            attempt: entry.ticket.attempt(),
            arguments: Payload::of(&arguments),
            index: call.map_index,
            deadline: call.options.deadline,
        };
        known.outbox.order(order, &arguments, wait);
        let by = self.end_by(run);
        self.runs.answer_by(run, by);
    }

    /// Asks for a run back, or to stop it. An order that has not gone, because its arguments are on
    /// their way still, is back at once.
    fn ask_back(
        &mut self,
        run: RunNo,
        host: HostId,
        lease: LeaseId,
        ask: impl FnOnce(&Outbox, RunLease),
    ) {
        let (Some(entry), Some(known)) = (self.runs.get(run), self.hosts.get(&host.0)) else {
            return;
        };
        let of = RunLease { run: entry.ticket.run(), lease: message::LeaseId(lease.0) };
        if known.outbox.take_back(of) {
            let why = HandBackWhy::Asked;
            self.events.push_back(Event::HandBack { host, run, lease, why });
        } else {
            ask(&known.outbox, of);
        }
    }

    /// The end that the scheduler was just told of counts.
    fn ended(&mut self, run: RunNo) {
        let (Some(entry), Some(report)) = (self.runs.remove(run), self.taking.take()) else {
            return;
        };
        let stopped = matches!(
            &report.outcome,
            Outcome::Ended(end) if matches!(end.kind, EndKind::Cancelled | EndKind::TimedOut)
        );
        // The worker sees a deadline pass as well.
        let late = entry.is_late(Instant::now());
        let unstarted = !entry.started && report.usage == Usage::default();
        if stopped && unstarted && late && !entry.ticket.is_cancelled() {
            // It was not started in its time.
            entry.ticket.expire();
        } else {
            entry.ticket.finish(report);
        }
    }

    fn lost(&mut self, run: RunNo, host: HostId, hosts_lost: u32, why: LostWhy) {
        let name = self.name_of(host);
        let Some(entry) = self.runs.remove(run) else { return };
        let words = match why {
            LostWhy::Effects => format!(
                "the host {name} was lost while it had the run, which may have changed something \
                 outside: it is not made again unasked"
            ),
            LostWhy::TooMany => {
                format!("the host {name} was lost with the run, and {hosts_lost} were in all")
            }
        };
        entry.ticket.finish(Report::unstarted(End::new(EndKind::HostLost, words)));
    }
}

/// Why a run waits, for a person.
fn words_of(alike: usize, standing: Standing, reasons: &[HostVerdict]) -> String {
    let mut words = standing.to_string();
    for (place, verdict) in reasons.iter().take(HOSTS_SHOWN).enumerate() {
        let _ = write!(words, "{}{verdict}", if place == 0 { ": " } else { ", " });
    }
    if reasons.len() > HOSTS_SHOWN {
        let _ = write!(words, ", and {} more", reasons.len() - HOSTS_SHOWN);
    }
    if alike > 1 {
        let _ = write!(words, " ({alike} runs wait for the same)");
    }
    words
}
