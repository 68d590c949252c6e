//! Whole calls over simulated paths. What they are held against is what is published of this algorithm: Carlucci, De
//! Cicco, Holmer, Mascolo, "Analysis and Design of the Google Congestion Control for WebRTC" (MMSys 2016), the test
//! cases of RFC 8867, and the figures of libwebrtc's probing and loss estimation that the modules cite.

use super::network::{Flow, Network, alone, ms, s};
use super::path::Path;
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
        // What waits is the first picture and the first two probes, which are the same at any capacity.
        assert!(worst < Duration::from_secs_f64(120_000.0 / capacity) + ms(100), "{capacity}: {worst:?}");
        assert!(flow.mean(s(1)..s(3)) < capacity * 1.1);
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
    for (capacity, queue) in [(2_000_000.0, 20), (1_000_000.0, 30), (400_000.0, 40)] {
        let mut path = Path::new(capacity, 5);
        path.queue = ms(queue);
        let network = alone(path, 5_000_000.0, s(90));
        let flow = &network.flows[0];
        let mean = flow.mean(s(10)..s(90));
        timeline("shallow", flow, s(90));
        let carried = flow.carried(s(10)..s(90));
        println!("shallow {capacity} {queue} ms: mean {mean:.0}, carried {carried:.0}");
        assert!((0.8..1.04).contains(&(mean / capacity)), "capacity {capacity}, mean {mean}");
        assert!(carried > capacity * 0.75, "capacity {capacity}, carried {carried}");
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
    let longest = flow.delay(s(20)..s(23), 100);
    let drained = flow.delay(s(22) + ms(500)..s(40), 95);
    let back = flow.reaches(s(40), 1_500_000.0);
    println!("longest delay {longest:?}, p95 from 2.5 s on {drained:?}, back at 1.5M after {back:?}");
    // Until the sender can know, five times too much has left for a quarter of a second: more than a second's worth of
    // the new rate, which has to be carried in any case.
    assert!(longest < ms(1_300), "{longest:?}");
    assert!(drained < ms(200), "{drained:?}");
    assert!((0.7..1.0).contains(&(flow.mean(s(23)..s(40)) / 400_000.0)));
    assert!(back.is_some_and(|time| time < s(8)), "{back:?}");
}

#[test]
fn a_drop_below_what_there_is_to_send_does_not_sink_the_estimate_to_the_floor() {
    let mut path = Path::new(2_500_000.0, 12);
    path.queue = ms(1_000);
    path.capacity.push((s(10), 400_000.0));
    let mut flow = Flow::new(Duration::ZERO, 2_500_000.0);
    flow.supply = 1_000_000.0;
    let mut network = Network::new(path, vec![flow]);
    network.run(s(30));
    let flow = &network.flows[0];
    timeline("drop while little is sent", flow, s(30));
    let least = flow.estimates.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
    assert!(least > 180_000.0, "{least}");
    assert!(flow.delay(s(12) + ms(500)..s(30), 95) < ms(200));
    assert!((0.7..1.05).contains(&(flow.mean(s(12)..s(30)) / 400_000.0)));
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
        assert!(jain > 0.9, "{jain}");
        assert!(rates[0] + rates[1] > 1_500_000.0, "{rates:?}");
    }
}

#[test]
fn jitter_is_not_congestion() {
    let mut path = Path::new(5_000_000.0, 8);
    (path.delay, path.jitter) = (ms(50), ms(20));
    let network = alone(path, MAX, s(60));
    let flow = &network.flows[0];
    timeline("jitter", flow, s(60));
    let sharp = flow.reaches(Duration::ZERO, 1_500_000.0);
    println!("1.5M after {sharp:?}");
    assert!(sharp.is_some_and(|time| time < s(3)), "{sharp:?}");
    assert!(flow.mean(s(4)..s(60)) > 1_700_000.0);
}

#[test]
fn a_blackout_is_forgotten_soon_after_its_end() {
    for length in [5, 12] {
        let mut path = Path::new(5_000_000.0, 9);
        path.blackouts.push(s(20)..s(20 + length));
        let network = alone(path, MAX, s(60));
        let flow = &network.flows[0];
        timeline("blackout", flow, s(60));
        let back = flow.reaches(s(20 + length), 1_500_000.0);
        println!("back after {back:?}");
        assert!(back.is_some_and(|time| time < s(1)), "{back:?}");
        assert!(flow.at(s(20 + length)) < 500_000.0, "it goes on sending into nothing");
    }
}

#[test]
fn a_receiver_that_slept_is_sent_as_much_as_before_when_it_wakes() {
    for length in [2, 12] {
        let mut path = Path::new(5_000_000.0, 9);
        path.sleeps.push(s(20)..s(20 + length));
        let network = alone(path, MAX, s(60));
        let flow = &network.flows[0];
        timeline("sleep", flow, s(60));
        let back = flow.reaches(s(20 + length), 1_500_000.0);
        println!("back after {back:?}");
        assert!(back.is_some_and(|time| time < s(1)), "{back:?}");
        assert!(flow.mean(s(21 + length)..s(60)) > 1_700_000.0);
    }
}

#[test]
fn a_receiver_without_time_is_not_congestion() {
    for (supply, stalls, least) in
        [(f64::INFINITY, 60, 1_800_000.0), (f64::INFINITY, 150, 700_000.0), (100_000.0, 150, 1_500_000.0)]
    {
        let mut path = Path::new(10_000_000.0, 10);
        path.stalls = ms(stalls);
        let mut flow = Flow::new(Duration::ZERO, MAX);
        flow.supply = supply;
        let mut network = Network::new(path, vec![flow]);
        network.run(s(60));
        let flow = &network.flows[0];
        let mean = flow.mean(s(5)..s(60));
        timeline(&format!("stalls {stalls} supply {supply} mean {mean:.0}"), flow, s(60));
        assert!(mean > least, "stalls {stalls}, supply {supply}: {mean}");
    }
}

#[test]
fn another_way_is_learned_anew() {
    let mut path = Path::new(10_000_000.0, 11);
    path.capacity.push((s(10), 400_000.0));
    let mut network = alone(path, MAX, s(10));
    let now = network.epoch + network.now;
    network.flows[0].estimator.handle_route(now);
    assert!(network.flows[0].estimator.bits_per_second() <= 300_000.0);
    network.run(s(20));
    let flow = &network.flows[0];
    timeline("another way", flow, s(20));
    assert!((0.7..1.05).contains(&(flow.mean(s(12)..s(20)) / 400_000.0)));
}

/// A machine that moves to another network: nothing gets through for a while, then something comes, and then it is
/// known that the path is another one.
#[test]
fn another_way_that_carries_as_much_is_filled_as_soon() {
    for (silence, known) in [(400, 0), (1_500, 0), (1_500, 60), (1_500, 150), (1_500, 300), (4_000, 900)] {
        let mut path = Path::new(5_000_000.0, 12);
        path.blackouts.push(s(20)..s(20) + ms(silence));
        let back = s(20) + ms(silence);
        let mut network = alone(path, MAX, back + ms(known));
        let now = network.epoch + network.now;
        network.flows[0].estimator.handle_route(now);
        network.run(s(60));
        let flow = &network.flows[0];
        timeline(&format!("moved, {silence} ms of silence, known after {known} ms"), flow, s(60));
        let sharp = flow.reaches(back + ms(known), 1_500_000.0);
        println!("1.5M after {sharp:?}");
        assert!(sharp.is_some_and(|time| time < ms(1_500)), "{silence}, {known}: {sharp:?}");
        assert!(flow.mean(back + ms(known) + s(2)..s(60)) > 1_700_000.0);
    }
}
