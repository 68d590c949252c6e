//! Which story the losses tell.

use super::path::Random;
use crate::peer::rate::fit::{Observation, explain};

/// Observations of 250 ms at these rates over a path of this bandwidth and loss.
fn observe(rates: &[f64], bandwidth: f64, loss: f64, seed: u64) -> Vec<Observation> {
    let mut random = Random::new(seed);
    rates
        .iter()
        .map(|rate| {
            let packets = (rate / 8.0 / 1_100.0 / 4.0).round();
            let p = loss + (1.0 - loss) * (1.0 - bandwidth / rate).max(0.0);
            let lost = (0..packets as usize).filter(|_| random.share() < p).count();
            Observation { sent_bits_per_second: *rate, packets, lost: lost as f64 }
        })
        .collect()
}

fn rates(from: f64, to: f64) -> Vec<f64> {
    (0..20).map(|step| from + (to - from) * f64::from(step) / 19.0).collect()
}

#[test]
fn losses_that_do_not_follow_the_rate_are_the_paths_own() {
    let mut wrong = 0;
    for seed in 1..=200 {
        for loss in [0.02, 0.1, 0.2] {
            let rates = rates(1_400_000.0, 2_000_000.0);
            let story = explain(&observe(&rates, f64::INFINITY, loss, seed), &rates);
            match story.bandwidth {
                Some(_) => wrong += 1,
                None => assert!((story.inherent - loss).abs() < 0.08, "{loss}: {story:?}"),
            }
        }
    }
    println!("{wrong} of 600 taken for congestion");
    assert!(wrong <= 12, "{wrong} of 600");
}

#[test]
fn losses_that_follow_the_rate_tell_the_bandwidth() {
    let mut found = 0;
    for seed in 1..=200 {
        let rates = rates(800_000.0, 1_300_000.0);
        let candidates: Vec<f64> = rates.clone();
        let story = explain(&observe(&rates, 1_000_000.0, 0.0, seed), &candidates);
        found += usize::from(story.bandwidth.is_some_and(|rate| (900_000.0..1_100_000.0).contains(&rate)));
    }
    println!("{found} of 200 found");
    assert!(found >= 190, "{found} of 200");
}
