//! Speech through a call, from one virtual sound card to another, scored as a listener would (PESQ).

// `clippy.toml` lets tests unwrap and print, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::agent::Agent;
use common::pair::{SETUP, SOON};
use common::server::Server;
use common::studio::{NAMES, Studio};

/// What a call must reach (of 4.64 at most). An idle machine gives 4.1 to 4.5; the rest is for a busy one.
const GOOD: f64 = 3.4;
/// Attempts at a good score: the reference shows a machine that is too busy to play and record, but not one that is
/// too busy to decode.
const ATTEMPTS: usize = 6;

#[test]
fn speech_arrives_recognisably_in_both_directions() {
    let studio = Studio::new();
    let server = Server::start();
    let [mut alice, mut bob] = NAMES.map(|name| Agent::start(&server.url(), name, studio.agent(name)));
    alice.wait_user(&bob.name);
    alice.call(&bob.name);
    for agent in [&mut alice, &mut bob] {
        agent.wait_call("connected", SETUP);
        agent.wait_stats("receives sound", SOON, |stats| {
            stats["audio_received"]["packets"].as_u64() > Some(10)
        });
    }
    for (index, name) in NAMES.into_iter().enumerate() {
        let mut scores = Vec::new();
        let score = loop {
            let score = studio.judge(index).unwrap();
            println!("{name}: {score:?}");
            scores.push(score);
            if score.pesq >= GOOD || scores.len() == ATTEMPTS {
                break score;
            }
        };
        assert!(score.pesq >= GOOD, "{name}: {scores:?}\n{}\n{}", alice.story(), bob.story());
        // Mouth to ear.
        let delay = score.delay_ms.unwrap();
        assert!((0.0..500.0).contains(&delay), "{name}: {score:?}");
    }
}
