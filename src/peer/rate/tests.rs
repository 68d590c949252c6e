//! The estimator against a simulated path, in virtual time.

use super::allocation::Allocation;
use super::{Estimator, Outcome};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const PACKET: usize = 1_200;
const FEEDBACK: Duration = Duration::from_millis(50);

/// A bottleneck with a drop-tail queue, a propagation delay and random loss.
struct Path {
    bits_per_second: f64,
    delay: Duration,
    queue: Duration,
    loss: f64,
    /// The far end is slow to take packets at times: this much more delay, rising over a second, every third second.
    stalls: Duration,
    busy_until: Duration,
    random: u64,
}

impl Path {
    fn new(bits_per_second: f64) -> Self {
        Self {
            bits_per_second,
            delay: Duration::from_millis(30),
            queue: Duration::from_millis(300),
            loss: 0.0,
            stalls: Duration::ZERO,
            busy_until: Duration::ZERO,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn chance(&mut self) -> f64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// When a packet sent now arrives, if it does.
    fn carry(&mut self, now: Duration, octets: usize) -> Option<Duration> {
        let waiting = self.busy_until.saturating_sub(now);
        if waiting > self.queue || self.chance() < self.loss {
            return None;
        }
        let begin = self.busy_until.max(now);
        self.busy_until = begin + Duration::from_secs_f64(octets as f64 * 8.0 / self.bits_per_second);
        let second = now.as_secs_f64() % 3.0;
        let stall = if second < 1.0 { self.stalls.mul_f64(second) } else { Duration::ZERO };
        Some(self.busy_until + self.delay + stall)
    }
}

/// A sender that follows the estimate over the path.
struct Simulation {
    estimator: Estimator,
    /// The sender has no more than this to send, bits per second.
    supply: f64,
    path: Path,
    epoch: Instant,
    now: Duration,
    next_packet: Duration,
    next_feedback: Duration,
    in_flight: VecDeque<(Duration, Option<Duration>)>,
    delays: Vec<Duration>,
    delivered: usize,
}

impl Simulation {
    fn new(path: Path, max: f64) -> Self {
        Self {
            estimator: Estimator::new(300_000.0, max),
            supply: f64::INFINITY,
            path,
            epoch: Instant::now(),
            now: Duration::ZERO,
            next_packet: Duration::ZERO,
            next_feedback: FEEDBACK,
            in_flight: VecDeque::new(),
            delays: Vec::new(),
            delivered: 0,
        }
    }

    /// Runs for a while; returns the mean estimate over its second half.
    fn run(&mut self, time: Duration) -> f64 {
        let end = self.now + time;
        let half = self.now + time / 2;
        let (mut sum, mut count) = (0.0, 0.0);
        self.delays.clear();
        self.delivered = 0;
        while self.now < end {
            self.now = self.next_packet.min(self.next_feedback);
            if self.next_packet <= self.now {
                let arrival = self.path.carry(self.now, PACKET);
                self.in_flight.push_back((self.now, arrival));
                if let Some(arrival) = arrival {
                    self.delays.push(arrival - self.now);
                    self.delivered += PACKET;
                }
                let pause = PACKET as f64 * 8.0 / self.estimator.bits_per_second().min(self.supply);
                self.next_packet = self.now + Duration::from_secs_f64(pause);
            }
            if self.next_feedback <= self.now {
                self.next_feedback = self.now + FEEDBACK;
                self.feed_back();
                if self.now >= half {
                    sum += self.estimator.bits_per_second();
                    count += 1.0;
                }
            }
        }
        sum / count
    }

    fn feed_back(&mut self) {
        // What has arrived by now less the way back; losses show when something later has arrived.
        let seen = self.now.saturating_sub(self.path.delay);
        let newest = self.in_flight.iter().rposition(|(_, arrival)| arrival.is_some_and(|at| at <= seen));
        let Some(newest) = newest else {
            self.estimator.handle_timeout(self.epoch + self.now);
            return;
        };
        let outcomes: Vec<Outcome> = self
            .in_flight
            .drain(..=newest)
            .map(|(departed, arrived)| Outcome { departed: self.epoch + departed, arrived, octets: PACKET })
            .collect();
        let waiting = self.path.busy_until.saturating_sub(self.now);
        let rtt = self.path.delay * 2 + waiting;
        self.estimator.handle_feedback(self.epoch + self.now, &outcomes, Some(rtt));
    }

    fn worst_delay(&mut self) -> Duration {
        self.delays.sort();
        self.delays[self.delays.len() * 95 / 100]
    }
}

#[test]
fn the_estimate_rises_to_the_maximum_on_a_fast_path() {
    let mut simulation = Simulation::new(Path::new(50_000_000.0), 2_000_000.0);
    simulation.run(Duration::from_secs(6));
    assert!(simulation.estimator.bits_per_second() > 1_900_000.0, "{:?}", simulation.estimator);
}

#[test]
fn the_estimate_finds_a_bottleneck_and_keeps_its_queue_short() {
    for capacity in [300_000.0, 1_000_000.0, 1_500_000.0] {
        let mut simulation = Simulation::new(Path::new(capacity), 5_000_000.0);
        simulation.run(Duration::from_secs(20));
        let mean = simulation.run(Duration::from_secs(40));
        let delay = simulation.worst_delay();
        println!("capacity {capacity}: mean {mean:.0}, p95 delay {delay:?}");
        assert!((0.7..1.05).contains(&(mean / capacity)), "capacity {capacity}, mean {mean}");
        assert!(delay < Duration::from_millis(180), "capacity {capacity}, delay {delay:?}");
    }
}

#[test]
fn random_loss_does_not_sink_the_estimate() {
    for loss in [0.02, 0.05, 0.10, 0.20] {
        let mut path = Path::new(5_000_000.0);
        path.loss = loss;
        let mut simulation = Simulation::new(path, 2_000_000.0);
        simulation.run(Duration::from_secs(30));
        let mean = simulation.run(Duration::from_secs(60));
        println!("loss {loss}: mean {mean:.0}");
        assert!(mean > 1_200_000.0, "loss {loss}, mean {mean}");
    }
}

#[test]
fn a_shallow_queue_that_only_drops_is_respected() {
    let mut path = Path::new(1_000_000.0);
    path.queue = Duration::from_millis(10);
    let mut simulation = Simulation::new(path, 5_000_000.0);
    simulation.run(Duration::from_secs(30));
    let mean = simulation.run(Duration::from_secs(60));
    println!("shallow: mean {mean:.0}, delivered {}", simulation.delivered * 8 / 60);
    assert!((600_000.0..1_250_000.0).contains(&mean), "mean {mean}");
}

#[test]
fn a_drop_of_capacity_is_followed_within_two_seconds_and_recovered_from() {
    let mut simulation = Simulation::new(Path::new(2_000_000.0), 2_500_000.0);
    simulation.run(Duration::from_secs(30));
    simulation.path.bits_per_second = 500_000.0;
    simulation.run(Duration::from_secs(2));
    let after = simulation.estimator.bits_per_second();
    assert!(after < 550_000.0, "after two seconds {after}");
    simulation.path.bits_per_second = 2_000_000.0;
    simulation.run(Duration::from_secs(30));
    let recovered = simulation.estimator.bits_per_second();
    assert!(recovered > 1_400_000.0, "recovered to {recovered}");
}

#[test]
fn a_still_picture_on_a_busy_machine_does_not_cost_what_was_learned() {
    let mut simulation = Simulation::new(Path::new(10_000_000.0), 2_000_000.0);
    simulation.run(Duration::from_secs(20));
    simulation.supply = 100_000.0;
    simulation.path.stalls = Duration::from_millis(150);
    let kept = simulation.run(Duration::from_secs(60));
    assert!(kept > 500_000.0, "{kept}");
    // But if the path is really worse when there is more to send again, it is found out at once.
    (simulation.supply, simulation.path.stalls) = (f64::INFINITY, Duration::ZERO);
    simulation.path.bits_per_second = 400_000.0;
    simulation.run(Duration::from_secs(2));
    let found = simulation.run(Duration::from_secs(10));
    assert!((280_000.0..410_000.0).contains(&found), "{found}");
}

#[test]
fn silence_shrinks_the_estimate_but_not_below_what_sound_needs() {
    let epoch = Instant::now();
    let mut estimator = Estimator::new(1_000_000.0, 2_000_000.0);
    let outcome = Outcome { departed: epoch, arrived: Some(Duration::ZERO), octets: PACKET };
    estimator.handle_feedback(epoch, &[outcome], None);
    estimator.handle_timeout(epoch + Duration::from_secs(1));
    assert!(estimator.bits_per_second() > 990_000.0);
    for second in 2..30 {
        estimator.handle_timeout(epoch + Duration::from_secs(second));
    }
    assert!((30_000.0..31_000.0).contains(&estimator.bits_per_second()), "{}", estimator.bits_per_second());
}

#[test]
fn what_the_remote_wants_at_most_is_kept() {
    let mut estimator = Estimator::new(1_000_000.0, 2_000_000.0);
    estimator.handle_limit(400_000.0);
    assert!(estimator.bits_per_second() <= 400_000.0);
    estimator.handle_limit(f64::NAN);
    assert!(estimator.bits_per_second() <= 400_000.0);
}

#[test]
fn sound_keeps_its_share_and_pictures_leave_and_return_with_hysteresis() {
    let mut allocation = Allocation::default();
    assert!(allocation.shares(80_000.0).video > 0.0);
    assert!(allocation.shares(50_000.0).video == 0.0);
    assert!(allocation.shares(80_000.0).video == 0.0);
    assert!(allocation.shares(110_000.0).video > 0.0);
    for estimate in [30_000.0, 100_000.0, 700_000.0, 3_000_000.0] {
        let shares = allocation.shares(estimate);
        assert!(shares.audio >= 20_000.0);
        assert!(shares.video + shares.audio < estimate || shares.video == 0.0);
    }
}
