//! The stage of one row: two networks joined by an emulated link, a server, and the participants.

use crate::common::page::PageServer;
use crate::common::server::Server;
use crate::door::{Doors, Outage};
use crate::link::emulator::Emulator;
use crate::link::netns::Namespace;
use crate::link::tun::Tun;
use crate::options::{Kind, Options, Pairing};
use crate::party::{AgentParty, PageParty, Party};
use crate::rows::Row;
use std::io::Result;
use std::time::{Duration, Instant};

/// Addresses of the link's two ends.
const ADDRESSES: [&str; 2] = ["10.77.0.1/30", "10.77.0.2/30"];

/// Two who are to call each other.
pub(crate) struct Couple {
    pub(crate) caller: Box<dyn Party>,
    pub(crate) callee: Box<dyn Party>,
    pub(crate) kinds: [Kind; 2],
}

/// Everything that a row needs. Fields are dropped in this order: participants first, their networks last.
pub(crate) struct Stage {
    pub(crate) couples: Vec<Couple>,
    doors: Doors,
    emulator: Emulator,
    _server: Server,
    _page: PageServer,
    _namespaces: [Namespace; 2],
}

impl Stage {
    /// Builds it, with as many couples as the row has calls.
    pub(crate) fn build(pairing: Pairing, calls: usize, options: &Options) -> Result<Self> {
        let namespaces = [Namespace::create("a")?, Namespace::create("b")?];
        let devices =
            [Tun::create(&namespaces[0], ADDRESSES[0])?, Tun::create(&namespaces[1], ADDRESSES[1])?];
        let emulator = Emulator::start(devices)?;
        let (server, page) = (Server::start(), PageServer::start());
        let doors = Doors::new()?;
        for namespace in &namespaces {
            doors.open(namespace, server.address())?;
            doors.open(namespace, page.address())?;
        }
        let mut couples = Vec::new();
        for call in 0..calls {
            let kinds = pairing.kinds(call, calls);
            let start = |side: usize| -> Result<Box<dyn Party>> {
                let name = format!("{}{call}", ["caller", "callee"][side]);
                let namespace = &namespaces[side];
                Ok(match kinds[side] {
                    Kind::Agent => Box::new(AgentParty::start(namespace, &server, &name, options)?),
                    Kind::Chromium => {
                        Box::new(PageParty::start(namespace, &server, &page, &name, options.scene)?)
                    }
                })
            };
            let (mut caller, callee) = (start(0)?, start(1)?);
            caller.wait_peer(&callee.name());
            couples.push(Couple { caller, callee, kinds });
        }
        Ok(Self { couples, doors, emulator, _server: server, _page: page, _namespaces: namespaces })
    }

    /// The row's link from `at` on, blackouts of signaling included.
    pub(crate) fn begin_link(&self, row: &Row, seed: u64, at: Instant) {
        let cut = row.change.filter(|change| change.blackout);
        let outage = |from: Duration, until: Duration| Outage { from: at + from, until: at + until };
        self.doors.close_during(cut.into_iter().map(|cut| outage(cut.from, cut.until)).collect());
        self.emulator.begin(row.schedule.clone(), seed, at);
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        &self.emulator
    }
}
