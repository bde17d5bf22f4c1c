//! Which program compiles, and what it may use for that.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// CPU time, of all its threads together, that compiling one component may take at full
/// optimisation: 60 s.
pub const COMPILE_CPU: Duration = Duration::from_secs(60);
/// The same for the second try, without optimisations: 60 s.
pub const COMPILE_FALLBACK_CPU: Duration = Duration::from_secs(60);
/// Address space of a process that compiles: 4 GiB. It holds the component, the code, what the
/// compiler needs between the two, and the program itself.
pub const COMPILE_MEMORY_BYTES: u64 = 4 << 30;
/// Wall-clock time that one try may take, where the machine has no CPU time to give: 5 min. Longer is
/// not the component's fault, and another try may help.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(300);

/// A program that compiles components: one that calls [`compile_child`](crate::compile_child) and
/// ends with what that returns, such as `sandmill compile-child`. It has to be built from the same
/// version of this crate; one that is not is told apart, and its code is not used. The code is run
/// as it is, so this has to be a program that is trusted as much as this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl CompileCommand {
    /// This program with these arguments.
    #[must_use]
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }
}

/// What compiling one component may use, where a [`CompileCommand`] is set. In this process,
/// compiling has no limits but those on the component's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time of the first try, at full optimisation, in whole seconds (a part of one counts as
    /// one). Default [`COMPILE_CPU`].
    pub cpu: Duration,
    /// CPU time of the second try, without optimisations, which is made when the first ran into a
    /// limit. Default [`COMPILE_FALLBACK_CPU`].
    pub fallback_cpu: Duration,
    /// Address space of the process, in bytes. Default [`COMPILE_MEMORY_BYTES`].
    pub memory: u64,
    /// Wall-clock time of each try. Default [`COMPILE_DEADLINE`].
    pub deadline: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            cpu: COMPILE_CPU,
            fallback_cpu: COMPILE_FALLBACK_CPU,
            memory: COMPILE_MEMORY_BYTES,
            deadline: COMPILE_DEADLINE,
        }
    }
}
