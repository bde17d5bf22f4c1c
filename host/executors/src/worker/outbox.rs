//! What waits to be said to one coordinator, over its link and while it has none. Bounded: notes by
//! their bytes, reports by those that are kept, of which each is in here once, and the rest by what
//! the link reads before it stops.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, HandBack, Note, Noted, Payload, RunLease, RunReport,
};
use sandmill_wire::{Digest, End, RunId};
use tokio::sync::Notify;

use super::config::{MAX_NOTE_BYTES, REPORTS_TOGETHER};
use crate::together::{Company, Most, in_messages};

/// Words that wait, beside what runs say, at which no more is read from the link.
const MAX_WORDS: usize = 8_192;
/// What one message has at most, roughly: one large item may make it larger by half.
const MOST: Most = Most { bytes: 384 << 10, items: 2_048 };
/// What an item costs beside its payload: ids, names of fields, usage.
const ITEM_BYTES: usize = 160;

/// What waits to be said.
#[derive(Default)]
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Rung when notes were taken: slots wait for it.
    room: Condvar,
    /// Rung when there is something to say.
    pub(super) wake: Notify,
    /// Rung when something was taken: the link's reader waits for it.
    taken: Notify,
}

#[derive(Default)]
struct Pending {
    notes: VecDeque<Noted>,
    note_bytes: usize,
    /// Of the notes, those for which there need be no room.
    sure_notes: usize,
    ended: HashMap<RunId, RunReport>,
    /// The order in which they are said. Some may have been unsaid since.
    ended_order: VecDeque<RunId>,
    company: Company,
    back: VecDeque<HandBack>,
    news: VecDeque<FromWorker>,
    /// The link that takes what waits.
    link: u64,
    /// The last word, and when it was given.
    goodbye: Option<(Goodbye, Instant)>,
}

impl Pending {
    fn words(&self) -> usize {
        self.ended_order.len() + self.back.len() + self.news.len() + self.sure_notes
    }

    fn is_empty(&self) -> bool {
        self.words() == 0 && self.notes.is_empty() && self.goodbye.is_none()
    }
}

impl Outbox {
    /// Has something said that a run said. Where there is no room for it, waits for so long at most;
    /// whether it will be said.
    pub(super) fn note(&self, noted: Noted, patience: Duration) -> bool {
        let bytes = note_bytes(&noted);
        let mut pending = self.pending.lock();
        if pending.note_bytes + bytes > MAX_NOTE_BYTES && !patience.is_zero() {
            let until = Instant::now() + patience;
            while pending.note_bytes + bytes > MAX_NOTE_BYTES && pending.goodbye.is_none() {
                if self.room.wait_until(&mut pending, until).timed_out() {
                    break;
                }
            }
        }
        if pending.note_bytes + bytes > MAX_NOTE_BYTES || pending.goodbye.is_some() {
            return false;
        }
        pending.push_note(noted, bytes);
        drop(pending);
        self.wake.notify_one();
        true
    }

    /// Has something short said whatever else waits: at most twice an attempt and lease.
    pub(super) fn note_surely(&self, noted: Noted) {
        let bytes = note_bytes(&noted);
        let mut pending = self.pending.lock();
        pending.push_note(noted, bytes);
        pending.sure_notes += 1;
        drop(pending);
        self.wake.notify_one();
    }

    /// Has a report said, in place of another of the same run that was not said yet. One that may wait
    /// does so, for so long, for others to go with it.
    pub(super) fn ended(&self, report: RunReport, patience: Option<Duration>) {
        let mut pending = self.pending.lock();
        let is_first = pending.is_empty();
        pending.push_report(report);
        let waits = patience.filter(|_| pending.ended_order.len() < REPORTS_TOGETHER);
        let wakes = pending.company.joined(is_first, waits);
        drop(pending);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Until when what there is to say may wait for more.
    pub(super) fn may_wait_until(&self) -> Option<Instant> {
        self.pending.lock().company.due()
    }

    /// Whether the report of that run is still to be said.
    pub(super) fn will_say(&self, of: RunLease) -> bool {
        self.pending.lock().ended.get(&of.run).is_some_and(|report| report.of == of)
    }

    /// Forgets the report of a run: nobody waits for it any more. Not once the last word was given,
    /// before which all is said that waits.
    pub(super) fn unsay(&self, run: RunId) {
        let mut pending = self.pending.lock();
        if pending.goodbye.is_none() {
            pending.ended.remove(&run);
        }
    }

    pub(super) fn hand_back(&self, back: HandBack) {
        self.at_once(|pending| pending.back.push_back(back));
        self.wake.notify_one();
    }

    pub(super) fn need(&self, digest: Digest) {
        self.news(FromWorker::Need(digest));
    }

    pub(super) fn holds(&self, digest: Digest, refused: Option<End>) {
        self.news(FromWorker::Holds { digest, refused });
    }

    pub(super) fn draining(&self) {
        self.news(FromWorker::Draining);
    }

    /// Adds something that does not wait.
    fn at_once(&self, add: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending.lock();
        pending.company.goes();
        add(&mut pending);
    }

    fn news(&self, news: FromWorker) {
        self.at_once(|pending| pending.news.push_back(news));
        self.wake.notify_one();
    }

    /// Has this said as the last word; the first one stands.
    pub(super) fn goodbye(&self, goodbye: Goodbye) {
        self.at_once(|pending| {
            pending.goodbye.get_or_insert_with(|| (goodbye, Instant::now()));
        });
        self.room.notify_all();
        self.wake.notify_one();
        self.taken.notify_one();
    }

    /// How long ago the last word was given.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        self.pending.lock().goodbye.as_ref().map(|(_, at)| at.elapsed())
    }

    /// From now on this link takes what waits. Forgets what a new link is told anew, and has these
    /// reports said again.
    pub(super) fn start_over(&self, link: u64, reports: impl Iterator<Item = RunReport>) {
        let mut pending = self.pending.lock();
        pending.link = link;
        pending.ended.clear();
        pending.ended_order.clear();
        reports.for_each(|report| pending.push_report(report));
        pending.news.clear();
        pending.company.goes();
        drop(pending);
        self.wake.notify_one();
    }

    /// Ready when more may be read from the link.
    pub(super) async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            {
                let pending = self.pending.lock();
                if pending.words() < MAX_WORDS || pending.goodbye.is_some() {
                    return;
                }
            }
            taken.await;
        }
    }

    /// Everything there is to say, what runs said before their ends, the goodbye last. None where
    /// another link has come.
    pub(super) fn take(&self, link: u64) -> Option<Vec<FromWorker>> {
        let mut pending = self.pending.lock();
        pending.company.goes();
        if pending.link != link {
            drop(pending);
            // The wake was meant for the other.
            self.wake.notify_one();
            return None;
        }
        let notes = std::mem::take(&mut pending.notes);
        pending.note_bytes = 0;
        pending.sure_notes = 0;
        let mut reports = std::mem::take(&mut pending.ended);
        let order = std::mem::take(&mut pending.ended_order);
        let back = std::mem::take(&mut pending.back);
        let news = std::mem::take(&mut pending.news);
        let goodbye = pending.goodbye.as_ref().map(|(goodbye, _)| goodbye.clone());
        drop(pending);
        self.room.notify_all();
        self.taken.notify_one();
        let ended = order.into_iter().filter_map(|run| reports.remove(&run));
        let mut messages = Vec::new();
        in_messages(notes, MOST, note_bytes, |notes| messages.push(FromWorker::Notes(notes)));
        in_messages(ended, MOST, report_bytes, |ended| messages.push(FromWorker::Ended(ended)));
        in_messages(back, MOST, back_bytes, |back| messages.push(FromWorker::HandBack(back)));
        messages.extend(news);
        messages.extend(goodbye.map(FromWorker::Goodbye));
        Some(messages)
    }

    /// How many notes and other words wait.
    pub(super) fn lengths(&self) -> (usize, usize) {
        let pending = self.pending.lock();
        (pending.notes.len(), pending.words())
    }
}

impl Pending {
    fn push_report(&mut self, report: RunReport) {
        let run = report.of.run;
        if self.ended.insert(run, report).is_none() {
            self.ended_order.push_back(run);
        }
    }

    fn push_note(&mut self, noted: Noted, bytes: usize) {
        self.company.goes();
        // Nobody takes what comes after the last word.
        if self.goodbye.is_none() {
            self.note_bytes += bytes;
            self.notes.push_back(noted);
        }
    }
}

fn note_bytes(noted: &Noted) -> usize {
    ITEM_BYTES
        + match &noted.note {
            Note::Started => 0,
            Note::Log(line) => line.message.len(),
            Note::Progress(progress) => progress.message.len(),
        }
}

fn report_bytes(report: &RunReport) -> usize {
    ITEM_BYTES
        + match &report.ending {
            Ending::Value(payload) | Ending::LargeFailure(payload) => match payload {
                Payload::Inline(bytes) => bytes.len(),
                Payload::Blob { .. } => ITEM_BYTES,
            },
            Ending::Failure(failure) => {
                let details = failure.details.as_ref().map_or(0, |details| details.len_bytes());
                failure.kind.len() + failure.message.len() + details
            }
            Ending::Ended(end) => {
                let frames: usize = end.backtrace.iter().map(|frame| frame.len() + 5).sum();
                end.message.len() + frames
            }
        }
}

fn back_bytes(back: &HandBack) -> usize {
    ITEM_BYTES + back.why.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use sandmill_core::Usage;
    use sandmill_transport::message::{LeaseId, RunReport};

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(9));

    fn report() -> RunReport {
        let of = RunLease { run: RunId::new(), lease: LeaseId(1) };
        let ending = Ending::Value(Payload::Inline(vec![0xc0].into()));
        RunReport { of, ending, usage: Usage::default() }
    }

    #[test]
    fn reports_wait_for_others_only_where_they_may() {
        let outbox = Outbox::default();
        outbox.ended(report(), LONG);
        let due = outbox.may_wait_until().expect("it may wait");
        outbox.ended(report(), LONG);
        assert_eq!(outbox.may_wait_until(), Some(due), "the first one says until when");
        outbox.ended(report(), None);
        assert_eq!(outbox.may_wait_until(), None);
        let said = outbox.take(0).unwrap();
        assert!(matches!(&said[..], [FromWorker::Ended(reports)] if reports.len() == 3));
        for _ in 0..REPORTS_TOGETHER {
            outbox.ended(report(), LONG);
        }
        assert_eq!(outbox.may_wait_until(), None, "these are enough");
        outbox.take(0).unwrap();
        outbox.ended(report(), LONG);
        assert!(outbox.may_wait_until().is_some());
        outbox.need(Digest::of(b"any"));
        assert_eq!(outbox.may_wait_until(), None);
    }
}
