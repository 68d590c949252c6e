//! Judges the lines of a run: drift of the delay, growth of memory, runs of underruns.

use crate::common::studio::NAMES;
use serde_json::Value;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// The first and the last minutes that are compared; the first are also left out where memory is looked at. Of a short
/// run, a quarter of it.
const EDGE_MINUTES: usize = 10;
/// A minute is calm if an ordinary thread was never woken later than this in it, milliseconds.
const CALM_MS: f64 = 15.0;
/// What makes a run a failed one: the delay drifts by more than this …
const DRIFT_MS: f64 = 10.0;
/// … or by more than this without what the speaker has ready for a late machine.
const REST_DRIFT_MS: f64 = 5.0;
const GROWTH_KIB: f64 = 2048.0;

/// One thing that was judged.
struct Finding {
    what: String,
    figures: String,
    good: bool,
}

/// All of them.
pub(crate) struct Verdict {
    minutes: usize,
    findings: Vec<Finding>,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.good)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "A call of {} minutes\n\n| What | Figures | |\n|---|---|---|", self.minutes)?;
        for Finding { what, figures, good } in &self.findings {
            writeln!(f, "| {what} | {figures} | {} |", if *good { "good" } else { "**failed**" })?;
        }
        Ok(())
    }
}

/// The lines of a file.
///
/// # Errors
/// It cannot be read, holds something else, or fewer than two lines.
pub(crate) fn read(file: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.map_err(|error| error.to_string())?;
    if lines.len() < 2 { Err(format!("{} lines are too few to judge", lines.len())) } else { Ok(lines) }
}

/// Judges them.
pub(crate) fn judge(lines: &[Value]) -> Verdict {
    let edge = EDGE_MINUTES.min((lines.len() / 4).max(1));
    let mut findings = Vec::new();
    let calm: Vec<Value> = lines
        .iter()
        .filter(|line| line["late_ms"].as_f64().is_some_and(|late| late < CALM_MS))
        .cloned()
        .collect();
    // Buffers grow for as long as the machine is busy, and are meant to.
    let (judged, which) = if calm.len() >= 2 * edge {
        (&calm[..], "calm minutes")
    } else {
        (lines, "minutes, hardly any of them calm")
    };
    for direction in 0..NAMES.len() {
        let (from, to) = (NAMES[direction], NAMES[1 - direction]);
        let delay = |line: &Value| line["delay_ms"][direction]["median"].as_f64();
        let held = |line: &Value| line[to]["speaker_ms"].as_f64();
        let delays = Delays {
            whole: points(judged, delay),
            held: points(judged, held),
            rest: points(judged, |line| Some(delay(line)? - held(line)?)),
        };
        findings.push(drift(&format!("{from} to {to}"), &delays, (judged.len(), which), edge));
    }
    for name in NAMES {
        let memory = points(&lines[edge..], |line| line[name]["rss_kib"].as_f64());
        findings.push(growth(name, &memory));
    }
    let server = points(&lines[edge..], |line| line["server_kib"].as_f64());
    findings.push(growth("server", &server));
    for name in NAMES {
        let sum = |key: &str| lines.iter().filter_map(|line| line[name][key].as_u64()).sum::<u64>();
        let runs = sum("underrun_runs");
        let figures = format!(
            "{runs} runs of underruns; {} samples missing, {} times the sound system ran dry, {} samples of the \
             microphone not taken, {} made up, {} of {} packets lost",
            sum("underruns"),
            sum("starvations"),
            sum("overruns"),
            sum("concealed"),
            sum("sound_lost"),
            sum("sound_packets"),
        );
        findings.push(Finding { what: format!("sound of {name}"), figures, good: runs == 0 });
    }
    let pressure = points(lines, |line| line["pressure"].as_f64());
    let late = points(lines, |line| line["late_ms"].as_f64());
    let figures = format!(
        "something waited for a processor {:.0} % of the time; in a median minute an ordinary thread was up to \
         {:.0} ms late, in the worst {:.0} ms",
        100.0 * mean(&pressure),
        median(&late),
        late.iter().map(|point| point.1).fold(0.0, f64::max)
    );
    findings.push(Finding { what: "the machine".into(), figures, good: true });
    Verdict { minutes: lines.len(), findings }
}

/// Minute and value of each line that has one.
fn points(lines: &[Value], value: impl Fn(&Value) -> Option<f64>) -> Vec<(f64, f64)> {
    lines.iter().filter_map(|line| Some((line["minute"].as_f64()?, value(line)?))).collect()
}

/// Of one direction, minute by minute, milliseconds.
struct Delays {
    whole: Vec<(f64, f64)>,
    /// What the speaker has ready for the moments in which its machine is late, more or less of it as that behaves. It is told
    /// by the program.
    held: Vec<(f64, f64)>,
    /// The whole without it: what nothing is meant to change.
    rest: Vec<(f64, f64)>,
}

fn drift(who: &str, delays: &Delays, (minutes, which): (usize, &str), edge: usize) -> Finding {
    let what = format!("delay, {who}");
    let Delays { whole, held, rest } = delays;
    if rest.len() * 2 < minutes || rest.len() < 2 {
        let figures = format!("measured in {} of {minutes} {which} only", rest.len());
        return Finding { what, figures, good: false };
    }
    let edge = edge.min(rest.len() / 2);
    let ends = |points: &[(f64, f64)]| (median(&points[..edge]), median(&points[points.len() - edge..]));
    let lowest = whole.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let highest = whole.iter().map(|point| point.1).fold(0.0, f64::max);
    let ((first, last), (held_first, held_last), (rest_first, rest_last)) =
        (ends(whole), ends(held), ends(rest));
    let figures = format!(
        "{minutes} {which}: median {:.1} ms ({lowest:.1} to {highest:.1}); the first {edge} {first:.1} ms, the last \
         {last:.1} ms; of that ready at the speaker for a late machine {held_first:.1} and {held_last:.1} ms; without it \
         {rest_first:.1} and {rest_last:.1} ms, fit {:+.1} ms an hour",
        median(whole),
        slope(rest) * 60.0
    );
    let good = (last - first).abs() <= DRIFT_MS && (rest_last - rest_first).abs() <= REST_DRIFT_MS;
    Finding { what, figures, good }
}

fn growth(name: &str, memory: &[(f64, f64)]) -> Finding {
    let what = format!("memory of {name}");
    if memory.len() < 2 {
        return Finding { what, figures: "not measured".into(), good: false };
    }
    let grown = slope(memory) * (memory[memory.len() - 1].0 - memory[0].0);
    let figures = format!(
        "from {:.0} to {:.0} KiB; fit {:+.0} KiB an hour",
        memory[0].1,
        memory[memory.len() - 1].1,
        slope(memory) * 60.0
    );
    Finding { what, figures, good: grown <= GROWTH_KIB }
}

fn median(points: &[(f64, f64)]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn mean(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64
}

/// Least squares: by how much the value grows from minute to minute.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let centre = points.iter().map(|point| point.0).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|point| (point.0 - centre).powi(2)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - centre) * (point.1 - mean(points))).sum();
    if spread > 0.0 { along / spread } else { 0.0 }
}
