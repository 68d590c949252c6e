//! Whole calls over simulated paths.

use super::network::{Flow, Network, Path, alone, ms, s};
use std::time::Duration;

const MAX: f64 = 2_000_000.0;

fn timeline(name: &str, flow: &Flow, until: Duration) {
    let seconds = until.as_secs();
    let at: Vec<String> = (0..=seconds)
        .step_by((seconds as usize / 30).max(1))
        .map(|second| format!("{:.0}", flow.at(s(second)) / 1000.0))
        .collect();
    println!("{name}: {}", at.join(" "));
}

#[test]
fn a_wide_path_carries_a_sharp_picture_within_a_quarter_of_a_second() {
    let network = alone(Path::new(50_000_000.0, 1), MAX, s(6));
    let flow = &network.flows[0];
    timeline("wide", flow, s(6));
    println!("1.5M after {:?}, padding {}", flow.reaches(Duration::ZERO, 1_500_000.0), flow.padding);
    assert!(flow.reaches(Duration::ZERO, 1_500_000.0).is_some_and(|time| time <= ms(250)));
    assert!(flow.mean(s(1)..s(6)) > 1_900_000.0);
    assert!(flow.padding < 60_000, "{}", flow.padding);
}

#[test]
fn a_slow_path_is_found_out_before_its_queue_is_long() {
    for (capacity, queue) in [(300_000.0, 300), (300_000.0, 2_000), (1_000_000.0, 300), (100_000.0, 1_000)] {
        let mut path = Path::new(capacity, 2);
        path.queue = ms(queue);
        let network = alone(path, 5_000_000.0, s(3));
        let flow = &network.flows[0];
        let worst = flow.delay(Duration::ZERO..s(3), 100);
        timeline(&format!("start {capacity} queue {queue} worst {worst:?}"), flow, s(3));
    }
}

#[test]
fn a_bottleneck_is_used_and_its_queue_stays_short() {
    for capacity in [300_000.0, 1_000_000.0, 1_500_000.0, 3_000_000.0] {
        let network = alone(Path::new(capacity, 3), 5_000_000.0, s(60));
        let flow = &network.flows[0];
        let (mean, carried) = (flow.mean(s(10)..s(60)), flow.carried(s(10)..s(60)));
        let (median, p95) = (flow.delay(s(10)..s(60), 50), flow.delay(s(10)..s(60), 95));
        timeline("steady", flow, s(60));
        println!("capacity {capacity}: mean {mean:.0}, carried {carried:.0}, delay {median:?} p95 {p95:?}");
        assert!((0.75..1.02).contains(&(mean / capacity)), "capacity {capacity}, mean {mean}");
        assert!(p95 < ms(180), "capacity {capacity}, delay {p95:?}");
    }
}

#[test]
fn random_loss_does_not_sink_the_estimate() {
    for (loss, burst) in [(0.02, 1.0), (0.05, 1.0), (0.10, 1.0), (0.20, 1.0), (0.05, 5.0), (0.02, 10.0)] {
        let mut path = Path::new(5_000_000.0, 4);
        (path.loss, path.burst) = (loss, burst);
        let network = alone(path, MAX, s(60));
        let flow = &network.flows[0];
        let mean = flow.mean(s(2)..s(60));
        timeline(&format!("loss {loss} burst {burst} mean {mean:.0}"), flow, s(60));
        assert!(mean > 1_500_000.0, "loss {loss}, mean {mean}");
    }
}

#[test]
fn a_shallow_queue_that_only_drops_is_respected() {
    for (capacity, queue) in [(1_000_000.0, 10), (1_000_000.0, 30), (400_000.0, 30)] {
        let mut path = Path::new(capacity, 5);
        path.queue = ms(queue);
        let network = alone(path, 5_000_000.0, s(90));
        let flow = &network.flows[0];
        let mean = flow.mean(s(10)..s(90));
        timeline("shallow", flow, s(90));
        println!("shallow {capacity} {queue} ms: mean {mean:.0}, carried {:.0}", flow.carried(s(10)..s(90)));
    }
}

#[test]
fn a_drop_of_capacity_is_followed_at_once_and_its_end_as_well() {
    let mut path = Path::new(2_000_000.0, 6);
    path.queue = ms(1_500);
    path.capacity.extend([(s(20), 400_000.0), (s(40), 2_000_000.0)]);
    let network = alone(path, 2_500_000.0, s(70));
    let flow = &network.flows[0];
    timeline("step", flow, s(70));
    for end in [500, 1_000, 1_500, 2_000, 3_000] {
        println!("delay p90 until {end} ms: {:?}", flow.delay(s(20) + ms(end - 500)..s(20) + ms(end), 90));
    }
    for step in 0..40 {
        let at = s(20) + ms(step * 50);
        let sent = flow
            .departures
            .iter()
            .filter(|(when, _)| (at..at + ms(50)).contains(when))
            .map(|(_, octets)| octets)
            .sum::<usize>();
        println!(
            "{} est {:.0} sending {} delay {:?}",
            step * 50,
            flow.at(at),
            sent * 8 * 20,
            flow.delay(at..at + ms(50), 50)
        );
    }
    println!("back to 1.5M after {:?}", flow.reaches(s(40), 1_500_000.0));
}

#[test]
fn two_calls_share_a_link_fairly() {
    for (delay, later) in [(25, 0), (25, 10), (50, 10)] {
        let mut path = Path::new(2_000_000.0, 7);
        path.delay = ms(delay);
        let flows = vec![Flow::new(Duration::ZERO, 5_000_000.0), Flow::new(s(later), 5_000_000.0)];
        let mut network = Network::new(path, flows);
        network.run(s(120));
        let rates: Vec<f64> = network.flows.iter().map(|flow| flow.carried(s(40)..s(120))).collect();
        for flow in &network.flows {
            timeline("shared", flow, s(120));
        }
        let jain = (rates[0] + rates[1]).powi(2) / (2.0 * (rates[0].powi(2) + rates[1].powi(2)));
        println!("{rates:?}, Jain's index {jain:.3}");
    }
}

#[test]
fn jitter_is_not_congestion() {
    let mut path = Path::new(5_000_000.0, 8);
    (path.delay, path.jitter) = (ms(50), ms(20));
    let network = alone(path, MAX, s(60));
    let flow = &network.flows[0];
    timeline("jitter", flow, s(60));
    println!("1.5M after {:?}", flow.reaches(Duration::ZERO, 1_500_000.0));
    assert!(flow.mean(s(2)..s(60)) > 1_700_000.0);
}

#[test]
fn a_blackout_is_forgotten_soon_after_its_end() {
    for length in [5, 12] {
        let mut path = Path::new(5_000_000.0, 9);
        path.blackouts.push(s(20)..s(20 + length));
        let network = alone(path, MAX, s(60));
        let flow = &network.flows[0];
        timeline("blackout", flow, s(60));
        println!("back after {:?}", flow.reaches(s(20 + length), 1_500_000.0));
    }
}

#[test]
fn a_receiver_without_time_is_not_congestion() {
    for (supply, stalls) in [(f64::INFINITY, 60), (f64::INFINITY, 150), (100_000.0, 150)] {
        let mut path = Path::new(10_000_000.0, 10);
        path.stalls = ms(stalls);
        let mut flow = Flow::new(Duration::ZERO, MAX);
        flow.supply = supply;
        let mut network = Network::new(path, vec![flow]);
        network.run(s(60));
        let flow = &network.flows[0];
        timeline(&format!("stalls {stalls} supply {supply}"), flow, s(60));
    }
}
