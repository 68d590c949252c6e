//! What somebody sees at the other end: pictures become whole, are timed by the real playout, and shown.

use crate::media::video::presentation::Presentation;
use crate::media::video::stats::FreezeMeter;
use crate::media::video::timing::Timing;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a repair is waited for, and the time between two wishes for a keyframe: the reassembly's least.
const REPAIR_WAIT: Duration = Duration::from_millis(250);
const REQUEST_INTERVAL: Duration = Duration::from_millis(300);
/// RTP ticks in a microsecond.
const TICKS: f64 = 0.09;

struct Expected {
    captured: Duration,
    height: u32,
    keyframe: bool,
    packets: usize,
    here: HashSet<usize>,
}

/// A picture that was shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) at: Duration,
    /// Since its capture.
    pub(super) latency: Duration,
    pub(super) height: u32,
    /// It ended a freeze of this length.
    pub(super) froze: Duration,
}

/// See the module.
#[derive(Default)]
pub(super) struct Viewer {
    expected: BTreeMap<u32, Expected>,
    next: u32,
    /// Since when something is missing before what has come, and when a keyframe was asked for.
    missing: Option<Duration>,
    asked: Option<Duration>,
    timing: Timing,
    presentation: Presentation<(Duration, u32)>,
    freezes: FreezeMeter,
    pub(super) shown: Vec<Shown>,
}

impl Viewer {
    /// A picture has been made.
    pub(super) fn expect(
        &mut self,
        number: u32,
        captured: Duration,
        height: u32,
        keyframe: bool,
        packets: usize,
    ) {
        self.expected.insert(number, Expected { captured, height, keyframe, packets, here: HashSet::new() });
    }

    /// A packet of it arrives.
    pub(super) fn handle_packet(&mut self, epoch: Instant, now: Duration, number: u32, index: usize) {
        if let Some(expected) = self.expected.get_mut(&number) {
            expected.here.insert(index);
            if number > self.next {
                self.missing.get_or_insert(now);
            }
        }
        let is_whole = |expected: &Expected| expected.here.len() == expected.packets;
        // In order, or with a whole keyframe beyond what is missing.
        while let Some(number) = self
            .expected
            .iter()
            .find(|(number, expected)| (**number == self.next || expected.keyframe) && is_whole(expected))
            .map(|(number, _)| *number)
        {
            let rest = self.expected.split_off(&(number + 1));
            if let Some(expected) = std::mem::replace(&mut self.expected, rest).remove(&number) {
                self.next = number + 1;
                let beyond = self.expected.range(self.next + 1..).any(|(_, later)| !later.here.is_empty());
                self.missing = beyond.then_some(now);
                let ticks = (expected.captured.as_micros() as f64 * TICKS) as u32;
                let due = self.timing.handle_picture(ticks, epoch + now);
                self.presentation.push(due, (expected.captured, expected.height));
            }
        }
    }

    /// What is missing was waited for in vain.
    pub(super) fn wants_keyframe(&mut self, now: Duration) -> bool {
        let wants = self.missing.is_some_and(|since| now - since > REPAIR_WAIT)
            && self.asked.is_none_or(|asked| now - asked > REQUEST_INTERVAL);
        if wants {
            self.asked = Some(now);
        }
        wants
    }

    /// Shows what is due.
    pub(super) fn show(&mut self, epoch: Instant, now: Duration) {
        if let Some((captured, height)) = self.presentation.poll_picture(epoch + now) {
            let froze = self.freezes.handle_picture(epoch + now).unwrap_or_default();
            self.shown.push(Shown { at: now, latency: now - captured, height, froze });
        }
    }

    fn during(&self, time: &Range<Duration>) -> impl Iterator<Item = &Shown> {
        self.shown.iter().filter(move |shown| time.contains(&shown.at))
    }

    /// A percentile of the latency.
    pub(super) fn latency(&self, time: Range<Duration>, percentile: usize) -> Duration {
        let mut all: Vec<Duration> = self.during(&time).map(|shown| shown.latency).collect();
        all.sort();
        all.get((all.len() * percentile / 100).min(all.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub(super) fn fps(&self, time: Range<Duration>) -> f64 {
        self.during(&time).count() as f64 / (time.end - time.start).as_secs_f64()
    }

    /// Median height.
    pub(super) fn height(&self, time: Range<Duration>) -> u32 {
        let mut all: Vec<u32> = self.during(&time).map(|shown| shown.height).collect();
        all.sort();
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// The longest time without a new picture, the ends of the time included.
    pub(super) fn longest_gap(&self, time: Range<Duration>) -> Duration {
        let ends = self.during(&time).map(|shown| shown.at).chain([time.end]);
        let mut before = time.start;
        ends.map(|at| at - std::mem::replace(&mut before, at)).max().unwrap_or_default()
    }

    /// Freezes as the W3C statistics count them: how many, and how long in all.
    pub(super) fn freezes(&self, time: Range<Duration>) -> (usize, Duration) {
        let all = self.during(&time).filter(|shown| shown.froze > Duration::ZERO);
        all.fold((0, Duration::ZERO), |(count, sum), shown| (count + 1, sum + shown.froze))
    }
}
