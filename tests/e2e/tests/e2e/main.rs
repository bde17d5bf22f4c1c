//! The real binary, black-box: examples, commands, exit codes, history. And what holds the
//! repository together: floors, file sizes, copies of the contract.

mod commands;
mod examples;
mod faults;
mod history;
mod million;
mod projects;
mod survival;
mod tidy;
