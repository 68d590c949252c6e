//! Which codec suits the rate. Sans-IO: rates and times in, a codec out.
//!
//! Driven by the encoder's thread before each picture. H.264 is what we like best: it costs less, and every machine decodes
//! it. But where there are few bits for each pixel libvpx keeps texture that OpenH264 loses: of the benches' clip, at
//! 185 kbit/s, VP8 shows 360 lines with an SSIM of 0.62, H.264 with 0.52, and 270 lines with 0.60 and 0.52. At 270 kbit/s
//! both come to 0.66, each at the size that suits it. Each change costs a keyframe.

use crate::media::ports::VideoCodec;
use std::time::{Duration, Instant};

/// Below this rate pictures are VP8, bits per second …
const LOW: u32 = 260_000;
/// … if it stays there for so long, for a drop that passes is not worth a keyframe; …
const LOW_FOR: Duration = Duration::from_secs(2);
/// … and above this one they are what they were again …
const HIGH: u32 = 380_000;
/// … if it stays there for so long at first; twice as long, up to the limit, each time that it was low again within so long.
const HIGH_FOR: Duration = Duration::from_secs(2);
const HIGH_FOR_AT_MOST: Duration = Duration::from_secs(64);
const LASTING: Duration = Duration::from_secs(30);

/// Where we stand.
#[derive(Debug)]
pub(crate) struct CodecChoice {
    is_low: bool,
    /// Since when the rate is one for the other codec.
    since: Option<Instant>,
    /// When it was last high again.
    raised: Option<Instant>,
    high_for: Duration,
}

impl Default for CodecChoice {
    fn default() -> Self {
        Self { is_low: false, since: None, raised: None, high_for: HIGH_FOR }
    }
}

impl CodecChoice {
    /// The codec for this rate, where the other side likes to get `best` and takes `other` as well.
    pub(crate) fn choose(
        &mut self,
        best: VideoCodec,
        other: Option<VideoCodec>,
        bits_per_second: u32,
        now: Instant,
    ) -> VideoCodec {
        if other != Some(VideoCodec::Vp8) {
            *self = Self::default();
            return best;
        }
        let (is_another, span) = if self.is_low {
            (bits_per_second > HIGH, self.high_for)
        } else {
            (bits_per_second < LOW, LOW_FOR)
        };
        if !is_another {
            self.since = None;
        } else if now.saturating_duration_since(*self.since.get_or_insert(now)) >= span {
            self.change(now);
        }
        if self.is_low { VideoCodec::Vp8 } else { best }
    }

    fn change(&mut self, now: Instant) {
        self.since = None;
        self.is_low = !self.is_low;
        if !self.is_low {
            self.raised = Some(now);
        } else if self.raised.is_some_and(|at| now.saturating_duration_since(at) < LASTING) {
            self.high_for = (self.high_for * 2).min(HIGH_FOR_AT_MOST);
        } else {
            self.high_for = HIGH_FOR;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VideoCodec::{H264, Vp8};
    use super::*;

    struct Call {
        choice: CodecChoice,
        now: Instant,
        changes: Vec<VideoCodec>,
    }

    impl Call {
        fn new() -> Self {
            Self { choice: CodecChoice::default(), now: Instant::now(), changes: Vec::new() }
        }

        fn run(&mut self, seconds: f64, rate: impl Fn(f64) -> u32) -> VideoCodec {
            let end = self.now + Duration::from_secs_f64(seconds);
            let mut present = H264;
            while self.now < end {
                self.now += Duration::from_millis(33);
                let left = (end - self.now.min(end)).as_secs_f64();
                present = self.choice.choose(H264, Some(Vp8), rate(left), self.now);
                if self.changes.last() != Some(&present) {
                    self.changes.push(present);
                }
            }
            present
        }
    }

    #[test]
    fn a_rate_that_stays_low_gets_vp8_and_one_that_is_high_again_h264() {
        let mut call = Call::new();
        assert_eq!(call.run(5.0, |_| 1_000_000), H264);
        assert_eq!(call.run(1.9, |_| 200_000), H264);
        assert_eq!(call.run(0.2, |_| 200_000), Vp8);
        assert_eq!(call.run(60.0, |_| 320_000), Vp8, "between the two it stays what it is");
        assert_eq!(call.run(1.9, |_| 500_000), Vp8);
        assert_eq!(call.run(0.2, |_| 500_000), H264);
        assert_eq!(call.run(60.0, |_| 320_000), H264);
    }

    #[test]
    fn a_drop_that_passes_and_a_rate_that_swings_change_nothing() {
        let mut call = Call::new();
        for _ in 0..20 {
            call.run(1.5, |_| 100_000);
            call.run(1.5, |_| 600_000);
        }
        assert_eq!(call.changes, [H264]);
        call.run(120.0, |left| 300_000 + (60_000.0 * left.sin()) as u32);
        assert!(call.changes.len() <= 2, "{:?}", call.changes);
    }

    #[test]
    fn a_rate_that_swings_slowly_changes_the_codec_less_and_less_often() {
        let mut call = Call::new();
        for _ in 0..60 {
            call.run(5.0, |_| 100_000);
            call.run(5.0, |_| 600_000);
        }
        // Ten minutes, 120 occasions: after 2, 4 and 8 s it is not tried again in 5.
        assert_eq!(call.changes, [H264, Vp8, H264, Vp8, H264, Vp8]);
        assert_eq!(call.run(9.0, |_| 600_000), H264, "it was meant after all");
        call.run(60.0, |_| 600_000);
        call.run(5.0, |_| 100_000);
        assert_eq!(call.run(2.1, |_| 600_000), H264, "what was learned is forgotten");
    }

    #[test]
    fn who_takes_or_prefers_only_one_codec_gets_that() {
        let now = Instant::now();
        for (best, other) in [(H264, None), (Vp8, None), (Vp8, Some(H264))] {
            let mut choice = CodecChoice::default();
            for second in 0..10 {
                let at = now + Duration::from_secs(second);
                assert_eq!(choice.choose(best, other, 50_000, at), best);
            }
        }
    }
}
