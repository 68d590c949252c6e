//! What a viewer may expect of a bad network. Bounds hold for every seed that was tried, with room.

use super::sender::Scheme;
use super::{Loss, MS, Path, Seen, run};
use std::time::Duration;

/// Seeds of each case.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

fn all(path: Path, bits_per_second: f64, what: &str) -> Vec<Seen> {
    SEEDS
        .iter()
        .map(|&seed| {
            let seen = run(path, Scheme::Adaptive, bits_per_second, 30, seed);
            println!("{what}, seed {seed}: {seen:?}");
            seen
        })
        .collect()
}

#[test]
fn a_clean_network_adds_no_delay_and_loses_nothing() {
    for rtt_ms in [1, 20, 100, 300] {
        let path = Path::new(rtt_ms, Loss::Random(0.0));
        for seen in all(path, 1.5e6, "clean") {
            assert_eq!((seen.shown, seen.dropped, seen.requested), (900, 0, 0));
            assert!(seen.p95 < path.rtt / 2 + 10 * MS, "{seen:?}");
        }
    }
}

#[test]
fn up_to_ten_percent_loss_freezes_nothing_that_is_seen() {
    for rtt_ms in [1, 20, 50] {
        for percent in [2.0, 5.0, 10.0] {
            let what = format!("{rtt_ms} ms, {percent} %");
            for seen in all(Path::new(rtt_ms, Loss::Random(percent)), 1.5e6, &what) {
                assert!(seen.longest <= 200 * MS, "{what}: {seen:?}");
                assert!(seen.keyframe_requests <= 1, "{what}: {seen:?}");
            }
        }
    }
}

#[test]
fn over_a_long_path_ten_percent_loss_freezes_little() {
    for percent in [2.0, 5.0, 10.0] {
        let what = format!("100 ms, {percent} %");
        let seen = all(Path::new(100, Loss::Random(percent)), 1.5e6, &what);
        // Only a packet that was lost three times, repairs included, can freeze the picture here.
        assert!(seen.iter().map(|seen| seen.freezes).sum::<u64>() <= 4, "{what}");
        assert!(seen.iter().all(|seen| seen.longest <= 400 * MS), "{what}");
    }
}

#[test]
fn at_twenty_percent_loss_less_than_a_second_in_thirty_is_frozen() {
    for rtt_ms in [1, 20, 50, 100] {
        let what = format!("{rtt_ms} ms, 20 %");
        for seen in all(Path::new(rtt_ms, Loss::Random(20.0)), 1.5e6, &what) {
            assert!(seen.frozen < Duration::from_secs(1), "{what}: {seen:?}");
        }
    }
}

#[test]
fn jitter_is_smoothed_within_half_again_of_the_median_and_asks_for_little_that_comes_by_itself() {
    let path = Path { jitter: 40 * MS, ..Path::new(100, Loss::Random(0.0)) };
    for seen in all(path, 1.5e6, "jitter") {
        assert!(seen.p95 <= seen.median.mul_f64(1.5), "{seen:?}");
        assert_eq!(seen.freezes, 0);
        assert!(seen.p95 < 50 * MS + 40 * MS + 30 * MS, "{seen:?}");
        assert!(seen.requested < 400, "{seen:?}");
    }
}

#[test]
fn a_narrow_link_stays_below_two_hundred_milliseconds() {
    for (bits_per_second, link) in [(240e3, 300e3), (850e3, 1e6)] {
        let path = Path { link, ..Path::new(40, Loss::Random(0.0)) };
        for seen in all(path, bits_per_second, &format!("{link} bit/s")) {
            assert!(seen.p95 < 200 * MS, "{seen:?}");
        }
    }
}
