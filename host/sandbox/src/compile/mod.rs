//! Component bytes made into machine code, in this process or in a child that has limits. What is
//! kept of it on disk is in `compile_cache`, what is made of it in `prepared`.

mod child;
mod command;
mod compiler;
mod fault;
mod gate;
mod message;
mod process;
#[cfg(test)]
mod tests;

pub use child::{COMPILE_FILES, compile_child};
pub use command::{
    COMPILE_CPU, COMPILE_DEADLINE, COMPILE_FALLBACK_CPU, COMPILE_MEMORY_BYTES, CompileCommand,
    CompileLimits,
};
pub(crate) use compiler::Compiler;
pub use compiler::MAX_COMPILE_CHILDREN;
pub use gate::COMPILE_WAIT;
pub(crate) use message::Effort;
pub use message::MAX_CODE_BYTES;
pub use process::{COMPILE_KILL_GRACE, COMPILE_THREADS, MAX_COMPILE_STDERR};
