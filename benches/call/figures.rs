//! From what was seen to figures. Pure functions: the tests feed them calls that never were.

use crate::common::clip;
use crate::evidence::Seen;

/// A capture may be noted later than it happened (a preview waits for the screen), so a picture may seem to arrive
/// before it was captured, by so many milliseconds at most.
const CAPTURE_TOLERANCE_MS: f64 = 100.0;
/// Length of the clip, after which each counter comes back.
const LOOP_MS: f64 = clip::FRAMES as f64 * 1e3 / clip::FPS as f64;
/// Gaps are compared with the mean of so many before them.
const FREEZE_WINDOW: usize = 30;
/// A gap is no freeze unless it is this much longer than that mean, milliseconds.
const FREEZE_MARGIN_MS: f64 = 150.0;

/// Gaps between pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Freezes {
    pub(crate) count: usize,
    pub(crate) total_ms: f64,
    pub(crate) longest_ms: f64,
}

/// From capture to display, milliseconds, for each picture whose counter can be read. The counter starts again with
/// the clip: of several captures the last one that can have become this picture counts. If that is older than a loop, the
/// right one was not noted (a page's preview leaves pictures out when it has no time), and nothing is known.
pub(crate) fn latencies(captured: &[Seen], shown: &[Seen]) -> Vec<f64> {
    let latency = |seen: &Seen| {
        let counter = seen.counter?;
        let latest = seen.at + CAPTURE_TOLERANCE_MS;
        let before = &captured[..captured.partition_point(|capture| capture.at <= latest)];
        let capture = before.iter().rfind(|capture| capture.counter == Some(counter))?;
        Some(seen.at - capture.at).filter(|latency| *latency < LOOP_MS)
    };
    shown.iter().filter_map(latency).collect()
}

/// Freezes as `freezeCount` of "Identifiers for WebRTC's Statistics API" defines them: an interval longer than three
/// mean intervals and than the mean and 150 ms, the mean being that of the last 30. One that lasts until the end
/// counts, too.
pub(crate) fn freezes(shown: &[Seen], end: f64) -> Freezes {
    let times: Vec<f64> = shown.iter().map(|seen| seen.at).chain([end]).collect();
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut found = Freezes::default();
    for (index, gap) in gaps.iter().enumerate() {
        let before = &gaps[index.saturating_sub(FREEZE_WINDOW)..index];
        let mean = match before.len() {
            // Nothing comes before the first: it is judged by what follows.
            0 => median(gaps[1..].iter().copied()).unwrap_or_default(),
            count => before.iter().sum::<f64>() / count as f64,
        };
        if *gap > (3.0 * mean).max(mean + FREEZE_MARGIN_MS) {
            found.count += 1;
            found.total_ms += gap;
            found.longest_ms = found.longest_ms.max(*gap);
        }
    }
    found
}

/// Pictures a second between two times.
pub(crate) fn fps(shown: &[Seen], from: f64, until: f64) -> f64 {
    let within = shown.iter().filter(|seen| (from..until).contains(&seen.at));
    let count: u32 = within.map(|seen| 1 + seen.missed).sum();
    f64::from(count) * 1000.0 / (until - from).max(1.0)
}

/// When the first picture of at least that height came, from a time on.
pub(crate) fn reaches(shown: &[Seen], height: u32, from: f64) -> Option<f64> {
    shown.iter().find(|seen| seen.at >= from && seen.height >= height).map(|seen| seen.at)
}

/// Bits per second between the first and the last of these sums of octets.
pub(crate) fn bits_per_second(received: &[(f64, f64)]) -> Option<f64> {
    let ((from, before), (until, after)) = (received.first()?, received.last()?);
    (until > from).then(|| (after - before) * 8.0 * 1000.0 / (until - from))
}

/// The value below which this share (0 to 1) of the values lies.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = share * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}
