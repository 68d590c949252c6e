//! One line of figures a minute.

use crate::common::agent::Agent;
use crate::common::server::Server;
use crate::common::studio::NAMES;
use crate::common::{proc_fs, unix_ms};
use crate::ear::Delay;
use crate::metronome::Metronome;
use crate::pressure::Pressure;
use serde_json::{Value, json};

/// More underruns than this within [`RUN_MS`] are a run of them.
const RUN: usize = 2;
const RUN_MS: f64 = 10_000.0;
/// A machine that wakes a thread later than this within that time is under pressure: it is what a speaker has ready.
const LATE_MS: f64 = 10.0;

/// Counters of the agents' statistics that only grow: their place in it.
const COUNTERS: [(&str, &str, &str); 8] = [
    ("underruns", "audio_received", "underruns"),
    ("starvations", "audio_received", "starvations"),
    ("overruns", "audio_sent", "overruns"),
    ("concealed", "audio_received", "concealed"),
    ("sound_packets", "audio_received", "packets"),
    ("sound_lost", "audio_received", "lost"),
    ("frames", "video_received", "frames"),
    ("freezes", "video_received", "freezes"),
];
/// Values of a moment, whose mean over the minute is told.
const MOMENTS: [(&str, &str, &str); 7] = [
    ("microphone_ms", "audio_sent", "microphone_ms"),
    ("microphone_device_ms", "audio_sent", "device_ms"),
    ("buffer_ms", "audio_received", "buffer_ms"),
    ("speaker_ms", "audio_received", "speaker_ms"),
    ("speaker_device_ms", "audio_received", "device_ms"),
    ("level", "audio_received", "level"),
    ("drift_ppm", "audio_sent", "drift_ppm"),
];

/// What has been seen so far.
pub(crate) struct Watch {
    server: u32,
    metronome: Metronome,
    pressure: Pressure,
    since: f64,
    cpu: [f64; 2],
    /// Reports of each agent that have been looked at.
    seen: [usize; 2],
    /// When each had its last underruns, Unix time in milliseconds.
    underruns: [Vec<f64>; 2],
}

impl Watch {
    pub(crate) fn new(agents: &[Agent; 2], server: &Server) -> Self {
        Self {
            server: server.id(),
            metronome: Metronome::start(),
            pressure: Pressure::now(),
            since: unix_ms(),
            cpu: agents.each_ref().map(|agent| proc_fs::cpu_seconds(agent.id())),
            seen: agents.each_ref().map(|agent| agent.events("stats").len()),
            underruns: [Vec::new(), Vec::new()],
        }
    }

    /// The figures since the last line.
    pub(crate) fn line(&mut self, minute: u32, delays: &[Option<Delay>; 2], agents: &[Agent; 2]) -> Value {
        let now = unix_ms();
        let elapsed = (now - self.since) / 1e3;
        let parties: Vec<Value> =
            agents.iter().enumerate().map(|(side, agent)| self.party(side, agent, elapsed)).collect();
        let delay = |delay: &Delay| {
            json!({
                "median": delay.median, "lowest": delay.lowest, "highest": delay.highest,
                "found": delay.found, "spoken": delay.spoken,
            })
        };
        let line = json!({
            "t": now, "minute": minute,
            "delay_ms": delays.each_ref().map(|of| of.as_ref().map(delay)),
            NAMES[0]: parties[0], NAMES[1]: parties[1],
            "server_kib": proc_fs::holdings(self.server).resident_kib,
            "pressure": std::mem::replace(&mut self.pressure, Pressure::now()).until_now().share,
            "late_ms": self.metronome.worst(self.since, now),
        });
        self.since = now;
        line
    }

    fn party(&mut self, side: usize, agent: &Agent, elapsed: f64) -> Value {
        let reports = agent.events("stats");
        let new = &reports[self.seen[side].saturating_sub(1)..];
        self.seen[side] = reports.len();
        let held = proc_fs::holdings(agent.id());
        let cpu = proc_fs::cpu_seconds(agent.id());
        let used = cpu - std::mem::replace(&mut self.cpu[side], cpu);
        let mut value = json!({
            "rss_kib": held.resident_kib, "threads": held.threads, "descriptors": held.descriptors,
            "cpu_percent": 100.0 * used / elapsed, "reports": new.len().saturating_sub(1),
            "rtt_ms": new.last().map(|report| report["rtt_ms"].clone()),
            "underrun_runs": self.runs(side, new),
        });
        for (name, part, key) in COUNTERS {
            let of = |report: Option<&Value>| report.and_then(|report| report[part][key].as_u64());
            value[name] =
                json!(of(new.last()).zip(of(new.first())).map(|(now, before)| now.saturating_sub(before)));
        }
        for (name, part, key) in MOMENTS {
            let values: Vec<f64> =
                new.iter().skip(1).filter_map(|report| report[part][key].as_f64()).collect();
            value[name] =
                json!((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64));
        }
        value
    }

    /// How many runs of underruns there were in the new reports, the machine not being under pressure.
    fn runs(&mut self, side: usize, new: &[Value]) -> usize {
        let mut runs = 0;
        for pair in new.windows(2) {
            let grew =
                |key: &str| pair[1]["audio_received"][key].as_u64() > pair[0]["audio_received"][key].as_u64();
            if !grew("underruns") && !grew("starvations") {
                continue;
            }
            let Some(at) = pair[1]["t"].as_f64() else { continue };
            let recent = &mut self.underruns[side];
            recent.push(at);
            recent.retain(|before| at - before <= RUN_MS);
            if recent.len() > RUN && self.metronome.worst(at - RUN_MS, at) < LATE_MS {
                runs += 1;
                recent.clear();
            }
        }
        runs
    }
}
