//! Where a run is placed among hosts, as plain functions over state: an event and the time go in,
//! actions come out. No threads, no clock, no I/O, and nothing of how a message reaches a host.
#![forbid(unsafe_code)]
