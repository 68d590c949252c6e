//! What the whole program costs in a call: two windows, each on an X server of its own, drawn in software.
//!
//! Where there is no graphics card the driver computes every pixel on threads of its own (`llvmpipe-…`), which are
//! told apart from the program's. Chromium is measured without a card as well, and draws its page by itself.

use crate::common::agent::{Agent, Options};
use crate::common::display::Display;
use crate::common::process::{Guarded, log_file};
use crate::common::scene::Scene;
use crate::common::server::Server;
use crate::common::{clip, eventually, proc_fs};
use crate::participant::SETUP;
use crate::used::{SAMPLE_INTERVAL, Used, used_by_stats};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// Where the first person stands in the list of a window, and how far the next is below.
const FIRST_PERSON: (usize, usize) = (100, 120);
const PERSON_PITCH: usize = 56;
/// Threads of the driver that draws in software.
const DRIVER: &str = "llvmpipe";

/// A window and its screen.
struct Seat {
    display: Display,
    process: Guarded,
    folder: TempDir,
    window: String,
}

/// Processor time of a window, seconds.
pub(crate) struct Share {
    pub(crate) name: &'static str,
    /// Of the threads that draw in software.
    pub(crate) driver: f64,
    /// Of the X server, which is a process of its own and not in the window's figure.
    pub(crate) server: f64,
    /// Of each of the program's own threads, largest first.
    pub(crate) threads: Vec<(String, f64)>,
}

impl Seat {
    fn open(server: &Server, scene: Scene, name: &str) -> Self {
        let display = Display::start();
        let folder = tempfile::tempdir().unwrap();
        let clip = clip::path(scene);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ahoy"));
        command
            .args(["--server", &server.url(), "--name", name, "--camera", clip.to_str().unwrap()])
            .args(["--microphone", "tone", "--speaker", "none", "--accept", "always"])
            .env("DISPLAY", display.name())
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("RUST_LOG", "ahoy::engine::active_call=debug")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(log_file(&folder.path().join("ahoy.log")))
            .stdout(Stdio::null());
        let process = Guarded::spawn(&mut command);
        let window = display.wait_window(process.id(), PATIENCE);
        Self { display, process, folder, window }
    }

    fn click_person(&self, place: usize) {
        let (x, y) = (FIRST_PERSON.0, FIRST_PERSON.1 + place * PERSON_PITCH);
        // The window learns of the pointer before it learns of the click.
        for near in [3, 0] {
            let place = [(x + near).to_string(), (y + near).to_string()];
            self.display.xdotool(&["mousemove", "--window", &self.window, &place[0], &place[1]]);
            std::thread::sleep(Duration::from_millis(150));
        }
        self.display.xdotool(&["click", "1"]);
    }

    /// The newest figures of its call, once there are some.
    fn stats(&self) -> Option<Value> {
        let log = std::fs::read_to_string(self.folder.path().join("ahoy.log")).ok()?;
        let line = log.lines().rev().find_map(|line| line.split_once("stats=")?.1.into());
        serde_json::Deserializer::from_str(line?).into_iter().next()?.ok()
    }

    fn shows_pictures(&self) -> Option<()> {
        (self.stats()?["video_received"]["frames"].as_u64()? > 0).then_some(())
    }
}

/// Measures a call of so long between two windows.
pub(crate) fn measure(server: &Server, scene: Scene, span: Duration) -> ([Used; 2], [Share; 2]) {
    let seats = ["ida", "jon"].map(|name| Seat::open(server, scene, name));
    let mut witness = Agent::start(&server.url(), "kim", Options::default());
    witness.wait_user("ida");
    let place = eventually("both windows are online", PATIENCE, || {
        let lists = witness.events("users");
        lists.last()?["users"].as_array()?.iter().position(|user| user == "jon")
    });
    drop(witness);
    std::thread::sleep(SAMPLE_INTERVAL);

    let before = seats.each_ref().map(Spent::of);
    let started = Instant::now();
    seats[0].click_person(place);
    for seat in &seats {
        eventually("both windows show a picture", SETUP, || seat.shows_pictures());
    }
    std::thread::sleep(span.saturating_sub(started.elapsed()));
    let spent = seats.each_ref().map(Spent::of);
    let names = ["window, caller", "window, callee"];
    let used = std::array::from_fn(|side| {
        let seat = &seats[side];
        let cpu_seconds = spent[side].process - before[side].process;
        let peak_mib = proc_fs::peak_kib(seat.process.id()) as f64 / 1024.0;
        let last = seat.stats().expect("figures come once a second");
        used_by_stats(names[side], &[last], cpu_seconds, peak_mib)
    });
    (used, std::array::from_fn(|side| spent[side].since(&before[side], names[side])))
}

/// What was spent up to a moment.
struct Spent {
    process: f64,
    server: f64,
    threads: BTreeMap<String, f64>,
}

impl Spent {
    fn of(seat: &Seat) -> Self {
        Self {
            process: proc_fs::cpu_seconds(seat.process.id()),
            server: proc_fs::cpu_seconds(seat.display.id()),
            threads: proc_fs::cpu_seconds_by_thread(seat.process.id()),
        }
    }

    fn since(&self, before: &Self, name: &'static str) -> Share {
        let spent = |(thread, seconds): (&String, &f64)| {
            (thread.clone(), seconds - before.threads.get(thread).copied().unwrap_or(0.0))
        };
        let (driver, mut threads): (Vec<_>, Vec<_>) =
            self.threads.iter().map(spent).partition(|(thread, _)| thread.starts_with(DRIVER));
        threads.sort_by(|one, other| other.1.total_cmp(&one.1));
        let driver = driver.into_iter().map(|(_, seconds)| seconds).sum();
        Share { name, driver, server: self.server - before.server, threads }
    }
}
