//! Two agents on one server, and what they do together in most tests.

use super::agent::{Agent, Options};
use super::server::Server;
use std::time::Duration;

/// A call over loopback is up in a fraction of a second; this is for a loaded machine.
pub(crate) const SETUP: Duration = Duration::from_secs(20);
/// For what takes no time but the machine's.
pub(crate) const SOON: Duration = Duration::from_secs(8);

/// Two agents on one server, named alice and bob, who see each other.
pub(crate) fn pair(server: &Server, alice: Options, bob: Options) -> (Agent, Agent) {
    let mut alice = Agent::start(&server.url(), "alice", alice);
    let mut bob = Agent::start(&server.url(), "bob", bob);
    alice.wait_user("bob");
    bob.wait_user("alice");
    (alice, bob)
}

/// One calls the other, until both see each other. What is left of an earlier call does not count.
pub(crate) fn connect(caller: &mut Agent, callee: &mut Agent) {
    caller.wait_idle(SOON);
    caller.call(&callee.name.clone());
    caller.wait_in_call(SETUP, || callee.story());
    callee.wait_in_call(SETUP, || caller.story());
}

/// One hangs up, until both have noticed.
pub(crate) fn hang_up(one: &mut Agent, other: &mut Agent) {
    one.hang_up();
    one.wait_ended(SOON);
    other.wait_ended(SOON);
}
