//! PipeWire in PulseAudio's place: its daemon, its session manager, and what speaks PulseAudio's protocol for it; with a
//! message bus of its own, and without a desktop around it.

use super::{Process, pactl, start};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// A sink that is there only until the session manager has seen it.
const PROBE: &str = "probe";

/// Whether it is installed. Some systems have either PulseAudio or this.
///
/// # Panics
/// If it is not, where both can be.
pub(crate) fn is_installed() -> bool {
    let programs = ["dbus-daemon", "pipewire", "wireplumber", "pipewire-pulse"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&str> = programs
        .into_iter()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        .collect();
    let debian = Path::new("/etc/debian_version").exists();
    assert!(
        missing.is_empty() || !debian,
        "{missing:?} are needed for this test: scripts/test installs them"
    );
    missing.is_empty()
}

/// A running PipeWire. Those who depend on others end first.
pub(crate) struct PipeWire {
    _protocol: Process,
    _manager: Process,
    _daemon: Process,
    _bus: Process,
}

impl PipeWire {
    /// Starts it without any card, in the folder that `XDG_RUNTIME_DIR` and `PULSE_RUNTIME_PATH` name.
    pub(crate) fn start(folder: &Path) -> Self {
        for left in ["bus", "pipewire-0", "native", "pid"] {
            std::fs::remove_file(folder.join(left)).ok();
        }
        let address = format!("unix:path={}", folder.join("bus").display());
        let arguments = ["--session", "--nofork", "--nopidfile", &format!("--address={address}")];
        let bus = start("dbus-daemon", &arguments, Stdio::null());
        wait("the message bus", || folder.join("bus").exists());
        // `env` becomes the program, so that its id is the child's.
        let bus_variable = format!("DBUS_SESSION_BUS_ADDRESS={address}");
        let on_bus = |program| start("env", &[&bus_variable, program], Stdio::null());
        let daemon = on_bus("pipewire");
        wait("PipeWire", || folder.join("pipewire-0").exists());
        let manager = on_bus("wireplumber");
        let protocol = on_bus("pipewire-pulse");
        wait("PulseAudio's protocol", || asked(&["info"]).is_some());
        let module = pactl(&["load-module", "module-null-sink", &format!("sink_name={PROBE}")]);
        wait("the session manager", || {
            asked(&["info"]).is_some_and(|info| info.contains(&format!("Default Sink: {PROBE}")))
        });
        pactl(&["unload-module", &module]);
        Self { _protocol: protocol, _manager: manager, _daemon: daemon, _bus: bus }
    }
}

fn asked(arguments: &[&str]) -> Option<String> {
    let output = Command::new("pactl").args(arguments).output().expect("pactl is needed for this test");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "{what} does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
}
