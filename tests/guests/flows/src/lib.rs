//! Flows that do each thing a flow can do, and the tasks that they call. Whoever tests a host finds
//! here what to run; the flows themselves are tested natively, at the end of each file.
#![allow(
    missing_docs,
    reason = "a guest's functions are documented for its callers, not as an API"
)]

mod cancels;
mod changed;
mod faults;
mod maps;
mod stamps;
mod tasks;
mod waits;

use cancels::{cancel_list, cancel_one, detached, dropped, fails_with_callback, left_behind};
use changed::{
    by_variant, changed_argument, changed_options, changed_order, changed_task, fewer_calls,
    more_calls, other_wait,
};
use faults::{
    fail_fast, loops, never_ends, panics, partial, retried, submits_without_end,
    submits_without_wait, too_long_result, unequal_lists, unknown_component, unknown_task,
    wrong_type,
};
use maps::{
    chain, every_option, half_then_rest, mapped_result, nested, nested_by_name, pipeline,
    sum_in_task, sum_of_squares, twice_removed,
};
use stamps::{stamp, stamp_twice};
use tasks::{add, flaky, half, letters, patience, slow, spin, square, tally, total, trap, words};
use waits::{
    callbacks, first_error, first_of, naps, order_of_ends, results_of, states_of, tallied,
    timed_out_watch, waits_for,
};

sandmill_guest::export!(
    add,
    flaky,
    half,
    letters,
    patience,
    slow,
    spin,
    square,
    stamp,
    tally,
    total,
    trap,
    words,
    flow by_variant,
    flow callbacks,
    flow cancel_list,
    flow cancel_one,
    flow chain,
    flow changed_argument,
    flow changed_options,
    flow changed_order,
    flow changed_task,
    flow detached,
    flow dropped,
    flow every_option,
    flow fail_fast,
    flow fails_with_callback,
    flow fewer_calls,
    flow first_error,
    flow first_of,
    flow half_then_rest,
    flow left_behind,
    flow loops,
    flow mapped_result,
    flow more_calls,
    flow naps,
    flow nested,
    flow nested_by_name,
    flow never_ends,
    flow order_of_ends,
    flow other_wait,
    flow panics,
    flow partial,
    flow pipeline,
    flow results_of,
    flow retried,
    flow stamp_twice,
    flow states_of,
    flow submits_without_end,
    flow submits_without_wait,
    flow sum_in_task,
    flow sum_of_squares,
    flow tallied,
    flow timed_out_watch,
    flow too_long_result,
    flow twice_removed,
    flow unequal_lists,
    flow unknown_component,
    flow unknown_task,
    flow waits_for,
    flow wrong_type
);
