//! Why a component was not compiled, and whose fault that is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sandmill_core::units::{format_duration, format_size};
use sandmill_wire::{End, EndKind};

/// A limit that compiling ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Cpu(Duration),
    Memory(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(time) => write!(f, "more than {} of CPU time", format_duration(*time)),
            Self::Memory(bytes) => write!(f, "more than {} of memory", format_size(*bytes)),
        }
    }
}

fn shown(time: &Duration) -> String {
    format_duration(*time)
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the component is not valid: {0}")]
    Invalid(String),
    #[error("compiling the component takes {0}")]
    Limit(Limit),
    #[error("compiling the component takes {0}, and without optimisations it takes {1}")]
    BothLimits(Limit, Limit),
    #[error("the component cannot be compiled: {0}")]
    Broken(String),
    #[error("the component cannot be compiled: `{}` answered more than {} bytes", .0.display(), .1)]
    TooMuch(PathBuf, usize),
    /// It was killed, or ended without an answer.
    #[error("the component cannot be compiled: `{}` ended without an answer ({})", .0.display(), .1)]
    Ended(PathBuf, String),
    #[error("the component cannot be compiled: `{}` did not answer as a compiler does ({})", .0.display(), .1)]
    Garbage(PathBuf, String),
    /// The limit on CPU time comes first where the machine has any to give.
    #[error(
        "`{}` had not compiled the component after {}, and had not used up its CPU time either: it \
         was stopped, or this machine has too much to do", .0.display(), shown(.1)
    )]
    Late(PathBuf, Duration),
    #[error("`{}` was told to end before it had compiled the component ({})", .0.display(), .1)]
    Told(PathBuf, String),
    #[error("`{}` compiles for another build of this host", .0.display())]
    OtherBuild(PathBuf),
    #[error("`{}` could not be started to compile the component: {}", .0.display(), .1)]
    Start(PathBuf, io::Error),
    #[error("`{}` could not be talked to while it compiled the component: {}", .0.display(), .1)]
    Talk(PathBuf, io::Error),
    #[error("`{}` cannot compile on this machine: {}", .0.display(), .1)]
    Unable(PathBuf, String),
    #[error("other components were compiled for {}, and it was not this one's turn", shown(.0))]
    Busy(Duration),
    #[error("no random number could be had: {0}")]
    NoRandom(String),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::Invalid(_)
            | Fault::Limit(_)
            | Fault::BothLimits(..)
            | Fault::Broken(_)
            | Fault::TooMuch(..)
            | Fault::Ended(..)
            | Fault::Garbage(..) => EndKind::Refused,
            Fault::Late(..)
            | Fault::Told(..)
            | Fault::OtherBuild(_)
            | Fault::Start(..)
            | Fault::Talk(..)
            | Fault::Unable(..)
            | Fault::Busy(_)
            | Fault::NoRandom(_) => EndKind::HostError,
        };
        End::new(kind, fault.to_string())
    }
}
