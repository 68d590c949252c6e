//! Whole calls over loopback, measured from the outside: how soon each side sees the other after the click, and what
//! a participant costs. Chromium calling Chromium is measured beside, on the same page, server and clip, in the same
//! run, so that the ratio says something even on a loaded machine.
//!
//! `scripts/bench-first-frame [--quick] [--calls N] [--seconds N] [--scene pan|person]` runs it. It fails only if a call
//! does; whether the targets are met is printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the run, as in the tests")]

#[path = "../../tests/common/mod.rs"]
mod common;

#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/participant.rs"]
mod participant;

mod cost;
mod first;
mod table;
mod used;
mod window;

use clap::ValueEnum;
use common::page::PageServer;
use common::scene::Scene;
use common::server::Server;
use std::path::Path;

/// What is measured how often.
struct Plan {
    /// Calls per pair.
    calls: usize,
    /// Length of the call whose cost is measured.
    seconds: u64,
    /// What every camera sees.
    scene: Scene,
}

impl Plan {
    const FULL: Self = Self { calls: 20, seconds: 30, scene: Scene::Pan };
    const QUICK: Self = Self { calls: 3, seconds: 5, ..Self::FULL };

    /// Reads the command line. `--bench` is what cargo adds.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self::FULL;
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
                value.filter(|value| *value > 0).ok_or(format!("{argument} wants a number above 0"))
            };
            match argument.as_str() {
                "--quick" => plan = Self { scene: plan.scene, ..Self::QUICK },
                "--calls" => plan.calls = number()? as usize,
                "--seconds" => plan.seconds = number()?,
                "--scene" => {
                    let name = arguments.next().unwrap_or_default();
                    plan.scene = Scene::from_str(&name, false)
                        .map_err(|error| format!("--scene: {error} (pan or person)"))?;
                }
                other => {
                    return Err(format!(
                        "{other} is not known: [--quick] [--calls N] [--seconds N] [--scene pan|person]"
                    ));
                }
            }
        }
        Ok(plan)
    }
}

fn main() {
    let plan = match Plan::parse(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(reason) => {
            eprintln!("first_frame: {reason}");
            std::process::exit(2);
        }
    };
    // First of all, while nothing of ours runs yet.
    print_plan(&plan);

    let server = Server::start();
    let page = PageServer::start();
    let first = first::measure(&server, &page, plan.scene, plan.calls);
    table::print_first(&first);
    let cost = cost::measure(&server, &page, plan.scene, plan.seconds);
    table::print_cost(&cost, plan.seconds);
    table::print_verdicts(&first, &cost);
}

/// Prints the command line, the machine and the versions.
fn print_plan(plan: &Plan) {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("Calls over loopback: scripts/bench-first-frame {}", words.join(" "));
    for (what, text) in machine::describe(Path::new(env!("CARGO_BIN_EXE_ahoy"))) {
        println!("  {what:<9} {text}");
    }
    println!(
        "  plan      {} calls of each kind; then one call of {} s of each kind\n",
        plan.calls, plan.seconds
    );
}
