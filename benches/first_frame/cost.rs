//! What one participant costs in a call: processor time and memory.
//!
//! Of an agent and of a window, its process: the largest resident memory that it ever had. Of Chromium, its whole process tree: the
//! largest sum of proportional shares (pages that its processes share count once), looked at every second; which is
//! kinder to Chromium, for our share of the system's libraries counts in full.

use crate::common::browser::Browser;
use crate::common::page::{Guest, PageServer};
use crate::common::proc_fs;
use crate::common::scene::Scene;
use crate::common::server::Server;
use crate::common::{clip, unix_ms};
use crate::first::agent;
use crate::participant::{Participant, SETUP};
use crate::used::{SAMPLE_INTERVAL, Used, used_by_stats};
use crate::window::{self, Share};
use std::time::{Duration, Instant};

/// The cost of both sides of all kinds of calls.
pub(crate) struct Cost {
    pub(crate) agents: [Used; 2],
    pub(crate) windows: [Used; 2],
    /// Where the windows' processor time went.
    pub(crate) shares: [Share; 2],
    pub(crate) chromiums: [Used; 2],
}

/// Measures a call of `seconds` between two agents, then one between two windows, then one between two Chromiums.
pub(crate) fn measure(server: &Server, page: &PageServer, scene: Scene, seconds: u64) -> Cost {
    let span = Duration::from_secs(seconds);
    let agents = agents(server, scene, span);
    let (windows, shares) = window::measure(server, scene, span);
    Cost { agents, windows, shares, chromiums: chromiums(server, page, scene, span) }
}

fn agents(server: &Server, scene: Scene, span: Duration) -> [Used; 2] {
    let mut pair = ["eve", "fay"].map(|name| agent(server, name, scene));
    pair[0].wait_user("fay");
    std::thread::sleep(SAMPLE_INTERVAL);
    let before = pair.each_ref().map(|agent| proc_fs::cpu_seconds(agent.id()));
    pair[0].call("fay");
    let started = Instant::now();
    for agent in &mut pair {
        agent.wait_first_frame(SETUP);
    }
    std::thread::sleep(span.saturating_sub(started.elapsed()));
    let after = pair.each_ref().map(|agent| proc_fs::cpu_seconds(agent.id()));
    let peak = pair.each_ref().map(|agent| proc_fs::peak_kib(agent.id()) as f64 / 1024.0);
    let names = ["agent, caller", "agent, callee"];
    std::array::from_fn(|side| {
        used_by_stats(names[side], &pair[side].events("stats"), after[side] - before[side], peak[side])
    })
}

fn chromiums(server: &Server, page: &PageServer, scene: Scene, span: Duration) -> [Used; 2] {
    let clip = clip::path(scene);
    let mut browsers = [Browser::start(Some(&clip)), Browser::start(Some(&clip))];
    let [one, other] = &mut browsers;
    let mut gus = Guest::join(one, page, server.port(), "gus");
    let mut hal = Guest::join(other, page, server.port(), "hal");
    // One call beforehand: whatever a browser does once only, when it is new, is not the call's cost.
    gus.click("hal");
    gus.first_picture();
    hal.first_picture();
    gus.hang_up();
    Participant::wait_ended(&mut hal);
    std::thread::sleep(SAMPLE_INTERVAL);

    let trees = || browsers.each_ref().map(|browser| proc_fs::family(browser.id()));
    let cpu = || trees().map(|tree| tree.into_iter().map(proc_fs::cpu_seconds).sum::<f64>());
    let mut peak = [0.0_f64; 2];
    let before = cpu();
    let clicked = unix_ms();
    let started = Instant::now();
    gus.click("hal");
    while started.elapsed() < span {
        for (peak, tree) in peak.iter_mut().zip(trees()) {
            let now = tree.into_iter().map(proc_fs::proportional_kib).sum::<u64>() as f64 / 1024.0;
            *peak = peak.max(now);
        }
        std::thread::sleep(SAMPLE_INTERVAL.min(span.saturating_sub(started.elapsed())));
    }
    let after = cpu();
    let seconds = (unix_ms() - clicked) / 1000.0;
    let mut guests = [("Chromium, caller", gus), ("Chromium, callee", hal)].into_iter();
    std::array::from_fn(|side| {
        let (name, mut guest) = guests.next().unwrap();
        let (figures, state) = (guest.figures(), guest.state());
        Used {
            name,
            cpu_seconds: after[side] - before[side],
            peak_mib: peak[side],
            pictures: figures["framesDecoded"].as_f64().unwrap(),
            size: (state["width"].as_u64().unwrap(), state["height"].as_u64().unwrap()),
            bits_per_second: figures["bytesReceived"].as_f64().unwrap() * 8.0 / seconds,
        }
    })
}
