//! Figures of calls that never were.

use crate::evidence::{Picture, Seen};
use crate::figures::{Freezes, bits_per_second, fps, freezes, latencies, median, quantile, reaches};
use crate::similarity::compare;
use std::time::Duration;

/// Pictures `interval` milliseconds apart, numbered as the clip's are.
fn film(from: f64, interval: f64, count: usize) -> Vec<Seen> {
    let seen = |number| {
        let at = from + interval * number as f64;
        Seen { at, height: 720, missed: 0, counter: Some(number % 120) }
    };
    (0..count).map(seen).collect()
}

fn later(film: &[Seen], by: f64) -> Vec<Seen> {
    film.iter().map(|seen| Seen { at: seen.at + by, ..seen.clone() }).collect()
}

#[test]
fn latency_is_from_the_last_capture_of_the_same_number() {
    let captured = film(1000.0, 33.0, 500);
    for delay in [0.0, 17.0, 250.0, 3000.0] {
        let found = latencies(&captured, &later(&captured, delay));
        assert_eq!(found.len(), 500);
        assert!(found.iter().all(|latency| (latency - delay).abs() < 1e-6), "{delay}: {found:?}");
    }
    // Those whose number cannot be read, or was never captured, do not count.
    let mut shown = later(&captured, 50.0);
    shown[3].counter = None;
    shown[7].counter = Some(119);
    assert_eq!(latencies(&captured[..100], &shown[..100]).len(), 98);
}

#[test]
fn a_capture_that_was_not_noted_is_not_taken_for_the_one_a_loop_before() {
    let mut captured = film(1000.0, 1000.0 / 30.0, 300);
    let shown = later(&captured, 50.0);
    captured.remove(200);
    let found = latencies(&captured, &shown);
    assert_eq!(found.len(), 299);
    assert!(found.iter().all(|latency| (latency - 50.0).abs() < 1e-6));
}

#[test]
fn a_preview_that_is_late_makes_latency_negative_but_not_four_seconds() {
    let captured = film(1000.0, 33.0, 300);
    let found = latencies(&captured, &later(&captured, -20.0));
    assert!(found.iter().all(|latency| (latency + 20.0).abs() < 1e-6));
}

#[test]
fn a_steady_picture_has_no_freeze_however_slow_it_is() {
    for interval in [16.0, 33.0, 100.0, 500.0] {
        let film = film(0.0, interval, 100);
        assert_eq!(freezes(&film, film[99].at + interval), Freezes::default(), "{interval}");
    }
}

#[test]
fn a_gap_is_a_freeze_beyond_three_intervals_and_beyond_150_ms_more_than_one() {
    // 30 a second: 33 ms. A gap of 180 ms is longer than three intervals, but not by 150 ms than one.
    let with_gap = |gap: f64| {
        let mut film = film(0.0, 33.0, 60);
        for seen in &mut film[30..] {
            seen.at += gap - 33.0;
        }
        let end = film[59].at + 33.0;
        freezes(&film, end)
    };
    assert_eq!(with_gap(180.0), Freezes::default());
    assert_eq!(with_gap(190.0), Freezes { count: 1, total_ms: 190.0, longest_ms: 190.0 });
    // 5 a second: 200 ms; 500 ms is 300 more, but not three times as much.
    let mut slow = film(0.0, 200.0, 60);
    slow[59].at += 300.0;
    assert_eq!(freezes(&slow, slow[59].at), Freezes::default());
}

#[test]
fn a_picture_that_stays_until_the_end_is_frozen_too() {
    let film = film(0.0, 33.0, 60);
    let end = film[59].at + 5000.0;
    assert_eq!(freezes(&film, end), Freezes { count: 1, total_ms: 5000.0, longest_ms: 5000.0 });
}

#[test]
fn rates_and_heights_are_read_from_the_times() {
    let mut film = film(0.0, 40.0, 100);
    assert_eq!(fps(&film, 0.0, 4000.0), 25.0);
    assert_eq!(fps(&film, 2000.0, 6000.0), 12.5);
    film[60].missed = 25;
    assert_eq!(fps(&film, 2000.0, 4000.0), 37.5);
    film.iter_mut().take(50).for_each(|seen| seen.height = 360);
    assert_eq!(reaches(&film, 720, 0.0), Some(2000.0));
    assert_eq!(reaches(&film, 720, 3001.0), Some(3040.0));
    assert_eq!(reaches(&film, 1080, 0.0), None);
    assert_eq!(bits_per_second(&[(1000.0, 100.0), (2000.0, 5.0e4), (3000.0, 125_100.0)]), Some(500_000.0));
    assert_eq!(bits_per_second(&[(1000.0, 100.0)]), None);
}

#[test]
fn quantiles_lie_between_the_values() {
    assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(quantile((0..=100).map(f64::from), 0.95), Some(95.0));
    assert_eq!(median([]), None);
}

/// A picture with edges and shades.
fn picture(width: usize, height: usize) -> Picture {
    let pixel = |at: usize| {
        let (x, y) = (at % width * 640 / width, at / width * 360 / height);
        if (x / 40 + y / 40) % 2 == 0 { 40 + (x / 8) as u8 } else { 220 - (y / 4) as u8 }
    };
    Picture { width, height, luma: (0..width * height).map(pixel).collect() }
}

#[test]
fn equal_pictures_are_alike_and_damage_is_noticed_in_its_order() {
    let sent = picture(640, 360);
    let same = compare(&sent, &sent);
    assert!(same.ssim == 1.0 && same.psnr > 90.0, "{same:?}");

    let mut brighter = sent.clone();
    brighter.luma.iter_mut().for_each(|luma| *luma += 5);
    let shifted = compare(&sent, &brighter);
    // 20 * log10(255 / 5).
    assert!((shifted.psnr - 34.15).abs() < 0.01 && shifted.ssim > 0.99, "{shifted:?}");

    let mut noisy = sent.clone();
    noisy.luma.iter_mut().enumerate().for_each(|(at, luma)| *luma += if at % 2 == 0 { 0 } else { 10 });
    let noisy = compare(&sent, &noisy);
    assert!(noisy.ssim < shifted.ssim, "{noisy:?} {shifted:?}");

    // Where there were stripes is only their mean.
    let stripes = |at: usize| if (at / 4).is_multiple_of(2) { 60 } else { 200 };
    let stripes = Picture { luma: (0..640 * 360).map(stripes).collect(), ..sent.clone() };
    let grey = Picture { luma: vec![130; 640 * 360], ..sent };
    assert!(compare(&stripes, &grey).ssim < 0.05);
}

#[test]
fn a_small_picture_is_enlarged_and_loses_only_its_sharpness() {
    let sent = picture(640, 360);
    let half = compare(&sent, &picture(320, 180));
    let quarter = compare(&sent, &picture(160, 90));
    assert!(half.ssim > 0.8 && quarter.ssim < half.ssim && quarter.ssim > 0.5, "{half:?} {quarter:?}");
    let flat = |width, height| Picture { width, height, luma: vec![77; width * height] };
    assert_eq!(compare(&flat(640, 360), &flat(214, 122)).ssim, 1.0);
}

#[test]
fn every_row_has_a_name_of_its_own_and_lasts_until_after_its_change() {
    let rows = crate::rows::all(Duration::from_secs(30), Duration::from_millis(10));
    let mut names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), rows.len());
    for row in &rows {
        assert!(row.schedule.at(Duration::ZERO).delay >= Duration::from_millis(10), "{}", row.name);
        if let Some(change) = row.change {
            let at = |time| *row.schedule.at(time);
            assert_eq!(at(change.from).up, !change.blackout, "{}", row.name);
            assert_ne!(at(change.from), at(Duration::ZERO));
            assert_eq!(at(change.until), at(Duration::ZERO));
            assert!(row.length > change.until);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_written_in_a_blackout_arrives_with_the_first_retransmission_after_it() {
    use crate::door::{Outage, delivery};
    use std::time::Instant;
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let outages = [Outage { from: at(1000), until: at(6000) }];
    assert_eq!(delivery(at(999), &outages), at(999));
    // Sent again after 0.2, 0.6, 1.4, 3, 6.2 s.
    assert_eq!(delivery(at(1000), &outages), at(7200));
    assert_eq!(delivery(at(4000), &outages), at(7000));
    assert_eq!(delivery(at(5900), &outages), at(6100));
    assert_eq!(delivery(at(6000), &outages), at(6000));
}
