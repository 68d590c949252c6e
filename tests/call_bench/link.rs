//! The emulated link, in virtual time.

use crate::link::direction::{Counts, Direction};
use crate::link::loss::{Bursts, Loss};
use crate::link::random::Random;
use crate::link::schedule::{Rate, Schedule, Shape};
use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What arrived: when, and which packet (its first four octets say).
type Arrivals = Vec<(Duration, u32)>;

/// Sends `count` packets of `octets` each, one every `interval`, and waits for all that arrives. Time is virtual:
/// it jumps from one thing that happens to the next.
fn send(link: &mut Direction, count: u32, octets: usize, interval: Duration) -> Arrivals {
    let mut arrivals = Vec::new();
    let mut take = |link: &mut Direction, until: Option<Duration>| {
        while let Some(at) = link.poll_timeout().filter(|at| until.is_none_or(|until| *at <= until)) {
            while let Some((arrived, packet)) = link.poll_packet(at) {
                assert!(arrived <= at, "{arrived:?} is in the future of {at:?}");
                arrivals.push((at, u32::from_be_bytes(packet[..4].try_into().unwrap())));
            }
        }
    };
    for number in 0..count {
        let now = interval * number;
        take(link, Some(now));
        let mut packet = vec![0; octets];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        link.handle_packet(now, packet);
    }
    take(link, None);
    arrivals
}

fn steady(shape: Shape) -> Direction {
    Direction::new(Schedule::steady(shape), 1)
}

fn numbers(arrivals: &Arrivals) -> Vec<u32> {
    arrivals.iter().map(|(_, number)| *number).collect()
}

#[test]
fn a_clean_link_passes_everything_at_once() {
    let mut link = steady(Shape::CLEAN);
    let arrivals = send(&mut link, 100, 1000, ms(1));
    assert_eq!(arrivals, (0..100).map(|number| (ms(number.into()), number)).collect::<Vec<_>>());
    let counts = Counts { entered: 100, left: 100, octets_left: 100_000, ..Counts::default() };
    assert_eq!((link.counts(), link.poll_timeout()), (counts, None));
}

#[test]
fn the_rate_is_exact_however_packets_come() {
    // 1000 octets at 1 Mbit/s take 8 ms, 100 octets 0.8 ms.
    for (octets, interval) in
        [(1000, ms(0)), (1000, ms(8)), (100, ms(0)), (1000, Duration::from_micros(3_333))]
    {
        let rate = Rate { bits_per_second: 1_000_000, queue: usize::MAX };
        let arrivals = send(&mut steady(Shape { rate: Some(rate), ..Shape::CLEAN }), 500, octets, interval);
        let each = Duration::from_micros(octets as u64 * 8);
        for (arrived, number) in &arrivals {
            let expected = (each * (number + 1)).max(interval * *number + each);
            assert_eq!(*arrived, expected, "packet {number} of {octets} octets every {interval:?}");
        }
        assert_eq!(arrivals.len(), 500);
    }
}

#[test]
fn a_link_that_is_idle_for_a_while_gains_nothing_by_it() {
    let rate = Rate { bits_per_second: 800_000, queue: usize::MAX };
    let mut link = steady(Shape { rate: Some(rate), ..Shape::CLEAN });
    link.handle_packet(ms(0), vec![0; 1000]);
    // Ten milliseconds for each, from the moment it may begin.
    link.handle_packet(ms(1000), vec![0; 1000]);
    link.handle_packet(ms(1000), vec![0; 1000]);
    let times: Vec<_> = std::iter::from_fn(|| {
        let at = link.poll_timeout()?;
        Some(link.poll_packet(at).map(|(arrived, _)| arrived))
    })
    .flatten()
    .collect();
    assert_eq!(times, [ms(10), ms(1010), ms(1020)]);
}

#[test]
fn a_full_queue_drops_what_comes_last_and_only_then() {
    let rate = Rate { bits_per_second: 1_000_000, queue: 5_000 };
    let mut link = steady(Shape { rate: Some(rate), ..Shape::CLEAN });
    let arrivals = send(&mut link, 20, 1000, ms(0));
    // One on its way and five that wait.
    assert_eq!(numbers(&arrivals), [0, 1, 2, 3, 4, 5]);
    assert_eq!((link.counts().overflowed, link.counts().left), (14, 6));
    // A small one still fits where a large one does not.
    let mut link = steady(Shape { rate: Some(rate), ..Shape::CLEAN });
    for octets in [1000, 4500, 600, 500] {
        link.handle_packet(ms(0), vec![0; octets]);
    }
    assert_eq!(link.counts().overflowed, 1);
}

#[test]
fn a_rate_comes_with_a_queue_of_a_third_of_a_second_or_ten_packets() {
    assert_eq!(Rate::of(1_000_000).queue, 37_500);
    assert_eq!(Rate::of(100_000).queue, 15_000);
}

#[test]
fn delay_without_jitter_is_exact_and_comes_after_the_rate() {
    let rate = Rate { bits_per_second: 8_000_000, queue: usize::MAX };
    let shape = Shape { rate: Some(rate), delay: ms(50), ..Shape::CLEAN };
    let arrivals = send(&mut steady(shape), 10, 1000, ms(100));
    let expected: Vec<_> = (0..10).map(|number| (ms(100 * u64::from(number) + 51), number)).collect();
    assert_eq!(arrivals, expected);
}

#[test]
fn jitter_is_distributed_normally_around_the_delay() {
    let shape = Shape { delay: ms(100), jitter: ms(20), reorders: true, ..Shape::CLEAN };
    let interval = ms(10);
    let arrivals = send(&mut steady(shape), 50_000, 100, interval);
    let delays: Vec<f64> = arrivals
        .iter()
        .map(|(arrived, number)| (*arrived - interval * *number).as_secs_f64() * 1000.0)
        .collect();
    let count = delays.len() as f64;
    let mean = delays.iter().sum::<f64>() / count;
    let deviation = (delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / count).sqrt();
    let within =
        |span: f64| delays.iter().filter(|delay| (**delay - 100.0).abs() < span).count() as f64 / count;
    assert!((mean - 100.0).abs() < 0.5, "{mean}");
    assert!((deviation - 20.0).abs() < 0.5, "{deviation}");
    assert!((within(20.0) - 0.683).abs() < 0.01 && (within(40.0) - 0.954).abs() < 0.01);
    assert_eq!(within(60.0 + 1e-6), 1.0);
}

#[test]
fn jitter_reorders_only_where_it_may() {
    let shape = Shape { delay: ms(50), jitter: ms(20), ..Shape::CLEAN };
    let in_order = send(&mut steady(shape), 2000, 100, ms(5));
    assert!(numbers(&in_order).is_sorted());
    assert_eq!(in_order.len(), 2000);
    let mut mixed = numbers(&send(&mut steady(Shape { reorders: true, ..shape }), 2000, 100, ms(5)));
    let overtaken = mixed.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(overtaken > 500, "{overtaken}");
    mixed.sort();
    assert_eq!(mixed, (0..2000).collect::<Vec<_>>());
}

#[test]
fn jitter_larger_than_the_delay_never_makes_a_packet_arrive_before_it_left() {
    let shape = Shape { delay: ms(1), jitter: ms(30), reorders: true, ..Shape::CLEAN };
    for (arrived, number) in send(&mut steady(shape), 1000, 100, ms(10)) {
        assert!(arrived >= ms(10) * number);
    }
}

/// How many are lost, and the lengths of the spells in which everything was.
fn losses(loss: Loss, count: u32, seed: u64) -> (f64, Vec<u32>) {
    let mut link = Direction::new(Schedule::steady(Shape { loss, ..Shape::CLEAN }), seed);
    let arrived = numbers(&send(&mut link, count, 10, ms(1)));
    let spells = [u32::MAX].iter().chain(&arrived).zip(&arrived);
    let spells = spells.map(|(before, next)| next.wrapping_sub(*before) - 1).filter(|spell| *spell > 0);
    let counts = link.counts();
    assert_eq!(counts.lost + counts.left, u64::from(count));
    (counts.lost as f64 / f64::from(count), spells.collect())
}

fn mean(spells: &[u32]) -> f64 {
    f64::from(spells.iter().sum::<u32>()) / spells.len() as f64
}

#[test]
fn random_loss_takes_its_share_without_bursts() {
    for share in [0.02, 0.1, 0.2] {
        let (lost, spells) = losses(Loss::Random(share), 100_000, 7);
        assert!((lost - share).abs() < 0.005, "{lost} of {share}");
        // Of independent losses a spell is 1 / (1 - p) long on average.
        assert!((mean(&spells) - 1.0 / (1.0 - share)).abs() < 0.03, "{}", mean(&spells));
    }
    assert_eq!(losses(Loss::Random(1.0), 100, 7).0, 1.0);
    assert_eq!(losses(Loss::None, 100, 7).0, 0.0);
}

#[test]
fn bursts_have_their_share_and_their_length() {
    for (share, length) in [(0.05, 5.0), (0.02, 10.0)] {
        let (lost, spells) = losses(Loss::Bursts(Bursts::of(share, length)), 400_000, 3);
        assert!((lost - share).abs() < 0.006, "{lost} of {share}");
        assert!((mean(&spells) - length).abs() < 0.4, "{} of {length}", mean(&spells));
    }
}

#[test]
fn a_bad_channel_may_still_let_packets_through() {
    // Half of the time bad, and then half lost; the good half loses a tenth.
    let bursts = Bursts { begins: 0.01, ends: 0.01, lost_in_good: 0.1, lost_in_bad: 0.5 };
    let (lost, _) = losses(Loss::Bursts(bursts), 400_000, 3);
    assert!((lost - 0.3).abs() < 0.02, "{lost}");
}

#[test]
fn the_same_seed_makes_the_same_network_and_another_seed_another() {
    let shape = Shape {
        rate: Some(Rate::of(2_000_000)),
        loss: Loss::Bursts(Bursts::of(0.1, 3.0)),
        delay: ms(40),
        jitter: ms(10),
        reorders: true,
        ..Shape::CLEAN
    };
    let run = |seed| send(&mut Direction::new(Schedule::steady(shape), seed), 1000, 500, ms(2));
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // The first numbers of seed 0, as its authors' own program prints them.
    let mut random = Random::new(0);
    assert_eq!([random.next(), random.next()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
}

#[test]
fn jitter_does_not_change_which_packets_are_lost() {
    let lossy = Shape { loss: Loss::Random(0.1), delay: ms(50), reorders: true, ..Shape::CLEAN };
    let mut still = numbers(&send(&mut steady(lossy), 1000, 100, ms(5)));
    let mut shaking = numbers(&send(&mut steady(Shape { jitter: ms(20), ..lossy }), 1000, 100, ms(5)));
    still.sort();
    shaking.sort();
    assert_eq!(still, shaking);
}

#[test]
fn nothing_passes_a_blackout_and_what_was_queued_is_gone() {
    let slow = Shape { rate: Some(Rate { bits_per_second: 100_000, queue: 50_000 }), ..Shape::CLEAN };
    let schedule = Schedule::steady(slow).then(ms(1000), Shape::DOWN).then(ms(3000), slow);
    let mut link = Direction::new(schedule, 1);
    // 12.5 packets a second pass, ten times as many come.
    let arrivals = send(&mut link, 500, 1000, ms(8));
    let arrived = |from, to| arrivals.iter().filter(|(at, _)| (ms(from)..ms(to)).contains(at)).count();
    assert_eq!((arrived(0, 1000), arrived(1000, 3000)), (12, 0));
    // The first packet that comes after it begins at once.
    let (at, number) = arrivals[12];
    assert_eq!((at, number), (ms(3080), 375));
    let counts = link.counts();
    assert_eq!(counts.entered, counts.left + counts.cut + counts.overflowed);
}

#[test]
fn a_schedule_changes_the_link_at_its_time_and_not_before() {
    let slow = Shape { rate: Some(Rate { bits_per_second: 80_000, queue: usize::MAX }), ..Shape::CLEAN };
    let schedule = Schedule::steady(Shape::CLEAN).then(ms(100), slow).then(ms(500), Shape::CLEAN);
    assert_eq!(*schedule.at(ms(99)), Shape::CLEAN);
    assert_eq!((*schedule.at(ms(100)), *schedule.at(ms(499))), (slow, slow));
    assert_eq!(*schedule.at(ms(9_999)), Shape::CLEAN);
    let mut link = Direction::new(schedule, 1);
    let arrivals = send(&mut link, 12, 1000, ms(50));
    let times: Vec<u128> = arrivals.iter().map(|(at, _)| at.as_millis()).collect();
    // 100 ms each while it is slow: those of 100 to 300 ms queue up. The one begun at 400 is the last slow one.
    assert_eq!(times, [0, 50, 200, 300, 400, 500, 500, 500, 500, 500, 500, 550]);
}
