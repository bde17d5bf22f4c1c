//! Hosts in network namespaces, tied together by a bridge, and what happens to links between them.
//! The coordinator is in the namespace of the tests, at an address of its own on the bridge.

use std::process::Command;

use crate::names::{Making, take_down_namespace};
use crate::tool::call;

/// A network with hosts, taken down when it goes.
pub struct Network {
    name: String,
    subnet: String,
    hosts: usize,
}

/// A fault of one direction between the coordinator and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deaf {
    /// The host hears nothing, and is heard.
    Host,
    /// The host hears, and is not heard.
    Coordinator,
}

impl Network {
    /// A network with so many hosts. Leftovers of processes that were killed are taken down first.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        assert!((1..=9).contains(&hosts), "a network has 1 to 9 hosts");
        let making = Making::hold();
        making.sweep();
        let (name, subnet) = (making.name(), making.subnet());
        let network = Self { name, subnet, hosts };
        let bridge = network.bridge();
        call(&format!("ip link add {bridge} type bridge"));
        call(&format!("ip addr add {}/24 dev {bridge}", network.coordinator()));
        call(&format!("ip link set {bridge} up"));
        for host in 0..hosts {
            let (space, link) = (network.namespace(host), network.link(host));
            call(&format!("ip netns add {space}"));
            call(&format!("ip link add {link} type veth peer name eth0 netns {space}"));
            call(&format!("ip link set {link} master {bridge} up"));
            call(&format!("ip -n {space} addr add {}/24 dev eth0", network.address(host)));
            call(&format!("ip -n {space} link set lo up"));
            call(&format!("ip -n {space} link set eth0 up"));
        }
        network
    }

    /// How many hosts there are.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        self.hosts
    }

    /// Where the coordinator is.
    #[must_use]
    pub fn coordinator(&self) -> String {
        format!("{}.254", self.subnet)
    }

    /// Where a host is.
    #[must_use]
    pub fn address(&self, host: usize) -> String {
        format!("{}.{}", self.subnet, host + 1)
    }

    /// The namespace of a host.
    #[must_use]
    pub fn namespace(&self, host: usize) -> String {
        format!("{}n{host}", self.name)
    }

    /// A program on a host.
    #[must_use]
    pub fn command(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        // It becomes the program, so that signals reach that.
        command.args(["netns", "exec", &self.namespace(host), program]);
        command
    }

    /// Cuts the link of a host: nothing comes or goes, and nobody is told.
    ///
    /// # Panics
    /// When it cannot be cut.
    pub fn cut(&self, host: usize) {
        call(&format!("ip link set {} down", self.link(host)));
    }

    /// Heals a link that was [cut](Self::cut).
    ///
    /// # Panics
    /// When it cannot be healed.
    pub fn heal(&self, host: usize) {
        call(&format!("ip link set {} up", self.link(host)));
    }

    /// Has what goes in one direction between the coordinator and a host get lost.
    ///
    /// # Panics
    /// When that cannot be had.
    pub fn deafen(&self, host: usize, who: Deaf) {
        self.rule(host, "-A", who);
    }

    /// Ends what [`Self::deafen`] began.
    ///
    /// # Panics
    /// When it was not begun.
    pub fn hear_again(&self, host: usize, who: Deaf) {
        self.rule(host, "-D", who);
    }

    fn rule(&self, host: usize, change: &str, who: Deaf) {
        let rule = match who {
            Deaf::Host => format!("INPUT -s {}", self.coordinator()),
            Deaf::Coordinator => format!("OUTPUT -d {}", self.coordinator()),
        };
        let (chain, rest) = rule.split_once(' ').unwrap_or_default();
        let space = self.namespace(host);
        call(&format!("ip netns exec {space} iptables -w {change} {chain} {rest} -j DROP"));
    }

    /// Slows a link down, in both directions, to so many bits a second, such as `64kbit`. What waits
    /// for it is at most a second of that.
    ///
    /// # Panics
    /// When it cannot be slowed down.
    pub fn slow(&self, host: usize, rate: &str) {
        // What waits may wait for a second, as it does in modems: with less, most is lost, and TCP
        // waits ever longer before it tries again.
        let shape = format!("root tbf rate {rate} burst 4kb latency 1s");
        call(&format!("tc qdisc add dev {} {shape}", self.link(host)));
        call(&format!("tc -n {} qdisc add dev eth0 {shape}", self.namespace(host)));
    }

    /// Ends what [`Self::slow`] began.
    ///
    /// # Panics
    /// When it was not begun.
    pub fn speed_up(&self, host: usize) {
        // Taken away, it would take what waits in it along.
        let shape = "root tbf rate 10gbit burst 16mb latency 50ms";
        call(&format!("tc qdisc change dev {} {shape}", self.link(host)));
        call(&format!("tc -n {} qdisc change dev eth0 {shape}", self.namespace(host)));
    }

    /// Bytes that went over the link of a host, to it and from it.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn traffic(&self, host: usize) -> (u64, u64) {
        let read = |what: &str| {
            let path = format!("/sys/class/net/{}/statistics/{what}_bytes", self.link(host));
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            text.trim().parse().expect("it is a number")
        };
        // What this end sends is what the host gets.
        (read("tx"), read("rx"))
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn link(&self, host: usize) -> String {
        format!("{}v{host}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            let link = self.link(host);
            let _ = crate::tool::attempt(&format!("ip link del {link}"));
            take_down_namespace(&self.namespace(host));
        }
        let _ = crate::tool::attempt(&format!("ip link del {}", self.bridge()));
    }
}
