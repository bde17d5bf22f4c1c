//! `wasi:sockets`: which names a run may look up and which addresses it may reach. Sockets only
//! go out: nothing is listened on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sandmill_core::NetGrant;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};
use wasmtime_wasi::{WasiCtxBuilder, WasiView};

use crate::host::State;

/// Addresses of one name that are granted.
const MAX_ADDRESSES: usize = 64;

/// What one run may look up and connect to. By default nothing. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkGate(Option<Arc<Granted>>);

#[derive(Debug, Default)]
struct Granted {
    /// In lower case, without a dot at the end.
    names: Vec<String>,
    /// In their canonical form (v4, not v4 within v6).
    peers: Vec<(IpAddr, Option<u16>)>,
}

impl NetworkGate {
    /// Grants these peers, by the addresses that they have now. Names without an address are
    /// returned: they grant nothing.
    pub(crate) async fn resolve(grants: &[NetGrant]) -> (Self, Vec<String>) {
        let mut granted = Granted::default();
        let mut unknown = Vec::new();
        for grant in grants {
            if let Ok(address) = grant.host.parse::<IpAddr>() {
                granted.peers.push((address.to_canonical(), grant.port));
                continue;
            }
            granted.names.push(plain(&grant.host));
            match tokio::net::lookup_host((&*grant.host, 0)).await {
                Ok(addresses) => {
                    let addresses = addresses.take(MAX_ADDRESSES);
                    let peer = |address: SocketAddr| (address.ip().to_canonical(), grant.port);
                    granted.peers.extend(addresses.map(peer));
                }
                Err(error) => unknown.push(format!("{}: {error}", grant.host)),
            }
        }
        (Self(Some(Arc::new(granted))), unknown)
    }

    /// Lets the sockets of a WASI context reach what is granted.
    pub(crate) fn open(&self, builder: &mut WasiCtxBuilder) {
        let gate = self.clone();
        builder.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(
            move |address, usage| {
                let admitted = gate.admits(address, usage);
                Box::pin(std::future::ready(admitted))
            },
        );
    }

    fn admits(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        let ip = address.ip().to_canonical();
        match usage {
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                self.0.as_ref().is_some_and(|granted| {
                    granted.peers.iter().any(|(peer, port)| {
                        *peer == ip && port.is_none_or(|port| port == address.port())
                    })
                })
            }
            // Whoever connects or sends is bound to some free port first. Any other is denied.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                self.0.is_some() && ip.is_unspecified() && address.port() == 0
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        }
    }

    fn admits_name(&self, name: &str) -> bool {
        let Some(granted) = &self.0 else { return false };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        bare.parse::<IpAddr>().is_ok() || granted.names.contains(&plain(name))
    }
}

/// A name in the form by which names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ip_name_lookup::ResolveAddressStream>, SocketError> {
        // Other names are not asked for: a question to a name server is a message too.
        if !self.network().admits_name(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.ctx();
        ip_name_lookup::Host::resolve_addresses(&mut self.sockets(), network, name)
    }
}

impl ip_name_lookup::HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> Result<Option<ip_name_lookup::IpAddress>, SocketError> {
        ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.sockets(), stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }

    fn drop(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(grants: &[&str]) -> NetworkGate {
        let grants: Vec<NetGrant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(NetworkGate::resolve(&grants)).0
    }

    fn connects(gate: &NetworkGate, address: &str) -> bool {
        let address = address.parse().unwrap();
        let all = [SocketAddrUse::TcpConnect, SocketAddrUse::UdpSend, SocketAddrUse::UdpReceive];
        let admitted = all.map(|usage| gate.admits(address, usage));
        assert!(admitted.iter().all(|one| *one == admitted[0]));
        admitted[0]
    }

    #[test]
    fn only_granted_peers_are_reached() {
        let granted = gate(&["10.0.0.1:80", "10.0.0.2:*", "[::1]:443"]);
        for good in ["10.0.0.1:80", "10.0.0.2:9", "[::1]:443", "[::ffff:10.0.0.1]:80"] {
            assert!(connects(&granted, good), "{good}");
        }
        for bad in ["10.0.0.1:81", "127.0.0.1:80", "[::1]:80", "169.254.169.254:80", "0.0.0.0:80"] {
            assert!(!connects(&granted, bad), "{bad}");
        }
        assert!(!connects(&NetworkGate::default(), "10.0.0.1:80"));
    }

    #[test]
    fn nothing_is_listened_on() {
        let granted = gate(&["127.0.0.1:*"]);
        let at = |address: &str, usage| granted.admits(address.parse().unwrap(), usage);
        assert!(at("0.0.0.0:0", SocketAddrUse::TcpBind));
        assert!(!at("0.0.0.0:8080", SocketAddrUse::TcpBind));
        assert!(!at("127.0.0.1:0", SocketAddrUse::UdpBind));
        assert!(!at("127.0.0.1:80", SocketAddrUse::TcpListen));
        assert!(!at("127.0.0.1:80", SocketAddrUse::TcpAccept));
        let none = NetworkGate::default();
        assert!(!none.admits("0.0.0.0:0".parse().unwrap(), SocketAddrUse::TcpBind));
    }

    #[test]
    fn only_granted_names_are_looked_up() {
        let granted = NetworkGate(Some(Arc::new(Granted {
            names: vec!["example.com".to_owned()],
            peers: Vec::new(),
        })));
        for good in ["example.com", "EXAMPLE.com.", "10.0.0.1", "[::1]", "::1"] {
            assert!(granted.admits_name(good), "{good}");
        }
        for bad in ["a.example.com", "secret.evil.example", "example.com..", ""] {
            assert!(!granted.admits_name(bad), "{bad}");
        }
        assert!(!NetworkGate::default().admits_name("10.0.0.1"));
    }
}
