//! The store as those see it who write to it: journals, recovery, locks, faults, damage, deletion.

mod ahead;
mod common;
mod damage;
mod deletion;
mod faults;
mod journal;
mod killed;
mod lock;
mod migration;
mod model;
mod pace;
mod recovery;
