//! Tests of the rate on the real encoder, with pictures that are the same on every run.

use super::footage::{Footage, Scene};
use super::frame::{Frame, Size};
use super::h264_encoder::RawEncoder;
use super::look::Looker;
use super::quantizer::{Choice, RateControl};
use super::scale::Scaler;

struct Run {
    bits: Vec<usize>,
    quantizers: Vec<u8>,
    keyframes: Vec<usize>,
    skipped: usize,
}

fn encode(frames: &[Frame], size: Size, rate: impl Fn(usize) -> f64, keyframes: &[usize]) -> Run {
    let mut raw = RawEncoder::new(size).unwrap();
    let mut control = RateControl::new(f64::from(size.width * size.height), rate(0), 30.0, 0.0);
    let mut looker = Looker::default();
    let mut run = Run { bits: vec![], quantizers: vec![], keyframes: vec![], skipped: 0 };
    let mut out = vec![];
    for (index, frame) in frames.iter().enumerate() {
        control.set_rate(rate(index), 30.0);
        let keyframe = keyframes.contains(&index);
        let look = looker.look(frame);
        let Choice::Encode(mut quantizer) = control.choose(frame.captured, keyframe, &look) else {
            run.skipped += 1;
            run.bits.push(0);
            continue;
        };
        out.clear();
        raw.encode(frame, keyframe, quantizer, &mut out).unwrap();
        if keyframe && let Some(again) = control.again(quantizer, (out.len() * 8) as f64) {
            println!("again {index}: {quantizer} {} -> {again}", out.len() * 8);
            out.clear();
            quantizer = again;
            raw.encode(frame, keyframe, quantizer, &mut out).unwrap();
        }
        control.handle_encoded(keyframe, quantizer, (out.len() * 8) as f64, &look);
        if keyframe {
            run.keyframes.push(out.len() * 8)
        }
        run.bits.push(out.len() * 8);
        run.quantizers.push(quantizer);
    }
    run
}

#[test]
fn calibrate() {
    for scene in [Scene::Pattern, Scene::Person, Scene::Walk, Scene::Noise, Scene::Still] {
        let mut footage = Footage::new(scene, Size::HD);
        let frames: Vec<Frame> = (0..150).map(|_| footage.next()).collect();
        for (size, rate) in [
            (Size::new(320, 180), 150_000.0),
            (Size::new(480, 270), 150_000.0),
            (Size::new(640, 360), 300_000.0),
            (Size::new(960, 540), 700_000.0),
            (Size::HD, 1_500_000.0),
            (Size::HD, 2_500_000.0),
        ] {
            let mut scaler = Scaler::default();
            let small: Vec<Frame> = frames
                .iter()
                .map(|f| {
                    let mut s = Frame::black(size, f.captured);
                    scaler.scale(f, &mut s);
                    s
                })
                .collect();
            let run = encode(&small, size, |_| rate, &[0, 90]);
            let seconds: Vec<String> = run
                .bits
                .chunks(30)
                .map(|c| format!("{:.2}", c.iter().sum::<usize>() as f64 / rate))
                .collect();
            let q = |r: std::ops::Range<usize>| {
                let s = &run.quantizers[r.start.min(run.quantizers.len())..r.end.min(run.quantizers.len())];
                (
                    s.iter().min().copied(),
                    s.iter().map(|&q| u32::from(q)).sum::<u32>() / s.len().max(1) as u32,
                    s.iter().max().copied(),
                )
            };
            println!(
                "{scene:?} {}p {rate}: seconds {seconds:?} keyframes {:?} ms, skipped {}, q {:?} {:?}",
                size.height,
                run.keyframes.iter().map(|k| (*k as f64 / rate * 1000.0) as u32).collect::<Vec<_>>(),
                run.skipped,
                q(1..30),
                q(30..90)
            );
        }
    }
}
