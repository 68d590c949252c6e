//! Tests of lip sync and of the remote's clock, in virtual time.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A remote whose clock is off by anything, and a playout that follows its holds at a limited rate.
struct World {
    start: Instant,
    ntp: u64,
    /// Capture to show without a hold, milliseconds.
    picture_ms: f64,
    sound_ms: f64,
    /// What the sound's playout has followed so far: 20 ms a second, as it stretches.
    followed_ms: f64,
    sync: LipSync,
    elapsed: Duration,
}

impl World {
    fn new(picture_ms: f64, sound_ms: f64) -> Self {
        let (start, ntp) = (Instant::now(), 0x1234_5678_9abc_def0);
        Self { start, ntp, picture_ms, sound_ms, followed_ms: 0.0, sync: LipSync::default(), elapsed: MS }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.elapsed += 250 * MS;
            let wanted = self.sync.sound_hold().as_secs_f64() * 1e3;
            self.followed_ms += (wanted - self.followed_ms).clamp(-10.0, 10.0);
            let now = self.start + self.elapsed;
            let hold = self.sync.picture_hold().as_secs_f64() * 1e3;
            let picture = self.captured(self.picture_ms + hold);
            let sound = self.captured(self.sound_ms + self.followed_ms);
            self.sync.handle_positions(now, (picture, now), (sound, now));
        }
    }

    /// Capture time of what is shown now, so many milliseconds after it.
    fn captured(&self, delay_ms: f64) -> u64 {
        ntp::shifted(self.ntp, self.elapsed.as_micros() as i64 - (delay_ms * 1e3) as i64)
    }

    fn skew_ms(&self) -> f64 {
        self.picture_ms + self.sync.picture_hold().as_secs_f64() * 1e3 - self.sound_ms - self.followed_ms
    }
}

#[test]
fn a_skew_that_nobody_notices_holds_nobody_back() {
    for (picture_ms, sound_ms) in [(60.0, 60.0), (90.0, 50.0), (40.0, 160.0)] {
        let mut world = World::new(picture_ms, sound_ms);
        world.run(30);
        assert_eq!((world.sync.sound_hold(), world.sync.picture_hold()), (Duration::ZERO, Duration::ZERO));
    }
}

#[test]
fn a_late_picture_holds_the_sound_back_and_late_sound_the_picture() {
    let mut world = World::new(200.0, 60.0);
    world.run(30);
    assert!((-50.0..=45.0).contains(&world.skew_ms()), "{}", world.skew_ms());
    assert_eq!(world.sync.picture_hold(), Duration::ZERO);
    let mut world = World::new(50.0, 300.0);
    world.run(30);
    assert!((-125.0..=0.0).contains(&world.skew_ms()), "{}", world.skew_ms());
    assert_eq!(world.sync.sound_hold(), Duration::ZERO);
}

#[test]
fn holds_have_bounds_and_are_given_back() {
    let mut world = World::new(900.0, 60.0);
    world.run(60);
    assert_eq!(world.sync.sound_hold(), MAX_SOUND_HOLD);
    world.picture_ms = 60.0;
    world.run(60);
    assert!(world.sync.sound_hold() < 30 * MS, "{:?}", world.sync.sound_hold());
    assert!((-125.0..=45.0).contains(&world.skew_ms()), "{}", world.skew_ms());
    world.sync.release();
    assert_eq!(world.sync.sound_hold(), Duration::ZERO);
    // Clocks that have nothing to do with each other.
    let now = world.start;
    world.sync.handle_positions(now, (0, now), (1 << 40, now));
    assert_eq!(world.sync.skew_micros(), None);
}

#[test]
fn rtp_timestamps_become_capture_times_across_their_wrap_around() {
    let report = ClockReport { ssrc: 1, ntp: 77 << 32, rtp_timestamp: u32::MAX - 9, arrived: Instant::now() };
    assert_eq!(capture_ntp(&report, 89_990, VIDEO_HZ), 78 << 32);
    assert_eq!(capture_ntp(&report, (u32::MAX - 9).wrapping_sub(90_000), VIDEO_HZ), 76 << 32);
    let sound = SoundPosition { ssrc: 1, rtp_timestamp: 47_990, at: report.arrived };
    assert_eq!(sound_ntp(Some(report), &sound), Some(78 << 32));
    assert_eq!(sound_ntp(Some(report), &SoundPosition { ssrc: 2, ..sound }), None);
}

#[test]
fn the_remotes_clock_is_found_whatever_it_shows_and_whatever_queue_its_reports_met() {
    let start = Instant::now();
    // Its clock is hours off and 50 ppm fast; the path takes 30 ms each way; most reports wait in a queue as well.
    let shown = |at: Duration| ntp::shifted(0xabcd << 40, (at.as_micros() as f64 * 1.000_05) as i64);
    let mut clock = RemoteClock::default();
    assert_eq!(clock.at(shown(MS)), None);
    let mut worst: f64 = 0.0;
    for second in 1..120_u32 {
        let sent = Duration::from_secs(u64::from(second));
        let queue = MS * (second * 37 % 80);
        let report = ClockReport {
            ssrc: 1,
            ntp: shown(sent),
            rtp_timestamp: 0,
            arrived: start + sent + 30 * MS + queue,
        };
        clock.handle_report(&report, Some(60 * MS + queue));
        if second > 5 {
            let found = clock.at(shown(sent)).unwrap();
            worst = worst.max(signed_micros(found, start + sent).abs() as f64 / 1e3);
        }
    }
    assert!(worst < 15.0, "{worst} ms");
}
