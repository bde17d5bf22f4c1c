//! The real binary, black-box: examples, commands, exit codes. And what holds the repository
//! together: floors, file sizes, copies of the contract.

mod commands;
mod examples;
mod faults;
mod projects;
mod tidy;
