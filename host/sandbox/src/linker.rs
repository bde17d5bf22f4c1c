//! Everything that a guest can import, by interface. What a run may do with it follows from its
//! grants, not from what is linked: toolchains import far more than tasks use.

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{LinkOptions, cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use crate::context;
use crate::futures;
use crate::host::State;
use crate::keeping;

/// Interfaces that guests may import, without their versions.
const KNOWN_PACKAGES: &[(&str, &str, &[&str])] = &[
    ("sandmill:task", "0.1.", &["context", "futures", "log", "types"]),
    (
        "wasi:cli",
        "0.2.",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:io", "0.2.", &["error", "poll", "streams"]),
    ("wasi:clocks", "0.2.", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", "0.2.", &["random", "insecure", "insecure-seed"]),
    ("wasi:filesystem", "0.2.", &["types", "preopens"]),
    (
        "wasi:sockets",
        "0.2.",
        &[
            "network",
            "instance-network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
            "ip-name-lookup",
        ],
    ),
    ("wasi:http", "0.2.", &["types", "outgoing-handler"]),
];

/// Whether an import such as `wasi:random/random@0.2.6` is one that this host has.
pub(crate) fn is_known(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = name.split_once('/') else { return false };
    KNOWN_PACKAGES.iter().any(|(known, versions, interfaces)| {
        *known == package && version.starts_with(versions) && interfaces.contains(&interface)
    })
}

/// Links all of it.
pub(crate) fn link(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::<State>::new(engine);
    let l = &mut linker;
    let options = LinkOptions::default();

    context::link(l)?;
    futures::link(l)?;

    io::error::add_to_linker::<State, HasTable>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    io::streams::add_to_linker::<State, HasTable>(l, |state| &mut state.table)?;

    clocks::wall_clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    clocks::monotonic_clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    random::random::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    random::insecure::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    random::insecure_seed::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;

    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;

    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;

    sockets::tcp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::network::add_to_linker::<State, WasiSockets>(l, &(&options).into(), State::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;

    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    keeping::link(l)?;
    Ok(linker)
}

/// Host functions that need no more than the table of handles.
struct HasTable;

impl wasmtime::component::HasData for HasTable {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_known_by_name_and_version() {
        for good in ["wasi:random/random@0.2.6", "sandmill:task/log@0.1.0", "wasi:io/poll@0.2.0"] {
            assert!(is_known(good), "{good}");
        }
        for bad in [
            "wasi:random/random",
            "wasi:random/random@0.3.0",
            "wasi:nn/graph@0.2.0",
            "sandmill:task/log@0.2.0",
            "random",
            "wasi:io/pollx@0.2.0",
            "wasi:random/random@0.20.0",
        ] {
            assert!(!is_known(bad), "{bad}");
        }
    }
}
