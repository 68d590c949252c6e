//! Whole calls over emulated links, measured from the outside, by the same steps and from the same pixels whoever
//! takes part: agents and Chromium, in every pairing.
//!
//! Each participant has a network namespace of its own; the emulated link ([`link`]) is the only way between them that
//! ICE can find, and signaling comes in by a [`door`]. A row ([`rows`], [`run`]) is a fresh [`stage`], one short call
//! to warm up, and the measured call. [`party`] watches both ends, [`figures`] and [`similarity`] compute,
//! [`table`] prints.
//!
//! What the figures are:
//!
//! * height, fps, freezes, latency: of the pictures as they were handed to whoever draws (agent) or presented (page).
//!   Latency is from the sender's camera picture (agent: the `local` frame event; page: the capture time of its
//!   preview) to the same picture shown by the receiver, found by the counter burnt into the clip.
//! * kbit/s: video as the receiver counts it. SSIM and PSNR: brightness of a picture every two seconds, against the
//!   clip's own, at 720p.
//! * CPU: share of one core, from the click to the end, of the process (agent) or the whole process tree (browser);
//!   being watched is in it. MiB: see `benches/first_frame`.
//! * pressure: share of the time in which something had to wait for a processor. Above some 20 % the figures say more
//!   of the machine than of the programs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]
#![allow(clippy::unwrap_used, reason = "a fixture that fails ends its row, whose error is printed")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/participant.rs"]
mod participant;

mod clip_pictures;
mod door;
mod evidence;
mod figures;
mod link;
mod options;
mod party;
mod pressure;
mod result;
mod rows;
mod run;
mod similarity;
mod stage;
mod stop;
mod table;

use clap::Parser;
use options::{Options, Pairing};
use rows::Row;
use run::Outcome;
use serde_json::json;
use table::Measured;

fn main() {
    let options = Options::parse();
    let rows = match chosen(&options) {
        Ok(rows) => rows,
        Err(reason) => {
            eprintln!("bench-call: {reason}");
            std::process::exit(2);
        }
    };
    link::netns::remove_stale();
    let machine = machine::describe(&options.ahoy);
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("Calls over emulated links: `scripts/bench-call {}`\n", words.join(" "));
    for (what, text) in &machine {
        println!("* {what}: {text}");
    }
    println!("* seeds: {} to {}\n", options.seed, options.seed + options.repeat - 1);

    // Whatever fails is told with its row.
    std::panic::set_hook(Box::new(|_| {}));
    stop::watch();
    let mut all = Vec::new();
    for pairing in options.pairings() {
        let mut measured = Vec::new();
        for row in &rows {
            let seeds = (options.seed..options.seed + options.repeat).take_while(|_| !stop::wanted());
            let runs = seeds.map(|seed| run_patiently(row, pairing, seed, &options)).collect();
            measured.push(Measured { row: row.clone(), runs });
        }
        table::print(pairing, &measured);
        all.extend(measured.iter().map(|measured| measured.to_json(pairing)));
    }
    if stop::wanted() {
        eprintln!("bench-call: interrupted");
        std::process::exit(130);
    }
    if let Some(file) = &options.json {
        let machine: serde_json::Map<_, _> =
            machine.into_iter().map(|(what, text)| (what.to_owned(), json!(text))).collect();
        let all = json!({ "machine": machine, "load_at_the_end": machine::load(), "rows": all });
        if let Err(error) = std::fs::write(file, all.to_string()) {
            eprintln!("bench-call: {}: {error}", file.display());
            std::process::exit(1);
        }
    }
}

/// Runs a row, once more if it fails: two pages that happen to call at once answer neither, and people call again.
fn run_patiently(row: &Row, pairing: Pairing, seed: u64, options: &Options) -> Result<Outcome, String> {
    let attempt = || {
        eprintln!("{}: {}, seed {seed} (load {})", pairing.title(), row.title, machine::load());
        run::run(row, pairing, seed, options).inspect_err(|reason| eprintln!("failed: {reason}"))
    };
    attempt().or_else(|reason| if stop::wanted() { Err(reason) } else { attempt() })
}

/// The rows that are wanted, in the order of the table.
fn chosen(options: &Options) -> Result<Vec<Row>, String> {
    let all = rows::all(options.span(), options.delay());
    for name in &options.link {
        if !all.iter().any(|row| row.name == name) {
            let names: Vec<&str> = all.iter().map(|row| row.name).collect();
            return Err(format!("there is no link {name}: {}", names.join(", ")));
        }
    }
    let wanted = |row: &Row| options.link.is_empty() || options.link.iter().any(|name| row.name == name);
    Ok(all.into_iter().filter(wanted).collect())
}
