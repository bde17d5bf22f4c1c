//! Structured log lines of a run. What a task prints is captured as well; this adds a level.
//!
//! ```
//! use sandmill_guest::log;
//!
//! let rows = 3;
//! log::info!("read {rows} rows");
//! ```

use std::fmt;

#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

/// How much a line matters, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step, for whoever debugs the task.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// What a reader of the run's log wants to see.
    Info,
    /// Something odd that the task could work around.
    Warn,
    /// Something failed.
    Error,
}

/// Bytes of one text that are handed to the host: 64 KiB, more than any host keeps of a line. A host
/// may end a run that hands it far more at once.
const MAX_BYTES: usize = 64 << 10;

/// Writes one line. Lines and totals are bounded by the host's limits: what is over is cut, and
/// the cut is marked.
///
/// The macros of this module do the same with a format string.
pub fn write(level: Level, message: &str) {
    let message = beginning(message);
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::sandmill::task::log as host;
        let level = match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::write(level, message);
    }
    #[cfg(not(target_family = "wasm"))]
    host::write(level, message);
}

/// What the host is handed of a text.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BYTES)]
}

/// What the macros expand to; a text without arguments is not copied.
#[doc(hidden)]
pub fn write_format(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => write(level, text),
        None => write(level, &message.to_string()),
    }
}

macro_rules! level_macros {
    ($dollar:tt $($name:ident $hidden:ident $level:ident $doc:literal)*) => {$(
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $hidden {
            ($dollar($dollar message:tt)+) => {
                $crate::log::write_format(
                    $crate::log::Level::$level,
                    ::core::format_args!($dollar($dollar message)+),
                )
            };
        }

        #[doc = $doc]
        ///
        /// Takes what [`format!`] takes.
        #[doc(inline)]
        pub use $hidden as $name;
    )*};
}

level_macros! {
    $
    trace __sandmill_trace Trace "Logs at [`Level::Trace`]."
    debug __sandmill_debug Debug "Logs at [`Level::Debug`]."
    info __sandmill_info Info "Logs at [`Level::Info`]."
    warn __sandmill_warn Warn "Logs at [`Level::Warn`]."
    error __sandmill_error Error "Logs at [`Level::Error`]."
}
