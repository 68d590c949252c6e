//! What is measured besides the draft's: reports, what is on its way, what stands in the queue.

use crate::peer::rate::flight::Flight;
use crate::peer::rate::queue::Queue;
use crate::peer::rate::{Outcome, ReportInterval};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// Reports in each second, with so many octets every 10 ms.
fn reports(octets: usize, seconds: usize) -> Vec<usize> {
    let (mut interval, start) = (ReportInterval::default(), Instant::now());
    let mut count = vec![0; seconds];
    for step in 0..seconds * 1000 {
        let now = start + MS * step as u32;
        if step.is_multiple_of(10) {
            interval.handle_packet(now, octets);
        }
        count[step / 1000] += usize::from(interval.handle_timeout(now));
    }
    count
}

#[test]
fn reports_are_frequent_at_first_and_then_take_a_twentieth_of_the_rate() {
    // 80 and 320 kbit/s, and 2 Mbit/s.
    let (narrow, middle, wide) = (reports(100, 5), reports(400, 5), reports(2_500, 5));
    println!("{narrow:?} {middle:?} {wide:?}");
    // At first a fifth of the rate, which on the narrow path is one every 50 ms.
    assert!((18..=24).contains(&narrow[0]));
    assert!((45..=51).contains(&middle[0]) && (45..=51).contains(&wide[0]));
    assert!((9..=11).contains(&narrow[4]) && (18..=22).contains(&middle[4]) && (45..=51).contains(&wide[4]));
}

#[test]
fn reports_begin_anew_after_a_pause() {
    let (mut interval, start) = (ReportInterval::default(), Instant::now());
    assert_eq!(interval.poll_timeout(), None);
    interval.handle_packet(start, 100);
    assert!(interval.poll_timeout().is_some_and(|due| due - start <= 20 * MS));
    let later = start + 5_000 * MS;
    assert!(interval.handle_timeout(later));
    interval.handle_packet(later + MS, 100);
    assert!(interval.poll_timeout().is_some_and(|due| due - later <= 21 * MS));
}

/// A rate at which nothing of the path's own delay matters, bits per second.
const RATE: f64 = 2_500_000.0;

#[test]
fn only_so_much_leaves_before_anything_was_reported() {
    let (mut flight, start) = (Flight::default(), Instant::now());
    for packet in 0..3 {
        flight.handle_departure(start + MS * packet, 1_200);
        assert!(!flight.is_overdue(start + MS * packet, RATE));
    }
    flight.handle_departure(start + 3 * MS, 1_200);
    assert!(flight.is_overdue(start + 3 * MS, RATE));
    flight.handle_report(start + 30 * MS, start + 2 * MS);
    assert!(!flight.is_overdue(start + 30 * MS, RATE));
}

#[test]
fn a_report_is_overdue_when_it_takes_much_longer_than_before() {
    let (mut flight, start) = (Flight::default(), Instant::now());
    let mut now = start;
    for _ in 0..100 {
        now += 20 * MS;
        flight.handle_departure(now, 1_200);
        assert!(!flight.is_overdue(now + 19 * MS, RATE));
        flight.handle_report(now + 19 * MS, now);
    }
    now += 20 * MS;
    flight.handle_departure(now, 1_200);
    assert!(!flight.is_overdue(now + 50 * MS, RATE));
    assert!(flight.is_overdue(now + 150 * MS, RATE));
}

#[test]
fn a_report_from_within_the_queue_says_nothing_of_its_end() {
    let (mut flight, start) = (Flight::default(), Instant::now());
    let at = |milliseconds: u32| start + milliseconds * MS;
    for n in 0..100 {
        flight.handle_departure(at(20 * n), 1_200);
        flight.handle_report(at(20 * n + 19), at(20 * n));
    }
    // From now on everything takes 300 ms, and only sound leaves as soon as that is noticed.
    for n in 100..130 {
        flight.handle_departure(at(20 * n), if n < 105 { 1_200 } else { 200 });
    }
    assert!(flight.is_overdue(at(2_120), RATE));
    for n in 100..105 {
        flight.handle_report(at(20 * n + 300), at(20 * n));
        assert!(flight.is_overdue(at(20 * n + 301), RATE), "{n}");
    }
    // The queue is gone.
    flight.handle_report(at(2_410), at(2_380));
    assert!(!flight.is_overdue(at(2_420), RATE));
}

/// Packets of 1 200 octets that leave every `gap` and are served at this rate, after one that was alone; all of them are
/// read together every `read`.
fn train(bits_per_second: f64, gap: Duration, read: Duration) -> Queue {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let mut free = Duration::ZERO;
    for number in 0..30_u32 {
        let sent = if number == 0 { Duration::ZERO } else { 200 * MS + gap * number };
        let octets = if number == 0 { 100 } else { 1_200 };
        free = free.max(sent) + Duration::from_secs_f64(octets as f64 * 8.0 / bits_per_second);
        let reads = (free.as_secs_f64() / read.as_secs_f64()).ceil();
        let arrived = Some(read.mul_f64(reads));
        let outcome = Outcome { departed: start + sent, arrived, octets, cluster: None, late: false };
        queue.handle_packet(&outcome, 1_000_000.0);
    }
    queue
}

#[test]
fn packets_that_wait_tell_how_fast_the_bottleneck_serves_them() {
    for rate in [100_000.0, 400_000.0, 2_000_000.0] {
        let queue = train(rate, MS, Duration::from_micros(250));
        let service = queue.service_bits_per_second().expect("they waited");
        assert!((service / rate - 1.0).abs() < 0.05, "{service} for {rate}");
        assert!(queue.is_long());
    }
}

#[test]
fn neither_a_wide_path_nor_a_receiver_that_reads_late_is_a_bottleneck() {
    assert_eq!(train(50_000_000.0, 5 * MS, Duration::from_micros(250)).service_bits_per_second(), None);
    let late = train(50_000_000.0, 2 * MS, 40 * MS).service_bits_per_second();
    assert!(late.is_none_or(|service| service > 3_000_000.0), "{late:?}");
}

#[test]
fn large_packets_that_take_no_time_tell_of_a_wider_path() {
    assert!(train(20_000_000.0, 10 * MS, Duration::from_micros(250)).is_wider());
    assert!(!train(1_100_000.0, 10 * MS, Duration::from_micros(250)).is_wider());
}
