//! One run of one row: builds the stage, calls, watches, hangs up.

use crate::common::unix_ms;
use crate::evidence::Evidence;
use crate::link::emulator::Report;
use crate::options::Pairing;
use crate::pressure::Pressure;
use crate::result::{Line, Times};
use crate::rows::Row;
use crate::stage::{Couple, Stage};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two samples of everybody.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// One whole picture is taken with every so many samples.
const SAMPLES_PER_PICTURE: usize = 4;
/// Before the first click, for everybody's start to be over.
const PAUSE: Duration = Duration::from_secs(1);
/// Two pages that call at once answer neither; then people call again, and so do we.
const CALLS_AT_MOST: usize = 3;

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) lines: Vec<Line>,
    pub(crate) link: Option<Report>,
    pub(crate) pressure: Pressure,
    pub(crate) seed: u64,
}

/// Runs a row once.
///
/// # Errors
/// Why it could not be measured, in the words of whatever failed.
pub(crate) fn run(row: &Row, pairing: Pairing, seed: u64, program: &Path) -> Result<Outcome, String> {
    // The fixtures panic with the whole story when something does not come in time.
    catch_unwind(AssertUnwindSafe(|| measure(row, pairing, seed, program)))
        .unwrap_or_else(|panic| Err(words(&*panic)))
}

fn measure(row: &Row, pairing: Pairing, seed: u64, program: &Path) -> Result<Outcome, String> {
    let build = Stage::build(pairing, row.calls, program);
    let mut stage = build.map_err(|error| format!("the stage cannot be built: {error}"))?;
    rehearse(&mut stage);

    let mut couples = std::mem::take(&mut stage.couples);
    for couple in &mut couples {
        couple.caller.begin();
        couple.callee.begin();
    }
    let pressure = Pressure::now();
    let began = Instant::now();
    stage.begin_link(row, seed, began);
    // Each couple is watched by a thread of its own: asking a busy browser takes time.
    let lines = std::thread::scope(|scope| -> Result<Vec<Line>, String> {
        let watch = |(number, couple): (usize, &mut Couple)| watch(couple, row, began, number);
        let threads: Vec<_> =
            couples.iter_mut().enumerate().map(|couple| scope.spawn(move || watch(couple))).collect();
        let mut lines = Vec::new();
        for thread in threads {
            lines.extend(thread.join().map_err(|panic| words(&*panic))?);
        }
        Ok(lines)
    })?;
    Ok(Outcome { lines, link: stage.emulator().report(), pressure: pressure.until_now(), seed })
}

/// One short call beforehand, on the clean link: whatever is done only once, when a program is new, is not the call's.
fn rehearse(stage: &mut Stage) {
    for couple in &mut stage.couples {
        std::thread::sleep(PAUSE);
        call(couple);
        couple.caller.hang_up();
        couple.caller.wait_ended();
        couple.callee.wait_ended();
    }
    std::thread::sleep(PAUSE);
}

/// Calls until both see each other; gives the time of the click and of the first pictures there and here.
fn call(couple: &mut Couple) -> (f64, [f64; 2]) {
    for _ in 1..CALLS_AT_MOST {
        let attempt = catch_unwind(AssertUnwindSafe(|| call_once(couple)));
        match attempt {
            Ok(times) => return times,
            Err(_) => {
                couple.caller.hang_up();
                couple.callee.wait_ended();
            }
        }
    }
    call_once(couple)
}

fn call_once(couple: &mut Couple) -> (f64, [f64; 2]) {
    let clicked = couple.caller.click(&couple.callee.name());
    (clicked, [couple.caller.first_picture(), couple.callee.first_picture()])
}

fn watch(couple: &mut Couple, row: &Row, began: Instant, number: usize) -> Vec<Line> {
    let (clicked, first_pictures) = call_once(couple);
    let mut samples = 0;
    while began.elapsed() < row.length {
        std::thread::sleep(SAMPLE_INTERVAL.min(row.length.saturating_sub(began.elapsed())));
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
    std::array::from_fn::<Line, 2, _>(|side| {
        let call = if row.calls > 1 { format!(" {}", number + 1) } else { String::new() };
        let who = format!("{} {}{call}", couple.kinds[side].title(), sides[side]);
        let times = Times { clicked, first_picture: first_pictures[side], end };
        let [own, others]: [&Evidence; 2] = [&evidence[side], &evidence[1 - side]];
        Line::new(who, row, times, own, others)
    })
    .into()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".into())
}
