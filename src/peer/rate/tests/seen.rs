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
    path
}

fn call(path: Path, seed: u64, time: Duration) -> Network {
    let mut network = Network::new(path, vec![Flow::with_camera(Duration::ZERO, MAX, seed)]);
    network.run(time);
    network
}

fn tell(name: &str, flow: &Flow, time: Range<Duration>) {
    let viewer = &flow.viewer;
    let within = |time: &Range<Duration>| {
        let all: Vec<_> = flow.sound.iter().filter(|(sent, _)| time.contains(sent)).collect();
        let lost = all.iter().filter(|(_, took)| took.is_none()).count();
        let mut took: Vec<Duration> = all.iter().filter_map(|(_, took)| *took).collect();
        took.sort();
        (lost, took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1])
    };
    let (lost, median, p99, worst) = within(&time);
    println!(
        "{name} {}-{} s: {}p {:.1} fps, latency {:.0} / p95 {:.0} / max {:.0} ms, freezes {:?}, longest gap {:?}; \
         sound {lost} lost, {median:.0?} / p99 {p99:.0?} / {worst:.0?}; estimate {:.0}, carried {:.0}",
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

#[test]
fn survey() {
    for rate in [1_000_000.0, 300_000.0, 150_000.0, 100_000.0, 20_000_000.0] {
        for seed in [1, 2] {
            let network = call(path(rate, seed), seed, s(12));
            let flow = &network.flows[0];
            tell(&format!("{rate} seed {seed}"), flow, Duration::ZERO..s(2));
            tell(&format!("{rate} seed {seed}"), flow, s(2)..s(12));
        }
    }
    for seed in [1, 2] {
        let mut path = path(20_000_000.0, seed);
        path.capacity.extend([(s(6), 400_000.0), (s(21), 20_000_000.0)]);
        path.queue = ms(300);
        let network = call(path, seed, s(27));
        let flow = &network.flows[0];
        for time in [s(0)..s(6), s(6)..s(8), s(8)..s(21), s(21)..s(27)] {
            tell(&format!("step seed {seed}"), flow, time);
        }
    }
    if std::env::var("DEBUG").is_ok() {
        let mut path = path(20_000_000.0, 1);
        path.capacity.extend([(s(6), 400_000.0), (s(21), 20_000_000.0)]);
        path.queue = ms(300);
        let mut network = Network::new(path, vec![Flow::with_camera(Duration::ZERO, MAX, 1)]);
        network.run(ms(5900));
        let mut n = network.flows[0].viewer.shown.len();
        for step in 0..160 {
            network.run(ms(5900 + step * 10));
            let now = network.epoch + network.now;
            let queue = network.path.busy_until.saturating_sub(network.now);
            let flow = &network.flows[0];
            let new: Vec<String> = flow.viewer.shown[n..]
                .iter()
                .map(|x| format!("{}p {:.0}", x.height, x.latency.as_secs_f64() * 1000.0))
                .collect();
            n = flow.viewer.shown.len();
            println!(
                "{:?} queue {:.0?} est {:.0} send {:.0} cong {} {} {new:?}",
                network.now,
                queue,
                flow.estimator.bits_per_second() / 1000.0,
                flow.estimator.send_bits_per_second() / 1000.0,
                flow.estimator.is_congested(now),
                flow.estimator.describe()
            );
        }
    }
    for seed in [1, 2] {
        let mut path = path(20_000_000.0, seed);
        (path.delay, path.jitter) = (ms(50), ms(20));
        let network = call(path, seed, s(12));
        tell(&format!("far seed {seed}"), &network.flows[0], s(0)..s(12));
    }
}
