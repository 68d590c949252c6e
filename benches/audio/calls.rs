//! Whole calls over emulated links: a fresh stage per call, and both directions judged one after the other.

use crate::common::page::PageServer;
use crate::common::server::Server;
use crate::common::studio::{NAMES, Score, Studio};
use crate::door::Doors;
use crate::link::emulator::Emulator;
use crate::link::netns::Namespace;
use crate::link::tun::Tun;
use crate::machine;
use crate::parties::{Pairing, Party};
use crate::pressure::Pressure;
use crate::rows::Row;
use serde_json::{Value, json};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

/// Addresses of the link's two ends.
const ADDRESSES: [&str; 2] = ["10.78.0.1/30", "10.78.0.2/30"];

struct Outcome {
    scores: [Score; 2],
    pressure: Option<f64>,
}

/// Runs all, prints the table as it grows, gives the figures.
pub(crate) fn measure(rows: &[Row], pairings: &[Pairing], seeds: Range<u64>, program: &Path) -> Vec<Value> {
    println!("### Whole calls\n");
    println!(
        "One column for each direction: alice's voice is deep, bob's is high. Delay from mouth to ear.\n"
    );
    println!("| Link | Who | Seed | PESQ alice | PESQ bob | Delay ms alice | Delay ms bob | Pressure |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    let mut all = Vec::new();
    for row in rows {
        for pairing in pairings {
            for seed in seeds.clone() {
                eprintln!("{}: {}, seed {seed} (load {})", row.title, pairing.title(), machine::load());
                // The fixtures panic with the whole story when something does not come in time.
                let outcome = catch_unwind(AssertUnwindSafe(|| run(row, *pairing, seed, program)))
                    .unwrap_or_else(|_| Err("see the panic above".to_owned()));
                print(row, *pairing, seed, &outcome);
                all.push(figures(row, *pairing, seed, &outcome));
            }
        }
    }
    println!();
    all
}

fn run(row: &Row, pairing: Pairing, seed: u64, program: &Path) -> Result<Outcome, String> {
    let failed = |error: std::io::Error| format!("the stage cannot be built: {error}");
    // Dropped in the reverse order: the participants first, then their networks.
    let namespaces = [Namespace::create("a").map_err(failed)?, Namespace::create("b").map_err(failed)?];
    let emulator = Emulator::start([
        Tun::create(&namespaces[0], ADDRESSES[0]).map_err(failed)?,
        Tun::create(&namespaces[1], ADDRESSES[1]).map_err(failed)?,
    ])
    .map_err(failed)?;
    let (server, page) = (Server::start(), PageServer::start());
    let studio = if row.drift_ppm == 0.0 { Studio::new() } else { Studio::with_drift(row.drift_ppm) };
    let doors = Doors::new().map_err(failed)?;
    let start = |side: usize| {
        for address in [server.address(), page.address()] {
            doors.open(&namespaces[side], address)?;
        }
        let card = (&studio, NAMES[side]);
        Party::start(pairing, card, row.with_picture, &namespaces[side], (&server, &page), program)
    };
    let (mut alice, mut bob) = (start(0).map_err(failed)?, start(1).map_err(failed)?);
    alice.wait_user(NAMES[1]);
    alice.call(NAMES[1]);
    for party in [&mut alice, &mut bob] {
        party.wait_sound();
    }
    emulator.begin(row.schedule.clone(), seed, Instant::now());
    for _ in 0..row.rounds {
        studio.chatter();
    }
    let pressure = Pressure::now();
    let scores = [studio.judge(0)?, studio.judge(1)?];
    Ok(Outcome { scores, pressure: pressure.until_now().share })
}

fn print(row: &Row, pairing: Pairing, seed: u64, outcome: &Result<Outcome, String>) {
    let who = pairing.title();
    match outcome {
        Ok(Outcome { scores: [alice, bob], pressure }) => {
            let delay =
                |score: &Score| score.delay_ms.map_or("–".to_owned(), |delay| format!("{delay:.0}"));
            let pressure = pressure.map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0));
            println!(
                "| {} | {who} | {seed} | {:.2} | {:.2} | {} | {} | {pressure} |",
                row.title,
                alice.pesq,
                bob.pesq,
                delay(alice),
                delay(bob)
            );
        }
        Err(reason) => println!("| {} | {who} | {seed} | {reason} | | | | |", row.title),
    }
}

fn figures(row: &Row, pairing: Pairing, seed: u64, outcome: &Result<Outcome, String>) -> Value {
    match outcome {
        Ok(Outcome { scores, pressure }) => json!({
            "link": row.name, "who": pairing.title(), "seed": seed, "pressure": pressure,
            "pesq": scores.map(|score| score.pesq), "delay_ms": scores.map(|score| score.delay_ms),
        }),
        Err(reason) => json!({ "link": row.name, "who": pairing.title(), "seed": seed, "error": reason }),
    }
}
