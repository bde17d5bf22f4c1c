//! The flows that run while hosts fail: a map of many small runs that each hold a slot for a few
//! milliseconds, and what they come to. What each gives is told by its position, so that a lost,
//! repeated or swapped result is seen.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sandmill_test_artifacts as artifacts;

/// A mapped stage, written into a folder.
#[derive(Debug, Clone)]
pub struct Workload {
    runs: u64,
    /// The least and the most milliseconds that a run takes.
    millis: (u64, u64),
    /// Bytes of the component, where it is to be larger than it is.
    size: Option<usize>,
    effects: bool,
}

/// Runs of the largest map.
pub const MANY: u64 = 20_000;

impl Workload {
    /// A map of so many pure runs, each of which takes some milliseconds.
    #[must_use]
    pub const fn naps(runs: u64, millis: (u64, u64)) -> Self {
        assert!(millis.0 <= millis.1, "the least comes first");
        Self { runs, millis, size: None, effects: false }
    }

    /// The same, with a component of at least so many bytes.
    #[must_use]
    pub const fn with_component_of(mut self, bytes: usize) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same, with a component that is as large as it was built.
    pub(crate) const fn with_component_as_it_is(mut self) -> Self {
        self.size = None;
        self
    }

    /// After its nap each item leaves a mark in the folder `marks`, which no guest can take back: one
    /// more file each time.
    #[must_use]
    pub const fn with_marks(mut self) -> Self {
        self.effects = true;
        self
    }

    /// Runs of the stage `nap`.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Writes the flow and its component into a folder: the flow's file.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn write(&self, folder: &Path) -> PathBuf {
        let mut bytes = fs::read(artifacts::guest("probe")).expect("the guest was built");
        if let Some(size) = self.size {
            pad(&mut bytes, size);
        }
        fs::write(folder.join("probe.wasm"), bytes).expect("the component can be written");
        let mut text = "[flow]\nname = \"naps\"\n".to_owned();
        let result = if self.effects { "stamp.result" } else { "nap.result" };
        let mut line = |line: &str| writeln!(text, "{line}").expect("text can be written to");
        line(&format!("result = {result:?}"));
        line("[components.probe]\npath = \"probe.wasm\"");
        line("[tasks.nap]\ncall = \"probe.sleep\"");
        let millis: Vec<String> =
            (0..self.runs).map(|run| self.millis_of(run).to_string()).collect();
        line(&format!("arguments.millis = {{ map = [{}] }}", millis.join(",")));
        if self.effects {
            let marks = marks(folder);
            fs::create_dir_all(&marks).expect("the folder can be made");
            let numbers: Vec<String> = (0..self.runs).map(|run| run.to_string()).collect();
            line("[tasks.stamp]\ncall = \"probe.stamp\"\nafter = [\"nap\"]");
            line("arguments.folder = \"/marks\"");
            line(&format!("arguments.number = {{ map = [{}] }}", numbers.join(",")));
            line(&format!(
                "grants.dirs = [{{ host = {marks:?}, guest = \"/marks\", access = \"read-write\" }}]"
            ));
        }
        let file = folder.join("flow.toml");
        fs::write(&file, text).expect("the flow can be written");
        file
    }

    /// What the flow comes to: by the guests' clocks, a nap takes exactly as long as it was asked for.
    #[must_use]
    pub fn result(&self) -> Vec<u64> {
        if self.effects {
            return (0..self.runs).map(|run| 2 * run).collect();
        }
        (0..self.runs).map(|run| self.millis_of(run) * 1_000_000).collect()
    }

    /// Neighbours differ, and the order is not simple to come by.
    const fn millis_of(&self, run: u64) -> u64 {
        let (least, most) = self.millis;
        least + (run.wrapping_mul(7_919).wrapping_add(run / 13)) % (most - least + 1)
    }
}

/// Where runs leave marks.
#[must_use]
pub fn marks(folder: &Path) -> PathBuf {
    folder.join("marks")
}

/// Makes a component larger by a custom section, which means nothing.
fn pad(component: &mut Vec<u8>, size: usize) {
    let Some(missing) = size.checked_sub(component.len()) else { return };
    let name = b"padding";
    // A section: its kind, the length of what follows, the length of its name, its name, its bytes.
    let mut content = vec![u8::try_from(name.len()).expect("it is short")];
    content.extend_from_slice(name);
    // Bytes that no link could make smaller.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    content.extend((0..missing).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }));
    component.push(0);
    let mut length = u32::try_from(content.len()).expect("it is not that large");
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        component.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    component.extend_from_slice(&content);
}
