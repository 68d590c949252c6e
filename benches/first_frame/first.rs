//! From the click to the first remote picture, on each side.
//!
//! The click is the moment in which the command is written to the agent, or `invite()` runs in the page, before it
//! opens the camera. The first picture is the agent's `first-frame` event (decoded, handed to whoever draws), or the
//! page's first `requestVideoFrameCallback` or `loadeddata`. All clocks are this machine's.

use crate::common::agent::{Agent, Options};
use crate::common::browser::Browser;
use crate::common::page::{Guest, PageServer};
use crate::common::server::Server;
use crate::common::{clip, unix_ms};
use std::time::{Duration, Instant};

/// A call that takes longer to come up is not slow but broken.
const SETUP: Duration = Duration::from_secs(10);
/// Until the other side, too, has ended.
const SOON: Duration = Duration::from_secs(5);
/// From the end of a call to the next click: a person takes longer.
const PAUSE: Duration = Duration::from_millis(500);

/// Milliseconds from the click to the first remote picture, a figure per call.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) caller: Vec<f64>,
    pub(crate) callee: Vec<f64>,
    /// Calls that never came up on both sides, and so have no figure: two of the sample's pages that re-offer at
    /// the same instant wait for each other for ever.
    pub(crate) stuck: usize,
}

/// All kinds of calls.
pub(crate) struct First {
    pub(crate) agents: Kind,
    pub(crate) agent_to_chromium: Kind,
    pub(crate) chromium_to_agent: Kind,
    pub(crate) chromiums: Kind,
}

/// Someone who takes part in calls.
pub(crate) trait Participant {
    fn name(&self) -> String;
    /// Begins a call and gives the Unix time of the click in milliseconds.
    fn click(&mut self, peer: &str) -> f64;
    /// Unix time of the first remote picture of the present call, in milliseconds; `None` if there comes none.
    fn first_picture(&mut self) -> Option<f64>;
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

    fn first_picture(&mut self) -> Option<f64> {
        let event = self.wait_quietly(SETUP, |event| event["event"] == "first-frame")?;
        event["t"].as_f64()
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

    fn first_picture(&mut self) -> Option<f64> {
        let deadline = Instant::now() + SETUP;
        while Instant::now() < deadline {
            let state = self.state();
            if state["open"] == true && state["firstFrame"].is_number() {
                return state["firstFrame"].as_f64();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn hang_up(&mut self) {
        Guest::hang_up(self);
    }

    fn wait_ended(&mut self) {
        Guest::wait_ended(self, SOON);
    }
}

/// An agent whose camera is the clip. It hears, too, so that it does all that a participant does but draw.
pub(crate) fn agent(server: &Server, name: &str) -> Agent {
    let clip = clip::path();
    let options = Options::default()
        .with("--camera", clip.to_str().unwrap())
        .with("--microphone", "tone")
        .with("--accept", "always");
    Agent::start(&server.url(), name, options)
}

/// Measures all kinds of calls, `calls` of each. Agents and browsers are up before the first click and stay.
pub(crate) fn measure(server: &Server, page: &PageServer, calls: usize) -> First {
    let clip = clip::path();
    let mut ann = agent(server, "ann");
    let mut ben = agent(server, "ben");
    ann.wait_user("ben");
    let agents = kind("agent calls agent", &mut ann, &mut ben, calls);
    drop(ben);

    let mut browser = Browser::start(Some(&clip));
    let mut cat = Guest::join(&mut browser, page, server.port(), "cat");
    ann.wait_user("cat");
    let agent_to_chromium = kind("agent calls Chromium", &mut ann, &mut cat, calls);
    let chromium_to_agent = kind("Chromium calls agent", &mut cat, &mut ann, calls);
    drop(ann);

    // A process tree of its own for each participant, as for two people.
    let mut other = Browser::start(Some(&clip));
    let mut dan = Guest::join(&mut other, page, server.port(), "dan");
    let chromiums = kind("Chromium calls Chromium", &mut cat, &mut dan, calls);
    First { agents, agent_to_chromium, chromium_to_agent, chromiums }
}

fn kind(
    name: &'static str,
    caller: &mut dyn Participant,
    callee: &mut dyn Participant,
    calls: usize,
) -> Kind {
    let mut kind =
        Kind { name, caller: Vec::with_capacity(calls), callee: Vec::with_capacity(calls), stuck: 0 };
    while kind.caller.len() < calls {
        std::thread::sleep(PAUSE);
        let clicked = caller.click(&callee.name());
        let pictures = (caller.first_picture(), callee.first_picture());
        if let (Some(at_caller), Some(at_callee)) = pictures {
            kind.caller.push(at_caller - clicked);
            kind.callee.push(at_callee - clicked);
        } else {
            kind.stuck += 1;
            assert!(kind.stuck <= calls, "{name}: {pictures:?} in most of the calls");
        }
        caller.hang_up();
        caller.wait_ended();
        callee.wait_ended();
    }
    kind
}
