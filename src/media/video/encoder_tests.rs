//! Tests of the encoder's stage, driven without its thread.

use super::super::codec::Decoder;
use super::super::footage::{Footage, Scene};
use super::super::pool::FramePool;
use super::*;
use crate::allocations::during;
use crate::media::ports::VIDEO_SEND_CAPACITY;
use tokio::sync::mpsc::{Receiver, channel};

struct Bench {
    stage: Stage,
    frames: Latest<Arc<Frame>>,
    control: Arc<SendControl>,
    stats: Arc<VideoSendStats>,
    units: Receiver<EncodedFrame>,
    pool: FramePool,
    footage: Vec<Frame>,
    number: u32,
    start: Instant,
}

impl Bench {
    fn new(scene: Scene, bits_per_second: u32) -> Self {
        Self::of_size(Size::HD, scene, bits_per_second)
    }

    fn of_size(size: Size, scene: Scene, bits_per_second: u32) -> Self {
        let frames = Latest::new();
        let control = Arc::new(SendControl::new(bits_per_second));
        let stats = Arc::<VideoSendStats>::default();
        let (out, units) = channel(VIDEO_SEND_CAPACITY);
        let stage = Stage::new(frames.clone(), out, Arc::clone(&control), Arc::clone(&stats));
        let mut footage = Footage::new(scene, size);
        let footage = (0..20).map(|_| footage.next()).collect();
        Self {
            stage,
            frames,
            control,
            stats,
            units,
            pool: FramePool::default(),
            footage,
            number: 0,
            start: Instant::now(),
        }
    }

    /// A picture goes all the way from the camera to the transport's line; what comes out, if anything.
    fn step(&mut self) -> Option<EncodedFrame> {
        // There and back again, so that there is no cut.
        let length = self.footage.len() as u32;
        let place = self.number % (2 * length - 2);
        let source = &self.footage[place.min(2 * length - 2 - place) as usize];
        let captured = self.start + Duration::from_secs(1) * self.number / 30;
        self.number += 1;
        let frame = self.pool.fill(source.size(), captured, |frame| {
            frame.data_mut().copy_from_slice(source.data());
            Ok::<(), Infallible>(())
        });
        let Ok(frame) = frame;
        self.frames.publish(frame);
        let frame = self.stage.reader.try_next().unwrap();
        self.stage.handle_frame(&frame).unwrap();
        self.units.try_recv().ok()
    }
}

#[test]
fn a_picture_on_its_way_from_the_camera_to_the_transport_allocates_nothing() {
    // At full size, and shrunk.
    for rate in [1_500_000, 330_000] {
        let mut bench = Bench::new(Scene::Walk, rate);
        for _ in 0..40 {
            bench.step();
        }
        let mut octets = 0;
        let allocations = during(|| {
            for _ in 0..60 {
                octets += bench.step().map_or(0, |unit| unit.data.len());
            }
        });
        assert!(octets > 10_000, "{octets}");
        assert_eq!(allocations, 0, "at {rate} bit/s, {:?}", bench.stats.size.size());
    }
}

#[test]
fn a_picture_of_1080_lines_goes_to_whoever_decodes_it_and_shrunk_to_everybody_else() {
    for (macroblocks, size) in [(None, Size::HD), (Some(LEVEL_40_MACROBLOCKS), Size::FULL_HD)] {
        let mut bench = Bench::of_size(Size::FULL_HD, Scene::Person, 4_000_000);
        if let Some(macroblocks) = macroblocks {
            bench.control.set_video_macroblocks(macroblocks);
        }
        let unit = bench.step().unwrap();
        assert_eq!(bench.stats.size.size(), Some(size));
        let picture = Decoder::new(unit.codec).unwrap().decode(&unit.data, unit.captured, None).unwrap();
        assert_eq!(picture.unwrap().size(), size);
    }
}

#[test]
fn a_picture_that_stands_still_is_refined_and_then_sent_only_now_and_then() {
    let mut bench = Bench::new(Scene::Still, 1_000_000);
    let refined = (0..=REFINED_PICTURES).filter(|_| bench.step().is_some()).count();
    assert_eq!(refined as u32, REFINED_PICTURES + 1);
    // No time passes between these, so the interval does not come to its end.
    bench.stage.last_captured = Some(Instant::now() + Duration::from_secs(60));
    assert_eq!((0..20).filter(|_| bench.step().is_some()).count(), 0);
    bench.stage.last_captured = Some(bench.start);
    bench.control.want_keyframe();
    bench.stage.last_keyframe = None;
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
}

#[test]
fn after_a_time_of_sound_only_the_first_picture_is_a_keyframe() {
    let mut bench = Bench::new(Scene::Person, 300_000);
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
    assert!(bench.step().is_some_and(|unit| !unit.keyframe));
    bench.control.set_video_bits_per_second(0);
    assert!((0..10).all(|_| bench.step().is_none()));
    bench.control.set_video_bits_per_second(100_000);
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
}

#[test]
fn a_storm_of_wishes_brings_one_keyframe_and_the_last_wish_is_not_forgotten() {
    let mut bench = Bench::new(Scene::Person, 1_000_000);
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
    // The first keyframe is just on its way, and stays so for this test.
    bench.stage.last_keyframe = Some(Instant::now() + Duration::from_secs(60));
    for _ in 0..10 {
        bench.control.want_keyframe();
        assert!(bench.step().is_some_and(|unit| !unit.keyframe));
    }
    bench.stage.last_keyframe = Instant::now().checked_sub(KEYFRAME_INTERVAL);
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
    assert!(bench.step().is_some_and(|unit| !unit.keyframe));
    assert_eq!(bench.stats.keyframes.value(), 2);
}

#[test]
fn while_the_path_does_not_keep_up_pictures_are_left_out_and_no_keyframe_is_needed_afterwards() {
    let mut bench = Bench::new(Scene::Walk, 300_000);
    assert!(bench.step().is_some_and(|unit| unit.keyframe));
    bench.control.hold_video(true);
    // No time passes between these, so that none of them is due as a sign of life.
    bench.stage.last_left = Some(Instant::now() + Duration::from_secs(60));
    assert!((0..10).all(|_| bench.step().is_none()));
    bench.stage.last_left = Instant::now().checked_sub(HELD_INTERVAL);
    assert!(bench.step().is_some_and(|unit| !unit.keyframe));
    bench.control.hold_video(false);
    assert!(bench.step().is_some_and(|unit| !unit.keyframe));
}
