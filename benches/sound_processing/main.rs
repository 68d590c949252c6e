//! Runs the microphone's processing over files: `sound_processing MICROPHONE.wav SPEAKER.wav|none OUT.wav SWITCHES`, all
//! 16 bits, 48 kHz, mono. SWITCHES: letters of e (echo cancellation), n (noise suppression), g (automatic gain), and
//! for the noise suppressor's strength 0 to 3 (low, moderate, high, very high; left out: the program's own).
//!
//! `scripts/bench-echo` runs it, and scores what comes out.

#![allow(clippy::print_stderr, reason = "how it is used is told to whoever uses it wrongly")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the run, as in the tests")]

use ahoy::config::SoundProcessing;
use ahoy::media::audio::processing::{Processing, SuppressionLevel};
use ahoy::media::audio::{BLOCK, FRAME};
use std::time::Instant;

const LEVELS: [SuppressionLevel; 4] =
    [SuppressionLevel::K6dB, SuppressionLevel::K12dB, SuppressionLevel::K18dB, SuppressionLevel::K21dB];

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
    let frames = microphone.len() / FRAME;
    for frame in microphone.as_chunks::<FRAME>().0.iter().enumerate() {
        let (number, mut sound) = (frame.0, *frame.1);
        for half in 0..2 {
            let from = number * FRAME + half * BLOCK;
            processing.render(&std::array::from_fn(|at| speaker.get(from + at).copied().unwrap_or(0.0)));
        }
        processing.capture(&mut sound);
        for sample in sound {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    eprintln!("{:.0} us per 10 ms", began.elapsed().as_secs_f64() * 1e6 / (2 * frames) as f64);
}
