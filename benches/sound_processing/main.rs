//! Runs the microphone's processing over files: `sound_processing MICROPHONE.wav SPEAKER.wav|none OUT.wav SWITCHES`, all
//! 16 bits, 48 kHz, mono. SWITCHES: letters of e (echo cancellation), n (noise suppression), g (automatic gain), and
//! for the noise suppressor's strength 0 to 3 (low, moderate, high, very high; left out: the program's own).
//!
//! `scripts/bench-echo` runs it, and scores what comes out.

#![allow(clippy::print_stderr, reason = "how it is used is told to whoever uses it wrongly")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the run, as in the tests")]

use ahoy::config::SoundProcessing;
use ahoy::media::audio::BLOCK;
use ahoy::media::audio::processing::{NoiseSuppressionLevel, Processing};
use std::time::Instant;

const LEVELS: [NoiseSuppressionLevel; 4] = [
    NoiseSuppressionLevel::Low,
    NoiseSuppressionLevel::Moderate,
    NoiseSuppressionLevel::High,
    NoiseSuppressionLevel::VeryHigh,
];

fn read(path: &str) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (48_000, 1, 16), "{path}");
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [microphone, speaker, out, switches] = &arguments[..] else {
        // `cargo bench` without a name runs every bench: nothing to do is no failure.
        return eprintln!("usage: sound_processing MICROPHONE.wav SPEAKER.wav|none OUT.wav SWITCHES");
    };
    let has = |letter| switches.contains(letter);
    let wanted = SoundProcessing {
        echo_cancellation: has('e'),
        noise_suppression: has('n'),
        automatic_gain: has('g'),
    };
    let level = switches.chars().find_map(|letter| LEVELS.get(letter.to_digit(10)? as usize)).copied();
    let mut processing = match level {
        Some(level) => Processing::with_noise_suppression(wanted, level),
        None => Processing::new(wanted),
    };
    let microphone = read(microphone);
    let speaker = if speaker == "none" { Vec::new() } else { read(speaker) };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(out, spec).unwrap();
    let began = Instant::now();
    let blocks = microphone.len() / BLOCK;
    for at in 0..blocks {
        let part = |samples: &[f32]| -> [f32; BLOCK] {
            std::array::from_fn(|i| samples.get(at * BLOCK + i).copied().unwrap_or(0.0))
        };
        processing.render(&part(&speaker));
        let mut block = part(&microphone);
        processing.capture(&mut block);
        for sample in block {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    eprintln!("{:.0} us per 10 ms", began.elapsed().as_secs_f64() * 1e6 / blocks as f64);
}
