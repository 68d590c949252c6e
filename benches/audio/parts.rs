//! What the delay from microphone to speaker is made of, in a call of two agents on this machine: each part as the agents
//! tell it (means over two turns of speech), beside the whole as it is heard.
//!
//! What a part holds at a moment is sound that was said and not yet heard, so the means of all parts add up to the whole.
//! The rest is what nobody tells: the look-ahead of Opus (6.5 ms, RFC 6716 section 2.1) and of the processing, and half a
//! fragment that the sound system gathers before it hands it over.

use crate::common::agent::Agent;
use crate::common::pair::SETUP;
use crate::common::server::Server;
use crate::common::studio::{NAMES, Studio};
use crate::ear;
use crate::pressure::Pressure;
use crate::talk::Talk;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Until buffers have found their size.
const SETTLING: Duration = Duration::from_secs(25);
/// The switches of the processing.
const SWITCHES: [&str; 3] = ["--echo-cancellation", "--noise-suppression", "--automatic-gain"];

/// Runs both calls, prints the table, gives the figures.
pub(crate) fn measure(program: &Path) -> Vec<Value> {
    println!("### What the delay is made of\n");
    println!("Milliseconds, from microphone to speaker, one row for each direction.\n");
    println!(
        "| Processing | Microphone and sound system | Its ring and frame | Network | Playout buffer | Ring | Sound \
         system and speaker | Told in all | Heard | Rest | Pressure |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let all = ["off", "on"].into_iter().flat_map(|switch| call(program, switch)).collect();
    println!();
    all
}

fn call(program: &Path, switch: &str) -> Vec<Value> {
    let (studio, server) = (Studio::new(), Server::start());
    let mut agents = NAMES.map(|name| {
        let options =
            SWITCHES.iter().fold(studio.agent(name), |options, option| options.with(option, switch));
        Agent::start(&server.url(), name, options.with_program(program))
    });
    agents[0].wait_user(NAMES[1]);
    let talk = Talk::start(&studio);
    agents[0].call(NAMES[1]);
    for agent in &mut agents {
        agent.wait_call("connected", SETUP);
    }
    std::thread::sleep(SETTLING);
    let before = agents.each_ref().map(|agent| agent.events("stats").len());
    let pressure = Pressure::now();
    let heard = ear::listen(&studio, talk.turn() * 2);
    let pressure = pressure.until_now().share;
    let reports = [0, 1].map(|side| agents[side].events("stats").split_off(before[side]));
    (0..2)
        .map(|speaker| {
            let mean = |side: usize, part: &str, key: &str| {
                let of = |report: &Value| {
                    if part.is_empty() { report[key].as_f64() } else { report[part][key].as_f64() }
                };
                let values: Vec<f64> = reports[side].iter().filter_map(of).collect();
                values.iter().sum::<f64>() / values.len().max(1) as f64
            };
            let listener = 1 - speaker;
            let (captured, device) =
                (mean(speaker, "audio_sent", "microphone_ms"), mean(speaker, "audio_sent", "device_ms"));
            let (ready, speaker_device) = (
                mean(listener, "audio_received", "speaker_ms"),
                mean(listener, "audio_received", "device_ms"),
            );
            let parts = [
                device,
                captured - device,
                mean(speaker, "", "rtt_ms") / 2.0,
                mean(listener, "audio_received", "buffer_ms"),
                ready - speaker_device,
                speaker_device,
            ];
            let (told, whole) = (parts.iter().sum::<f64>(), heard[speaker].map(|delay| delay.median));
            let columns: Vec<String> = parts.iter().map(|part| format!("{part:.1}")).collect();
            let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
            println!(
                "| {switch} | {} | {told:.1} | {} | {} | {} |",
                columns.join(" | "),
                shown(whole),
                shown(whole.map(|whole| whole - told)),
                pressure.map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            );
            json!({
                "processing": switch, "speaker": NAMES[speaker], "parts_ms": parts, "heard_ms": whole,
                "lowest_ms": heard[speaker].map(|delay| delay.lowest),
                "highest_ms": heard[speaker].map(|delay| delay.highest), "pressure": pressure,
            })
        })
        .collect()
}
