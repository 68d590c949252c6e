//! A call of hours: does the delay of the sound drift, does memory grow, does the speaker run dry?
//!
//! Two agents on one server, with virtual sound cards on PulseAudio and a small picture, talk in turns ([`talk`]).
//! Every minute the wire between the cards is recorded for one turn of each ([`ear`]), and a line of figures goes to a
//! file ([`line`]). The judgement ([`verdict`]) reads nothing but these lines, so that it can be had of a run that is
//! under way, too.
//!
//! What disturbs a run is the machine as often as the program. Pressure (the kernel's account of waiting) says little
//! where others build at a low priority, so a thread of this program's own priority tells how late it was woken: see
//! [`metronome`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]
#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the run")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../shared/ear.rs"]
mod ear;
#[path = "../call/pressure.rs"]
mod pressure;
#[path = "../shared/talk.rs"]
mod talk;

mod line;
mod metronome;
mod stop;
mod verdict;

use clap::Parser;
use common::agent::Agent;
use common::pair::SETUP;
use common::server::Server;
use common::studio::{NAMES, Studio};
use line::Watch;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A call of hours.
#[derive(Debug, Parser)]
#[command(name = "soak", disable_version_flag = true)]
struct Options {
    /// How long the call lasts.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Where the lines go, one JSON object a minute. Begun anew.
    #[arg(long, value_name = "FILE", default_value = "soak.jsonl")]
    out: PathBuf,
    /// Only judge the lines of this file: a run that has ended, or one under way.
    #[arg(long, value_name = "FILE")]
    read: Option<PathBuf>,
    /// No picture.
    #[arg(long)]
    sound_only: bool,
    /// Let this `ahoy` call instead of the one just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_ahoy"))]
    ahoy: PathBuf,
    /// Let this `ahoy-server` serve instead of the one just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_ahoy-server"))]
    server: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A line is due this often.
const MINUTE: Duration = Duration::from_secs(60);
/// The picture: small, so that the sound is what is measured.
const PICTURE: (usize, usize) = (160, 90);
const PICTURES_PER_SECOND: usize = 10;
const PICTURES: usize = 50;

fn main() {
    let options = Options::parse();
    let file = match &options.read {
        Some(file) => file,
        None => {
            soak(&options);
            &options.out
        }
    };
    let lines = match verdict::read(file) {
        Ok(lines) => lines,
        Err(reason) => {
            eprintln!("soak: {}: {reason}", file.display());
            std::process::exit(2);
        }
    };
    let verdict = verdict::judge(&lines);
    print!("{verdict}");
    std::process::exit(i32::from(!verdict.is_good()));
}

/// Holds the call and writes the lines.
fn soak(options: &Options) {
    stop::watch();
    let mut out = File::create(&options.out).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.y4m");
    draw(&picture);
    let studio = Studio::new();
    let server = Server::start_program(&options.server, None, SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut agents = NAMES.map(|name| {
        let mut with = studio.agent(name).with_program(&options.ahoy);
        if !options.sound_only {
            with = with.with("--camera", picture.to_str().unwrap());
        }
        Agent::start(&server.url(), name, with)
    });
    agents[0].wait_user(NAMES[1]);
    let talk = talk::Talk::start(&studio);
    agents[0].call(NAMES[1]);
    for agent in &mut agents {
        agent.wait_call("connected", SETUP);
    }
    let start = Instant::now();
    let mut watch = Watch::new(&agents, &server);
    let minutes = (options.hours * 60.0).ceil().max(1.0) as u32;
    for minute in 1..=minutes {
        let delays = ear::listen(&studio, talk.turn());
        if !stop::sleep_until(start + MINUTE * minute) {
            return;
        }
        let line = watch.line(minute, &delays, &agents);
        writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
        for agent in &agents {
            let ended = agent.events("call").iter().any(|call| call["state"] == "ended");
            assert!(!ended, "the call has ended\n{}", agent.story());
        }
    }
}

/// Writes a picture that moves: a slope that wanders.
fn draw(file: &Path) {
    let (width, height) = PICTURE;
    let mut out = format!("YUV4MPEG2 W{width} H{height} F{PICTURES_PER_SECOND}:1 Ip C420jpeg\n").into_bytes();
    for n in 0..PICTURES {
        out.extend_from_slice(b"FRAME\n");
        let luma = |at: usize| ((at % width + at / width + n * width / PICTURES) % width) * 200 / width + 20;
        out.extend((0..width * height).map(|at| luma(at) as u8));
        out.resize(out.len() + 2 * width.div_ceil(2) * height.div_ceil(2), 128);
    }
    std::fs::write(file, out).unwrap();
}
