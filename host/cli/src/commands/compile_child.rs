//! `sandmill compile-child`, which is hidden: this binary started by itself to compile one component
//! within limits. What is asked and answered is the sandbox's.

use std::path::Path;

use sandmill::CompileCommand;

/// Where Linux has this very program, also when the file that it was started from has been replaced
/// since: one of another build could not compile for this one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Compiles for the process that started this one, and says what to exit with.
pub(crate) fn compile_child() -> u8 {
    sandmill::sandbox::compile_child()
}

/// What makes such a process of this binary. Where it is not known where that is, whoever compiles will be
/// told; others need not care.
pub(crate) fn compile_command() -> CompileCommand {
    let this = Path::new(THIS_PROGRAM);
    let program = if this.exists() { None } else { std::env::current_exe().ok() };
    CompileCommand::new(program.unwrap_or_else(|| this.to_owned()), ["compile-child"])
}
