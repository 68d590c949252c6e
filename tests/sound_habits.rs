//! What one does about sound in a call, on a real sound server: mute, look at the meters, turn the volume, try out the
//! devices, let it ring elsewhere.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sound_rig;

use ahoy::config::{MicrophoneChoice, SpeakerChoice};
use ahoy::media::audio::{Chime, Ringer, SoundTest};
use sound_rig::hearing::{PIECE, frequency};
use sound_rig::{
    Looped, TONE_LEVEL, add_cards, add_null_sink, pactl, record_during, rms, run_apart, start, start_server,
    tone,
};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// Root mean square of the tone, and of what nobody hears.
const TONE: f32 = TONE_LEVEL * std::f32::consts::FRAC_1_SQRT_2;
const SILENT: f32 = 1e-4;
/// The sweep's frequency at its begin, and by how much it rises a second, hertz.
const SWEEP: (f64, f64) = (300.0, 50.0);
const SWEEP_SECONDS: usize = 40;

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn is_near(level: f32, wanted: f32) -> bool {
    (level / wanted - 1.0).abs() < 0.2
}

/// The middle one of the levels of all pieces of a recording.
fn median_level(samples: &[f32]) -> f32 {
    let mut levels: Vec<f32> = samples.chunks_exact(PIECE).map(rms).collect();
    levels.sort_by(f32::total_cmp);
    levels[levels.len() / 2]
}

fn volumes() -> [String; 2] {
    [pactl(&["get-sink-volume", "spare"]), pactl(&["get-source-volume", "spare_mic"])]
}

#[test]
fn mute_is_silence_for_others_only_and_the_volume_is_this_calls_own() {
    run_apart("mute_is_silence_for_others_only_and_the_volume_is_this_calls_own", |folder| {
        let server = start_server(folder);
        add_cards();
        let volumes_before = volumes();
        let mut looped = Looped::start("spare_mic", "spare");
        looped.expect_both_opened();
        let _player = tone("inject", folder);
        let levels = || looped.levels();
        eventually("both meters show the tone", || {
            is_near(levels().microphone, TONE) && is_near(levels().speaker, TONE)
        });

        looped.session.set_muted(true);
        let took = eventually("silence goes out", || looped.session.stats().sent_level == 0.0);
        let heard = eventually("silence comes in", || levels().speaker < SILENT);
        eprintln!("muted: silence was sent after {took:?} at most, and came in {heard:?} later");
        assert!(
            is_near(levels().microphone, TONE),
            "the meter of one's own microphone goes on: {:?}",
            levels()
        );
        let (said, came) = record_during(folder, "bus.monitor", || {});
        assert!(is_near(median_level(&said), TONE), "the tone went on: {}", median_level(&said));
        assert!(rms(&came) < SILENT, "something was heard of one who is muted: {}", rms(&came));
        looped.session.set_muted(false);
        let took = eventually("the tone comes in again", || is_near(levels().speaker, TONE));
        eprintln!("not muted any more: heard again after {took:?} at most");

        for factor in [0.25, 2.0, 1.0] {
            looped.session.set_volume(factor);
            eventually("the volume has changed", || is_near(levels().speaker, TONE * factor));
            let (_, came) = record_during(folder, "bus.monitor", || {});
            assert!(is_near(median_level(&came), TONE * factor), "{factor}: {}", median_level(&came));
        }
        assert_eq!(volumes(), volumes_before, "the system's own volumes are nobody's business");
        looped.stop_in_time();
        drop(server);
    });
}

/// Plays a tone that rises steadily, so that every piece of it tells its own place.
fn sweep(sink: &str, folder: &Path) -> sound_rig::Process {
    let path = folder.join("sweep.raw");
    let samples = (0..SWEEP_SECONDS * 48_000).flat_map(|i| {
        let at = i as f64 / 48_000.0;
        let phase = std::f64::consts::TAU * (SWEEP.0 * at + SWEEP.1 * at * at / 2.0);
        ((phase.sin() * f64::from(TONE_LEVEL) * 32_767.0) as i16).to_le_bytes()
    });
    std::fs::write(&path, samples.collect::<Vec<u8>>()).unwrap();
    let arguments = ["-d", sink, "--rate=48000", "--format=s16le", "--channels=1", path.to_str().unwrap()];
    start("pacat", &arguments, Stdio::null())
}

/// For each loud piece of a recording: when it was, and which place of the sweep it is, seconds.
fn places(samples: &[f32]) -> Vec<(f64, f64)> {
    let pieces = samples.chunks_exact(PIECE).enumerate();
    let loud = pieces.filter(|(_, piece)| is_near(rms(piece), TONE));
    let place = |(at, piece): (usize, &[f32])| {
        Some((at as f64 * PIECE as f64 / 48_000.0, (frequency(piece)? - SWEEP.0) / SWEEP.1))
    };
    loud.filter_map(place).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn what_one_hears_in_the_test_of_the_microphone_is_what_one_said() {
    run_apart("what_one_hears_in_the_test_of_the_microphone_is_what_one_said", |folder| {
        let server = start_server(folder);
        add_cards();
        let streams = || pactl(&["list", "short", "source-outputs"]).lines().count();
        let before = streams();
        let ringer = Ringer::start().unwrap();
        let test = ringer.sound_test();
        let _player = sweep("inject", folder);
        let (said, heard) = record_during(folder, "bus.monitor", || {
            std::thread::sleep(Duration::from_secs(1));
            ringer.hear(MicrophoneChoice::Device("spare_mic".into()), SpeakerChoice::Device("spare".into()));
            let shows = |wanted: fn(&SoundTest) -> bool| test.peek().is_some_and(|test| wanted(&test));
            eventually("it records, and the meter moves", || {
                shows(|test| matches!(test, SoundTest::Recording { level, .. } if is_near(*level, TONE)))
            });
            eventually("it plays, and the meter moves", || {
                shows(|test| matches!(test, SoundTest::PlayingBack { level, .. } if is_near(*level, TONE)))
            });
            eventually("it is at its end", || shows(|test| *test == SoundTest::Idle));
        });
        let (said, heard) = (places(&said), places(&heard));
        assert!(said.len() > 60, "the machine is too busy: {} pieces of what was said are sound", said.len());
        // Where the sweep began in the recording; then how much later each piece was heard than it was said.
        let began = median(said.iter().map(|(at, place)| at - place).collect());
        let later: Vec<f64> = heard.iter().map(|(at, place)| at - place - began).collect();
        assert!(later.len() > 25, "4 s were said, and {} pieces of 100 ms heard", later.len());
        let usual = median(later.clone());
        let fitting = later.iter().filter(|later| (*later - usual).abs() < 0.2).count();
        eprintln!(
            "heard {usual:.2} s after it was said; {fitting} of {} pieces in their places",
            later.len()
        );
        assert!(fitting * 5 >= later.len() * 4, "{later:.2?}");
        assert!((3.9..20.0).contains(&usual), "first all is recorded, then all is played: {usual}");
        eventually("the microphone is let go", || streams() == before);
        drop(ringer);
        drop(server);
    });
}

#[test]
fn it_rings_where_it_was_told_to_and_elsewhere_when_that_is_unplugged() {
    run_apart("it_rings_where_it_was_told_to_and_elsewhere_when_that_is_unplugged", |folder| {
        let server = start_server(folder);
        add_cards();
        let format = ["rate=48000", "channels=1", "channel_map=mono"];
        let bell = add_null_sink("bell", &format);
        let ringer = Ringer::start().unwrap();
        let hears = |monitor: &str| {
            let (_, right) = record_during(folder, monitor, || {});
            right.chunks_exact(PIECE).any(|piece| rms(piece) > 0.01)
        };
        let ring = || ringer.ring(Chime::Ringtone, SpeakerChoice::Device("bell".into()), 1.0);
        ring();
        eventually("the bell rings", || hears("bell.monitor"));
        assert!(!hears("bus.monitor"), "it rings in the headset as well");
        pactl(&["unload-module", &bell]);
        let took = eventually("it rings elsewhere", || hears("bus.monitor"));
        eprintln!("unplugged: heard elsewhere after {took:?} at most");
        ringer.silence();
        eventually("it is silent", || !hears("bus.monitor"));
        add_null_sink("bell", &format);
        ring();
        eventually("the bell rings again", || hears("bell.monitor"));
        assert!(!hears("bus.monitor"), "it rings in the headset as well");
        drop(ringer);
        assert!(!hears("bell.monitor"), "it rings although nobody is there any more");
        drop(server);
    });
}
