//! Speech through a call, from one virtual sound card to another, scored as a listener would (PESQ).

// `clippy.toml` lets tests unwrap and print, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::agent::{Agent, Options};
use common::pair::{SETUP, SOON};
use common::process::run;
use common::pulse::{Pulse, RATE};
use common::server::Server;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What the recording of the injected speech itself must reach, or the machine was too busy to judge anybody.
const SOUND_REFERENCE: f64 = 4.4;
/// What a call must reach (of 4.64 at most).
const GOOD: f64 = 3.4;
/// Attempts at a sound reference, and at a good score.
const ATTEMPTS: usize = 3;

/// Channels of the wire.
const WIRE: [&str; 4] = ["aux0", "aux1", "aux2", "aux3"];
const ALICE_SAYS: usize = 0;
const ALICE_HEARS: usize = 1;
const BOB_SAYS: usize = 2;
const BOB_HEARS: usize = 3;

const SPEECH: [&str; 2] = [
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
     It is easy to tell the depth of a well.",
    "Four hours of steady work faced us. The boy was there when the sun rose. \
     A rod is used to catch pink salmon.",
];

/// Two virtual sound cards on one wire, and a voice for each.
struct Studio {
    pulse: Pulse,
    folder: TempDir,
}

impl Studio {
    fn new() -> Self {
        let pulse = Pulse::start();
        pulse.add_null_sink("wire", &WIRE);
        for (name, says, hears) in [("alice", ALICE_SAYS, ALICE_HEARS), ("bob", BOB_SAYS, BOB_HEARS)] {
            pulse.add_remap_sink(&format!("voice_{name}"), "wire", WIRE[says]);
            pulse.add_remap_source(&format!("microphone_{name}"), "wire.monitor", WIRE[says]);
            pulse.add_remap_sink(&format!("speaker_{name}"), "wire", WIRE[hears]);
        }
        Self { pulse, folder: tempfile::tempdir().unwrap() }
    }

    /// Somebody with the sound card of that name, without a camera.
    fn participant(&self, name: &str) -> Options {
        Options::default()
            .with("--microphone", &format!("microphone_{name}"))
            .with("--speaker", &format!("speaker_{name}"))
            .with("--accept", "always")
            .with_env("PULSE_SERVER", &self.pulse.address())
            .with_env("PULSE_COOKIE", &self.pulse.cookie())
    }

    fn speech(&self, index: usize) -> PathBuf {
        let (spoken, file) = (self.file("spoken.wav"), self.file(&format!("speech-{index}.wav")));
        run(Command::new("espeak-ng")
            .args(["-v", "en-us", "-s", "150", "-w"])
            .arg(&spoken)
            .arg(SPEECH[index]));
        let mut resample = Command::new("ffmpeg");
        resample.args(["-loglevel", "error", "-y", "-i"]).arg(&spoken);
        // Half a second of silence on both sides, and the loudness of somebody close to a microphone.
        resample.args(["-af", "loudnorm=I=-23:TP=-6,adelay=500,apad=pad_dur=0.5"]);
        run(resample.args(["-ar", &RATE.to_string(), "-ac", "1", "-c:a", "pcm_s16le"]).arg(&file));
        file
    }

    /// Plays a voice and records the wire meanwhile.
    fn record(&self, voice: &str, speech: &Path) -> PathBuf {
        let file = self.file("wire.wav");
        let mut recorder = self.pulse.record("wire.monitor", &WIRE, &file);
        common::eventually("the recording runs", SOON, || {
            (std::fs::metadata(&file).ok()?.len() > 10_000).then_some(())
        });
        let mut player = self.pulse.play(voice, speech);
        assert!(player.wait_for_end(Duration::from_secs(60)).is_some_and(|status| status.success()));
        std::thread::sleep(Duration::from_secs(1));
        assert!(recorder.terminate(SOON).is_some(), "the recorder does not end");
        file
    }

    /// Speaks as `voice` until the recording of that itself is sound, and gives the recording.
    fn sound_recording(&self, voice: &str, says: usize, speech: &Path) -> PathBuf {
        let mut scores = Vec::new();
        for _ in 0..ATTEMPTS {
            let recording = self.record(voice, speech);
            let score = score((speech, 0), (&recording, says));
            println!("injected: {score}");
            if score["pesq"].as_f64().unwrap() >= SOUND_REFERENCE {
                return recording;
            }
            scores.push(score);
        }
        panic!("the machine is too busy to judge sound: even the injected speech scores {scores:?}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn score(reference: (&Path, usize), degraded: (&Path, usize)) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".cache/python/bin/python");
    assert!(python.exists(), "{} is missing: scripts/test installs it", python.display());
    let argument = |(file, channel): (&Path, usize)| format!("{}:{channel}", file.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/common/score_speech.py")).args([argument(reference), argument(degraded)]);
    serde_json::from_str(&run(&mut command)).unwrap()
}

#[test]
fn speech_arrives_recognisably_in_both_directions() {
    let studio = Studio::new();
    let server = Server::start();
    let mut alice = Agent::start(&server.url(), "alice", studio.participant("alice"));
    let mut bob = Agent::start(&server.url(), "bob", studio.participant("bob"));
    alice.wait_user("bob");
    alice.call("bob");
    for agent in [&mut alice, &mut bob] {
        agent.wait_call("connected", SETUP);
        agent.wait_stats("receives sound", SOON, |stats| {
            stats["audio_received"]["packets"].as_u64() > Some(10)
        });
    }
    for (index, voice, says, hears) in
        [(0, "voice_alice", ALICE_SAYS, BOB_HEARS), (1, "voice_bob", BOB_SAYS, ALICE_HEARS)]
    {
        let speech = studio.speech(index);
        let mut scores = Vec::new();
        // The reference shows a machine that is too busy to play and record, but not one that is too busy to decode.
        while scores.len() < ATTEMPTS {
            let recording = studio.sound_recording(voice, says, &speech);
            scores.push(score((&recording, says), (&recording, hears)));
            println!("{voice}: {}", scores[scores.len() - 1]);
            if scores[scores.len() - 1]["pesq"].as_f64().unwrap() >= GOOD {
                break;
            }
        }
        let score = &scores[scores.len() - 1];
        assert!(
            score["pesq"].as_f64().unwrap() >= GOOD,
            "{voice}: {scores:?}\n{}\n{}",
            alice.story(),
            bob.story()
        );
        // Mouth to ear.
        let delay = score["delay_ms"].as_f64().unwrap();
        assert!((0.0..500.0).contains(&delay), "{voice}: {score}");
    }
}
