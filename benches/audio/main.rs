//! Speech through calls, scored as a listener would (PESQ, ITU-T P.862.2 wideband) with its delay from mouth to ear.
//!
//! Three parts. [`parts`]: what the delay from microphone to speaker is made of, in a call on an idle network. [`paths`]: codec and playout alone in virtual time, on paths made from a seed: the same on any machine,
//! and long enough for clocks that drift. [`calls`]: whole calls over emulated links, with virtual sound cards on
//! PulseAudio, each direction on its own; Chromium calling Chromium is measured beside, by the same recipe: once with
//! its defaults, once with its echo canceller, noise suppression and gain control off.
//!
//! A score needs a sound reference: see `tests/common/studio.rs`. Pressure is the share of time in which something had
//! to wait for a processor; above some 20 % a score says more of the machine than of the programs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]
#![allow(clippy::unwrap_used, reason = "a fixture that fails ends its row, whose error is printed")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "benches/call uses the rest")]
#[path = "../call/door.rs"]
mod door;
#[path = "../shared/ear.rs"]
mod ear;
#[allow(dead_code, reason = "benches/call uses the rest")]
#[path = "../call/link/mod.rs"]
mod link;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../call/pressure.rs"]
mod pressure;
#[path = "../shared/talk.rs"]
mod talk;

mod calls;
mod lab;
mod parties;
mod parts;
mod paths;
mod rows;

use clap::Parser;
use parties::Pairing;
use serde_json::json;
use std::path::PathBuf;

/// Speech through made-up paths and through whole calls.
#[derive(Debug, Parser)]
#[command(name = "bench-audio", disable_version_flag = true)]
struct Options {
    /// Only the parts of the delay, only codec and playout in virtual time, or only whole calls. Left out: all.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Who calls whom; may be given several times, or with commas. Left out: all of them.
    #[arg(long, value_enum, value_delimiter = ',')]
    pairing: Vec<Pairing>,
    /// Rows of the calls, by name; may be given several times, or with commas. Left out: all of them.
    #[arg(long, value_delimiter = ',')]
    link: Vec<String>,
    /// Calls of each row, each with a seed of its own; the table has each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    repeat: u64,
    /// Seed of the first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Let this `ahoy` call instead of the one just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_ahoy"))]
    ahoy: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Delay,
    Paths,
    Calls,
}

fn main() {
    let options = Options::parse();
    let rows = match rows::chosen(&options.link) {
        Ok(rows) => rows,
        Err(reason) => {
            eprintln!("bench-audio: {reason}");
            std::process::exit(2);
        }
    };
    link::netns::remove_stale();
    let machine = machine::describe(&options.ahoy);
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("Speech: `scripts/bench-audio {}`\n", words.join(" "));
    for (what, text) in machine.iter().filter(|(what, _)| *what != "picture") {
        println!("* {what}: {text}");
    }
    let seeds = options.seed..options.seed + options.repeat;
    println!("* seeds: {} to {}\n", seeds.start, seeds.end - 1);

    let mut delay = Vec::new();
    if options.only.is_none_or(|only| only == Part::Delay) {
        delay = parts::measure(&options.ahoy);
    }
    let mut paths = Vec::new();
    if options.only.is_none_or(|only| only == Part::Paths) {
        paths = paths::measure(&rows, seeds.clone());
    }
    let mut calls = Vec::new();
    if options.only.is_none_or(|only| only == Part::Calls) {
        let pairings =
            if options.pairing.is_empty() { Pairing::ALL.to_vec() } else { options.pairing.clone() };
        calls = calls::measure(&rows, &pairings, seeds, &options.ahoy);
    }
    if let Some(file) = &options.json {
        let machine: serde_json::Map<_, _> =
            machine.into_iter().map(|(what, text)| (what.to_owned(), json!(text))).collect();
        let all = json!({
            "machine": machine, "load_at_the_end": machine::load(), "delay": delay, "paths": paths, "calls": calls,
        });
        if let Err(error) = std::fs::write(file, all.to_string()) {
            eprintln!("bench-audio: {}: {error}", file.display());
            std::process::exit(1);
        }
    }
}
