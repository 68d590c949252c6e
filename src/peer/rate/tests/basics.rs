//! The estimator's rules one by one.

use crate::peer::rate::{Allocation, Estimator, Outcome};
use std::time::{Duration, Instant};

const PACKET: usize = 1_200;

#[test]
fn silence_shrinks_the_estimate_but_not_below_what_sound_needs() {
    let epoch = Instant::now();
    let mut estimator = Estimator::new(1_000_000.0, 2_000_000.0);
    estimator.handle_departure(epoch, PACKET);
    let outcome = Outcome {
        departed: epoch,
        arrived: Some(Duration::ZERO),
        octets: PACKET,
        cluster: None,
        late: false,
    };
    estimator.handle_feedback(epoch, &[outcome], None);
    // Who sends nothing hears nothing.
    estimator.handle_timeout(epoch + Duration::from_secs(60));
    assert!(estimator.bits_per_second() > 990_000.0);
    let epoch = epoch + Duration::from_secs(100);
    estimator.handle_departure(epoch, PACKET);
    estimator.handle_timeout(epoch + Duration::from_millis(900));
    assert!(estimator.bits_per_second() > 990_000.0);
    for second in 1..30 {
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
fn without_feedback_the_remotes_own_estimate_is_followed_up_and_down() {
    let mut estimator = Estimator::new(300_000.0, 2_000_000.0);
    estimator.assume_no_feedback();
    let guessed = estimator.bits_per_second();
    assert!(guessed > 500_000.0);
    for wanted in [350_000.0, 1_500_000.0, 200_000.0] {
        estimator.handle_limit(wanted);
        assert_eq!(estimator.bits_per_second(), wanted);
    }
    estimator.handle_limit(9_000_000.0);
    assert_eq!(estimator.bits_per_second(), 2_000_000.0);
}

#[test]
fn without_feedback_receiver_reports_of_loss_count() {
    let mut estimator = Estimator::new(300_000.0, 2_000_000.0);
    estimator.handle_report(0.5);
    assert_eq!(estimator.bits_per_second(), 300_000.0, "reports count although there is better to come");
    estimator.assume_no_feedback();
    let guessed = estimator.bits_per_second();
    estimator.handle_report(0.2);
    assert!((estimator.bits_per_second() / guessed - 0.9).abs() < 0.001);
    for _ in 0..20 {
        estimator.handle_report(0.0);
    }
    assert!((estimator.bits_per_second() / guessed - 1.0).abs() < 0.001, "{}", estimator.bits_per_second());
}

#[test]
fn sound_keeps_its_share_and_pictures_leave_and_return_with_hysteresis() {
    let mut allocation = Allocation::default();
    assert!(allocation.shares(80_000.0, 80_000.0, 0.0, 0.0).video > 0.0);
    assert!(allocation.shares(45_000.0, 45_000.0, 0.0, 0.0).video == 0.0);
    assert!(allocation.shares(55_000.0, 55_000.0, 0.0, 0.0).video == 0.0);
    assert!(allocation.shares(110_000.0, 110_000.0, 0.0, 0.0).video > 0.0);
    for estimate in [30_000.0, 100_000.0, 700_000.0, 3_000_000.0] {
        let shares = allocation.shares(estimate, estimate, 0.0, 0.0);
        assert!(shares.audio >= 20_000.0);
        assert!(shares.video + shares.audio < estimate || shares.video == 0.0);
    }
}

#[test]
fn what_repairs_and_protection_take_is_the_pictures_to_give() {
    let mut allocation = Allocation::default();
    let (without, with) = (
        allocation.shares(1_000_000.0, 1_000_000.0, 0.0, 0.0),
        allocation.shares(1_000_000.0, 1_000_000.0, 200_000.0, 0.0),
    );
    assert_eq!(with.audio, without.audio);
    assert!((without.video - with.video - 188_000.0).abs() < 1_000.0, "{without:?} {with:?}");
    // But never all of it: without pictures there would be nothing to protect.
    assert!(allocation.shares(1_000_000.0, 1_000_000.0, 5_000_000.0, 0.0).video > without.video * 0.4);
}
