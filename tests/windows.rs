//! Two real windows on a real X server, used as a person would: by mouse and keyboard, judged by what is on the screen.
//!
//! A third participant without a window listens, so that what was typed is compared as text. The pictures shown are
//! kept in `screenshots` in the target folder.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails, and says why"
)]

mod common;

use common::agent::{Agent, Options};
use common::display::Display;
use common::eventually;
use common::process::{Guarded, log_file};
use common::server::Server;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Two cores may be drawing two windows in software while they encode, decode and compile.
const PATIENCE: Duration = Duration::from_secs(30);
/// Inner size of both windows: too narrow for the list of people beside a call, so the picture has all the width.
const WIDTH: usize = 780;
const HEIGHT: usize = 720;

// Where a hand finds things in a window of that size.
const NAME_FIELD: (usize, usize) = (390, 380);
const FIRST_PERSON: (usize, usize) = (100, 120);
const PERSON_PITCH: usize = 56;
const MESSAGE_FIELD: (usize, usize) = (600, 684);
const ANSWER: (usize, usize) = (537, 461);
const CAMERA: (usize, usize) = (276, 674);
const HANG_UP: (usize, usize) = (596, 674);
/// Within the field to write in, below its words; beside the controls of a call.
const MESSAGE_FIELD_FACE: (usize, usize) = (690, 700);
/// Within the answer button, beside its word.
const ANSWER_FACE: (usize, usize) = (497, 461);

/// A window and the person at it.
struct Seat<'a> {
    display: &'a Display,
    process: Guarded,
    folder: TempDir,
    window: String,
}

impl<'a> Seat<'a> {
    /// Opens a window at the left edge `left` of the screen.
    fn open(display: &'a Display, left: usize, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ahoy"));
        command
            .args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none"])
            .args(arguments)
            .env("DISPLAY", display.name())
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .stdin(Stdio::null())
            .stderr(log_file(&folder.path().join("ahoy.log")));
        let process = Guarded::spawn(&mut command);
        let window = display.wait_window(process.id(), PATIENCE);
        let (x, width, height) = (left.to_string(), WIDTH.to_string(), HEIGHT.to_string());
        display.xdotool(&["windowmove", &window, &x, "0", "windowsize", &window, &width, &height]);
        let seat = Self { display, process, folder, window };
        seat.see("the window takes its place", |pixels| (pixels.brightness() > 5.0).then_some(()));
        seat
    }

    /// Waits until `look` finds something in the window's picture.
    fn see<T>(&self, what: &str, look: impl Fn(&Pixels) -> Option<T>) -> T {
        eventually(what, PATIENCE, || {
            let (width, height, rgb) = self.display.pixels(&self.window);
            ((width, height) == (WIDTH, HEIGHT)).then(|| look(&Pixels { rgb })).flatten()
        })
    }

    fn click(&self, (x, y): (usize, usize)) {
        let near = [(x + 3).to_string(), (y + 2).to_string()];
        let there = [x.to_string(), y.to_string()];
        let window = self.window.as_str();
        self.display.xdotool(&["windowfocus", "--sync", window]);
        self.display.xdotool(&["mousemove", "--window", window, &near[0], &near[1]]);
        std::thread::sleep(Duration::from_millis(150));
        self.display.xdotool(&["mousemove", "--window", window, &there[0], &there[1]]);
        std::thread::sleep(Duration::from_millis(150));
        self.display.xdotool(&["click", "1"]);
    }

    /// Types into a field, then presses Enter.
    fn enter(&self, field: (usize, usize), text: &str) {
        self.click(field);
        std::thread::sleep(Duration::from_millis(300));
        self.display.xdotool(&["type", "--delay", "30", "--", text]);
        self.display.xdotool(&["key", "Return"]);
    }

    /// Clicks on the name at that place of the list.
    fn click_person(&self, place: usize) {
        self.click((FIRST_PERSON.0, FIRST_PERSON.1 + place * PERSON_PITCH));
    }

    /// Waits until the other side's picture shows three numbers one after the other.
    fn see_moving_picture(&self, what: &str) {
        let mut last = self.see(what, Pixels::counter);
        for _ in 0..2 {
            last = self.see(what, |pixels| pixels.counter().filter(|counter| *counter != last));
        }
    }

    fn see_ringing(&self) {
        self.see("the question whether to answer", |pixels| pixels.is_green(ANSWER_FACE).then_some(()));
    }

    fn see_no_call(&self) {
        self.see("the chat is back", |pixels| pixels.is_surface(MESSAGE_FIELD_FACE).then_some(()));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ahoy.log")).unwrap_or_default()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.display.screenshot("root", &screenshot_file("windows-failed"));
            eprintln!("the log of window {}:\n{}", self.window, self.log());
        }
    }
}

/// What is in a window: RGB.
struct Pixels {
    rgb: Vec<u8>,
}

impl Pixels {
    fn at(&self, (x, y): (usize, usize)) -> [i32; 3] {
        let at = (y * WIDTH + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]].map(i32::from)
    }

    /// The slate of fields and buttons: brighter than the backdrop, darker than any picture.
    fn is_surface(&self, place: (usize, usize)) -> bool {
        (80..150).contains(&self.at(place).iter().sum())
    }

    fn is_green(&self, place: (usize, usize)) -> bool {
        let [red, green, blue] = self.at(place);
        green > 90 && green > red + 50 && green > blue + 30
    }

    fn brightness(&self) -> f64 {
        self.rgb.iter().map(|sample| f64::from(*sample)).sum::<f64>() / self.rgb.len() as f64
    }

    /// The pixels of the chat that are not background.
    fn ink_in_chat(&self) -> usize {
        let rows = 80..HEIGHT - 80;
        rows.flat_map(|y| (270..WIDTH - 20).map(move |x| (x, y)))
            .filter(|place| self.at(*place).iter().sum::<i32>() > 300)
            .count()
    }

    /// The number that the test pattern carries in 13 squares at its top: 12 bits and even parity.
    fn counter(&self) -> Option<u16> {
        let scale = WIDTH as f64 / 1280.0;
        let top = (HEIGHT as f64 - 720.0 * scale) / 2.0;
        let mut squares = [0_u16; 13];
        for (index, square) in squares.iter_mut().enumerate() {
            let x = (224.0 + 64.0 * index as f64 + 32.0) * scale;
            let [red, green, blue] = self.at((x as usize, (top + 48.0 * scale) as usize));
            *square = match red + green + blue {
                // Neither black nor white: no square, or one that is just changing.
                150..=540 => return None,
                sum => u16::from(sum > 540),
            };
        }
        // A dark window has no bright square and reads as 0; so does one picture of 4096.
        let bright = squares.iter().sum::<u16>();
        (bright > 0 && bright.is_multiple_of(2))
            .then(|| squares[..12].iter().fold(0, |value, bit| value << 1 | bit))
    }
}

fn screenshot_file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name).with_extension("png")
}

/// Where that person stands in everyone's list.
fn place_of(witness: &Agent, wanted: &str) -> usize {
    eventually(&format!("{wanted} is online"), PATIENCE, || {
        let lists = witness.events("users");
        lists.last()?["users"].as_array()?.iter().position(|user| user == wanted)
    })
}

#[test]
fn two_people_call_each_other_by_mouse_and_keyboard() {
    let display = Display::start();
    let save = |name: &str| display.screenshot("root", &screenshot_file(name));
    // The first window serves by itself, unless a program on this machine does already.
    let embedded = TcpStream::connect(("127.0.0.1", 6503)).is_err();
    let server = (!embedded).then(Server::start);
    let url = server.as_ref().map_or("ws://127.0.0.1:6503".into(), |server| server.url());
    let foreign: Vec<&str> = if embedded { Vec::new() } else { vec!["--server", &url] };

    let alice = Seat::open(&display, 0, &foreign);
    alice.enter(NAME_FIELD, "alice");
    let mut witness = Agent::start(&url, "carol", Options::default());
    place_of(&witness, "alice");

    if embedded {
        // The first call of a newcomer: Echo sends back what it sees.
        alice.click_person(place_of(&witness, "Echo"));
        alice.see_moving_picture("Echo sends the picture back");
        save("windows-echo");
        alice.click(HANG_UP);
        alice.see_no_call();
    }

    let mut bob = Seat::open(&display, 800, &["--server", &url, "--name", "bob"]);
    let bobs_place = place_of(&witness, "bob");
    alice.click_person(bobs_place);
    bob.see_ringing();
    save("windows-ringing");
    bob.click(ANSWER);
    alice.see_moving_picture("alice sees bob");
    bob.see_moving_picture("bob sees alice");
    save("windows-call");

    // A camera that is off is off at the other side, and nowhere else.
    bob.click(CAMERA);
    alice.see("bob's picture goes", |pixels| pixels.counter().is_none().then_some(()));
    bob.see_moving_picture("bob still sees alice");
    save("windows-camera-off");
    bob.click(CAMERA);
    alice.see_moving_picture("bob's picture is back");

    alice.click(HANG_UP);
    alice.see_no_call();
    bob.see_no_call();

    // What is typed arrives as it was typed, at everyone; and what is said to one is seen by that one.
    let written = alice.see("a quiet chat", |pixels| Some(pixels.ink_in_chat()));
    bob.enter(MESSAGE_FIELD, "Ahoy, is anybody there?");
    let message = witness.wait("bob's message", PATIENCE, |event| event["event"] == "message");
    assert_eq!(message["from"], "bob");
    assert!(message["to"].is_null());
    assert_eq!(message["text"], "Ahoy, is anybody there?");
    let more = alice.see("bob's message at alice", |pixels| {
        Some(pixels.ink_in_chat()).filter(|ink| *ink > written + 100)
    });
    let elsewhere = bob.see("bob's chat", |pixels| Some(pixels.ink_in_chat()));
    witness.message("Between you and me.", Some("alice"));
    alice.see("a private message at alice", |pixels| (pixels.ink_in_chat() > more + 100).then_some(()));
    assert!(bob.see("bob's chat", |pixels| Some(pixels.ink_in_chat())) <= elsewhere + 100);
    save("windows-chat");

    // The other way round, and the other side breaks off without a word.
    let alices_place = place_of(&witness, "alice");
    bob.click_person(alices_place);
    alice.see_ringing();
    alice.click(ANSWER);
    bob.see_moving_picture("bob sees alice again");
    alice.see_moving_picture("alice sees bob again");
    bob.process.crash();
    alice.see_no_call();
    save("windows-left-alone");
}
