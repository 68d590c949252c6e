//! The command line.

use crate::common::scene::Scene;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Calls over emulated links, measured from the outside: one table per pairing.
#[derive(Debug, Parser)]
#[command(name = "bench-call", disable_version_flag = true)]
pub(crate) struct Options {
    /// Who calls whom; may be given several times. Left out: all of them.
    #[arg(long, value_enum)]
    pub(crate) pairing: Vec<Pairing>,
    /// Rows to measure, by name; may be given several times, or with commas. Left out: all of them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) link: Vec<String>,
    /// Length of each call; changes of the link come on top.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(4..=3600))]
    pub(crate) seconds: u64,
    /// Runs of each row, each with a seed of its own; the table has the medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) repeat: u64,
    /// What every camera sees.
    #[arg(long, value_enum, default_value_t = Scene::Pan)]
    pub(crate) scene: Scene,
    /// Seed of the first run's links.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Round-trip time in milliseconds that comes on top of every row's own.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub(crate) rtt: u64,
    /// Write all figures to this file, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure this `ahoy` instead of the one just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_ahoy"))]
    pub(crate) ahoy: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pairing {
    /// An agent calls an agent.
    Agents,
    /// An agent calls Chromium.
    Mixed,
    /// Chromium calls Chromium.
    Chromiums,
}

/// What a participant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Agent,
    Chromium,
}

impl Options {
    pub(crate) fn pairings(&self) -> Vec<Pairing> {
        if self.pairing.is_empty() { Pairing::value_variants().to_vec() } else { self.pairing.clone() }
    }

    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// One way.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.rtt) / 2
    }
}

impl Pairing {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Agents => "Agent calls agent",
            Self::Mixed => "Agent calls Chromium",
            Self::Chromiums => "Chromium calls Chromium",
        }
    }

    /// Caller and callee of the call of that number, of `calls` at once. Where several share a link, those of the
    /// mixed pairing are one call of agents and one of Chromiums: whether they get equal shares is the question.
    pub(crate) fn kinds(self, call: usize, calls: usize) -> [Kind; 2] {
        match self {
            Self::Agents => [Kind::Agent; 2],
            Self::Chromiums => [Kind::Chromium; 2],
            Self::Mixed if calls == 1 => [Kind::Agent, Kind::Chromium],
            Self::Mixed => [[Kind::Agent; 2], [Kind::Chromium; 2]][call % 2],
        }
    }
}

impl Kind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Chromium => "Chromium",
        }
    }
}
