//! What breaks, and how: servers by signals and commands, the network by the proxies in front of them.

use std::time::Duration;

use cache_redis::{Address, Config, Mode};
use cache_testkit::redis::{Proxy, Sentinels, Server};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::book::NODES;
use super::pass;

/// Something that happens to what a fleet shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    Killed,
    Stopped,
    RestartedEmpty,
    FailedOver,
    ReadOnly,
    OutOfMemory,
    Slow,
    CutInReply,
    BusCut,
}

/// How late each answer of a slow server is.
const DELAY: Duration = Duration::from_millis(100);
/// Between two connections that end in mid-reply.
const BETWEEN_CUTS: Duration = Duration::from_millis(50);

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::RestartedEmpty => "restarted-empty",
            Self::FailedOver => "failed-over",
            Self::ReadOnly => "read-only",
            Self::OutOfMemory => "out-of-memory",
            Self::Slow => "slow",
            Self::CutInReply => "cut-in-reply",
            Self::BusCut => "bus-cut",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Nothing => "all is well, for comparison",
            Self::Killed => "the server is killed, and started again, empty, in the end",
            Self::Stopped => "the server is suspended by SIGSTOP: connections stay, nothing is answered",
            Self::RestartedEmpty => "the server is killed and started again at once, empty",
            Self::FailedOver => "the primary is killed, and Sentinels make a replica the primary",
            Self::ReadOnly => {
                "the server is a replica that has lost its primary: reads work, writes are refused"
            }
            Self::OutOfMemory => "the server refuses whatever takes memory, and evicts nothing",
            Self::Slow => "each answer is late by 100 ms, which is the command timeout",
            Self::CutInReply => {
                "20 times a second the tier's connection of each node ends in the middle of an answer"
            }
            Self::BusCut => {
                "of three buses one hears no more, without a sign, and one is disconnected; keys change"
            }
        }
    }

    /// Which nodes cannot tell the tier what they change, or cannot tell the other nodes.
    pub(super) fn mute(self) -> [bool; NODES] {
        match self {
            Self::Nothing => [false; NODES],
            // What a node cannot publish, others hear when it is back; until then what they hold is as good as its life.
            Self::BusCut => [true, true, false],
            _ => [true; NODES],
        }
    }
}

impl ValueEnum for Fault {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Nothing,
            Self::Killed,
            Self::Stopped,
            Self::RestartedEmpty,
            Self::FailedOver,
            Self::ReadOnly,
            Self::OutOfMemory,
            Self::Slow,
            Self::CutInReply,
            Self::BusCut,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.what()))
    }
}

/// What a fleet shares.
pub(super) enum Place {
    /// A server, with two proxies for each node: for its tier and leases, and for its bus.
    One { server: Server, tier: Vec<Proxy>, bus: Vec<Proxy> },
    /// What Sentinels watch. They name the servers themselves, so nothing stands in between.
    Watched(Sentinels),
}

impl Place {
    /// Starts what this fault can happen to.
    pub(super) fn start(fault: Fault) -> Self {
        if fault == Fault::FailedOver {
            return Self::Watched(Sentinels::start());
        }
        let server = Server::start();
        let proxies = || (0..NODES).map(|_| Proxy::to(server.address())).collect();
        Self::One { tier: proxies(), bus: proxies(), server }
    }

    /// How a node reaches it: for its tier and leases, and for its bus.
    pub(super) fn configs(&self, node: usize) -> [Config; 2] {
        match self {
            Self::One { tier, bus, .. } => [tier, bus].map(|proxies| {
                let address = proxies[node].address();
                Config::new(Mode::Standalone, [Address::new(address.ip().to_string(), address.port())])
            }),
            Self::Watched(sentinels) => {
                let known = |it: std::net::SocketAddr| Address::new(it.ip().to_string(), it.port());
                let mode = Mode::Sentinel { name: Sentinels::NAME.into() };
                let config = Config::new(mode, sentinels.addresses().into_iter().map(known));
                [config.clone(), config]
            }
        }
    }

    /// Has the fault happen, and returns when it is over: after so long, if its length can be chosen.
    pub(super) fn suffer(&mut self, fault: Fault, lasts: Duration) {
        let (server, tier, bus) = match self {
            Self::Watched(sentinels) => return sentinels.kill_primary(),
            Self::One { server, tier, bus } => (server, tier, bus),
        };
        match fault {
            Fault::Nothing | Fault::FailedOver => pass(lasts),
            Fault::Killed => {
                server.kill();
                pass(lasts);
                server.restart();
            }
            Fault::RestartedEmpty => server.restart(),
            Fault::Stopped => {
                server.stop();
                pass(lasts);
                server.cont();
            }
            Fault::ReadOnly => {
                // Nobody listens there, so it keeps what it has.
                server.call(&["REPLICAOF", "127.0.0.1", "1"]);
                pass(lasts);
                server.make_primary();
            }
            Fault::OutOfMemory => {
                server.fill_memory();
                pass(lasts);
                server.free_memory();
            }
            Fault::Slow => {
                tier.iter().chain(&*bus).for_each(|proxy| proxy.delay(DELAY));
                pass(lasts);
            }
            Fault::CutInReply => {
                let times = u32::try_from(lasts.as_millis() / BETWEEN_CUTS.as_millis()).unwrap_or(u32::MAX);
                for time in 0..times as usize {
                    for proxy in &*tier {
                        proxy.cut_after(1 + time * 7 % 60);
                    }
                    pass(BETWEEN_CUTS);
                }
            }
            Fault::BusCut => {
                bus[0].hold();
                bus[1].refuse();
                bus[1].cut();
                pass(lasts);
            }
        }
        tier.iter().chain(&*bus).for_each(Proxy::heal);
    }
}
