//! A sound server of its own (PulseAudio) with virtual sound cards, apart from the one of whoever runs the tests.
//!
//! One null sink of four channels is the wire: what a program plays to one of the `speaker_*` sinks, and what a test
//! plays to one of the `voice_*` sinks, both end up on channels of it, so that one recording holds both ends of a
//! call in the same clock.

use super::eventually;
use super::process::{Guarded, log_file, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Samples per second of the wire and of all that hangs on it.
pub(crate) const RATE: u32 = 48_000;

/// Length of a cookie in PulseAudio's native protocol.
const COOKIE_BYTES: usize = 256;

/// A running sound server.
pub(crate) struct Pulse {
    _process: Guarded,
    folder: TempDir,
}

impl Pulse {
    /// Starts a sound server without any card.
    pub(crate) fn start() -> Self {
        Self::start_with_clock(0.0)
    }

    /// The same, with a clock that is fast by so many parts per million, and with it the crystals of all its cards.
    pub(crate) fn start_with_clock(fast_ppm: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (state, log) = (folder.path().join("state"), folder.path().join("pulse.log"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(folder.path().join("cookie"), [0; COOKIE_BYTES]).unwrap();
        let mut command = Command::new("pulseaudio");
        command
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"])
            .args(["--realtime=yes", "--high-priority=yes", "--log-target=stderr", "-L"])
            .arg(format!("module-native-protocol-unix socket={} auth-anonymous=1", socket(&folder)))
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("PULSE_STATE_PATH", &state)
            .env("PULSE_RUNTIME_PATH", &state)
            .env("HOME", folder.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(&log));
        if fast_ppm != 0.0 {
            command
                .env("LD_PRELOAD", clock_library())
                .env("FAKETIME", format!("+0 x{}", 1.0 + fast_ppm * 1e-6));
        }
        let mut process = Guarded::spawn(&mut command);
        eventually("PulseAudio starts", Duration::from_secs(20), || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("PulseAudio ended at once ({status}): {}", std::fs::read_to_string(&log).unwrap());
            }
            Path::new(&socket(&folder)).exists().then_some(())
        });
        Self { _process: process, folder }
    }

    /// The value of `PULSE_SERVER` for its clients.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", socket(&self.folder))
    }

    /// The value of `PULSE_COOKIE` for its clients: the server takes any, and none is made in a home.
    pub(crate) fn cookie(&self) -> String {
        self.folder.path().join("cookie").display().to_string()
    }

    /// Runs pactl and gives what it printed.
    pub(crate) fn pactl(&self, arguments: &[&str]) -> String {
        run(self.client("pactl").args(arguments)).trim().to_owned()
    }

    /// A command that talks to this server.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PULSE_SERVER", self.address())
            .env("PULSE_COOKIE", self.cookie())
            .env("HOME", self.folder.path());
        command
    }

    /// Adds a sink that plays nowhere; its monitor hears it. `channels` are PulseAudio channel names.
    pub(crate) fn add_null_sink(&self, name: &str, channels: &[&str]) {
        self.pactl(&[
            "load-module",
            "module-null-sink",
            &format!("sink_name={name}"),
            &format!("rate={RATE}"),
            "format=float32le",
            &format!("channels={}", channels.len()),
            &format!("channel_map={}", channels.join(",")),
            // Without this a player's rewind rewrites what the monitor has already heard.
            "norewinds=1",
            &format!("sink_properties=device.description={name}"),
        ]);
    }

    /// Adds a mono sink that is one channel of another.
    pub(crate) fn add_remap_sink(&self, name: &str, master: &str, channel: &str) {
        self.pactl(&[
            "load-module",
            "module-remap-sink",
            &format!("sink_name={name}"),
            &format!("master={master}"),
            "channels=1",
            "channel_map=mono",
            &format!("master_channel_map={channel}"),
            "remix=no",
            &format!("sink_properties=device.description={name}"),
        ]);
    }

    /// Adds a mono source that is one channel of another source.
    pub(crate) fn add_remap_source(&self, name: &str, master: &str, channel: &str) {
        self.pactl(&[
            "load-module",
            "module-remap-source",
            &format!("source_name={name}"),
            &format!("master={master}"),
            "channels=1",
            "channel_map=mono",
            &format!("master_channel_map={channel}"),
            "remix=no",
            &format!("source_properties=device.description={name}"),
        ]);
    }

    /// Plays a WAV file to a sink, in the background.
    pub(crate) fn play(&self, sink: &str, file: &Path) -> Guarded {
        let mut command = self.client("paplay");
        command.arg(format!("--device={sink}")).arg("--latency-msec=200").arg(file);
        Guarded::spawn(command.stdin(Stdio::null()).stderr(Stdio::null()))
    }

    /// Plays what is written to the child's standard input to a sink: 16 bits little-endian, one channel.
    pub(crate) fn play_stream(&self, sink: &str) -> Guarded {
        let mut command = self.client("pacat");
        command
            .args(["--playback", "--raw", "--format=s16le", "--channels=1", "--latency-msec=200"])
            .arg(format!("--rate={RATE}"))
            .arg(format!("--device={sink}"));
        Guarded::spawn(command.stdin(Stdio::piped()).stderr(Stdio::null()))
    }

    /// Gives a source on the child's standard output: 16 bits little-endian, that many channels.
    pub(crate) fn record_stream(&self, source: &str, channels: &[&str]) -> Guarded {
        let mut command = self.client("pacat");
        command
            .args(["--record", "--raw", "--format=s16le", "--latency-msec=500", "--no-remix"])
            .arg(format!("--rate={RATE}"))
            .arg(format!("--device={source}"))
            .arg(format!("--channels={}", channels.len()))
            .arg(format!("--channel-map={}", channels.join(",")));
        Guarded::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()))
    }

    /// Records a source to a WAV file (16 bits, that many channels) until dropped or terminated.
    pub(crate) fn record(&self, source: &str, channels: &[&str], file: &Path) -> Guarded {
        let mut command = self.client("parecord");
        command
            .arg(format!("--device={source}"))
            .arg(format!("--rate={RATE}"))
            .args(["--format=s16le", "--file-format=wav", "--latency-msec=500"])
            .arg(format!("--channels={}", channels.len()))
            .arg(format!("--channel-map={}", channels.join(",")))
            .args(["--no-remix"])
            .arg(file);
        Guarded::spawn(command.stdin(Stdio::null()).stderr(Stdio::null()))
    }
}

/// libfaketime: it tells a program another time than there is.
fn clock_library() -> PathBuf {
    let folders = ["/usr/lib/faketime", "/usr/lib64/faketime"].map(PathBuf::from);
    // Debian has a folder for each architecture.
    let more = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut files = folders.into_iter().chain(more.map(|entry| entry.path().join("faketime")));
    let found = files.find_map(|folder| Some(folder.join("libfaketime.so.1")).filter(|file| file.exists()));
    found.expect("libfaketime is missing: scripts/packages installs it")
}

fn socket(folder: &TempDir) -> String {
    folder.path().join("pulse.socket").display().to_string()
}
