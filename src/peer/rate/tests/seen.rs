//! What is seen and heard of whole calls over narrow paths: the real estimator, allocation, pacer, ladder, rate control
//! and playout, and pictures that are only sizes.

use super::network::{Flow, Network, ms, s};
use super::path::Path;
use std::ops::Range;
use std::time::Duration;

const MAX: f64 = 2_500_000.0;

fn path(bits_per_second: f64, seed: u64) -> Path {
    let mut path = Path::new(bits_per_second, seed);
    // As the emulated links of the bench: no delay of their own, and a queue of 300 ms or ten packets.
    path.delay = ms(2);
    path.queue = Duration::from_secs_f64((15_000.0 * 8.0 / bits_per_second).max(0.3));
    path.chatter = 110;
    path.symmetric = true;
    path
}

fn call(path: Path, seed: u64, time: Duration) -> Network {
    let mut network = Network::new(path, vec![Flow::with_camera(Duration::ZERO, MAX, seed)]);
    network.run(time);
    network
}

fn tell(name: &str, flow: &Flow, time: Range<Duration>) {
    let viewer = &flow.viewer;
    let (lost, slowest) = sound(flow, &time);
    println!(
        "{name}, {} to {} s: {}p {:.1} fps, latency {:.0} / p95 {:.0} / max {:.0} ms, freezes {:?}, longest gap {:?}; \
         sound {lost} lost, p99 {slowest:.0?}; estimate {:.0}, carried {:.0}",
        time.start.as_secs_f64(),
        time.end.as_secs_f64(),
        viewer.height(time.clone()),
        viewer.fps(time.clone()),
        viewer.latency(time.clone(), 50).as_secs_f64() * 1000.0,
        viewer.latency(time.clone(), 95).as_secs_f64() * 1000.0,
        viewer.latency(time.clone(), 100).as_secs_f64() * 1000.0,
        viewer.freezes(time.clone()),
        viewer.longest_gap(time.clone()),
        flow.mean(time.clone()) / 1000.0,
        flow.carried(time.clone()) / 1000.0,
    );
}

/// Sound that left within this time: how many packets were lost, and what 99 of 100 took at most.
fn sound(flow: &Flow, time: &Range<Duration>) -> (usize, Duration) {
    let within: Vec<_> = flow.sound.iter().filter(|(sent, _)| time.contains(sent)).collect();
    let mut took: Vec<Duration> = within.iter().filter_map(|(_, took)| *took).collect();
    took.sort();
    (within.len() - took.len(), took.get(took.len() * 99 / 100).copied().unwrap_or(Duration::MAX))
}

#[test]
fn a_hundred_kilobits_carry_unbroken_sound_and_a_small_steady_picture() {
    for seed in 1..=4 {
        let network = call(path(100_000.0, seed), seed, s(20));
        let flow = &network.flows[0];
        tell(&format!("100k seed {seed}"), flow, s(0)..s(2));
        tell(&format!("100k seed {seed}"), flow, s(2)..s(20));
        let (lost, slowest) = sound(flow, &(s(0)..s(2)));
        assert!(lost == 0 && slowest < ms(400), "{lost} lost, {slowest:?} at the start");
        let settled = s(2)..s(20);
        let (lost, slowest) = sound(flow, &settled);
        assert!(lost == 0 && slowest < ms(180), "{lost} lost, {slowest:?}");
        assert!(flow.viewer.fps(settled.clone()) > 9.0);
        assert!(flow.viewer.longest_gap(settled.clone()) < ms(350));
        assert!(flow.viewer.latency(settled, 95) < ms(200));
    }
}

#[test]
fn at_three_hundred_kilobits_pictures_are_as_quick_as_they_can_be_carried() {
    for seed in 1..=4 {
        let network = call(path(300_000.0, seed), seed, s(20));
        let flow = &network.flows[0];
        tell(&format!("300k seed {seed}"), flow, s(0)..s(20));
        let (lost, slowest) = sound(flow, &(s(0)..s(20)));
        assert!(lost == 0 && slowest < ms(120), "{lost} lost, {slowest:?}");
        let viewer = &flow.viewer;
        assert!(viewer.height(s(0)..s(20)) >= 270 && viewer.fps(s(1)..s(20)) > 28.0);
        assert_eq!(viewer.freezes(s(0)..s(20)).0, 0);
        // A picture and the sound beside it take 30 ms to carry.
        assert!(viewer.latency(s(0)..s(20), 50) < ms(60) && viewer.latency(s(0)..s(20), 95) < ms(100));
    }
}

#[test]
fn at_a_megabit_neither_a_queue_nor_a_climb_is_seen() {
    for seed in 1..=4 {
        let network = call(path(1_000_000.0, seed), seed, s(20));
        let flow = &network.flows[0];
        tell(&format!("1M seed {seed}"), flow, s(0)..s(20));
        let viewer = &flow.viewer;
        assert!(viewer.height(s(2)..s(20)) >= 360 && viewer.fps(s(1)..s(20)) > 28.0);
        assert_eq!(viewer.freezes(s(0)..s(20)).0, 0);
        assert!(viewer.latency(s(0)..s(20), 50) < ms(70) && viewer.latency(s(0)..s(20), 95) < ms(110));
        assert!(flow.carried(s(2)..s(20)) > 700_000.0);
    }
}

#[test]
fn a_drop_to_a_sixth_is_over_within_a_second_and_so_is_its_end() {
    for seed in 1..=4 {
        let mut path = path(20_000_000.0, seed);
        path.capacity.extend([(s(6), 400_000.0), (s(21), 20_000_000.0)]);
        path.queue = ms(300);
        let network = call(path, seed, s(27));
        let flow = &network.flows[0];
        for time in [s(0)..s(6), s(6)..s(8), s(8)..s(21), s(21)..s(27)] {
            tell(&format!("step seed {seed}"), flow, time);
        }
        let viewer = &flow.viewer;
        // Two pictures of 10 kB each have left before anybody can know: 0.4 s of the new rate.
        assert!(viewer.longest_gap(s(6)..s(21)) < ms(500), "{:?}", viewer.longest_gap(s(6)..s(21)));
        assert!(viewer.latency(s(7)..s(21), 95) < ms(120), "{:?}", viewer.latency(s(7)..s(21), 95));
        assert!(viewer.fps(s(7)..s(21)) > 28.0 && viewer.height(s(7)..s(21)) >= 270);
        let (lost, _) = sound(flow, &(s(6)..s(21)));
        assert!(lost < 6, "{lost} packets of sound lost");
        let back = flow.reaches(s(21), 1_500_000.0);
        assert!(back.is_some_and(|time| time < s(3)), "{back:?}");
    }
}

#[test]
fn a_way_that_becomes_longer_is_not_taken_for_a_queue_for_long() {
    for seed in 1..=4 {
        let mut path = path(20_000_000.0, seed);
        path.detours.push((s(6), ms(150)));
        let network = call(path, seed, s(16));
        let flow = &network.flows[0];
        tell(&format!("detour seed {seed}"), flow, s(6)..s(8));
        tell(&format!("detour seed {seed}"), flow, s(8)..s(16));
        assert!(flow.viewer.longest_gap(s(6)..s(16)) < ms(350));
        assert!(flow.viewer.fps(s(8)..s(16)) > 28.0);
        assert!(flow.viewer.latency(s(13)..s(16), 50) < ms(200));
        assert!(flow.at(s(12)) > 1_500_000.0, "{}", flow.at(s(12)));
    }
}

#[test]
fn two_calls_on_one_link_both_stay_quick() {
    for seed in 1..=4 {
        let mut path = path(2_000_000.0, seed);
        path.queue = ms(300);
        let flows =
            vec![Flow::with_camera(Duration::ZERO, MAX, seed), Flow::with_camera(ms(1_100), MAX, seed + 100)];
        let mut network = Network::new(path, flows);
        network.run(s(40));
        for flow in &network.flows {
            tell(&format!("shared seed {seed}"), flow, s(3)..s(40));
            assert!(flow.viewer.latency(s(3)..s(40), 95) < ms(200));
            assert!(flow.viewer.fps(s(3)..s(40)) > 26.0);
        }
        let [one, other] = [0, 1].map(|index: usize| network.flows[index].carried(s(10)..s(40)));
        let jain = (one + other).powi(2) / (2.0 * (one * one + other * other));
        assert!(jain > 0.9 && one + other > 1_400_000.0, "{one} and {other}: {jain}");
    }
}

#[test]
fn jitter_that_keeps_the_order_is_no_queue_either() {
    for seed in 1..=4 {
        let mut path = path(20_000_000.0, seed);
        (path.jitter, path.ordered) = (ms(20), true);
        let network = call(path, seed, s(20));
        let flow = &network.flows[0];
        tell(&format!("ordered jitter seed {seed}"), flow, s(0)..s(5));
        tell(&format!("ordered jitter seed {seed}"), flow, s(5)..s(20));
        assert!(flow.mean(s(5)..s(20)) > 1_200_000.0, "{}", flow.mean(s(5)..s(20)));
        assert!(flow.viewer.fps(s(1)..s(20)) > 29.0);
    }
}

#[test]
fn a_probe_that_is_lost_is_made_again_at_once() {
    for loss in [0.1, 0.2] {
        let mut took = Vec::new();
        for seed in 1..=40 {
            let mut path = path(20_000_000.0, seed);
            path.loss = loss;
            let network = call(path, seed, s(8));
            took.push(network.flows[0].reaches(s(0), 1_500_000.0).unwrap_or(s(8)));
        }
        took.sort();
        println!("{loss} lost: 1.5 Mbit/s after {took:?}");
        // Where a probe that is lost is waited for, one call in ten takes more than a second.
        assert!(took[20] < ms(300) && took[36] < ms(800), "{took:?}");
    }
}
