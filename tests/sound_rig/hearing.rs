//! What can be told of a recording: whether there is a tone, of which frequency, and for how long there was none.

use super::{TONE_LEVEL, record_during, rms};
use std::path::Path;
use std::time::{Duration, Instant};

const RATE: f64 = 48_000.0;
/// For sound to come out again, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Length of the pieces of a recording that are looked at, samples: 100 ms.
pub(crate) const PIECE: usize = 4800;

/// The tone of `super::tone` must come out on the right channel of a sink's monitor, sooner or later.
pub(crate) fn hears_tone(folder: &Path, monitor: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (left, heard) = record_during(folder, monitor, || {});
        let pieces = heard[heard.len() / 2..].chunks_exact(PIECE);
        let good = pieces.clone().filter(|piece| {
            rms(piece) > TONE_LEVEL / 4.0
                && frequency(piece).is_some_and(|hertz| (430.0..450.0).contains(&hertz))
        });
        // A sound server without a processor stumbles now and then.
        if good.count() * 2 > pieces.len() {
            return;
        }
        assert!(Instant::now() < deadline, "no tone: {} in, {} out", rms(&left), rms(&heard));
    }
}

/// The frequency of a tone, hertz, by the times at which it crosses zero upwards; `None` if it hardly does.
pub(crate) fn frequency(samples: &[f32]) -> Option<f64> {
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(at, pair)| at as f64 + f64::from(pair[0] / (pair[0] - pair[1])))
        .collect();
    let (first, last) = (crossings.first()?, crossings.last()?);
    (crossings.len() > 5).then(|| (crossings.len() - 1) as f64 * RATE / (last - first))
}
