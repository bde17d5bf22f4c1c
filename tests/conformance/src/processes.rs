//! What the tests hold of the machine: this process, and the workers that it has started.

use std::fs;
use std::path::Path;

/// Bytes of a page.
const PAGE: usize = 4_096;
/// What workers that are processes are called.
const WORKER: &str = "sandmill";

/// What this process and its workers hold together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// How many processes they are.
    pub processes: usize,
    /// Threads.
    pub threads: usize,
    /// Open files.
    pub files: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// Processor time so far, in ticks, of which Linux counts 100 a second.
    pub ticks: u64,
}

impl Held {
    /// What they hold now. A process that ends meanwhile holds nothing.
    ///
    /// # Panics
    /// When this system does not tell.
    #[must_use]
    pub fn now() -> Self {
        let own = std::process::id();
        let listing = fs::read_dir("/proc").expect("processes are listed");
        let processes = listing.flatten().filter_map(|entry| {
            let process: u32 = entry.file_name().to_str()?.parse().ok()?;
            let is_worker = |stat: &Stat| stat.parent == own && stat.name == WORKER;
            let stat = Stat::of(&entry.path())?;
            (process == own || is_worker(&stat)).then_some((entry.path(), stat))
        });
        processes.fold(Self::default(), |held, (process, stat)| {
            let count = |what: &str| fs::read_dir(process.join(what)).map_or(0, Iterator::count);
            Self {
                processes: held.processes + 1,
                threads: held.threads + count("task"),
                files: held.files + count("fd"),
                memory: held.memory + resident(&process),
                ticks: held.ticks + stat.ticks,
            }
        })
    }
}

/// What Linux says of a process in one line.
struct Stat {
    name: String,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn of(process: &Path) -> Option<Self> {
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        // The state, field 3, is the first one here; the parent is field 4, and `utime` and
        // `stime` are fields 14 and 15.
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let parent = u32::try_from(number(1)?).ok()?;
        Some(Self { name, parent, ticks: number(11)? + number(12)? })
    }
}

fn resident(process: &Path) -> usize {
    let statm = fs::read_to_string(process.join("statm")).unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * PAGE
}
