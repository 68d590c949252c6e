//! One run of one row: builds the stage, calls, watches, hangs up.

use crate::common::scene::Scene;
use crate::common::unix_ms;
use crate::evidence::Evidence;
use crate::link::emulator::Report;
use crate::options::{Options, Pairing};
use crate::pressure::Pressure;
use crate::result::{Line, Times};
use crate::rows::Row;
use crate::stage::{Couple, Stage};
use crate::stop;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Between two samples of everybody.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// One whole picture is taken with every so many samples.
const SAMPLES_PER_PICTURE: usize = 4;
/// Before the first click, for everybody's start to be over.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries of the call beforehand.
const CALLS_AT_MOST: usize = 3;

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) lines: Vec<Line>,
    pub(crate) link: Report,
    pub(crate) pressure: Pressure,
    pub(crate) seed: u64,
}

/// Runs a row once.
///
/// # Errors
/// Why it could not be measured, in the words of whatever failed.
pub(crate) fn run(row: &Row, pairing: Pairing, seed: u64, options: &Options) -> Result<Outcome, String> {
    // The fixtures panic with the whole story when something does not come in time.
    catch_unwind(AssertUnwindSafe(|| measure(row, pairing, seed, options)))
        .unwrap_or_else(|panic| Err(words(&*panic)))
}

fn measure(row: &Row, pairing: Pairing, seed: u64, options: &Options) -> Result<Outcome, String> {
    let build = Stage::build(pairing, row.calls, options);
    let mut stage = build.map_err(|error| format!("the stage cannot be built: {error}"))?;
    let mut couples = std::mem::take(&mut stage.couples);
    couples.iter_mut().try_for_each(rehearse)?;
    for couple in &mut couples {
        couple.caller.begin();
        couple.callee.begin();
    }
    let pressure = Pressure::now();
    let began = (Instant::now(), unix_ms());
    stage.begin_link(row, seed, began.0);
    // Each couple is watched by a thread of its own: asking a busy browser takes time.
    let mut lines = std::thread::scope(|scope| -> Result<Vec<Line>, String> {
        let watch = |(number, couple): (usize, &mut Couple)| watch(couple, row, options.scene, began, number);
        let threads: Vec<_> =
            couples.iter_mut().enumerate().map(|couple| scope.spawn(move || watch(couple))).collect();
        let mut lines = Vec::new();
        for thread in threads {
            lines.extend(thread.join().map_err(|panic| words(&*panic))??);
        }
        Ok(lines)
    })?;
    let pressure = pressure.until_now();
    let link = stage.emulator().report().ok_or("the emulated link broke (see above)")?;
    if let Some(note) = lateness_note(&link) {
        lines[0].notes.push(note);
    }
    if row.calls > 1 {
        let note = share_note(&lines);
        lines[0].notes.push(note);
    }
    Ok(Outcome { lines, link, pressure, seed })
}

/// One short call beforehand, on the clean link: whatever is done only once, when a program is new, is not the call's.
/// Two pages that offer at once answer neither; then people call again, and so do we.
fn rehearse(couple: &mut Couple) -> Result<(), String> {
    for _ in 0..CALLS_AT_MOST {
        std::thread::sleep(PAUSE);
        let up = call(couple).is_some();
        couple.caller.hang_up();
        couple.caller.wait_ended();
        couple.callee.wait_ended();
        if up {
            std::thread::sleep(PAUSE);
            return Ok(());
        }
    }
    Err(format!("none of {CALLS_AT_MOST} calls beforehand came up on both sides"))
}

/// Calls; gives the times of the click and of the first pictures at the caller and at the callee, if both see each
/// other.
fn call(couple: &mut Couple) -> Option<(f64, [f64; 2])> {
    let clicked = couple.caller.click(&couple.callee.name());
    Some((clicked, [couple.caller.first_picture()?, couple.callee.first_picture()?]))
}

fn watch(
    couple: &mut Couple,
    row: &Row,
    scene: Scene,
    began: (Instant, f64),
    number: usize,
) -> Result<[Line; 2], String> {
    let (clicked, first_pictures) = call(couple).ok_or("the call did not come up on both sides")?;
    let mut samples = 0;
    while began.0.elapsed() < row.length {
        stop::panic_if_wanted();
        std::thread::sleep(SAMPLE_INTERVAL.min(row.length.saturating_sub(began.0.elapsed())));
        samples += 1;
        for party in [&mut couple.caller, &mut couple.callee] {
            party.sample();
            if samples % SAMPLES_PER_PICTURE == 0 {
                party.take_picture();
            }
        }
    }
    let end = unix_ms();
    let evidence = [couple.caller.evidence(), couple.callee.evidence()];
    let sides = ["caller", "callee"];
    Ok(std::array::from_fn(|side| {
        let call = if row.calls > 1 { format!(" {}", number + 1) } else { String::new() };
        let who = format!("{} {}{call}", couple.kinds[side].title(), sides[side]);
        let times = Times { began: began.1, clicked, first_picture: first_pictures[side], end };
        let [own, others]: [&Evidence; 2] = [&evidence[side], &evidence[1 - side]];
        Line::new(who, row, scene, times, own, others)
    }))
}

/// A link that is itself late by more than this, at worst of a hundred packets, is worth a word.
const LATENESS_WORTH_A_NOTE: Duration = Duration::from_millis(2);

fn lateness_note(link: &Report) -> Option<String> {
    let [_, late, worst] = link.lateness;
    (late > LATENESS_WORTH_A_NOTE).then(|| {
        format!(
            "the emulator was late by {late:.1?} (99th percentile) and {worst:.1?} at worst: a busy machine"
        )
    })
}

/// How two calls divided the link.
fn share_note(lines: &[Line]) -> String {
    let bits = |call: &[Line]| call.iter().filter_map(|line| line.value("kbits")).sum::<f64>();
    let (first, all) = (bits(&lines[..2]), bits(lines));
    format!("the first call has {:.0} % of the video bits", first / all.max(1.0) * 100.0)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".into())
}
