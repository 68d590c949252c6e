//! How long sound takes from a microphone to the other side's speaker, to the sample: both are channels of one recording.
//!
//! Where somebody speaks, half a second at a time is looked for in what the other hears, by normalized cross-correlation:
//! first coarsely at an eighth of the rate, then to the sample around the best place. Gain changes nothing of it.

use crate::common::pulse::RATE;
use crate::common::studio::Studio;
use std::io::Read;
use std::time::Duration;

/// Channels of the wire.
const CHANNELS: usize = 4;
/// The coarse search looks at every so many samples.
const COARSE: usize = 8;
/// Samples that are looked for at once, and the longest delay that is found.
const WINDOW: usize = RATE as usize / 2;
const LONGEST: usize = RATE as usize / 2;
/// Root mean square from which on somebody speaks, full scale 1.
const SPEAKING: f64 = 0.02;
/// Correlation from which on a place is believed.
const ALIKE: f64 = 0.6;

/// The delay of one direction in one recording, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Delay {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    /// How many windows were found, and in how many somebody spoke.
    pub(crate) found: usize,
    pub(crate) spoken: usize,
}

/// Records for so long and measures both directions: from the first participant to the second, and back. `None` where
/// nothing of what was said was found.
pub(crate) fn listen(studio: &Studio, time: Duration) -> [Option<Delay>; 2] {
    let samples = (time + Duration::from_secs(1)).as_secs_f64() * f64::from(RATE);
    let mut octets = vec![0; samples as usize * CHANNELS * 2];
    let mut recorder = studio.wire();
    recorder.stdout.take().unwrap().read_exact(&mut octets).unwrap();
    drop(recorder);
    let channel = |index: usize| -> Vec<f32> {
        let frames = octets.chunks_exact(2 * CHANNELS);
        frames
            .map(|frame| f32::from(i16::from_le_bytes([frame[2 * index], frame[2 * index + 1]])) / 32_768.0)
            .collect()
    };
    [delay(&channel(0), &channel(3)), delay(&channel(2), &channel(1))]
}

fn delay(said: &[f32], heard: &[f32]) -> Option<Delay> {
    let coarse = [said, heard].map(|samples| -> Vec<f32> {
        samples.chunks_exact(COARSE).map(|piece| piece.iter().sum::<f32>() / COARSE as f32).collect()
    });
    let (mut found, mut spoken) = (Vec::new(), 0);
    let last = said.len().min(heard.len()).saturating_sub(WINDOW + LONGEST + COARSE);
    for at in (0..last).step_by(WINDOW) {
        let window = &said[at..at + WINDOW];
        if (dot(window, window) / WINDOW as f64).sqrt() < SPEAKING {
            continue;
        }
        spoken += 1;
        let rough = &coarse[0][at / COARSE..(at + WINDOW) / COARSE];
        let (lag, _) = best(rough, &coarse[1][at / COARSE..], 0..LONGEST / COARSE);
        let around = (lag * COARSE).saturating_sub(COARSE)..lag * COARSE + COARSE;
        let (lag, alike) = best(window, &heard[at..], around);
        if alike > ALIKE {
            found.push(lag as f64 * 1e3 / f64::from(RATE));
        }
    }
    found.sort_by(f64::total_cmp);
    let median = *found.get(found.len() / 2)?;
    Some(Delay { median, lowest: found[0], highest: found[found.len() - 1], found: found.len(), spoken })
}

/// The lag at which `wanted` is most like what is there, and how alike.
fn best(wanted: &[f32], there: &[f32], lags: std::ops::Range<usize>) -> (usize, f64) {
    let own = dot(wanted, wanted);
    let mut best = (0, f64::MIN);
    for lag in lags {
        let part = &there[lag..lag + wanted.len()];
        let alike = dot(wanted, part) / (own * dot(part, part)).sqrt().max(1e-9);
        if alike > best.1 {
            best = (lag, alike);
        }
    }
    best
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // In pieces: what a vector unit can do, and exact enough.
    let pieces = a.chunks(64).zip(b.chunks(64));
    pieces.map(|(a, b)| f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>())).sum()
}
