//! The ladder: which picture size and rate a send bitrate can carry well. Sans-IO: rates and times in, a rung out.
//!
//! Driven by the encoder's thread before each picture. Fewer pixels at the same bitrate look better than many bad
//! ones, and a smaller picture holds the rate without skipped frames. Down at once, up only after the rate has held
//! for a while, with a margin between the two, so that an estimate that swings does not cost a keyframe a second.

use super::frame::Size;
use std::time::{Duration, Instant};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    /// Size of the picture, even, with the source's shape, never larger than the source.
    pub(crate) size: Size,
    /// Pictures per second, at most.
    pub(crate) fps: u32,
}

/// One step: needs at least this many bits per second.
struct Step {
    area: Size,
    fps: u32,
    bits_per_second: u32,
}

const fn step(width: u32, height: u32, fps: u32, bits_per_second: u32) -> Step {
    Step { area: Size::new(width, height), fps, bits_per_second }
}

/// Best first; about 0.03 to 0.05 bits per pixel each.
const STEPS: [Step; 7] = [
    step(1280, 720, 30, 900_000),
    step(960, 540, 30, 550_000),
    step(640, 360, 30, 300_000),
    step(480, 270, 30, 170_000),
    step(480, 270, 15, 110_000),
    step(320, 180, 15, 50_000),
    step(320, 180, 10, 0),
];

/// A step is left downwards below this share (in percent) of the rate that it was entered with.
const LEAVE_PERCENT: u64 = 75;
/// How long a rate must hold before it is climbed on.
const CLIMB_AFTER: Duration = Duration::from_secs(2);
/// Macroblocks of a picture at H.264 level 3.1 (ITU-T H.264 table A-1, MaxFS), the level that we signal.
const LEVEL_31_MACROBLOCKS: u32 = 3600;
/// Macroblocks of either dimension at that level: √(8 × MaxFS) (ITU-T H.264 section A.3.1).
const LEVEL_31_LONGEST: u32 = 169;

/// Where we stand.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    step: Option<usize>,
    /// The best step that every rate since this time would have carried.
    climb: Option<(Instant, usize)>,
}

impl Ladder {
    /// The rung for a source of this size at this target rate.
    pub(crate) fn choose(&mut self, source: Size, bits_per_second: u32, now: Instant) -> Rung {
        let enough = |percent: u64| {
            STEPS
                .iter()
                .position(|step| {
                    u64::from(bits_per_second) * 100 >= u64::from(step.bits_per_second) * percent
                })
                .unwrap_or(STEPS.len() - 1)
        };
        let fits = enough(100);
        let present = match self.step {
            None => fits,
            Some(present) if fits < present => self.climb(present, fits, now),
            Some(present) => {
                self.climb = None;
                // Stays where it is unless even the lowered bar is missed.
                present.max(enough(LEAVE_PERCENT))
            }
        };
        self.step = Some(present);
        let step = &STEPS[present];
        Rung { size: fit(source, step.area), fps: step.fps }
    }

    fn climb(&mut self, present: usize, fits: usize, now: Instant) -> usize {
        let (since, best) = self.climb.get_or_insert((now, fits));
        *best = (*best).max(fits);
        if now.saturating_duration_since(*since) < CLIMB_AFTER {
            return present;
        }
        let best = *best;
        self.climb = None;
        best
    }
}

/// The largest even size of the source's shape that has no more pixels than `area`, and no more than the source.
fn fit(source: Size, area: Size) -> Size {
    let pixels = f64::from(source.width) * f64::from(source.height);
    let allowed = f64::from(area.width) * f64::from(area.height);
    let mut factor = (allowed / pixels).sqrt().min(1.0);
    loop {
        let even = |length: u32| ((f64::from(length) * factor / 2.0 + 0.01) as u32 * 2).max(16);
        let size = Size::new(even(source.width), even(source.height));
        // Rounding up to whole macroblocks can exceed the level for odd shapes.
        let (across, down) = (size.width.div_ceil(16), size.height.div_ceil(16));
        if across * down <= LEVEL_31_MACROBLOCKS && across.max(down) <= LEVEL_31_LONGEST {
            return size;
        }
        factor *= 0.98;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_rung_fits_the_rate_at_once() {
        let now = Instant::now();
        for (rate, size, fps) in [
            (2_000_000, Size::HD, 30),
            (900_000, Size::HD, 30),
            (600_000, Size::new(960, 540), 30),
            (300_000, Size::new(640, 360), 30),
            (120_000, Size::new(480, 270), 15),
            (30_000, Size::new(320, 180), 10),
            (0, Size::new(320, 180), 10),
        ] {
            assert_eq!(Ladder::default().choose(Size::HD, rate, now), Rung { size, fps }, "{rate}");
        }
    }

    #[test]
    fn a_rate_that_swings_around_a_threshold_changes_nothing() {
        let mut ladder = Ladder::default();
        let mut now = Instant::now();
        let first = ladder.choose(Size::HD, 950_000, now);
        for index in 0..1000 {
            now += 33 * MS;
            let rate = if index % 2 == 0 { 750_000 } else { 1_100_000 };
            assert_eq!(ladder.choose(Size::HD, rate, now), first);
        }
    }

    #[test]
    fn it_falls_at_once_and_climbs_only_after_the_rate_has_held() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        ladder.choose(Size::HD, 2_000_000, start);
        assert_eq!(ladder.choose(Size::HD, 320_000, start + 33 * MS).size, Size::new(640, 360));
        assert_eq!(ladder.choose(Size::HD, 1_000_000, start + 100 * MS).size, Size::new(640, 360));
        assert_eq!(ladder.choose(Size::HD, 600_000, start + 900 * MS).size, Size::new(640, 360));
        assert_eq!(ladder.choose(Size::HD, 1_000_000, start + 2099 * MS).size, Size::new(640, 360));
        // 540p is what the whole two seconds carried.
        assert_eq!(ladder.choose(Size::HD, 1_000_000, start + 2100 * MS).size, Size::new(960, 540));
        // A dip starts the wait anew.
        ladder.choose(Size::HD, 1_000_000, start + 3000 * MS);
        ladder.choose(Size::HD, 600_000, start + 4000 * MS);
        assert_eq!(ladder.choose(Size::HD, 1_000_000, start + 5500 * MS).size, Size::new(960, 540));
    }

    #[test]
    fn every_size_is_even_keeps_its_shape_and_fits_the_level() {
        for source in [
            Size::HD,
            Size::new(1920, 1080),
            Size::new(720, 1280),
            Size::new(640, 480),
            Size::new(321, 241),
            Size::new(1919, 1079),
            Size::new(4000, 100),
            Size::new(100, 4000),
            Size::new(160, 120),
            Size::new(16, 16),
        ] {
            for rate in (0..1_000_000).step_by(50_000) {
                let size = Ladder::default().choose(source, rate, Instant::now()).size;
                assert!(size.width % 2 == 0 && size.height % 2 == 0, "{source:?} {size:?}");
                assert!(size.width <= source.width && size.height <= source.height, "{source:?} {size:?}");
                assert!(size.width.div_ceil(16) * size.height.div_ceil(16) <= LEVEL_31_MACROBLOCKS);
                if size.width > 100 && size.height > 100 {
                    let shape = |size: Size| f64::from(size.width) / f64::from(size.height);
                    assert!((shape(size) / shape(source) - 1.0).abs() < 0.02, "{source:?} {size:?}");
                }
            }
        }
    }
}
