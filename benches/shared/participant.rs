//! Someone who takes part in calls, agent or browser page, so that both are measured by the same steps.
//!
//! The click is the moment in which the command is written to the agent, or `invite()` runs in the page, before it
//! opens the camera. The first picture is the agent's `first-frame` event (decoded, handed to whoever draws), or the
//! page's first `requestVideoFrameCallback` or `loadeddata`. All clocks are this machine's.

use crate::common::agent::Agent;
use crate::common::page::Guest;
use crate::common::unix_ms;
use std::time::Duration;

/// A call that takes longer to come up is not slow but broken.
pub(crate) const SETUP: Duration = Duration::from_secs(20);
/// Until the other side, too, has ended.
const SOON: Duration = Duration::from_secs(5);

/// Someone who takes part in calls.
pub(crate) trait Participant {
    fn name(&self) -> String;
    /// Begins a call and gives the Unix time of the click in milliseconds.
    fn click(&mut self, peer: &str) -> f64;
    /// Unix time of the first remote picture of the present call, in milliseconds.
    fn first_picture(&mut self) -> f64;
    fn hang_up(&mut self);
    /// Returns when the call has ended here.
    fn wait_ended(&mut self);
}

impl Participant for Agent {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn click(&mut self, peer: &str) -> f64 {
        let clicked = unix_ms();
        self.call(peer);
        clicked
    }

    fn first_picture(&mut self) -> f64 {
        self.wait_first_frame(SETUP)["t"].as_f64().unwrap()
    }

    fn hang_up(&mut self) {
        Agent::hang_up(self);
    }

    fn wait_ended(&mut self) {
        Agent::wait_ended(self, SOON);
    }
}

impl Participant for Guest {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn click(&mut self, peer: &str) -> f64 {
        self.invite(peer);
        self.state()["clicked"].as_f64().unwrap()
    }

    fn first_picture(&mut self) -> f64 {
        let state = self.wait_state("the first picture", SETUP, |state| {
            state["open"] == true && state["firstFrame"].is_number()
        });
        state["firstFrame"].as_f64().unwrap()
    }

    fn hang_up(&mut self) {
        Guest::hang_up(self);
    }

    fn wait_ended(&mut self) {
        Guest::wait_ended(self, SOON);
    }
}
