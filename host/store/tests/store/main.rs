//! The store as those see it who write to it: journals, recovery, locks, faults, damage, deletion.

mod common;
mod damage;
mod deletion;
mod faults;
mod journal;
mod lock;
mod migration;
mod model;
mod recovery;
