//! What the figures were measured on.

use crate::common::{browser, clip, process};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine, its load, the versions of `program` and the browser, and the picture: a title and a text each.
pub(crate) fn describe(program: &Path) -> Vec<(&'static str, String)> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let chromium = process::run(Command::new(browser::program()).arg("--version"));
    let ahoy = process::run(Command::new(program).arg("--version"));
    let (width, height) = (clip::WIDTH, clip::HEIGHT);
    vec![
        ("machine", format!("{cores} cores, {model}, Linux {}", kernel.trim())),
        ("load", format!("{} (averages over 1, 5 and 15 minutes, at the start)", load())),
        ("versions", format!("{}; {}", ahoy.trim(), chromium.trim())),
        ("picture", format!("{width}x{height}, 30 a second, the same file as everybody's camera")),
    ]
}

/// The load averages of the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    load.split(' ').take(3).collect::<Vec<_>>().join(", ")
}
