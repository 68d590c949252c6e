//! Calls between Ahoy and a Firefox that has no H.264, on a page that behaves as the article's sample does.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::{Agent, Options};
use common::clip;
use common::exclusive;
use common::firefox::Firefox;
use common::page::{Guest, PageServer};
use common::pair::{SETUP, SOON};
use common::server::Server;
use std::time::{Duration, Instant};

/// The fake camera changes its colour but not its brightness, which is what the agent reports: this draws a counter
/// on its pictures, in squares as our own test pattern has them, and sends the result.
const COUNTING_CAMERA: &str = r#"(() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    const [camera] = stream.getVideoTracks();
    const video = document.createElement("video");
    video.muted = true;
    video.srcObject = new MediaStream([camera]);
    await video.play();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [640, 360];
    const pen = canvas.getContext("2d");
    let counter = 0;
    const draw = () => {
      counter = (counter + 1) % 4096;
      const bits = [...counter.toString(2).padStart(12, "0")].map(Number);
      const parity = bits.reduce((sum, bit) => sum + bit) % 2;
      pen.drawImage(video, 0, 0, 640, 360);
      [...bits, parity].forEach((bit, index) => {
        pen.fillStyle = bit ? "white" : "black";
        pen.fillRect(112 + 32 * index, 8, 32, 32);
      });
    };
    draw();
    const timer = setInterval(draw, 40);
    const [picture] = canvas.captureStream(30).getVideoTracks();
    const stop = picture.stop.bind(picture);
    picture.stop = () => { clearInterval(timer); camera.stop(); stop(); };
    return new MediaStream([...stream.getAudioTracks(), picture]);
  };
})()"#;
/// Firefox takes its time on a loaded machine.
const PATIENT: Duration = Duration::from_secs(40);

/// A Firefox page named guest and an agent named alice on one server.
struct Scene {
    guest: Guest,
    alice: Agent,
    _server: Server,
    _page: PageServer,
    _browser: Firefox,
}

impl Scene {
    fn new() -> Self {
        let (server, page) = (Server::start(), PageServer::start());
        let mut browser = Firefox::start();
        let tab = Box::new(browser.open(&page.url()));
        let mut guest = Guest::join_in(tab, server.port(), "guest");
        guest.evaluate(COUNTING_CAMERA);
        let mut alice = Agent::start(&server.url(), "alice", Options::lively());
        alice.wait_user("guest");
        guest.wait_user("alice");
        Self { guest, alice, _server: server, _page: page, _browser: browser }
    }

    /// The guest calls, or is called, and both see each other's pictures.
    fn connect(&mut self, guest_calls: bool) {
        self.alice.wait_idle(SOON);
        if guest_calls {
            self.guest.invite("alice");
        } else {
            self.alice.call("guest");
        }
        self.alice.wait_in_call(SETUP, String::new);
        self.guest.wait_pictures(5, PATIENT);
    }

    /// Pictures that change arrive at both ends, in VP8, and sound.
    fn assert_both_see_and_hear(&mut self) {
        self.assert_guest_sees_counter_move();
        self.assert_alice_sees_counter_move();
        let (received, sent) = self.guest.codecs(PATIENT);
        assert_eq!((received.as_str(), sent.as_str()), ("video/VP8", "video/VP8"));
        self.alice.wait_stats("sees and hears the guest in VP8", PATIENT, |stats| {
            let (sent, received) = (&stats["video_sent"], &stats["video_received"]);
            sent["codec"] == "VP8"
                && received["codec"] == "VP8"
                && received["fps"].as_f64().unwrap() > 5.0
                && stats["audio_received"]["level"].as_f64().unwrap() > 0.001
        });
        let before = self.guest.figures()["audioPackets"].as_u64().unwrap();
        common::eventually("the guest receives sound", SOON, || {
            (self.guest.figures()["audioPackets"].as_u64()? > before + 10).then_some(())
        });
    }

    fn assert_guest_sees_counter_move(&mut self) {
        let started = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 4 {
            if let Some(counter) = self.guest.squares().and_then(|squares| clip::read_counter(&squares))
                && seen.last() != Some(&counter)
            {
                seen.push(counter);
            }
            assert!(started.elapsed() < PATIENT, "the guest saw only {seen:?}");
        }
        assert!(seen.is_sorted(), "{seen:?}");
    }

    fn assert_alice_sees_counter_move(&mut self) {
        self.alice.report_frames(true);
        self.alice.skip();
        let started = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let squares = self.alice.wait_squares("remote", PATIENT);
            if let Some(counter) = clip::read_counter(&squares)
                && seen.last() != Some(&counter)
            {
                seen.push(counter);
            }
            assert!(started.elapsed() < PATIENT, "alice saw only {seen:?}\n{}", self.alice.story());
        }
        self.alice.report_frames(false);
        assert!(seen.is_sorted(), "{seen:?}");
    }
}

#[test]
fn firefox_and_ahoy_call_each_other_in_vp8_and_either_hangs_up() {
    let _turn = exclusive();
    let mut scene = Scene::new();
    scene.connect(true);
    scene.assert_both_see_and_hear();
    scene.alice.hang_up();
    assert_eq!(scene.alice.wait_ended(SOON), "You ended the call with guest.");
    assert_eq!(scene.guest.wait_ended(SOON), "remote hang-up");
    // And the other way round, in the same browser.
    scene.connect(false);
    scene.assert_both_see_and_hear();
    scene.guest.hang_up();
    assert_eq!(scene.alice.wait_ended(SOON), "guest hung up.");
    assert_eq!(scene.guest.errors(), Vec::<String>::new());
}
