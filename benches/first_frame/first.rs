//! From the click to the first remote picture, on each side.

use crate::common::agent::{Agent, Options};
use crate::common::browser::Browser;
use crate::common::clip;
use crate::common::page::{Guest, PageServer};
use crate::common::scene::Scene;
use crate::common::server::Server;
use crate::participant::Participant;
use std::time::Duration;

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

/// An agent whose camera sees the scene. It hears, too, so that it does all that a participant does but draw.
pub(crate) fn agent(server: &Server, name: &str, scene: Scene) -> Agent {
    let clip = clip::path(scene);
    let options = Options::default()
        .with("--camera", clip.to_str().unwrap())
        .with("--microphone", "tone")
        .with("--accept", "always");
    Agent::start(&server.url(), name, options)
}

/// Measures all kinds of calls, `calls` of each. Agents and browsers are up before the first click and stay.
pub(crate) fn measure(server: &Server, page: &PageServer, scene: Scene, calls: usize) -> First {
    let clip = clip::path(scene);
    let mut ann = agent(server, "ann", scene);
    let mut ben = agent(server, "ben", scene);
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
