//! A real call between two agents whose only way to each other is an emulated link.

use crate::common::agent::{Agent, Options};
use crate::common::pair::{SOON, connect};
use crate::common::server::Server;
use crate::door::Doors;
use crate::link::emulator::Emulator;
use crate::link::netns::{Namespace, remove_stale};
use crate::link::schedule::{Schedule, Shape};
use crate::link::tun::Tun;
use std::time::{Duration, Instant};

/// One way.
const DELAY: Duration = Duration::from_millis(25);

#[test]
fn two_agents_call_each_other_across_the_emulated_link() {
    remove_stale();
    // Only root may make networks, and some containers not even let root.
    let made = Namespace::create("a").and_then(|one| Ok((one, Namespace::create("b")?)));
    let (one, other) = match made {
        Ok(namespaces) => namespaces,
        Err(error) => return eprintln!("left out: no network namespaces here: {error}"),
    };
    let devices =
        Tun::create(&one, "10.77.0.1/30").and_then(|a| Ok([a, Tun::create(&other, "10.77.0.2/30")?]));
    let devices = match devices {
        Ok(devices) => devices,
        Err(error) => return eprintln!("left out: no TUN devices here: {error}"),
    };
    let link = Emulator::start(devices).unwrap();
    link.begin(Schedule::steady(Shape { delay: DELAY, ..Shape::CLEAN }), 1, Instant::now());

    let server = Server::start();
    let doors = Doors::new().unwrap();
    let agent = |namespace: &Namespace, name| {
        doors.open(namespace, server.address()).unwrap();
        namespace.run(|| Ok(Agent::start(&server.url(), name, Options::lively()))).unwrap()
    };
    let (mut alice, mut bob) = (agent(&one, "alice"), agent(&other, "bob"));
    alice.wait_user("bob");
    connect(&mut alice, &mut bob);
    for agent in [&mut alice, &mut bob] {
        // Nothing but the link between them takes so long.
        agent.wait_stats("is far away", SOON, |stats| {
            stats["rtt_ms"].as_f64().is_some_and(|rtt| rtt >= 2.0 * DELAY.as_secs_f64() * 1000.0)
        });
    }
    let report = link.report().unwrap();
    for counts in report.counts {
        assert!(counts.left > 50 && counts.lost + counts.overflowed + counts.cut == 0, "{counts:?}");
    }
}
