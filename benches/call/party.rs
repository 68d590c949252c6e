//! Participants that are watched while they are in a call: what they capture, show, receive and use.
//!
//! An agent tells by its own events, a browser page by `probe.js`; from then on both are the same.

use crate::common::agent::{self, Agent};
use crate::common::browser::Browser;
use crate::common::page::{Guest, PageServer};
use crate::common::proc_fs;
use crate::common::scene::Scene;
use crate::common::server::Server;
use crate::common::{clip, unix_ms};
use crate::evidence::{Evidence, Picture, Seen};
use crate::link::netns::Namespace;
use crate::options::Options;
use crate::participant::Participant;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PROBE: &str = include_str!("probe.js");
/// How long a participant may take to hand over one picture.
const PICTURE_PATIENCE: Duration = Duration::from_secs(2);

/// A participant of either kind.
pub(crate) trait Party: Participant + Send {
    /// Waits until that user is there.
    fn wait_peer(&mut self, peer: &str);
    /// From now on everything counts; what was before is forgotten.
    fn begin(&mut self);
    /// Notes what has to be asked for every now and then.
    fn sample(&mut self);
    /// Keeps the picture that is shown now.
    fn take_picture(&mut self);
    /// Everything since [`Party::begin`].
    fn evidence(&mut self) -> Evidence;
}

/// An agent, with the folder into which it writes pictures.
pub(crate) struct AgentParty {
    agent: Agent,
    folder: TempDir,
    began: f64,
    cpu_before: f64,
    pictures: Vec<Picture>,
}

impl AgentParty {
    /// Starts an agent inside the namespace, its camera the clip.
    pub(crate) fn start(
        namespace: &Namespace,
        server: &Server,
        name: &str,
        wanted: &Options,
    ) -> std::io::Result<Self> {
        let options = agent::Options::default()
            .with_program(&wanted.ahoy)
            .with("--camera", &clip::path(wanted.scene).to_string_lossy())
            .with("--microphone", "tone")
            .with("--accept", "always");
        let agent = namespace.run(|| Ok(Agent::start(&server.url(), name, options)))?;
        let folder = tempfile::tempdir()?;
        Ok(Self { agent, folder, began: unix_ms(), cpu_before: 0.0, pictures: Vec::new() })
    }

    /// Its events of that kind since the beginning.
    fn events(&self, kind: &str) -> Vec<Value> {
        self.agent.events(kind).into_iter().filter(|event| time(event) >= self.began).collect()
    }
}

impl Participant for AgentParty {
    fn name(&self) -> String {
        self.agent.name.clone()
    }

    fn click(&mut self, peer: &str) -> f64 {
        self.agent.click(peer)
    }

    fn first_picture(&mut self) -> Option<f64> {
        self.agent.first_picture()
    }

    fn hang_up(&mut self) {
        Participant::hang_up(&mut self.agent);
    }

    fn wait_ended(&mut self) {
        Participant::wait_ended(&mut self.agent);
    }
}

impl Party for AgentParty {
    fn wait_peer(&mut self, peer: &str) {
        self.agent.wait_user(peer);
    }

    fn begin(&mut self) {
        self.agent.report_frames(true);
        self.agent.skip();
        self.began = unix_ms();
        self.cpu_before = proc_fs::cpu_seconds(self.agent.id());
        self.pictures.clear();
    }

    fn sample(&mut self) {}

    fn take_picture(&mut self) {
        let file = self.folder.path().join("picture.y4m");
        self.agent.send(json!({"command": "picture", "file": file}));
        let written = self.agent.wait_quietly(PICTURE_PATIENCE, |event| event["event"] == "picture");
        if let Some(event) = written {
            let edge = |key: &str| event[key].as_u64().unwrap() as usize;
            self.pictures.extend(read_y4m(&file, edge("width"), edge("height")));
        }
    }

    fn evidence(&mut self) -> Evidence {
        let seen = |side: &str| -> Vec<Seen> {
            let frames = self.events("frame").into_iter().filter(|event| event["side"] == side);
            frames.map(|event| read_seen(&event["t"], &event, &event["luma"])).collect()
        };
        let reports = self.events("stats");
        let figure = |report: &Value, group: &str, key: &str| report[group][key].as_f64().unwrap_or_default();
        // Rates are over the time since the report before.
        let mut octets = 0.0;
        let mut last = None;
        let mut received = Vec::new();
        for report in &reports {
            let at = time(report);
            let seconds = last.map_or(0.0, |last| (at - last) / 1000.0);
            octets += figure(report, "video_received", "bitrate") * seconds / 8.0;
            last = Some(at);
            received.push((at, octets));
        }
        let ended = self.events("call").into_iter().find(|event| event["state"] == "ended");
        Evidence {
            captured: seen("local"),
            shown: seen("remote"),
            pictures: std::mem::take(&mut self.pictures),
            received,
            concealed: reports.last().map(|report| figure(report, "audio_received", "concealed_ratio")),
            cpu_seconds: proc_fs::cpu_seconds(self.agent.id()) - self.cpu_before,
            peak_mib: proc_fs::peak_kib(self.agent.id()) as f64 / 1024.0,
            ended: ended.map(|event| event["reason"].as_str().unwrap_or("for no reason given").to_owned()),
        }
    }
}

/// A page in a browser of its own.
pub(crate) struct PageParty {
    guest: Guest,
    browser: Browser,
    cpu_before: f64,
    peak_mib: f64,
    received: Vec<(f64, f64)>,
    concealed: Option<f64>,
    pictures: Vec<Picture>,
}

impl PageParty {
    /// Starts a browser inside the namespace, its camera the clip, and joins the server.
    pub(crate) fn start(
        namespace: &Namespace,
        server: &Server,
        page: &PageServer,
        name: &str,
        scene: Scene,
    ) -> std::io::Result<Self> {
        let (browser, mut guest) = namespace.run(|| {
            let mut browser = Browser::start(Some(&clip::path(scene)));
            let guest = Guest::join(&mut browser, page, server.port(), name);
            Ok((browser, guest))
        })?;
        guest.evaluate(PROBE);
        Ok(Self {
            guest,
            browser,
            cpu_before: 0.0,
            peak_mib: 0.0,
            received: Vec::new(),
            concealed: None,
            pictures: Vec::new(),
        })
    }

    fn family(&self) -> Vec<u32> {
        proc_fs::family(self.browser.id())
    }

    fn cpu_seconds(&self) -> f64 {
        self.family().into_iter().map(proc_fs::cpu_seconds).sum()
    }
}

impl Participant for PageParty {
    fn name(&self) -> String {
        self.guest.name.clone()
    }

    fn click(&mut self, peer: &str) -> f64 {
        self.guest.click(peer)
    }

    fn first_picture(&mut self) -> Option<f64> {
        self.guest.first_picture()
    }

    fn hang_up(&mut self) {
        Participant::hang_up(&mut self.guest);
    }

    fn wait_ended(&mut self) {
        Participant::wait_ended(&mut self.guest);
    }
}

impl Party for PageParty {
    fn wait_peer(&mut self, peer: &str) {
        self.guest.wait_user(peer);
    }

    fn begin(&mut self) {
        self.guest.evaluate("probe.forget()");
        self.cpu_before = self.cpu_seconds();
        self.peak_mib = 0.0;
        self.received.clear();
        self.concealed = None;
        self.pictures.clear();
    }

    fn sample(&mut self) {
        let now: u64 = self.family().into_iter().map(proc_fs::proportional_kib).sum();
        self.peak_mib = self.peak_mib.max(now as f64 / 1024.0);
        let figures = self.guest.figures();
        let figure = |key: &str| figures[key].as_f64().unwrap_or_default();
        // When the call is over the page knows nothing more of it.
        if figure("bytesReceived") > 0.0 {
            self.received.push((unix_ms(), figure("bytesReceived")));
        }
        if figure("audioSamples") > 0.0 {
            self.concealed = Some(figure("concealedSamples") / figure("audioSamples"));
        }
    }

    fn take_picture(&mut self) {
        let picture = self.guest.evaluate("probe.picture()");
        let edge = |key: &str| picture[key].as_u64().map(|edge| edge as usize);
        if let (Some(width), Some(height), Some(hex)) =
            (edge("width"), edge("height"), picture["luma"].as_str())
        {
            self.pictures.push(Picture { width, height, luma: from_hex(hex) });
        }
    }

    fn evidence(&mut self) -> Evidence {
        self.sample();
        let cpu_seconds = self.cpu_seconds() - self.cpu_before;
        let mut seen = |side: &str| -> Vec<Seen> {
            let list = self.guest.evaluate(&format!("probe.{side}"));
            let list = list.as_array().unwrap().iter();
            list.map(|seen| read_seen(&seen["at"], seen, &seen["squares"])).collect()
        };
        let (captured, shown) = (seen("captured"), seen("shown"));
        let state = self.guest.state();
        let ended =
            (state["open"] == false).then(|| state["ended"].as_str().unwrap_or("never began").to_owned());
        Evidence {
            captured,
            shown,
            pictures: std::mem::take(&mut self.pictures),
            received: std::mem::take(&mut self.received),
            concealed: self.concealed,
            cpu_seconds,
            peak_mib: self.peak_mib,
            ended,
        }
    }
}

fn time(event: &Value) -> f64 {
    event["t"].as_f64().unwrap()
}

fn read_seen(at: &Value, seen: &Value, squares: &Value) -> Seen {
    let squares: Option<Vec<f64>> = serde_json::from_value(squares.clone()).unwrap();
    Seen {
        at: at.as_f64().unwrap(),
        height: seen["height"].as_u64().unwrap() as u32,
        // An agent tells of every picture.
        missed: seen["missed"].as_u64().unwrap_or_default() as u32,
        counter: squares.and_then(|squares| clip::read_counter(&squares)),
    }
}

/// The first picture of a Y4M file of that size; `None` if the file is shorter.
fn read_y4m(file: &Path, width: usize, height: usize) -> Option<Picture> {
    let content = std::fs::read(file).ok()?;
    let mut lines = content.splitn(3, |octet| *octet == b'\n');
    let luma = lines.nth(2)?.get(..width * height)?.to_vec();
    Some(Picture { width, height, luma })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |octet: u8| (octet as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
