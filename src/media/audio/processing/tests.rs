//! The chain in a simulated room, in virtual time: seeded, and the same on every machine.

use super::room::{Noise, Room, Voice};
use super::*;

const ECHO_GAIN: f32 = 0.316; // -10 dB
const ECHO_DELAY_MS: f64 = 60.0;
const SECOND: usize = 100;

const ECHO_ONLY: SoundProcessing = SoundProcessing { echo_cancellation: true, ..SoundProcessing::OFF };

struct Heard {
    /// What the microphone heard of the speaker.
    echo: Vec<f32>,
    /// What was sent.
    sent: Vec<f32>,
}

impl Heard {
    /// By how much the echo was lowered between two times in seconds, dB.
    fn erle_db(&self, from: usize, to: usize) -> f64 {
        let part = from * SAMPLE_RATE as usize..to * SAMPLE_RATE as usize;
        20.0 * (rms(&self.echo[part.clone()]) / rms(&self.sent[part]).max(1e-7)).log10()
    }
}

fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

/// The far voice through the room into a microphone that also hears `near`, for so many seconds. Speaker and
/// microphone are served by their own clocks, as the `audio` thread does, which notes when they call.
fn talk(
    processing: &mut Processing,
    mut room: Room,
    seconds: usize,
    mut near: impl FnMut(usize) -> [f32; BLOCK],
) -> Heard {
    let mut far = Voice::new(7, 110.0);
    let mut hiss = Noise::new(3);
    let mut heard = Heard { echo: Vec::new(), sent: Vec::new() };
    let (mut drift, mut played_samples) = (Drift::default(), 0);
    for number in 0..seconds * SECOND / 2 {
        let mut captured = [0.0; FRAME];
        for (half, captured) in captured.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let block = 2 * number + half;
            while !room.can_hear() {
                let played = far.block().map(|sample| sample * 0.8);
                processing.render(&played);
                room.play(&played);
                played_samples += BLOCK as u64;
                drift.note_speaker(room.speaker_time(played_samples), played_samples, SAMPLE_RATE);
            }
            drift.note_microphone(room.microphone_time(), (block * BLOCK) as u64, SAMPLE_RATE);
            processing.set_drift_ppm(drift.ppm());
            let echo = room.hear();
            let voice = near(block);
            // No microphone is silent: -70 dBFS.
            *captured = std::array::from_fn(|i| echo[i] + voice[i] + hiss.next() * 0.000_5);
            heard.echo.extend(echo);
        }
        processing.capture(&mut captured);
        heard.sent.extend(captured);
    }
    heard
}

fn nobody(_: usize) -> [f32; BLOCK] {
    [0.0; BLOCK]
}

#[test]
fn the_echo_is_30_db_down_within_three_seconds() {
    for switches in [ECHO_ONLY, SoundProcessing::default()] {
        for (seed, delay_ms) in [(1, 20.0), (2, ECHO_DELAY_MS), (3, 180.0)] {
            let mut processing = Processing::new(switches);
            let room = Room::new(seed, delay_ms, ECHO_GAIN, 0.0);
            let heard = talk(&mut processing, room, 10, nobody);
            let (early, late) = (heard.erle_db(0, 1), heard.erle_db(3, 10));
            eprintln!(
                "{delay_ms} ms: {early:.1} dB in the first second, {late:.1} dB after three; {:?}",
                processing.figures()
            );
            assert!(late >= 30.0, "seed {seed}, {delay_ms} ms, {switches:?}: {late:.1} dB");
        }
    }
}

#[test]
fn clocks_that_drift_apart_do_not_bring_the_echo_back() {
    for drift_ppm in [-200.0, -50.0, 100.0, 200.0] {
        let mut processing = Processing::new(SoundProcessing::default());
        let heard = talk(&mut processing, Room::new(5, ECHO_DELAY_MS, ECHO_GAIN, drift_ppm), 50, nobody);
        let tens: Vec<f64> = (0..5).map(|ten| heard.erle_db(ten * 10, ten * 10 + 10).round()).collect();
        eprintln!("{drift_ppm} ppm: {tens:?} dB, ten seconds each; {:?}", processing.figures());
        let fives: Vec<f64> = (0..4).map(|five| heard.erle_db(five * 5, five * 5 + 5).round()).collect();
        eprintln!("{fives:?} dB, five seconds each");
        // Until both clocks are known the canceller follows as well as it can.
        assert!(heard.erle_db(15, 20) >= 30.0, "{drift_ppm} ppm: {tens:?}");
        assert!(heard.erle_db(20, 50) >= 35.0, "{drift_ppm} ppm: {tens:?}");
        let found = processing.figures().drift_ppm;
        assert!((found + drift_ppm).abs() < 10.0, "{found:.1} for {drift_ppm} ppm");
    }
}

#[test]
fn a_room_that_changes_is_learned_anew() {
    let mut processing = Processing::new(SoundProcessing::default());
    talk(&mut processing, Room::new(1, 30.0, ECHO_GAIN, 0.0), 5, nobody);
    let moved = talk(&mut processing, Room::new(2, 110.0, ECHO_GAIN, 0.0), 10, nobody);
    eprintln!("{:.1} dB at once, {:.1} dB later", moved.erle_db(0, 3), moved.erle_db(3, 10));
    assert!(moved.erle_db(3, 10) >= 30.0);
}

#[test]
fn the_near_voice_gets_through_while_both_talk() {
    let switches = ECHO_ONLY;
    let mut processing = Processing::new(switches);
    let mut voice = Voice::new(11, 190.0);
    let near: Vec<[f32; BLOCK]> =
        (0..15 * SECOND).map(|_| voice.block().map(|sample| sample * 0.5)).collect();
    let speaks = |block: usize| if block < 5 * SECOND { [0.0; BLOCK] } else { near[block] };
    let both = talk(&mut processing, Room::new(4, ECHO_DELAY_MS, ECHO_GAIN, 0.0), 15, speaks);
    let mut alone = Processing::new(switches);
    let without = talk(&mut alone, Room::new(4, ECHO_DELAY_MS, 0.0, 0.0), 15, speaks);
    let part = 6 * SAMPLE_RATE as usize..15 * SAMPLE_RATE as usize;
    let likeness = likeness(&without.sent[part.clone()], &both.sent[part.clone()]);
    let kept = 20.0 * (rms(&both.sent[part.clone()]) / rms(&without.sent[part])).log10();
    eprintln!("likeness {likeness:.3}, level {kept:.1} dB");
    // The canceller holds back where the far voice is the louder one.
    assert!(likeness > 0.7 && kept.abs() < 3.0, "likeness {likeness:.3}, level {kept:.1} dB");
}

/// Correlation of the loudness of two signals over time, 1 if they go alike.
fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let levels = |samples: &[f32]| samples.chunks(BLOCK).map(rms).collect::<Vec<f64>>();
    let (a, b) = (levels(a), levels(b));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(&a), mean(&b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
    }
    ab / (aa * bb).sqrt().max(1e-12)
}

#[test]
fn steady_noise_is_lowered_and_a_clean_voice_stays_as_it_is() {
    let only = SoundProcessing { noise_suppression: true, ..SoundProcessing::OFF };
    let (mut processing, mut noise) = (Processing::new(only), Noise::new(21));
    let noisy: Vec<f32> = (0..5 * SECOND / 2)
        .flat_map(|_| {
            let mut frame: [f32; FRAME] = std::array::from_fn(|_| noise.next() * 0.02);
            processing.capture(&mut frame);
            frame
        })
        .collect();
    let lowered = 20.0 * (0.02 / 3f64.sqrt() / rms(&noisy[3 * SAMPLE_RATE as usize..])).log10();
    let (mut processing, mut voice) = (Processing::new(only), Voice::new(22, 130.0));
    let (mut clean, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..10 * SECOND / 2 {
        let mut frame = voice.frame();
        clean.extend(frame);
        processing.capture(&mut frame);
        kept.extend(frame);
    }
    let part = 3 * SAMPLE_RATE as usize..;
    let level = 20.0 * (rms(&kept[part.clone()]) / rms(&clean[part.clone()])).log10();
    let likeness = likeness(&clean[part.clone()], &kept[part]);
    eprintln!("noise {lowered:.1} dB lower; voice {level:.1} dB, likeness {likeness:.3}");
    assert!(lowered > 8.0, "{lowered:.1} dB");
    assert!(level.abs() < 1.5 && likeness > 0.95, "{level:.1} dB, {likeness:.3}");
}

#[test]
fn what_is_switched_off_changes_nothing_and_can_be_switched_while_it_runs() {
    let (mut processing, mut voice) = (Processing::new(SoundProcessing::OFF), Voice::new(31, 120.0));
    for _ in 0..SECOND {
        let frame = voice.frame();
        let mut sent = frame;
        processing.render(&voice.block());
        processing.capture(&mut sent);
        assert_eq!(sent, frame);
    }
    assert_eq!(processing.figures(), ProcessingFigures::default());
    processing.switch(SoundProcessing::default());
    let heard = talk(&mut processing, Room::new(1, ECHO_DELAY_MS, ECHO_GAIN, 0.0), 6, nobody);
    assert!(heard.erle_db(3, 6) > 30.0, "{:.1} dB", heard.erle_db(3, 6));
    processing.switch(SoundProcessing::OFF);
    let frame = voice.frame();
    let mut sent = frame;
    processing.capture(&mut sent);
    assert_eq!(sent, frame);
}

#[test]
fn sound_that_is_no_number_does_not_poison_the_chain() {
    let mut processing = Processing::new(SoundProcessing::default());
    let mut bad = [f32::NAN; FRAME];
    bad[7] = f32::INFINITY;
    processing.render(&[f32::NAN; BLOCK]);
    processing.capture(&mut bad);
    assert!(bad.iter().all(|sample| sample.is_finite()));
    let heard = talk(&mut processing, Room::new(1, ECHO_DELAY_MS, ECHO_GAIN, 0.0), 6, nobody);
    assert!(heard.erle_db(3, 6) > 30.0, "{:.1} dB", heard.erle_db(3, 6));
}
