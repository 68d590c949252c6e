//! Whether forward error correction pays: the same network with and without, at the same total rate.

use super::sender::Scheme;
use super::{Loss, Path, Seen, run};
use std::time::Duration;

/// Mean of a few seeds.
fn mean(path: Path, scheme: Scheme, bits_per_second: f64) -> Seen {
    let runs: Vec<Seen> = (1..=4).map(|seed| run(path, scheme, bits_per_second, 60, seed)).collect();
    let count = runs.len() as u32;
    let time = |of: fn(&Seen) -> Duration| runs.iter().map(of).sum::<Duration>() / count;
    let number = |of: fn(&Seen) -> u64| runs.iter().map(of).sum::<u64>() / u64::from(count);
    Seen {
        shown: number(|seen| seen.shown),
        freezes: number(|seen| seen.freezes),
        frozen: time(|seen| seen.frozen),
        longest: runs.iter().map(|seen| seen.longest).max().unwrap_or_default(),
        median: time(|seen| seen.median),
        p95: time(|seen| seen.p95),
        keyframe_requests: number(|seen| seen.keyframe_requests),
        overhead: runs.iter().map(|seen| seen.overhead).sum::<f64>() / f64::from(count),
        ..Seen::default()
    }
}

#[test]
fn table() {
    for bits in [300e3, 1e6, 2e6] {
        for rtt in [20, 100, 200, 300] {
            for loss in [
                Loss::Random(2.0),
                Loss::Random(5.0),
                Loss::Random(10.0),
                Loss::Random(20.0),
                Loss::Bursts(5.0, 4.0),
            ] {
                for scheme in
                    [Scheme::Nack, Scheme::KeyframeParity(0.3), Scheme::Parity(0.2), Scheme::Parity(0.4)]
                {
                    let seen = mean(Path::new(rtt, loss), scheme, bits);
                    println!(
                        "{:4} kbit/s rtt {rtt:3} {loss:?} {scheme:?}: freezes {} ({:.2} s, longest {:.2}), median {:.0} p95 {:.0} ms, keyframes {}, overhead {:.0} %",
                        bits / 1e3,
                        seen.freezes,
                        seen.frozen.as_secs_f64(),
                        seen.longest.as_secs_f64(),
                        seen.median.as_secs_f64() * 1e3,
                        seen.p95.as_secs_f64() * 1e3,
                        seen.keyframe_requests,
                        seen.overhead * 100.0
                    );
                }
            }
        }
    }
}
