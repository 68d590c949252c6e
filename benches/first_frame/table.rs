//! Writes the figures as one plain table.

use crate::cost::Cost;
use crate::first::{First, Kind};
use crate::used::Used;

/// The agent is to need no more than this share of what Chromium needs …
const TARGET: f64 = 1.0 / 3.0;
/// … and the whole program with its window no more than this share of Chromium's processor time.
const WINDOW_TARGET: f64 = 0.5;

/// Times to the first picture.
pub(crate) fn print_first(first: &First) {
    println!("{:<38}{:>8}{:>8}{:>8}", "Click to first remote picture, ms", "median", "min", "max");
    for kind in [&first.agents, &first.agent_to_chromium, &first.chromium_to_agent, &first.chromiums] {
        for (side, figures) in [("caller", &kind.caller), ("callee", &kind.callee)] {
            let (least, most) = range(figures);
            let name = format!("  {}: {side} sees", kind.name);
            println!("{name:<38}{:>8.0}{least:>8.0}{most:>8.0}", median(figures));
        }
        if kind.stuck > 0 {
            println!("  {}: {} more never came up", kind.name, kind.stuck);
        }
    }
    println!();
}

/// Processor time and memory.
pub(crate) fn print_cost(cost: &Cost, seconds: u64) {
    let title = format!("One participant in a call of {seconds} s");
    println!("{title:<38}{:>8}{:>8}   CPU ms a picture, and what was received", "CPU s", "MiB");
    for used in cost.agents.iter().chain(&cost.windows).chain(&cost.chromiums) {
        println!(
            "  {:<36}{:>8.2}{:>8.0}   {:.1}; {}x{}, {:.1} a second, {:.2} Mbit/s",
            used.name,
            used.cpu_seconds,
            used.peak_mib,
            used.cpu_milliseconds_per_picture(),
            used.size.0,
            used.size.1,
            used.pictures / seconds as f64,
            used.bits_per_second / 1e6
        );
    }
    println!();
    println!("{:<38}{:>8}   the program's threads", "Where a window's CPU s went", "driver");
    for share in &cost.shares {
        let threads: Vec<String> = share
            .threads
            .iter()
            .filter(|(_, seconds)| *seconds >= 0.05)
            .map(|(thread, seconds)| format!("{thread} {seconds:.2}"))
            .collect();
        println!("  {:<36}{:>8.2}   {}", share.name, share.driver, threads.join(", "));
        println!("  {:<36}{:>8.2}   beside it", "  its X server", share.server);
    }
    println!();
}

/// The ratios, and whether each target is met. Of two sides the worse one counts.
pub(crate) fn print_verdicts(first: &First, cost: &Cost) {
    println!("{:<38}{:>8}{:>8}   target: a third or less", "Ours : Chromium", "caller", "callee");
    let kinds = |side: fn(&Kind) -> &Vec<f64>| median(side(&first.agents)) / median(side(&first.chromiums));
    verdict("first picture", kinds(|kind| &kind.caller), kinds(|kind| &kind.callee), TARGET);
    let sides = |of: fn(&Used) -> f64| [0, 1].map(|side| of(&cost.agents[side]) / of(&cost.chromiums[side]));
    time_verdict("processor time", &cost.agents, &cost.chromiums, TARGET);
    time_verdict("processor time, window (half)", &cost.windows, &cost.chromiums, WINDOW_TARGET);
    let [caller, callee] = sides(|used| used.peak_mib);
    verdict("peak memory", caller, callee, TARGET);
    // On a machine that cannot carry both, whoever shows fewer pictures has less to do.
    let [caller, callee] = sides(Used::cpu_milliseconds_per_picture);
    println!("  {:<36}{caller:>8.2}{callee:>8.2}   (no target)", "processor time a picture received");
}

/// Cost is compared only for the same work.
fn time_verdict(what: &str, ours: &[Used; 2], theirs: &[Used; 2], target: f64) {
    let [caller, callee] = [0, 1].map(|side| ours[side].cpu_seconds / theirs[side].cpu_seconds);
    if ours.iter().zip(theirs).all(|(ours, theirs)| ours.carried_no_less_than(theirs)) {
        verdict(what, caller, callee, target);
    } else {
        println!("  {what:<36}{caller:>8.2}{callee:>8.2}   no verdict: we showed less (a loaded machine?)");
    }
}

fn verdict(what: &str, caller: f64, callee: f64, target: f64) {
    let met = if caller.max(callee) <= target { "met" } else { "not met" };
    println!("  {what:<36}{caller:>8.2}{callee:>8.2}   {met}");
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

fn range(figures: &[f64]) -> (f64, f64) {
    figures.iter().fold((f64::INFINITY, 0.0), |(least, most), &figure| (least.min(figure), most.max(figure)))
}
