//! A sound server of its own, with virtual cards on one wire, and a session whose packets come back to itself.
//!
//! One two-channel null sink is the wire: what is played into its left channel (`inject`) is what the microphones `mic`
//! and `spare_mic` hear; what the session plays to `out` or `spare` goes to the right one, and a recording of both is
//! aligned to the sample. The test runs itself again as a child whose environment points to the server, so that the
//! user's sound is never touched.

// Each test uses its part of it.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub(crate) mod hearing;
pub(crate) mod pipewire;

use ahoy::config::{MicrophoneChoice, SoundProcessing, SpeakerChoice};
use ahoy::media::audio::{AudioPorts, AudioSession, SoundChoice, SoundLevels};
use ahoy::media::event::{DeviceKind, MEDIA_EVENT_CAPACITY, MediaEvent};
use ahoy::media::ports::{
    AUDIO_RECEIVE_CAPACITY, AUDIO_SEND_CAPACITY, EncodedAudio, ReceivedPacket, SendControl,
};
use ahoy::media::video::latest::Latest;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const FOLDER: &str = "AHOY_AUDIO_TEST_FOLDER";
pub(crate) const TONE_LEVEL: f32 = 0.2;
const RATE: usize = 48_000;

/// Runs `scenario` in a child process of the test of that name, which has a sound server's folder to itself.
pub(crate) fn run_apart(test: &str, scenario: impl FnOnce(&Path)) {
    run_apart_at(|folder| format!("unix:{}", folder.join("native").display()), test, scenario);
}

/// The same, with a sound server at another place, given the folder.
pub(crate) fn run_apart_at(place: impl FnOnce(&Path) -> String, test: &str, scenario: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return scenario(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder.path())
        .env("PULSE_SERVER", place(folder.path()))
        .env("PULSE_RUNTIME_PATH", folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("HOME", folder.path())
        .env_remove("PULSE_COOKIE")
        .env_remove("XDG_CONFIG_HOME")
        .status()
        .unwrap();
    assert!(status.success(), "see the output above");
}

/// A process that ends with the test.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn start(program: &str, arguments: &[&str], stdout: Stdio) -> Process {
    let child = Command::new(program).args(arguments).stdout(stdout).stderr(Stdio::null()).spawn();
    Process(child.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}")))
}

pub(crate) fn pactl(arguments: &[&str]) -> String {
    let output = Command::new("pactl").args(arguments).output().expect("pactl is needed for this test");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Process {
    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

/// A mono sink that is one channel of the wire.
pub(crate) fn add_sink(name: &str, channel: &str) -> String {
    pactl(&[
        "load-module",
        "module-remap-sink",
        &format!("sink_name={name}"),
        "master=bus",
        "channels=1",
        &format!("master_channel_map={channel}"),
        "channel_map=mono",
        "remix=no",
    ])
}

/// A microphone that hears the wire's left channel.
pub(crate) fn add_source(name: &str) -> String {
    pactl(&[
        "load-module",
        "module-remap-source",
        &format!("source_name={name}"),
        "master=bus.monitor",
        "channels=1",
        "master_channel_map=front-left",
        "channel_map=mono",
        "remix=no",
    ])
}

pub(crate) fn add_speaker(name: &str) -> String {
    add_sink(name, "front-right")
}

/// Loads the wire, and all that hangs on it. Gives the module of the wire.
pub(crate) fn add_cards() -> String {
    let wire = add_null_sink("bus", &["rate=48000", "channels=2", "channel_map=front-left,front-right"]);
    add_sink("inject", "front-left");
    add_speaker("spare");
    add_source("spare_mic");
    pactl(&["set-default-sink", "spare"]);
    pactl(&["set-default-source", "spare_mic"]);
    wire
}

pub(crate) fn add_null_sink(name: &str, format: &[&str]) -> String {
    let name = format!("sink_name={name}");
    pactl(&[&["load-module", "module-null-sink", "norewinds=1", &name][..], format].concat())
}

/// Starts a sound server without any card.
pub(crate) fn start_server(folder: &Path) -> Process {
    let socket = folder.join("native");
    std::fs::remove_file(&socket).ok();
    start_server_with(&format!("module-native-protocol-unix socket={} auth-anonymous=1", socket.display()))
}

/// The same, that listens where this module of it says.
pub(crate) fn start_server_with(protocol: &str) -> Process {
    let server = start(
        "pulseaudio",
        &[
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--disallow-exit",
            "--use-pid-file=no",
            "--system=false",
            "-L",
            protocol,
        ],
        Stdio::null(),
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Command::new("pactl").arg("info").output().expect("pactl is needed").status.success() {
        assert!(Instant::now() < deadline, "the sound server does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// A session whose packets come back to itself at once.
pub(crate) struct Looped {
    pub(crate) session: AudioSession,
    levels: Latest<SoundLevels>,
    events: mpsc::Receiver<MediaEvent>,
}

impl Looped {
    pub(crate) fn start(microphone: &str, speaker: &str) -> Self {
        let (out, mut sent) = mpsc::channel::<EncodedAudio>(AUDIO_SEND_CAPACITY);
        let (deliver, packets) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
        let (news, events) = mpsc::channel(MEDIA_EVENT_CAPACITY);
        let control = Arc::new(SendControl::new(0));
        control.set_sending(true);
        std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || {
                let mut sequence = 0u16;
                while let Some(packet) = sent.blocking_recv() {
                    let received = ReceivedPacket {
                        arrived: Instant::now(),
                        sequence,
                        timestamp: packet.rtp_timestamp,
                        marker: packet.talk_spurt,
                        ssrc: 1,
                        codec: None,
                        payload: packet.data,
                        capture_ntp: None,
                    };
                    sequence = sequence.wrapping_add(1);
                    if deliver.blocking_send(received).is_err() {
                        break;
                    }
                }
            })
            .unwrap();
        let levels = Latest::new();
        let session = AudioSession::start(
            SoundChoice {
                microphone: MicrophoneChoice::Device(microphone.into()),
                speaker: SpeakerChoice::Device(speaker.into()),
                // Bursts of a tone would be taken for noise.
                processing: SoundProcessing::OFF,
            },
            AudioPorts { out, packets, control },
            news,
            levels.clone(),
        )
        .unwrap();
        Self { session, levels, events }
    }

    /// What the meters show.
    pub(crate) fn levels(&self) -> SoundLevels {
        self.levels.peek().unwrap_or_default()
    }

    /// Waits for an event that fits, up to 12 s.
    pub(crate) fn expect(&mut self, what: &str, fits: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
        let deadline = Instant::now() + Duration::from_secs(12);
        loop {
            while let Ok(event) = self.events.try_recv() {
                eprintln!("  {event:?}");
                if fits(&event) {
                    return event;
                }
            }
            assert!(Instant::now() < deadline, "in vain for: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn expect_opened(&mut self, wanted: DeviceKind) {
        self.expect(
            "a device opened",
            |event| matches!(event, MediaEvent::Opened { kind, .. } if *kind == wanted),
        );
    }

    /// Both devices, whichever comes first.
    pub(crate) fn expect_both_opened(&mut self) {
        let missing = std::cell::Cell::new([true, true]);
        self.expect("both devices opened", |event| {
            if let MediaEvent::Opened { kind, .. } = event {
                let [speaker, microphone] = missing.get();
                missing.set([
                    speaker && *kind != DeviceKind::Speaker,
                    microphone && *kind != DeviceKind::Microphone,
                ]);
            }
            missing.get() == [false, false]
        });
    }

    pub(crate) fn expect_lost(&mut self, wanted: DeviceKind, with_fallback: bool) {
        self.expect("a device lost", |event| {
            matches!(event, MediaEvent::Lost { kind, fallback, .. }
                if *kind == wanted && fallback.is_some() == with_fallback)
        });
    }

    /// Sound must keep coming through the worker.
    pub(crate) fn assert_alive(&self) {
        let before = self.session.stats();
        std::thread::sleep(Duration::from_millis(500));
        let after = self.session.stats();
        assert!(after.received_samples > before.received_samples + 12_000, "the worker stands still");
    }

    pub(crate) fn stop_in_time(self) {
        let began = Instant::now();
        self.session.stop();
        eprintln!("stopped in {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

/// Plays a steady 440 Hz into a sink, until dropped.
pub(crate) fn tone(sink: &str, folder: &Path) -> Process {
    let path = folder.join("tone.raw");
    let samples = (0..120 * RATE).flat_map(|i| {
        let value = (i as f32 * 440.0 * std::f32::consts::TAU / RATE as f32).sin() * TONE_LEVEL * 32_767.0;
        (value as i16).to_le_bytes()
    });
    std::fs::write(&path, samples.collect::<Vec<u8>>()).unwrap();
    let arguments = ["-d", sink, "--rate=48000", "--format=s16le", "--channels=1", path.to_str().unwrap()];
    start("pacat", &arguments, Stdio::null())
}

/// Both channels of a sink's monitor, while `action` runs and a second before and after it.
pub(crate) fn record_during(folder: &Path, monitor: &str, action: impl FnOnce()) -> (Vec<f32>, Vec<f32>) {
    let path = folder.join("recording");
    let file = std::fs::File::create(&path).unwrap();
    let arguments = ["-d", monitor, "--rate=48000", "--format=s16le", "--channels=2", "--latency-msec=20"];
    let recorder = start("parec", &arguments, file.into());
    std::thread::sleep(Duration::from_secs(1));
    action();
    std::thread::sleep(Duration::from_secs(1));
    drop(recorder);
    let bytes = std::fs::read(&path).unwrap();
    let sample = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
    bytes.chunks_exact(4).map(|frame| (sample(&frame[..2]), sample(&frame[2..]))).unzip()
}

/// The longest silence between sounds, milliseconds, in steps of 5 ms.
pub(crate) fn longest_gap_ms(samples: &[f32]) -> usize {
    gap_ms(samples).expect("there is hardly any sound")
}

/// The same; `None` if there is hardly any sound.
pub(crate) fn gap_ms(samples: &[f32]) -> Option<usize> {
    let loud: Vec<usize> = samples
        .chunks(RATE / 200)
        .enumerate()
        .filter(|(_, piece)| rms(piece) > TONE_LEVEL / 8.0)
        .map(|(at, _)| at)
        .collect();
    (loud.len() > 100).then(|| loud.windows(2).map(|pair| (pair[1] - pair[0] - 1) * 5).max()).flatten()
}

pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
