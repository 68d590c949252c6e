//! What is known of a row in the end: one line of figures for each participant.

use crate::clip_pictures::sent_picture;
use crate::common::scene::Scene;
use crate::evidence::{Evidence, Seen};
use crate::figures::{bits_per_second, fps, freezes, latencies, median, quantile, reaches};
use crate::rows::Row;
use crate::similarity;
use serde_json::{Map, Value, json};

/// "Full height" after a blackout is what was seen in so many milliseconds before it.
const BEFORE_MS: f64 = 3000.0;
/// The height that a clean link is to carry soon.
const HD: u32 = 720;

/// A figure of the table.
pub(crate) struct Column {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) decimals: usize,
    /// Whether it stands in the table of changes instead of the main one.
    pub(crate) of_change: bool,
}

const fn column(key: &'static str, title: &'static str, decimals: usize) -> Column {
    Column { key, title, decimals, of_change: false }
}

const fn change(key: &'static str, title: &'static str, decimals: usize) -> Column {
    Column { key, title, decimals, of_change: true }
}

/// All figures, in the order of [`Line::values`].
pub(crate) const COLUMNS: [Column; 22] = [
    column("height", "height", 0),
    column("fps", "fps", 1),
    column("kbits", "kbit/s", 0),
    column("freezes", "freezes", 0),
    column("frozen_s", "frozen s", 2),
    column("longest_s", "longest s", 2),
    column("latency_ms", "latency ms", 0),
    column("latency_p95_ms", "p95", 0),
    column("ssim", "SSIM", 3),
    column("psnr_db", "PSNR dB", 1),
    column("concealed_percent", "audio concealed %", 1),
    column("cpu_percent", "CPU %", 0),
    column("memory_mib", "MiB", 0),
    column("first_picture_s", "first picture s", 2),
    column("to_720p_s", "to 720p s", 1),
    change("before_height", "height before", 0),
    change("worse_fps", "fps while worse", 1),
    change("worse_height", "height while worse", 0),
    change("worse_p95_ms", "p95 ms while worse", 0),
    change("picture_after_s", "first new picture after s", 2),
    change("full_after_s", "that height after s", 2),
    change("hd_after_s", "720p after s", 2),
];

/// What one participant saw and used.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Who: agent or Chromium, caller or callee.
    pub(crate) who: String,
    /// One per column; `None` where there is nothing to say.
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) notes: Vec<String>,
}

/// When things happened, Unix time in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the link's schedule began, just before the click.
    pub(crate) began: f64,
    pub(crate) clicked: f64,
    pub(crate) first_picture: f64,
    pub(crate) end: f64,
}

impl Line {
    /// Computes the figures of whoever saw `own`; `others` is the other side's evidence.
    pub(crate) fn new(
        who: String,
        row: &Row,
        scene: Scene,
        times: Times,
        own: &Evidence,
        others: &Evidence,
    ) -> Self {
        let Times { began, clicked, first_picture, end } = times;
        let shown = &own.shown;
        let frozen = freezes(shown, end);
        let delays = latencies(&others.captured, shown);
        let likeness: Vec<_> = own
            .pictures
            .iter()
            .filter_map(|picture| Some(similarity::compare(&sent_picture(scene, picture)?, picture)))
            .collect();
        let seconds = |milliseconds: f64| milliseconds / 1000.0;
        let height = |seen: &[Seen]| median(seen.iter().map(|seen| f64::from(seen.height)));
        let after_first = |at: f64| seconds(at - first_picture);
        let mut values = vec![
            height(shown),
            Some(fps(shown, first_picture, end)),
            bits_per_second(&own.received).map(|bits| bits / 1000.0),
            Some(frozen.count as f64),
            Some(seconds(frozen.total_ms)),
            Some(seconds(frozen.longest_ms)),
            median(delays.iter().copied()),
            quantile(delays.iter().copied(), 0.95),
            median(likeness.iter().map(|likeness| likeness.ssim)),
            median(likeness.iter().map(|likeness| likeness.psnr)),
            own.concealed.map(|share| share * 100.0),
            Some(own.cpu_seconds / seconds(end - clicked) * 100.0),
            Some(own.peak_mib),
            Some(seconds(first_picture - clicked)),
            reaches(shown, HD, first_picture).map(after_first),
        ];
        values.extend(match row.change {
            None => [None; 7],
            Some(change) => {
                let from = began + change.from.as_secs_f64() * 1000.0;
                let until = began + change.until.as_secs_f64() * 1000.0;
                let between = |from: f64, until: f64| -> Vec<Seen> {
                    shown.iter().filter(|seen| (from..until).contains(&seen.at)).cloned().collect()
                };
                let before = height(&between(from - BEFORE_MS, from));
                let worse = between(from, until);
                let while_worse = |figure: Option<f64>| figure.filter(|_| !change.blackout);
                let full = before.and_then(|height| reaches(shown, height as u32, until));
                [
                    before,
                    while_worse(Some(fps(shown, from, until))),
                    while_worse(height(&worse)),
                    while_worse(quantile(latencies(&others.captured, &worse), 0.95)),
                    reaches(shown, 0, until).filter(|_| change.blackout).map(|at| seconds(at - until)),
                    full.map(|at| seconds(at - until)),
                    reaches(shown, HD, until).map(|at| seconds(at - until)),
                ]
            }
        });
        debug_assert_eq!(values.len(), COLUMNS.len());
        let mut notes = Vec::new();
        notes.extend(
            own.ended.as_ref().map(|reason| format!("the call ended: {}", reason.trim_end_matches('.'))),
        );
        if shown.len() >= 30 && delays.len() * 2 < shown.len() {
            notes.push(format!("only {} of {} counters could be read", delays.len(), shown.len()));
        }
        Self { who, values, notes }
    }

    /// The figure of that column.
    pub(crate) fn value(&self, key: &str) -> Option<f64> {
        COLUMNS.iter().zip(&self.values).find(|(column, _)| column.key == key).and_then(|(_, value)| *value)
    }

    /// The medians of several runs.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let values = (0..COLUMNS.len())
            .map(|column| median(runs.iter().filter_map(|run| run.values[column])))
            .collect();
        let mut notes: Vec<String> = runs.iter().flat_map(|run| run.notes.clone()).collect();
        notes.dedup();
        Self { who: runs[0].who.clone(), values, notes }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut figures = Map::new();
        for (column, value) in COLUMNS.iter().zip(&self.values) {
            figures.insert(column.key.into(), json!(value));
        }
        json!({ "who": self.who, "figures": figures, "notes": self.notes })
    }
}
