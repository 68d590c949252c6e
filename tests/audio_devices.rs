//! Sound through a real sound server: a session between PulseAudio devices that come and go.
//!
//! The test runs itself again as a child whose environment points to a server of its own, so that the user's sound is
//! never touched. One two-channel null sink is the wire: what is played into its left channel is the microphone, what
//! the session plays goes to the right one, and a recording of both is aligned to the sample.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use ahoy::config::{MicrophoneChoice, SoundProcessing, SpeakerChoice};
use ahoy::media::audio::{AudioPorts, AudioSession, SoundChoice, list_devices};
use ahoy::media::event::{DeviceKind, MEDIA_EVENT_CAPACITY, MediaEvent};
use ahoy::media::ports::{
    AUDIO_RECEIVE_CAPACITY, AUDIO_SEND_CAPACITY, EncodedAudio, ReceivedPacket, SendControl,
};
use ahoy::media::video::latest::Latest;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const FOLDER: &str = "AHOY_AUDIO_TEST_FOLDER";
const TONE_LEVEL: f32 = 0.2;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(program: &str, arguments: &[&str], stdout: Stdio) -> Process {
    let child = Command::new(program).args(arguments).stdout(stdout).stderr(Stdio::null()).spawn();
    Process(child.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}")))
}

fn pactl(arguments: &[&str]) -> String {
    let output = Command::new("pactl").args(arguments).output().expect("pactl is needed for this test");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const OUT: [&str; 8] = [
    "load-module",
    "module-remap-sink",
    "sink_name=out",
    "master=bus",
    "channels=1",
    "master_channel_map=front-right",
    "channel_map=mono",
    "remix=no",
];
const MIC: [&str; 8] = [
    "load-module",
    "module-remap-source",
    "source_name=mic",
    "master=bus.monitor",
    "channels=1",
    "master_channel_map=front-left",
    "channel_map=mono",
    "remix=no",
];

/// Starts a sound server with the wire, and spare devices as defaults. Gives the modules of `out` and `mic`.
fn start_server(folder: &Path) -> (Process, String, String) {
    let socket = folder.join("native");
    std::fs::remove_file(&socket).ok();
    let protocol = format!("module-native-protocol-unix socket={} auth-anonymous=1", socket.display());
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
            &protocol,
        ],
        Stdio::null(),
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Command::new("pactl").arg("info").output().expect("pactl is needed").status.success() {
        assert!(Instant::now() < deadline, "the sound server does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    let null = ["load-module", "module-null-sink", "norewinds=1", "rate=48000"];
    let bus = ["sink_name=bus", "channels=2", "channel_map=front-left,front-right"];
    pactl(&[&null[..], &bus[..]].concat());
    pactl(&[&null[..], &["sink_name=spare", "channels=1"]].concat());
    let mut inject = OUT;
    (inject[2], inject[5]) = ("sink_name=inject", "master_channel_map=front-left");
    pactl(&inject);
    let mut spare = MIC;
    (spare[2], spare[3], spare[5]) =
        ("source_name=spare_mic", "master=spare.monitor", "master_channel_map=mono");
    pactl(&spare);
    let modules = (pactl(&OUT), pactl(&MIC));
    pactl(&["set-default-sink", "spare"]);
    pactl(&["set-default-source", "spare_mic"]);
    (server, modules.0, modules.1)
}

/// A session whose packets come back to itself at once.
struct Looped {
    session: AudioSession,
    events: mpsc::Receiver<MediaEvent>,
}

impl Looped {
    fn start(microphone: &str, speaker: &str) -> Self {
        let (out, mut sent) = mpsc::channel::<EncodedAudio>(AUDIO_SEND_CAPACITY);
        let (deliver, packets) = sync_channel(AUDIO_RECEIVE_CAPACITY);
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
                    if deliver.send(received).is_err() {
                        break;
                    }
                }
            })
            .unwrap();
        let session = AudioSession::start(
            SoundChoice {
                microphone: MicrophoneChoice::Device(microphone.into()),
                speaker: SpeakerChoice::Device(speaker.into()),
                // Bursts of a tone would be taken for noise.
                processing: SoundProcessing::OFF,
            },
            AudioPorts { out, packets, control },
            news,
            Latest::new(),
        )
        .unwrap();
        Self { session, events }
    }

    /// Waits for an event that fits, up to 12 s.
    fn expect(&mut self, what: &str, fits: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
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

    fn expect_opened(&mut self, wanted: DeviceKind) {
        self.expect(
            "a device opened",
            |event| matches!(event, MediaEvent::Opened { kind, .. } if *kind == wanted),
        );
    }

    fn expect_lost(&mut self, wanted: DeviceKind, with_fallback: bool) {
        self.expect("a device lost", |event| {
            matches!(event, MediaEvent::Lost { kind, fallback, .. }
                if *kind == wanted && fallback.is_some() == with_fallback)
        });
    }

    /// Sound must keep coming through the worker.
    fn assert_alive(&self) {
        let before = self.session.stats();
        std::thread::sleep(Duration::from_millis(500));
        let after = self.session.stats();
        assert!(after.received_samples > before.received_samples + 12_000, "the worker stands still");
    }

    fn stop_in_time(self) {
        let began = Instant::now();
        self.session.stop();
        eprintln!("stopped in {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

/// Bursts of 440 Hz, 250 ms in each 500 ms, as 16 bit little endian.
fn write_bursts(path: &Path, seconds: usize) {
    let samples = (0..seconds * 48_000).flat_map(|i| {
        let on = if i % 24_000 < 12_000 { TONE_LEVEL * 32_767.0 } else { 0.0 };
        let value = (i as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * on;
        (value as i16).to_le_bytes()
    });
    std::fs::write(path, samples.collect::<Vec<u8>>()).unwrap();
}

/// Both channels of the wire for so long.
fn record(folder: &Path, seconds: u64) -> (Vec<f32>, Vec<f32>) {
    let path = folder.join("recording");
    let file = std::fs::File::create(&path).unwrap();
    let arguments =
        ["-d", "bus.monitor", "--rate=48000", "--format=s16le", "--channels=2", "--latency-msec=20"];
    let recorder = start("parec", &arguments, file.into());
    std::thread::sleep(Duration::from_secs(seconds));
    drop(recorder);
    let bytes = std::fs::read(&path).unwrap();
    let sample = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
    bytes.chunks_exact(4).map(|frame| (sample(&frame[..2]), sample(&frame[2..]))).unzip()
}

/// Where bursts begin: the first loud sample after 100 ms of quiet.
fn onsets(samples: &[f32]) -> Vec<usize> {
    let (mut found, mut quiet) = (Vec::new(), 0);
    for (i, sample) in samples.iter().enumerate() {
        if sample.abs() < TONE_LEVEL / 4.0 {
            quiet += 1;
        } else {
            if quiet > 4800 {
                found.push(i);
            }
            quiet = 0;
        }
    }
    found
}

/// Processor time of our worker, of the sound server's client, and of the whole process, milliseconds.
fn cpu_ms() -> [f64; 3] {
    let mut sums = [0.0; 3];
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        let nanoseconds: f64 = stat.split_whitespace().next().unwrap().parse().unwrap();
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        sums[2] += nanoseconds / 1e6;
        match name.trim() {
            "audio" => sums[0] += nanoseconds / 1e6,
            "audio-pulse" => sums[1] += nanoseconds / 1e6,
            _ => {}
        }
    }
    sums
}

fn check_sound(folder: &Path, looped: &Looped) {
    let raw = folder.join("bursts.raw");
    write_bursts(&raw, 12);
    let arguments = ["-d", "inject", "--rate=48000", "--format=s16le", "--channels=1"];
    let _player = start("pacat", &[&arguments[..], &[raw.to_str().unwrap()]].concat(), Stdio::null());
    std::thread::sleep(Duration::from_secs(4));
    let (before, cpu) = (looped.session.stats(), cpu_ms());
    let (injected, heard) = record(folder, 5);
    let (after, cpu_after) = (looped.session.stats(), cpu_ms());
    let (sent, came) = (onsets(&injected), onsets(&heard));
    assert!(sent.len() >= 6, "{} bursts were injected", sent.len());
    let mut delays: Vec<f64> = sent
        .iter()
        .filter_map(|begin| {
            came.iter().find(|onset| *onset > begin).map(|onset| (onset - begin) as f64 / 48.0)
        })
        .filter(|delay| *delay < 400.0)
        .collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays.len() + 2 >= sent.len(), "{sent:?} {came:?}");
    let median = delays[delays.len() / 2];
    let concealed = after.concealed_samples - before.concealed_samples;
    eprintln!(
        "microphone to speaker: median {median:.1} ms of {delays:.0?}; CPU per second: worker {:.1} ms, client {:.1} ms, all of the process {:.1} ms; \
         microphone's device {:.1} ms, its ring and frame {:.1} ms, buffer {:.0} ms, \
         speaker ring {:.0} ms, its device {:.1} ms; {concealed} samples made up, {} underruns, {} overruns",
        (cpu_after[0] - cpu[0]) / 5.0,
        (cpu_after[1] - cpu[1]) / 5.0,
        (cpu_after[2] - cpu[2]) / 5.0,
        after.microphone_device_ms,
        after.microphone_ring_ms,
        after.buffer_ms,
        after.speaker_ring_ms,
        after.speaker_device_ms,
        after.speaker_underruns - before.speaker_underruns,
        after.microphone_overruns - before.microphone_overruns,
    );
    assert!(median < 200.0, "{median} ms from microphone to speaker");
    // The middle of a burst: its frequency and its level.
    let begin = came[came.len() / 2] + 2400;
    let burst = &heard[begin..begin + 7200];
    let rising = burst.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    assert!((64..=68).contains(&rising), "{rising} periods in 150 ms of 440 Hz");
    let level = (burst.iter().map(|s| s * s).sum::<f32>() / burst.len() as f32).sqrt();
    assert!((level / (TONE_LEVEL / std::f32::consts::SQRT_2) - 1.0).abs() < 0.15, "level {level}");
}

fn scenario(folder: &Path) {
    let (server, out_module, mic_module) = start_server(folder);
    let (microphones, speakers) = list_devices();
    let ids: Vec<&str> = microphones.iter().chain(&speakers).map(|device| device.id.as_str()).collect();
    eprintln!("{ids:?}");
    assert!(microphones.iter().any(|device| device.id == "pulseaudio:mic" && !device.default));
    assert!(microphones[0].default && microphones[0].id == "pulseaudio:spare_mic", "{ids:?}");
    assert!(speakers[0].default && speakers[0].id == "pulseaudio:spare" && !speakers[0].formats.is_empty());

    let mut looped = Looped::start("mic", "pulseaudio:out");
    looped.expect_opened(DeviceKind::Speaker);
    looped.expect_opened(DeviceKind::Microphone);
    check_sound(folder, &looped);

    eprintln!("the speaker is unplugged and plugged in again");
    pactl(&["unload-module", &out_module]);
    looped.expect_lost(DeviceKind::Speaker, true);
    looped.assert_alive();
    pactl(&OUT);
    looped.expect_opened(DeviceKind::Speaker);
    looped.expect_opened(DeviceKind::Speaker);
    eprintln!("the microphone is unplugged and plugged in again");
    pactl(&["unload-module", &mic_module]);
    looped.expect_lost(DeviceKind::Microphone, true);
    looped.assert_alive();
    pactl(&MIC);
    looped.expect_opened(DeviceKind::Microphone);
    looped.expect_opened(DeviceKind::Microphone);
    looped.session.set_speaker(SpeakerChoice::Default);
    looped.expect_opened(DeviceKind::Speaker);
    looped.stop_in_time();

    eprintln!("the sound server dies");
    let mut looped = Looped::start("mic", "out");
    looped.expect_opened(DeviceKind::Speaker);
    looped.expect_opened(DeviceKind::Microphone);
    std::thread::sleep(Duration::from_secs(5));
    drop(server);
    let kinds = [looped.expect("lost", is_lost), looped.expect("lost", is_lost)];
    eprintln!("{kinds:?}");
    looped.assert_alive();
    eprintln!("and is started again");
    let (server, _, _) = start_server(folder);
    looped.expect_opened(DeviceKind::Speaker);
    looped.assert_alive();
    eprintln!("and dies for good");
    drop(server);
    looped.expect("lost", is_lost);
    looped.stop_in_time();
}

fn is_lost(event: &MediaEvent) -> bool {
    matches!(event, MediaEvent::Lost { .. })
}

#[test]
fn sound_survives_devices_that_come_and_go() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return scenario(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sound_survives_devices_that_come_and_go", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("PULSE_SERVER", format!("unix:{}", folder.path().join("native").display()))
        .env("PULSE_RUNTIME_PATH", folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("HOME", folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "see the output above");
}
