//! The exit codes of `sandmill`. Scripts rely on them: they are documented in `docs/cli.md`, and
//! a code never changes its meaning. Which error has which code is said where the error is made.

/// Everything asked for was done.
pub(crate) const SUCCESS: u8 = 0;
/// A run failed: by its own word, by a trap, or by a limit other than time.
pub(crate) const RUN_FAILED: u8 = 1;
/// Usage, configuration, a flow file, arguments or other input are wrong. Nothing was run, or (for
/// a `map` that reads its input as it goes) nothing after the fault.
pub(crate) const INVALID_INPUT: u8 = 2;
/// Something around the runs failed: a file that cannot be read, a build, the engine, a host that
/// was lost.
pub(crate) const INFRASTRUCTURE: u8 = 3;
/// The call ran out of time; for `run` and `map`: runs failed, and all that did ran out of time.
/// The code of `timeout(1)`.
pub(crate) const TIMED_OUT: u8 = 124;
/// Interrupted by Ctrl-C (or asked to stop by another signal). The shell's code for it.
pub(crate) const INTERRUPTED: u8 = 130;
