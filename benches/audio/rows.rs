//! The links over which speech is judged.

use crate::link::loss::{Bursts, Loss};
use crate::link::schedule::{Rate, Schedule, Shape};
use std::time::Duration;

/// Two minutes of talk: clocks are 12 ms apart before the first is judged.
const DRIFTING: usize = 12;

/// A link, and whether a picture shares it.
#[derive(Clone)]
pub(crate) struct Row {
    /// For the command line.
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) title: &'static str,
    pub(crate) schedule: Schedule,
    pub(crate) with_picture: bool,
    /// By how much the second sound card is fast, parts per million.
    pub(crate) drift_ppm: f64,
    /// How often both speak before they are judged: they get used to the link, and clocks drift apart.
    pub(crate) rounds: usize,
}

/// The rows of these names, or all, in the order of the table.
///
/// # Errors
/// A name is not known.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Row>, String> {
    let all = all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|row| row.name != **name)) {
        let known: Vec<&str> = all.iter().map(|row| row.name).collect();
        return Err(format!("there is no link {unknown}: {}", known.join(", ")));
    }
    Ok(all.into_iter().filter(|row| names.is_empty() || names.iter().any(|name| name == row.name)).collect())
}

fn all() -> Vec<Row> {
    let row = |name, title, shape| Row {
        name,
        title,
        schedule: Schedule::steady(shape),
        with_picture: false,
        drift_ppm: 0.0,
        rounds: 1,
    };
    let away = |delay, jitter, loss| Shape {
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(jitter),
        loss,
        ..Shape::CLEAN
    };
    let narrow = Shape { rate: Some(Rate::of(300_000)), delay: Duration::from_millis(20), ..Shape::CLEAN };
    vec![
        row("clean", "clean", Shape::CLEAN),
        Row {
            drift_ppm: 100.0,
            rounds: DRIFTING,
            ..row("drift", "clean, clocks 100 ppm apart", Shape::CLEAN)
        },
        row("jitter20", "20 ms jitter, 60 ms away", away(60, 20, Loss::None)),
        row("jitter30", "30 ms jitter, 5 % loss, 90 ms away", away(90, 30, Loss::Random(0.05))),
        row("loss10", "10 % random loss, 20 ms away", away(20, 0, Loss::Random(0.10))),
        row(
            "bursts",
            "15 % loss in bursts of 3, 20 ms away",
            away(20, 0, Loss::Bursts(Bursts::of(0.15, 3.0))),
        ),
        Row { with_picture: true, ..row("300k", "300 kbit/s with a picture, 20 ms away", narrow) },
    ]
}
