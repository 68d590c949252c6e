//! Tests of [`super::gaps`], in virtual time.

use super::gaps::{Gaps, Noted, Way};
use crate::media::reception::Horizon;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const LIMIT: usize = 200;

/// Steps the gaps through a time span, millisecond by millisecond, and collects what is asked for and when.
fn step(gaps: &mut Gaps, start: Instant, span: std::ops::Range<u32>) -> Vec<(u32, u16)> {
    let mut asked = Vec::new();
    for ms in span {
        let mut wanted = Vec::new();
        gaps.poll_requests(start + ms * MS, &mut wanted);
        asked.extend(wanted.into_iter().map(|sequence| (ms, sequence)));
    }
    asked
}

#[test]
fn a_lost_packet_is_asked_for_at_once_and_again_when_its_repair_is_overdue() {
    let start = Instant::now();
    let mut gaps = Gaps::new(true);
    gaps.set_rtt(Some(100 * MS));
    gaps.note(start, u16::MAX, Way::Itself, LIMIT);
    gaps.note(start + 5 * MS, 1, Way::Itself, LIMIT);
    let asked = step(&mut gaps, start, 5..1_900);
    assert_eq!(asked[0], (5, 0));
    // Nine times, each of them twice.
    assert_eq!(asked.len(), 18, "{asked:?}");
    for pair in asked.chunks(2) {
        assert!((26..=32).contains(&(pair[1].0 - pair[0].0)), "{asked:?}");
    }
    for pair in asked.windows(3).step_by(2) {
        assert!((105..=130).contains(&(pair[2].0 - pair[0].0)), "{asked:?}");
    }
    assert_eq!((gaps.missing(), gaps.poll_timeout()), (0, None));
}

#[test]
fn the_pause_follows_the_measured_time_of_repairs() {
    let start = Instant::now();
    let mut gaps = Gaps::new(true);
    gaps.set_rtt(Some(20 * MS));
    let mut sequence = 0;
    // Repairs come 60 ms after they were asked for: there is a queue in front of them.
    for n in 0..40_u32 {
        let at = start + n * 200 * MS;
        gaps.note(at, sequence, Way::Itself, LIMIT);
        gaps.note(at, sequence + 2, Way::Itself, LIMIT);
        step(&mut gaps, at, 0..1);
        assert_eq!(gaps.note(at + 60 * MS, sequence + 1, Way::Repair, LIMIT), Noted::Repaired);
        sequence += 3;
    }
    let at = start + 40 * 200 * MS;
    gaps.note(at, sequence + 1, Way::Itself, LIMIT);
    let asked = step(&mut gaps, at, 0..200);
    assert!((62..=80).contains(&(asked[2].0 - asked[0].0)), "{asked:?}");
}

#[test]
fn on_a_path_that_reorders_nothing_is_asked_for_that_comes_by_itself() {
    let start = Instant::now();
    let mut gaps = Gaps::new(true);
    gaps.set_rtt(Some(50 * MS));
    let mut asked = 0;
    // Every third packet is overtaken by the next by up to 8 ms.
    for n in 0..300_u16 {
        let at = start + u32::from(n) * 20 * MS;
        let late = u32::from(n % 8) + 1;
        gaps.note(at, 3 * n, Way::Itself, LIMIT);
        gaps.note(at, 3 * n + 2, Way::Itself, LIMIT);
        asked += step(&mut gaps, at, 0..late).len();
        assert_eq!(gaps.note(at + late * MS, 3 * n + 1, Way::Itself, LIMIT), Noted::Overtaken);
        if n == 50 {
            asked = 0;
        }
    }
    assert!(asked <= 12, "{asked} needless requests");
    // What is lost there is still asked for, a little later.
    let at = start + Duration::from_secs(60);
    gaps.note(at, 902, Way::Itself, LIMIT);
    let first = step(&mut gaps, at, 0..100)[0];
    assert!((5..=12).contains(&first.0), "{first:?}");
}

#[test]
fn duplicates_late_repairs_and_overtaken_packets_are_told_apart() {
    let start = Instant::now();
    let mut gaps = Gaps::new(true);
    assert_eq!(gaps.note(start, 10, Way::Itself, LIMIT), Noted::New);
    assert_eq!(gaps.note(start, 10, Way::Itself, LIMIT), Noted::Duplicate);
    assert_eq!(gaps.note(start, 14, Way::Itself, LIMIT), Noted::New);
    assert_eq!(gaps.note(start + MS, 11, Way::Itself, LIMIT), Noted::Overtaken);
    step(&mut gaps, start, 1..2);
    assert_eq!(gaps.note(start + 90 * MS, 12, Way::Repair, LIMIT), Noted::Repaired);
    assert_eq!(gaps.note(start + 91 * MS, 12, Way::Repair, LIMIT), Noted::Duplicate);
    step(&mut gaps, start, 2_500..2_501);
    assert_eq!(gaps.note(start + 2_600 * MS, 13, Way::Repair, LIMIT), Noted::Late);
}

#[test]
fn without_marked_repairs_the_time_tells_a_repair() {
    let start = Instant::now();
    let mut gaps = Gaps::new(false);
    gaps.set_rtt(Some(80 * MS));
    gaps.note(start, 0, Way::Itself, LIMIT);
    gaps.note(start, 3, Way::Itself, LIMIT);
    step(&mut gaps, start, 0..1);
    assert_eq!(gaps.note(start + 10 * MS, 1, Way::Itself, LIMIT), Noted::Overtaken);
    assert_eq!(gaps.note(start + 82 * MS, 2, Way::Itself, LIMIT), Noted::Repaired);
}

#[test]
fn a_gap_that_a_keyframe_closes_sooner_and_what_the_picture_gave_up_is_not_asked_for() {
    let start = Instant::now();
    let mut gaps = Gaps::new(true);
    gaps.note(start, 0, Way::Itself, 50);
    gaps.note(start, 52, Way::Itself, 50);
    assert_eq!(gaps.missing(), 0);
    gaps.note(start, 60, Way::Itself, 50);
    gaps.note(start, 70, Way::Itself, 50);
    gaps.abandon(Horizon { ssrc: 0, sequence: 65 });
    let asked = step(&mut gaps, start, 0..2);
    assert_eq!(asked.iter().map(|asked| asked.1).collect::<Vec<_>>(), (65..70).collect::<Vec<_>>());
}

proptest! {
    /// Whatever comes: bounded memory, every timeout moves things on, nothing is asked for too often.
    #[test]
    fn no_input_spins_or_asks_without_end(
        packets in proptest::collection::vec((any::<u16>(), any::<bool>(), 0_u8..4, 0_u32..40), 0..400),
        rtt in proptest::option::of(0_u32..3_000),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut gaps = Gaps::new(true);
        gaps.set_rtt(rtt.map(|rtt| rtt * MS));
        let mut base: u16 = 0;
        let mut asked = 0;
        for (sequence, far, way, wait) in packets {
            now += wait * MS;
            base = base.wrapping_add(1);
            let sequence = if far { sequence } else { base.wrapping_add(sequence % 32) };
            match way {
                0 => drop(gaps.note(now, sequence, Way::Itself, LIMIT)),
                1 => drop(gaps.note(now, sequence, Way::Repair, LIMIT)),
                2 => drop(gaps.note(now, sequence, Way::Parity, LIMIT)),
                _ => gaps.note_parity(now, (0..20).map(|n| sequence.wrapping_add(n * n)), LIMIT),
            }
            prop_assert!(gaps.missing() <= LIMIT);
            let mut wanted = Vec::new();
            gaps.poll_requests(now, &mut wanted);
            asked += wanted.len();
            prop_assert!(gaps.poll_timeout().is_none_or(|due| due > now));
        }
        prop_assert!(asked <= 400 * LIMIT);
        for _ in 0..10_000 {
            let Some(due) = gaps.poll_timeout() else { return Ok(()) };
            now = now.max(due);
            gaps.poll_requests(now, &mut Vec::new());
        }
        prop_assert!(false, "it spins");
    }
}
