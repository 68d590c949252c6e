//! Tests of the ladder in virtual time.

use super::super::footage::Lcg;
use super::*;

const MS: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_micros(33_333);
const LEVEL_31: u32 = 3600;

fn lively() -> Look {
    Look { detail: 3.0, change: Some(5.0), moving: 0.5, pixels: 921_600.0 }
}

fn at_rest() -> Look {
    Look { change: Some(0.5), moving: 0.0, ..lively() }
}

fn situation(bits_per_second: u32) -> Situation {
    Situation {
        source: Size::HD,
        codec: VideoCodec::H264,
        bits_per_second,
        look: lively(),
        coarseness: None,
        samples_per_second: f64::INFINITY,
        macroblocks: LEVEL_31,
        view: None,
    }
}

/// A ladder in a call that runs.
struct Climb {
    ladder: Ladder,
    now: Instant,
    rung: Rung,
    changes: u32,
}

impl Climb {
    fn new(situation: &Situation) -> Self {
        let (mut ladder, now) = (Ladder::default(), Instant::now());
        let rung = ladder.choose(situation, now);
        Self { ladder, now, rung, changes: 0 }
    }

    fn run(&mut self, span: Duration, mut at: impl FnMut(Rung) -> Situation) {
        let end = self.now + span;
        while self.now < end {
            self.now += FRAME;
            let rung = self.ladder.choose(&at(self.rung), self.now);
            self.changes += u32::from(rung.size != self.rung.size);
            self.rung = rung;
        }
    }

    fn seconds_until(&mut self, situation: Situation, size: Size) -> f64 {
        let start = self.now;
        while self.rung.size != size {
            self.run(FRAME, |_| situation);
            assert!(self.now - start < Duration::from_secs(60), "{:?} instead of {size:?}", self.rung);
        }
        (self.now - start).as_secs_f64()
    }
}

#[test]
fn the_first_rung_fits_the_rate_at_once() {
    for (rate, size, fps) in [
        (2_000_000, Size::HD, 30),
        (850_000, Size::HD, 30),
        (600_000, Size::new(960, 540), 30),
        (300_000, Size::new(640, 360), 30),
        (180_000, Size::new(480, 270), 30),
        (90_000, Size::new(320, 180), 30),
        (60_000, Size::new(320, 180), 20),
        (30_000, Size::new(320, 180), 10),
        (0, Size::new(320, 180), 10),
    ] {
        assert_eq!(Climb::new(&situation(rate)).rung, Rung { size, fps }, "{rate}");
    }
    let hd = Situation { source: Size::new(1920, 1080), macroblocks: 8192, ..situation(2_500_000) };
    assert_eq!(Climb::new(&hd).rung.size, Size::new(1920, 1080));
}

#[test]
fn at_the_start_it_follows_a_growing_estimate_to_full_size_within_a_second() {
    let mut climb = Climb::new(&situation(250_000));
    assert_eq!(climb.rung.size, Size::new(480, 270));
    // The estimate doubles every 300 ms.
    let start = climb.now;
    while climb.rung.size != Size::HD {
        let passed = (climb.now - start).as_secs_f64();
        let rate = (250_000.0 * 2_f64.powf(passed / 0.3)).min(2_000_000.0) as u32;
        climb.run(FRAME, |_| situation(rate));
        assert!(passed < 1.0, "{:?}", climb.rung);
    }
    assert!(climb.changes <= 3, "{}", climb.changes);
}

#[test]
fn a_rate_that_swings_around_a_threshold_changes_nothing() {
    let mut climb = Climb::new(&situation(900_000));
    let mut number = 0;
    climb.run(Duration::from_secs(60), |_| {
        number += 1;
        situation(if number % 2 == 0 { 720_000 } else { 1_100_000 })
    });
    assert_eq!((climb.rung.size, climb.changes), (Size::HD, 0));
}

#[test]
fn after_an_interruption_it_is_back_as_quickly_as_at_the_start_but_not_again_and_again() {
    let mut climb = Climb::new(&situation(2_000_000));
    climb.run(Duration::from_secs(9), |_| situation(2_000_000));
    climb.run(MS * 300, |_| situation(200_000));
    assert_eq!(climb.rung.size, Size::new(480, 270));
    let back = climb.seconds_until(situation(2_000_000), Size::HD);
    assert!(back < 0.5, "{back}");
    climb.run(MS * 300, |_| situation(200_000));
    let back = climb.seconds_until(situation(2_000_000), Size::HD);
    assert!(back > 0.9, "a path that falls every second is no start: {back}");
}

#[test]
fn it_falls_at_once_and_climbs_after_the_rate_has_held() {
    let mut climb = Climb::new(&situation(2_000_000));
    climb.run(Duration::from_secs(20), |_| situation(2_000_000));
    climb.run(FRAME, |_| situation(300_000));
    assert_eq!(climb.rung.size, Size::new(640, 360));
    climb.run(900 * MS, |_| situation(2_000_000));
    assert_eq!(climb.rung.size, Size::new(640, 360));
    // All the way, not step by step.
    assert!(climb.seconds_until(situation(2_000_000), Size::HD) < 0.3);
    assert_eq!(climb.changes, 2);
}

#[test]
fn a_link_that_goes_up_and_down_is_followed_more_and_more_slowly() {
    let mut climb = Climb::new(&situation(400_000));
    climb.run(Duration::from_secs(10), |_| situation(400_000));
    let mut per_minute = Vec::new();
    for _ in 0..3 {
        climb.changes = 0;
        for _ in 0..10 {
            climb.run(Duration::from_secs(3), |_| situation(1_200_000));
            climb.run(Duration::from_secs(3), |_| situation(400_000));
        }
        per_minute.push(climb.changes);
    }
    assert!(per_minute[0] <= 8 && per_minute[2] <= 2, "{per_minute:?}");
    // It is not forgotten for ever.
    assert!(climb.seconds_until(situation(1_200_000), Size::HD) <= 33.0);
}

#[test]
fn seeded_networks_cost_few_changes_and_the_picture_is_never_beyond_the_rate() {
    for seed in 0..20 {
        let mut random = Lcg(seed);
        let mut climb = Climb::new(&situation(500_000));
        let mut rate = 500_000.0_f64;
        let seconds = 300;
        for _ in 0..seconds {
            // A walk of up to 15 % a second, with a collapse now and then.
            rate *= 0.85 + random.below(31) as f64 / 100.0;
            if random.below(40) == 0 {
                rate *= 0.3;
            }
            rate = rate.clamp(80_000.0, 2_500_000.0);
            let noisy = |random: &mut Lcg| rate * (0.95 + random.below(11) as f64 / 100.0);
            climb.run(Duration::from_secs(1), |_| situation(noisy(&mut random) as u32));
            let pixels = f64::from(climb.rung.size.width * climb.rung.size.height);
            let bits_per_pixel = rate * 1.05 / pixels / f64::from(climb.rung.fps);
            assert!(bits_per_pixel > 0.02, "seed {seed}: {:?} at {rate}", climb.rung);
        }
        assert!(climb.changes < seconds / 6, "seed {seed}: {} changes in {seconds} s", climb.changes);
    }
}

/// Quantizers as an encoder would choose them: `complexity` is the rate at which 720p30 needs a quantizer of 33.
fn coarseness(rung: Rung, rate: u32, complexity: f64) -> f64 {
    let pixels = f64::from(rung.size.width * rung.size.height) / 921_600.0;
    let needed = complexity * pixels.powf(0.8) * f64::from(rung.fps) / 30.0;
    (33.0 + 6.0 * (needed / f64::from(rate)).log2()).clamp(18.0, 51.0)
}

#[test]
fn easy_pictures_get_larger_than_the_table_says_and_hard_ones_smaller_without_flapping() {
    let rate = 330_000;
    let mut sizes = Vec::new();
    for complexity in [200_000.0, 900_000.0, 6_000_000.0] {
        let mut climb = Climb::new(&situation(rate));
        climb.run(Duration::from_secs(120), |rung| Situation {
            coarseness: Some(coarseness(rung, rate, complexity)),
            ..situation(rate)
        });
        let settled = climb.changes;
        climb.run(Duration::from_secs(120), |rung| Situation {
            coarseness: Some(coarseness(rung, rate, complexity)),
            ..situation(rate)
        });
        assert_eq!(climb.changes, settled, "it flaps at {complexity}");
        sizes.push(climb.rung.size.height);
    }
    assert_eq!(sizes, [720, 360, 270]);
}

#[test]
fn vp8_carries_small_pictures_with_fewer_bits_and_may_be_coarser() {
    let small = |codec| Situation { codec, ..situation(200_000) };
    assert_eq!(Climb::new(&small(VideoCodec::H264)).rung.size.height, 270);
    assert_eq!(Climb::new(&small(VideoCodec::Vp8)).rung.size.height, 360);
    // There is nothing between them where there are more.
    let large = |codec| Situation { codec, ..situation(480_000) };
    let of = |codec| Climb::new(&large(codec)).rung;
    assert_eq!(of(VideoCodec::H264), of(VideoCodec::Vp8));

    let coarse = |codec, coarseness| Situation { coarseness: Some(coarseness), ..small(codec) };
    let after_a_while = |codec, coarseness| {
        let mut climb = Climb::new(&small(codec));
        climb.run(Duration::from_secs(5), |_| coarse(codec, coarseness));
        climb.rung.size.height
    };
    assert_eq!(after_a_while(VideoCodec::H264, 37.0), 180);
    assert_eq!(after_a_while(VideoCodec::Vp8, 37.0), 360);
    assert_eq!(after_a_while(VideoCodec::Vp8, 43.0), 270);
}

#[test]
fn where_little_moves_size_goes_before_frame_rate_and_motion_brings_the_frame_rate_back() {
    let rest = Situation { look: at_rest(), ..situation(260_000) };
    let mut climb = Climb::new(&rest);
    climb.run(Duration::from_secs(12), |_| rest);
    assert_eq!(climb.rung, Rung { size: Size::new(960, 540), fps: 15 });
    climb.run(Duration::from_secs(2), |_| situation(260_000));
    assert_eq!(climb.rung.fps, 30);
    assert!(climb.rung.size.height <= 360);
}

#[test]
fn a_slow_processor_gets_a_smaller_picture_whatever_the_network_carries() {
    let full = 1280.0 * 720.0 * 30.0;
    let mut climb = Climb::new(&situation(2_000_000));
    climb.run(Duration::from_secs(1), |_| Situation {
        samples_per_second: full * 0.6,
        ..situation(2_000_000)
    });
    assert_eq!(climb.rung.size, Size::new(960, 540));
    climb.run(Duration::from_secs(30), |_| situation(2_000_000));
    assert_eq!(climb.rung.size, Size::HD);
}

#[test]
fn every_size_is_even_fits_the_level_and_keeps_the_shape() {
    let shapes = [(1280, 720), (640, 480), (1920, 1080), (720, 1280), (1279, 719), (3840, 1080), (1366, 768)];
    for (width, height) in shapes {
        let source = Size::new(width, height);
        for step in MOTION.iter().chain(&DETAIL) {
            for macroblocks in [LEVEL_31, 8192] {
                let size = fit(source, step.area, macroblocks);
                assert!(size.width.is_multiple_of(2) && size.height.is_multiple_of(2), "{size:?}");
                assert!(size.width <= source.width && size.height <= source.height);
                assert!(size.width.div_ceil(16) * size.height.div_ceil(16) <= macroblocks);
                let shape = |size: Size| f64::from(size.width) / f64::from(size.height);
                assert!((shape(size) / shape(source) - 1.0).abs() < 0.02, "{source:?} {size:?}");
            }
        }
    }
}

#[test]
fn a_small_camera_is_never_enlarged() {
    let source = Size::new(320, 240);
    let mut climb = Climb::new(&Situation { source, ..situation(3_000_000) });
    climb.run(Duration::from_secs(5), |_| Situation { source, ..situation(3_000_000) });
    assert_eq!(climb.rung, Rung { size: source, fps: 30 });
}

#[test]
fn a_picture_is_no_larger_than_it_is_seen() {
    let seen = |width, height| Situation { view: Some(Size::new(width, height)), ..situation(2_000_000) };
    for (view, size) in [
        ((832, 468), Size::new(832, 468)),
        ((1000, 562), Size::new(998, 562)),
        ((1200, 675), Size::HD),
        ((1920, 1080), Size::HD),
        ((1, 1), Size::new(320, 180)),
    ] {
        let climb = Climb::new(&seen(view.0, view.1));
        assert_eq!((climb.rung.size, climb.rung.fps), (size, 30), "{view:?}");
    }
    let narrow = Situation { view: Some(Size::new(832, 468)), ..situation(300_000) };
    assert_eq!(Climb::new(&narrow).rung.size, Size::new(640, 360), "the path carries less than is seen");
}

#[test]
fn a_view_that_grows_is_filled_at_once_however_often_it_does() {
    let seen = |width, height| Situation { view: Some(Size::new(width, height)), ..situation(2_000_000) };
    let mut climb = Climb::new(&seen(832, 468));
    climb.run(Duration::from_secs(20), |_| seen(832, 468));
    assert_eq!((climb.rung.size, climb.changes), (Size::new(832, 468), 0));
    for change in 1..=5 {
        let waited = climb.seconds_until(seen(1280, 720), Size::HD);
        assert!(waited <= 0.05, "{waited} s");
        climb.run(Duration::from_secs(3), |_| seen(832, 468));
        assert_eq!((climb.rung.size, climb.changes), (Size::new(832, 468), 2 * change));
    }
}
