//! What an error of the engine means for a run: which end, in which words. Guests can cause all
//! of these but `host-error`.

use sandmill_core::units::{format_duration, format_size};
use sandmill_wire::{End, EndKind, TrapKind};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::futures::{Ended, Misuse};
use crate::io::HostLimit;
use crate::limiter::LimitHit;
use crate::panic_message::{self, LastWords};
use crate::stop::Stop;

/// Frames of a backtrace that are told.
const MAX_FRAMES: usize = 64;
/// Bytes of a function's name that are told.
const MAX_NAME_BYTES: usize = 512;
/// Bytes of an error's words that are told.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// Where a run was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The instance was being made.
    Instantiating,
    /// The guest was called, or its result read.
    Calling,
}

/// A run whose grants cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// Says what `error` means. `tail` is the end of what the guest wrote to standard error.
pub(crate) fn end_of(
    error: &wasmtime::Error,
    phase: Phase,
    tail: &[u8],
    limits: &sandmill_core::Limits,
) -> End {
    if let Some(stop) = find::<Stop>(error) {
        return end_of_stop(*stop, limits);
    }
    if let Some(Ended(end)) = find::<Ended>(error) {
        return end.clone();
    }
    let (kind, message) = meaning(error, phase, tail, limits);
    let mut end = End::new(kind, crate::context::cut(&message, MAX_MESSAGE_BYTES));
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        end.backtrace = frames(backtrace);
    }
    end
}

/// The end of a run that the host stopped.
pub(crate) fn end_of_stop(stop: Stop, limits: &sandmill_core::Limits) -> End {
    match stop {
        Stop::Deadline => End::new(EndKind::TimedOut, "the run's deadline passed"),
        Stop::Timeout => {
            let timeout = format_duration(limits.timeout);
            End::new(EndKind::TimedOut, format!("the run was not done after {timeout}"))
        }
        Stop::Cancelled => End::new(EndKind::Cancelled, "the run was cancelled"),
    }
}

/// The first error of that type in the chain: host functions of libraries wrap them.
fn find<E: std::error::Error + Send + Sync + 'static>(error: &wasmtime::Error) -> Option<&E> {
    error.downcast_ref::<E>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

fn meaning(
    error: &wasmtime::Error,
    phase: Phase,
    tail: &[u8],
    limits: &sandmill_core::Limits,
) -> (EndKind, String) {
    if let Some(Refusal(message)) = find::<Refusal>(error) {
        return (EndKind::Refused, message.clone());
    }
    if let Some(hit) = find::<LimitHit>(error) {
        return (EndKind::OutOfMemory, hit.to_string());
    }
    if let Some(I32Exit(code)) = find::<I32Exit>(error) {
        let message = format!("the task exited with code {code} instead of returning");
        return (EndKind::Trapped(TrapKind::Exit(*code)), message);
    }
    if let Some(table) = find::<ResourceTableError>(error) {
        return match table {
            ResourceTableError::Full => {
                let message = format!("more than {} handles were held", limits.handles);
                (EndKind::Trapped(TrapKind::Handles), message)
            }
            other => (EndKind::Trapped(TrapKind::Contract), other.to_string()),
        };
    }
    if let Some(limit) = find::<HostLimit>(error) {
        return (EndKind::Trapped(TrapKind::Contract), limit.to_string());
    }
    if let Some(misuse) = find::<Misuse>(error) {
        return (EndKind::Trapped(TrapKind::Contract), misuse.to_string());
    }
    if let Some(trap) = find::<Trap>(error) {
        return of_trap(*trap, tail, limits);
    }
    let message = format!("{:#}", error.root_cause());
    // The engine has no type for this one.
    let is_too_much = message.contains("fuel allocated for hostcalls has been exhausted");
    let in_guest = error.downcast_ref::<WasmBacktrace>().is_some();
    match phase {
        Phase::Calling if is_too_much && !in_guest => (EndKind::OutputTooLarge, too_large(limits)),
        Phase::Calling if is_too_much => (
            EndKind::Trapped(TrapKind::Contract),
            "a host call was given too much data at once".to_owned(),
        ),
        Phase::Calling => (EndKind::Trapped(TrapKind::Contract), message),
        Phase::Instantiating if in_guest => (EndKind::Trapped(TrapKind::Contract), message),
        Phase::Instantiating if message.starts_with("resource limit exceeded") => {
            (EndKind::Refused, format!("the component is too large: {message}"))
        }
        Phase::Instantiating => {
            (EndKind::HostError, format!("the component could not be instantiated: {message}"))
        }
    }
}

/// The words for a result that is larger than it may be.
pub(crate) fn too_large(limits: &sandmill_core::Limits) -> String {
    format!("the result is larger than {}", format_size(limits.output))
}

fn of_trap(trap: Trap, tail: &[u8], limits: &sandmill_core::Limits) -> (EndKind, String) {
    let kind = match trap {
        Trap::OutOfFuel => {
            let fuel = limits.fuel.unwrap_or_default();
            return (EndKind::OutOfFuel, format!("the run used up its fuel of {fuel}"));
        }
        Trap::AllocationTooLarge => return (EndKind::OutOfMemory, trap.to_string()),
        Trap::UnreachableCodeReached => match panic_message::find(tail) {
            Some(LastWords::Panic(message)) => return (EndKind::Trapped(TrapKind::Panic), message),
            Some(LastWords::OutOfMemory(bytes)) => {
                let message = format!(
                    "memory: the guest could not get {} more, the limit is {}",
                    format_size(bytes),
                    format_size(limits.memory)
                );
                return (EndKind::OutOfMemory, message);
            }
            None => TrapKind::Unreachable,
        },
        Trap::StackOverflow => TrapKind::StackOverflow,
        Trap::MemoryOutOfBounds
        | Trap::HeapMisaligned
        | Trap::TableOutOfBounds
        | Trap::ArrayOutOfBounds => TrapKind::OutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            TrapKind::Arithmetic
        }
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference | Trap::CastFailure => {
            TrapKind::BadCall
        }
        Trap::CannotEnterComponent
        | Trap::CannotLeaveComponent
        | Trap::InvalidChar
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer => TrapKind::Contract,
        _ => TrapKind::Other,
    };
    (EndKind::Trapped(kind), trap.to_string())
}

/// Functions through which a Rust guest ends itself: they say nothing of why.
const MACHINERY: &[&str] = &[
    "abort",
    "rust_panic",
    "__rust_start_panic",
    "rust_begin_unwind",
    "__rust_abort",
    "core::panicking::",
    "std::panicking::",
    "std::process::abort",
    "std::sys::pal::",
    "__rustc::",
    "std::sys::backtrace::",
    "panic_abort::",
];

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let names = backtrace.frames().iter().map(|frame| match frame.func_name() {
        Some(name) => {
            let name = format!("{:#}", rustc_demangle::demangle(name));
            crate::context::cut(&name, MAX_NAME_BYTES).to_owned()
        }
        None => format!("<function {}>", frame.func_index()),
    });
    names
        .skip_while(|name| MACHINERY.iter().any(|part| is_machinery(name, part)))
        .take(MAX_FRAMES)
        .collect()
}

fn is_machinery(name: &str, part: &str) -> bool {
    if part.ends_with("::") { name.starts_with(part) } else { name == part }
}

#[cfg(test)]
mod tests {
    use sandmill_core::Limits;
    use wasmtime::error::Context as _;

    use super::*;

    fn kind(error: wasmtime::Error, tail: &str) -> EndKind {
        end_of(&error, Phase::Calling, tail.as_bytes(), &Limits::default()).kind
    }

    #[test]
    fn errors_are_found_under_the_words_put_around_them() {
        let wrapped: wasmtime::Result<()> =
            Err(wasmtime::Error::from(I32Exit(3))).context("in a host call").context("again");
        assert_eq!(kind(wrapped.unwrap_err(), ""), EndKind::Trapped(TrapKind::Exit(3)));
        let full: wasmtime::Result<()> = Err(ResourceTableError::Full.into());
        let full = full.context("a backtrace").unwrap_err();
        assert_eq!(kind(full, ""), EndKind::Trapped(TrapKind::Handles));
        assert_eq!(kind(Stop::Cancelled.into(), ""), EndKind::Cancelled);
        let hit = LimitHit::Memory { asked: 2, limit: 1 };
        assert_eq!(kind(hit.into(), ""), EndKind::OutOfMemory);
    }

    #[test]
    fn unreachable_is_told_apart_by_the_last_words() {
        let unreachable = || wasmtime::Error::from(Trap::UnreachableCodeReached);
        let trapped = EndKind::Trapped;
        assert_eq!(kind(unreachable(), ""), trapped(TrapKind::Unreachable));
        assert_eq!(kind(unreachable(), "panicked at a.rs:1:\nno"), trapped(TrapKind::Panic));
        let failed = "memory allocation of 99 bytes failed\n";
        assert_eq!(kind(unreachable(), failed), EndKind::OutOfMemory);
        // Only that trap: a guest may write what it likes and divide by zero.
        let division = wasmtime::Error::from(Trap::IntegerDivisionByZero);
        assert_eq!(kind(division, "panicked at a.rs:1:\nno"), trapped(TrapKind::Arithmetic));
    }
}
