//! Codec and playout in virtual time: the table of made-up paths.

use crate::common::pulse::RATE;
use crate::common::studio::{self, Studio};
use crate::lab::{self, Way};
use crate::link::loss::Loss;
use crate::link::schedule::{Schedule, Shape};
use crate::rows::Row;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Ways of sending that are compared.
const WAYS: [Way; 6] = [
    Way { name: "48 kbit/s, no FEC", fec: false, ..PLAIN },
    PLAIN,
    Way { name: "24 kbit/s", bits_per_second: 24_000, ..PLAIN },
    Way { name: "24 kbit/s and an earlier one", bits_per_second: 24_000, carries: true, ..PLAIN },
    Way { name: "48 kbit/s, asked for once (NACK)", requests: 1, ..PLAIN },
    Way { name: "48 kbit/s and an earlier one", carries: true, ..PLAIN },
];
const PLAIN: Way = Way { name: "48 kbit/s", bits_per_second: 48_000, fec: true, carries: false, requests: 0 };
/// How often the speech is said: the first time the buffer settles, the others are scored.
const SAID: usize = 3;
/// On paths whose clocks drift: five minutes.
const SAID_DRIFTING: usize = 34;
/// Everything is held up for so long this often.
const SPIKE: Duration = Duration::from_millis(120);
const SPIKE_INTERVAL: Duration = Duration::from_millis(1900);
const SPIKES: u32 = 40;

/// Runs all, prints the table, gives the figures.
pub(crate) fn measure(rows: &[Row], seeds: Range<u64>) -> Vec<Value> {
    println!("### Codec and playout in virtual time\n");
    println!("PESQ is the median of both voices, delay from mouth to ear without sound cards.\n");
    println!("| Path | Sent | kbit/s | PESQ | worst | Delay ms | Made up % | Stretched ms/s |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    let studio = Studio::new();
    let voices = [0, 1].map(|index| read(&studio.speech(index)));
    let mut all = Vec::new();
    for path in paths(rows) {
        // Without loss nothing of the repairs is used.
        let ways = if path.schedule.at(Duration::ZERO).loss == Loss::None { &WAYS[1..2] } else { &WAYS[..] };
        let said = if path.drift == 0.0 { SAID } else { SAID_DRIFTING };
        for way in ways {
            let (mut scores, mut delays, mut rates, mut made_up, mut stretched) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (voice, seed) in voices.iter().flat_map(|voice| seeds.clone().map(move |seed| (voice, seed)))
            {
                let heard = lab::run(voice, said, &path, *way, seed);
                for time in [1, said - 1] {
                    let part = &heard.samples[time * voice.len()..(time + 1) * voice.len()];
                    let score = score(part);
                    scores.push(score.pesq);
                    delays.extend(score.delay_ms);
                }
                let seconds = heard.samples.len() as f64 / f64::from(RATE);
                rates.push(heard.bits_per_second);
                made_up.push(heard.stats.concealed as f64 / heard.stats.played as f64);
                let samples = heard.stats.shortened + heard.stats.lengthened;
                stretched.push(samples as f64 * 1e3 / f64::from(RATE) / seconds);
            }
            let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
            println!(
                "| {} | {} | {:.0} | {:.2} | {worst:.2} | {:.0} | {:.1} | {:.1} |",
                path.name,
                way.name,
                mean(&rates) / 1e3,
                median(&scores),
                median(&delays),
                100.0 * mean(&made_up),
                mean(&stretched),
            );
            all.push(json!({
                "path": path.name, "way": way.name, "bits_per_second": mean(&rates), "pesq": scores,
                "delay_ms": delays, "made_up": mean(&made_up), "stretched_ms_per_s": mean(&stretched),
            }));
        }
    }
    println!();
    all
}

/// The links of the calls, as far as nothing shares them, and what only virtual time can show.
fn paths(rows: &[Row]) -> Vec<lab::Path> {
    let path = |name, schedule, drift| lab::Path { name, schedule, drift };
    let clean = Schedule::steady(Shape::CLEAN);
    let mut paths: Vec<lab::Path> = rows
        .iter()
        .filter(|row| !row.with_picture && row.drift_ppm == 0.0)
        .map(|row| path(row.title, row.schedule.clone(), 0.0))
        .collect();
    let mut spikes = clean.clone();
    for n in 1..SPIKES {
        let held = Shape { delay: SPIKE, ..Shape::CLEAN };
        let at = n * SPIKE_INTERVAL;
        // What left during the spike may not overtake what it holds up, and comes with it.
        spikes = spikes.then(at, held).then(at + Duration::from_millis(1), Shape::CLEAN);
    }
    paths.push(path("spikes of 120 ms", spikes, 0.0));
    paths.push(path("100 ppm fast", clean.clone(), 100e-6));
    paths.push(path("100 ppm slow", clean, -100e-6));
    paths
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn read(file: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(file).unwrap();
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect()
}

fn score(part: &[(f32, f32)]) -> studio::Score {
    let file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file.path(), spec).unwrap();
    for (said, heard) in part {
        for sample in [said, heard] {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    studio::score((file.path(), 0), (file.path(), 1))
}
