//! The ladder: which picture size and rate a send bitrate can carry well. Sans-IO: rates, looks and times in, a rung
//! out.
//!
//! Driven by the encoder's thread before each picture. Fewer pixels at the same bitrate look better than many bad
//! ones. What a rung needs depends on what is seen: the table holds for lively pictures, and how coarse the encoder
//! had to make the last ones tells how much more or less the present ones need. Where things move, the full frame
//! rate goes before size; where little moves, size before frame rate.
//!
//! Down at once, up only after the rate has held for a while, with a margin between the two; and a climb that did not
//! last makes the next one wait longer, so that a swinging estimate does not cost a keyframe a second.

use super::frame::Size;
use super::look::Look;
use super::scale;
use crate::media::ports::VideoCodec;
use std::time::{Duration, Instant};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    /// Size of the picture, even, with the source's shape, never larger than the source.
    pub(crate) size: Size,
    /// Pictures per second, at most.
    pub(crate) fps: u32,
}

/// What the ladder is asked with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// Size of the source's pictures.
    pub(crate) source: Size,
    /// What the pictures are coded with.
    pub(crate) codec: VideoCodec,
    /// What the network carries.
    pub(crate) bits_per_second: u32,
    /// What the newest picture looks like.
    pub(crate) look: Look,
    /// Mean quantizer of the last pictures, 0 to 51, if known.
    pub(crate) coarseness: Option<f64>,
    /// Luma samples per second that the processor is able to encode.
    pub(crate) samples_per_second: f64,
    /// Macroblocks of a picture that the other side is able to decode.
    pub(crate) macroblocks: u32,
    /// With how many pixels the other side shows it, if it says.
    pub(crate) view: Option<Size>,
}

impl Situation {
    /// Size of the picture on this step: no larger than the other side can decode, and than it shows.
    fn size(&self, step: &Step) -> Size {
        let carried = fit(self.source, step.area, self.macroblocks);
        self.seen().filter(|seen| seen.width < carried.width).unwrap_or(carried)
    }

    /// Just as large as it is shown, if that is known and clearly less than there is; no smaller than the lowest step.
    fn seen(&self) -> Option<Size> {
        let pixels = |size: Size| f64::from(size.width) * f64::from(size.height);
        let least = MOTION[MOTION.len() - 1].area;
        let view = self.view.map(|view| if pixels(view) < pixels(least) { least } else { view })?;
        let seen = fit(self.source, view, self.macroblocks);
        // More than that costs less where it is shown.
        scale::is_worth_it(self.source, seen).then_some(seen)
    }
}

/// One step: needs at least this many bits per second for lively pictures.
struct Step {
    area: Size,
    fps: u32,
    bits_per_second: u32,
}

impl Step {
    /// What it needs for lively pictures, bits per second.
    fn needs(&self, codec: VideoCodec) -> f64 {
        f64::from(self.bits_per_second) * if self.is_small(codec) { VP8_SHARE } else { 1.0 }
    }

    /// Above this quantizer a smaller picture would look better.
    fn coarse(&self, codec: VideoCodec) -> f64 {
        if self.is_small(codec) { COARSE_VP8 } else { COARSE }
    }

    /// One of those that VP8 carries better.
    fn is_small(&self, codec: VideoCodec) -> bool {
        codec == VideoCodec::Vp8 && self.area.height <= 360
    }
}

const fn step(width: u32, height: u32, fps: u32, bits_per_second: u32) -> Step {
    Step { area: Size::new(width, height), fps, bits_per_second }
}

/// Where things move, best first: 0.03 to 0.06 bits per pixel each.
const MOTION: [Step; 9] = [
    step(1920, 1080, 30, 2_000_000),
    step(1280, 720, 30, 850_000),
    step(960, 540, 30, 500_000),
    step(640, 360, 30, 270_000),
    step(480, 270, 30, 150_000),
    step(320, 180, 30, 85_000),
    step(320, 180, 20, 55_000),
    step(320, 180, 15, 40_000),
    step(320, 180, 10, 0),
];

/// Where little moves: the same sizes at a lower rate need about half as much.
const DETAIL: [Step; 9] = [
    step(1920, 1080, 30, 1_500_000),
    step(1920, 1080, 15, 1_000_000),
    step(1280, 720, 30, 650_000),
    step(1280, 720, 15, 400_000),
    step(960, 540, 15, 250_000),
    step(640, 360, 15, 130_000),
    step(480, 270, 15, 75_000),
    step(320, 180, 15, 40_000),
    step(320, 180, 10, 0),
];

/// What VP8 needs of that for its small pictures: it keeps their texture where H.264 has lost it (see [`super::codec_choice`]).
const VP8_SHARE: f64 = 0.65;

/// A step is left downwards below this share of the rate that it was entered with.
const LEAVE: f64 = 0.8;
/// How long a rate must hold before it is climbed on …
const CLIMB_AFTER: Duration = Duration::from_millis(1000);
/// … and at the start, when the estimate only finds out what there is …
const CLIMB_AFTER_AT_START: Duration = Duration::from_millis(200);
/// … which lasts so long.
const START: Duration = Duration::from_secs(8);
/// A fall by so many steps at once is not a path that became narrower but one that was interrupted or is another: the
/// estimate finds out again what there is, and that is a start. Within one it is a fall like any other.
const INTERRUPTION: usize = 3;
/// A climb that lasted less than this has failed: the wait doubles, up to the limit, and halves after each that lasted.
const LASTING: Duration = Duration::from_secs(10);
const CLIMB_AFTER_AT_MOST: Duration = Duration::from_secs(32);

/// Above this a smaller picture would look better: at the same rate the tests' scenes and the benches' clip come nearest to
/// what was seen, enlarged to full size, at quantizers of 28 to 32 …
const COARSE: f64 = 36.0;
/// (VP8 still has texture at 37, and none at 43) …
const COARSE_VP8: f64 = 39.0;
/// … if they stay there for so long.
const COARSE_FOR: Duration = Duration::from_millis(1500);
/// Below this a larger picture would look good too: one step costs 3 to 5.
const FINE: f64 = 27.0;
const FINE_FOR: Duration = Duration::from_millis(2000);
/// How much more, or less, than the table a picture may be found to need.
const NEED: (f64, f64) = (0.35, 2.0);
/// A new size is not judged by its quantizers before this.
const SETTLING: Duration = Duration::from_millis(1500);

/// Share of the picture that moves, smoothed: above the first it is motion, below the second detail.
const MOVING: f64 = 0.05;
const RESTING: f64 = 0.012;
/// How long it must rest before detail goes first.
const RESTING_FOR: Duration = Duration::from_secs(3);
/// Weight of the newest picture in the smoothed share.
const MOVING_WEIGHT: f64 = 0.05;

/// Macroblocks of either dimension: √(8 × MaxFS) (ITU-T H.264 section A.3.1).
fn longest(macroblocks: u32) -> u32 {
    (8 * macroblocks).isqrt()
}

/// Where we stand.
#[derive(Debug)]
pub(crate) struct Ladder {
    present: Option<usize>,
    started: Option<Instant>,
    /// Since when every rate would have carried a better step, and the best that all would have.
    climb: Option<(Instant, usize)>,
    climb_after: Duration,
    climbed: Option<Instant>,
    changed: Option<Instant>,
    /// What the pictures need, as a share of the table.
    need: f64,
    coarse_since: Option<Instant>,
    fine_since: Option<Instant>,
    /// The largest size that the other side has a use for.
    seen: Option<Size>,
    /// Smoothed share that moves.
    moving: f64,
    resting_since: Option<Instant>,
    detail: bool,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            present: None,
            started: None,
            climb: None,
            climb_after: CLIMB_AFTER,
            climbed: None,
            changed: None,
            need: 1.0,
            coarse_since: None,
            fine_since: None,
            seen: None,
            moving: 1.0,
            resting_since: None,
            detail: false,
        }
    }
}

impl Ladder {
    /// The rung for this situation.
    pub(crate) fn choose(&mut self, situation: &Situation, now: Instant) -> Rung {
        self.started.get_or_insert(now);
        self.judge_motion(&situation.look, now);
        self.judge_quality(situation, now);
        let shown_anew = self.follow_view(situation.seen(), now);
        let top = self.top(situation);
        let fits = self.best(situation, 1.0).max(top);
        let next = match self.present {
            None => fits,
            Some(present) if shown_anew => present.min(fits).max(top),
            Some(present) if present < top => top,
            Some(present) if fits < present => self.climb(present, fits, now),
            Some(present) => {
                self.climb = None;
                // Stays where it is unless even the lowered bar is missed.
                present.max(self.best(situation, LEAVE))
            }
        };
        // What the processor does not manage is no matter of the path.
        if self.present.is_some_and(|present| next >= present + INTERRUPTION && next > top) {
            self.start_again(now);
        }
        if self.present != Some(next) {
            self.enter(next, now);
        }
        let step = &self.steps()[next];
        Rung { size: situation.size(step), fps: step.fps }
    }

    fn steps(&self) -> &'static [Step; 9] {
        if self.detail { &DETAIL } else { &MOTION }
    }

    /// The best step that the rate carries, each needing only this share.
    fn best(&self, situation: &Situation, share: f64) -> usize {
        let rate = f64::from(situation.bits_per_second);
        let carried = |step: &Step| rate >= step.needs(situation.codec) * self.need * share;
        self.steps().iter().position(carried).unwrap_or(self.steps().len() - 1)
    }

    /// The best step that source, processor and the other side allow.
    fn top(&self, situation: &Situation) -> usize {
        let steps = self.steps();
        let affordable = |step: &Step| {
            let size = situation.size(step);
            let samples = f64::from(size.width) * f64::from(size.height) * f64::from(step.fps);
            samples <= situation.samples_per_second
        };
        let top = steps.iter().position(affordable).unwrap_or(steps.len() - 1);
        // Of steps that come to the same because the source is small, or the other side's decoder or view of it, the
        // cheapest.
        let rung = |index: usize| (situation.size(&steps[index]), steps[index].fps);
        (top..steps.len()).take_while(|&index| rung(index) == rung(top)).last().unwrap_or(top)
    }

    fn climb(&mut self, present: usize, fits: usize, now: Instant) -> usize {
        let wait = match self.started {
            Some(started)
                if now.saturating_duration_since(started) < START && self.climb_after == CLIMB_AFTER =>
            {
                CLIMB_AFTER_AT_START
            }
            _ => self.climb_after,
        };
        let (since, best) = self.climb.get_or_insert((now, fits));
        *best = (*best).max(fits);
        if now.saturating_duration_since(*since) < wait {
            return present;
        }
        *best
    }

    /// Whether the picture is shown in another size from now on. One that is shown larger is to be as sharp at once, and
    /// one that is shown smaller was no climb that failed.
    fn follow_view(&mut self, seen: Option<Size>, now: Instant) -> bool {
        let is_another = std::mem::replace(&mut self.seen, seen) != seen;
        if is_another {
            (self.started, self.climb_after, self.climbed) = (Some(now), CLIMB_AFTER, None);
        }
        is_another
    }

    /// The former height was no failure, and is climbed to as quickly as at the start.
    fn start_again(&mut self, now: Instant) {
        if self.started.is_none_or(|started| now.saturating_duration_since(started) >= START) {
            self.started = Some(now);
            self.climb_after = CLIMB_AFTER;
            self.climbed = None;
        }
    }

    fn enter(&mut self, next: usize, now: Instant) {
        if let Some(present) = self.present {
            let lasted = self.climbed.map(|at| now.saturating_duration_since(at) >= LASTING);
            match lasted {
                Some(true) => self.climb_after = (self.climb_after / 2).max(CLIMB_AFTER),
                Some(false) if next > present => {
                    self.climb_after = (self.climb_after * 2).min(CLIMB_AFTER_AT_MOST);
                }
                Some(false) | None => {}
            }
            self.climbed = (next < present).then_some(now);
        }
        self.present = Some(next);
        self.changed = Some(now);
        self.climb = None;
        self.coarse_since = None;
        self.fine_since = None;
    }

    /// Learns from the quantizers what these pictures need.
    fn judge_quality(&mut self, situation: &Situation, now: Instant) {
        let settled = self.changed.is_some_and(|at| now.saturating_duration_since(at) >= SETTLING);
        let (Some(coarseness), Some(present), true) = (situation.coarseness, self.present, settled) else {
            return;
        };
        let held = |since: &mut Option<Instant>, holds: bool, span: Duration| {
            if !holds {
                *since = None;
                return false;
            }
            now.saturating_duration_since(*since.get_or_insert(now)) >= span
        };
        let rate = f64::from(situation.bits_per_second);
        let step = &self.steps()[present];
        if held(&mut self.coarse_since, coarseness > step.coarse(situation.codec), COARSE_FOR) {
            // One step down: the present one needs a little more than there is.
            let needed = rate / (step.needs(situation.codec) * LEAVE) * 1.02;
            self.need = needed.max(self.need).clamp(NEED.0, NEED.1);
            self.coarse_since = None;
        }
        if held(&mut self.fine_since, coarseness < FINE, FINE_FOR) && present > self.top(situation) {
            // One step up: the better one needs no more than there is.
            let needed = rate / self.steps()[present - 1].needs(situation.codec) * 0.98;
            self.need = needed.min(self.need).clamp(NEED.0, NEED.1);
            self.fine_since = None;
        }
    }

    fn judge_motion(&mut self, look: &Look, now: Instant) {
        if look.change.is_none() {
            return;
        }
        self.moving += MOVING_WEIGHT * (look.moving - self.moving);
        let detail = if self.moving > MOVING {
            self.resting_since = None;
            false
        } else if self.moving < RESTING {
            let since = *self.resting_since.get_or_insert(now);
            self.detail || now.saturating_duration_since(since) >= RESTING_FOR
        } else {
            self.detail
        };
        if detail != self.detail {
            self.switch(detail);
        }
    }

    /// To the other table, to the step there whose picture is as large as the present one.
    fn switch(&mut self, detail: bool) {
        let area = self.present.map(|present| self.steps()[present].area);
        self.detail = detail;
        self.present = area.and_then(|area| self.steps().iter().position(|step| step.area == area));
        self.climb = None;
    }
}

/// The largest even size of the source's shape that has no more pixels than `area`, no more than the source, and no
/// more macroblocks than given.
fn fit(source: Size, area: Size, macroblocks: u32) -> Size {
    let pixels = f64::from(source.width) * f64::from(source.height);
    let allowed = f64::from(area.width) * f64::from(area.height);
    let mut factor = (allowed / pixels).sqrt().min(1.0);
    loop {
        let even = |length: u32| ((f64::from(length) * factor / 2.0 + 0.01) as u32 * 2).max(16);
        let size = Size::new(even(source.width), even(source.height));
        // Rounding up to whole macroblocks can exceed the level for odd shapes.
        let (across, down) = (size.width.div_ceil(16), size.height.div_ceil(16));
        if across * down <= macroblocks && across.max(down) <= longest(macroblocks) {
            return size;
        }
        factor *= 0.98;
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
