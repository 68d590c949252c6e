//! The recipe by which speech through a call is judged: two virtual sound cards on one wire, a voice for each, and the
//! score that a listener would give (PESQ, ITU-T P.862.2).
//!
//! What is said and what is heard are channels of one recording, so that both are in the same clock. Only where clocks are
//! to drift there are two wires, one for each card, and two recordings that know when they began. The recording of what is
//! said is scored first: where even that is damaged, the machine was too busy to judge anybody.

use super::agent::Options;
use super::pair::SOON;
use super::process::{Guarded, run};
use super::pulse::{Pulse, RATE};
use super::recorder::{Recorder, Recording};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What the recording of the injected speech itself must reach (of 4.64 at most).
pub(crate) const SOUND_REFERENCE: f64 = 4.4;

/// Names of both participants: the first half of this file's devices are alice's.
pub(crate) const NAMES: [&str; 2] = ["alice", "bob"];
/// Attempts at a sound reference.
const ATTEMPTS: usize = 3;
/// Channels of the wire: what each says, what each hears.
const WIRE: [&str; 4] = ["aux0", "aux1", "aux2", "aux3"];

/// Harvard sentences (IEEE 297-1969), and the voice that says them.
const SPEECH: [(&str, &str); 2] = [
    (
        "en-us",
        "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
         It is easy to tell the depth of a well.",
    ),
    (
        "en-us+f3",
        "Four hours of steady work faced us. The boy was there when the sun rose. \
         A rod is used to catch pink salmon.",
    ),
];

/// Two virtual sound cards on one wire, and a voice for each.
pub(crate) struct Studio {
    /// One that both share, or one for each.
    servers: Vec<Pulse>,
    folder: TempDir,
}

/// What a direction of a call was like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// 1.0 to 4.64; 0 if nothing was heard.
    pub(crate) pesq: f64,
    /// Mouth to ear, milliseconds.
    pub(crate) delay_ms: Option<f64>,
}

impl Studio {
    pub(crate) fn new() -> Self {
        Self::with(vec![Pulse::start()])
    }

    /// The second card is fast by so many parts per million of the first.
    pub(crate) fn with_drift(ppm: f64) -> Self {
        Self::with(vec![Pulse::start(), Pulse::start_with_clock(ppm)])
    }

    fn with(servers: Vec<Pulse>) -> Self {
        let studio = Self { servers, folder: tempfile::tempdir().unwrap() };
        for server in &studio.servers {
            server.add_null_sink("wire", &WIRE);
        }
        for (index, name) in NAMES.into_iter().enumerate() {
            let server = studio.server(index);
            let (says, hears) = (WIRE[2 * index], WIRE[2 * index + 1]);
            server.add_remap_sink(&format!("voice_{name}"), "wire", says);
            server.add_remap_source(&format!("microphone_{name}"), "wire.monitor", says);
            server.add_remap_sink(&format!("speaker_{name}"), "wire", hears);
        }
        studio
    }

    /// The sound server of the participant of that index.
    fn server(&self, index: usize) -> &Pulse {
        self.servers.get(index).unwrap_or(&self.servers[0])
    }

    /// An agent with the sound card of that name, without a camera.
    pub(crate) fn agent(&self, name: &str) -> Options {
        let mut options = Options::default()
            .with("--microphone", &format!("microphone_{name}"))
            .with("--speaker", &format!("speaker_{name}"))
            .with("--accept", "always");
        for (key, value) in self.environment(name) {
            options = options.with_env(key, &value);
        }
        options
    }

    /// The environment in which any program has the sound card of that name.
    pub(crate) fn environment(&self, name: &str) -> [(&'static str, String); 4] {
        let server = self.server(NAMES.iter().position(|known| *known == name).unwrap());
        [
            ("PULSE_SERVER", server.address()),
            ("PULSE_COOKIE", server.cookie()),
            ("PULSE_SINK", format!("speaker_{name}")),
            ("PULSE_SOURCE", format!("microphone_{name}")),
        ]
    }

    /// Both voices speak at the same time, and nobody listens.
    pub(crate) fn chatter(&self) {
        for mut player in [self.speak(0), self.speak(1)] {
            finish(&mut player);
        }
    }

    /// The mouth of the participant of that index: see [`Pulse::play_stream`].
    pub(crate) fn mouth(&self, index: usize) -> Guarded {
        self.server(index).play_stream(&format!("voice_{}", NAMES[index]))
    }

    /// The wire as it is now (that of the first, if there are two), four channels: what alice says and hears, what bob says
    /// and hears. See [`Pulse::record_stream`].
    pub(crate) fn wire(&self) -> Guarded {
        self.servers[0].record_stream("wire.monitor", &WIRE)
    }

    /// The participant of that index speaks until the recording of that itself is sound; the other's ear is scored.
    ///
    /// # Errors
    /// The machine is too busy.
    pub(crate) fn judge(&self, speaker: usize) -> Result<Score, String> {
        let speech = self.speech(speaker);
        let mut references = Vec::new();
        for _ in 0..ATTEMPTS {
            let wires = self.record(speaker);
            let listener = 1 - speaker;
            let wire = |index: usize| wires.get(index).unwrap_or(&wires[0]);
            let (said, heard) = (wire(speaker), wire(listener));
            let (says, hears) = (2 * speaker, 2 * listener + 1);
            let (said_file, heard_file) = ((&*said.channels[says], 0), (&*heard.channels[hears], 0));
            let reference = score((&speech, 0), said_file).pesq;
            if reference >= SOUND_REFERENCE {
                let score = score(said_file, heard_file);
                let apart = heard.began.saturating_duration_since(said.began).as_secs_f64()
                    - said.began.saturating_duration_since(heard.began).as_secs_f64();
                return Ok(Score { delay_ms: score.delay_ms.map(|delay| delay + 1e3 * apart), ..score });
            }
            references.push(reference);
        }
        Err(format!("the machine is too busy to judge sound: even the injected speech scores {references:?}"))
    }

    /// What the participant of that index says: a WAV file.
    pub(crate) fn speech(&self, index: usize) -> PathBuf {
        let file = self.folder.path().join(format!("speech-{index}.wav"));
        if !file.exists() {
            let spoken = self.folder.path().join("spoken.wav");
            let (voice, text) = SPEECH[index];
            run(Command::new("espeak-ng").args(["-v", voice, "-s", "150", "-w"]).arg(&spoken).arg(text));
            let mut resample = Command::new("ffmpeg");
            resample.args(["-loglevel", "error", "-y", "-i"]).arg(&spoken);
            // Half a second of silence on both sides, and the loudness of somebody close to a microphone.
            resample.args(["-af", "loudnorm=I=-23:TP=-6,adelay=500,apad=pad_dur=0.5"]);
            run(resample.args(["-ar", &RATE.to_string(), "-ac", "1", "-c:a", "pcm_s16le"]).arg(&file));
        }
        file
    }

    /// The voice of that index begins to speak.
    fn speak(&self, index: usize) -> Guarded {
        self.server(index).play(&format!("voice_{}", NAMES[index]), &self.speech(index))
    }

    /// Plays a voice and records all wires meanwhile.
    fn record(&self, speaker: usize) -> Vec<Recording> {
        let record =
            |server: &Pulse| Recorder::start(server.record_stream("wire.monitor", &WIRE), WIRE.len());
        let recorders: Vec<Recorder> = self.servers.iter().map(record).collect();
        for recorder in &recorders {
            recorder.wait_running(SOON);
        }
        finish(&mut self.speak(speaker));
        std::thread::sleep(Duration::from_secs(1));
        let finish = |(index, recorder): (usize, Recorder)| {
            recorder.finish(SOON, self.folder.path(), &format!("wire-{index}"))
        };
        recorders.into_iter().enumerate().map(finish).collect()
    }
}

fn finish(player: &mut Guarded) {
    assert!(player.wait_for_end(Duration::from_secs(60)).is_some_and(|status| status.success()));
}

/// Scores a channel of a WAV file against another.
pub(crate) fn score(reference: (&Path, usize), degraded: (&Path, usize)) -> Score {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".cache/python/bin/python");
    assert!(python.exists(), "{} is missing: scripts/test installs it", python.display());
    let argument = |(file, channel): (&Path, usize)| format!("{}:{channel}", file.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/common/score_speech.py")).args([argument(reference), argument(degraded)]);
    let value: Value = serde_json::from_str(&run(&mut command)).unwrap();
    Score { pesq: value["pesq"].as_f64().unwrap(), delay_ms: value["delay_ms"].as_f64() }
}
