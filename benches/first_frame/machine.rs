//! What the figures were measured on.

use crate::Plan;
use crate::common::{browser, clip, process};
use std::fs;
use std::process::Command;

/// Prints the command line, the machine and the versions.
pub(crate) fn print(plan: &Plan) {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let chromium = process::run(Command::new(browser::program()).arg("--version"));
    let ahoy = process::run(Command::new(env!("CARGO_BIN_EXE_ahoy")).arg("--version"));

    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("Calls over loopback: scripts/bench-first-frame {}", words.join(" "));
    println!("  machine   {cores} cores, {model}, Linux {}", kernel.trim());
    println!("  load      {} (averages over 1, 5 and 15 minutes, at the start)", load.join(", "));
    println!("  versions  {}; {}", ahoy.trim(), chromium.trim());
    println!(
        "  picture   {}x{}, 30 a second, moving, the same file as everybody's camera",
        clip::WIDTH,
        clip::HEIGHT
    );
    println!(
        "  plan      {} calls of each kind; then one call of {} s of each kind",
        plan.calls, plan.seconds
    );
    println!();
}
