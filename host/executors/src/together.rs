//! How things to say to another process share messages, on both sides of a link: which of them wait for
//! others, and how many go into one. What they are is in the outboxes.

use std::time::{Duration, Instant};

/// Whether what there is to say waits for more to be said with it.
#[derive(Debug, Default)]
pub(crate) struct Company {
    due: Option<Instant>,
}

impl Company {
    /// Notes one more thing to say, which is the first of those there are or not, and waits for others
    /// that long or not at all. Answers whether whoever says it is to be woken: for the first and for one
    /// that waits less, to see until when, and for what does not wait.
    pub(crate) fn joined(&mut self, is_first: bool, waits: Option<Duration>) -> bool {
        let before = self.due;
        let due = waits.map(|delay| Instant::now() + delay);
        self.due = match (before, due) {
            (_, due) if is_first => due,
            (Some(before), Some(due)) => Some(before.min(due)),
            (None, _) | (_, None) => None,
        };
        is_first || self.due.is_none() || self.due != before
    }

    /// Nothing waits any more: it is said, or something else is that does not wait.
    pub(crate) const fn goes(&mut self) {
        self.due = None;
    }

    /// Until when what there is waits.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// The most that one message is to have: one item alone may have more bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) bytes: usize,
    pub(crate) items: usize,
}

/// Cuts items into messages that are neither long nor large.
pub(crate) fn in_messages<T>(
    items: impl IntoIterator<Item = T>,
    most: Most,
    size: impl Fn(&T) -> usize,
    mut send: impl FnMut(Vec<T>),
) {
    let (mut message, mut bytes) = (Vec::new(), 0);
    for item in items {
        let more = size(&item);
        if !message.is_empty() && (bytes + more > most.bytes || message.len() >= most.items) {
            send(std::mem::take(&mut message));
            bytes = 0;
        }
        bytes += more;
        message.push(item);
    }
    if !message.is_empty() {
        send(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_neither_long_nor_large() {
        let cut = |items: &[usize]| {
            let mut messages = Vec::new();
            let most = Most { bytes: 10, items: 3 };
            in_messages(items.to_vec(), most, |size| *size, |message| messages.push(message));
            messages
        };
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[4, 6, 1]), [vec![4, 6], vec![1]]);
        assert_eq!(cut(&[0; 7]), [vec![0; 3], vec![0; 3], vec![0]]);
        assert_eq!(cut(&[1, 99, 1]), [vec![1], vec![99], vec![1]]);
    }

    #[test]
    fn the_first_says_until_when_and_what_does_not_wait_ends_it() {
        let (mut company, delay) = (Company::default(), Duration::from_secs(9));
        assert!(company.joined(true, Some(delay)), "to see until when");
        let due = company.due().expect("it waits");
        assert!(!company.joined(false, Some(2 * delay)));
        assert_eq!(company.due(), Some(due));
        assert!(company.joined(false, Some(delay / 2)), "this one waits less");
        let sooner = company.due().expect("it waits");
        assert!(sooner < due);
        assert!(!company.joined(false, Some(delay)));
        assert_eq!(company.due(), Some(sooner));
        assert!(company.joined(false, None));
        assert_eq!(company.due(), None);
        assert!(company.joined(false, Some(delay)), "they go together");
        assert_eq!(company.due(), None);
        company.goes();
        assert!(company.joined(true, None));
    }
}
