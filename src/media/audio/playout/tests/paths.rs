//! Paths as networks have them, from seeds: what is lost by them, and what they cost in delay.

use super::*;

/// A voice of words of 1.6 s and pauses of 0.4 s without DTX: packets of a pause have the number 0, which is silence.
struct Talk {
    playout: Playout<Numbers>,
    played: Vec<f32>,
    /// Held back, milliseconds, and what was to be held back, at every pull.
    delays: Vec<(Option<f64>, f64)>,
}

/// Plays `seconds` of it; what the network does is as for [`run`]. `extra` is asked for before each pull.
fn talk(seconds: u32, skew: f64, repair: bool, network: &mut Network, extra: impl Fn(u32) -> f64) -> Talk {
    let start = Instant::now() + Duration::from_secs(1000);
    let mut arrivals: Vec<(f64, ReceivedPacket)> = (0..seconds * 50)
        .filter_map(|n| {
            let at = f64::from(n) * 20.0 / (1.0 + skew) + 50.0 + network(n)?;
            let mut packet = packet(start, n, at, repair, 1);
            if n % 100 >= 80 {
                packet.payload = Bytes::from(vec![1, u8::from(repair), 0, 0]);
            }
            Some((at, packet))
        })
        .collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut talk = Talk { playout: Playout::new(Numbers), played: Vec::new(), delays: Vec::new() };
    let mut waiting = arrivals.into_iter().peekable();
    for tick in 0..seconds * 100 {
        let now_ms = f64::from(tick) * 10.0 + 3.0;
        while let Some((_, packet)) = waiting.next_if(|(at, _)| *at <= now_ms) {
            talk.playout.insert(&packet);
        }
        talk.playout.set_extra_delay_ms(extra(tick));
        let mut block = [0.0; BLOCK];
        talk.playout.pull(start + Duration::from_secs_f64(now_ms / 1e3), &mut block);
        talk.played.extend(block);
        talk.delays.push((talk.playout.delay_ms(), talk.playout.target_ms()));
    }
    talk
}

impl Talk {
    /// Packets of words that were played otherwise than whole, of those from `from` on.
    fn broken(&self, from: usize) -> usize {
        let mut count = vec![0; self.delays.len() / 2];
        for number in self.played.iter().filter(|number| number.fract() == 0.0 && **number >= 1.0) {
            count[*number as usize] += 1;
        }
        let last = self.played.iter().copied().fold(0.0, f32::max) as usize;
        (from..last).filter(|n| n % 100 < 80 && count[*n] != FRAME).count()
    }

    fn delay_at(&self, second: usize) -> f64 {
        self.delays[second * 100 - 1].0.unwrap()
    }

    fn concealed(&self) -> f64 {
        let stats = self.playout.stats();
        stats.concealed as f64 / stats.played as f64
    }
}

fn no_extra(_: u32) -> f64 {
    0.0
}

#[test]
fn the_delay_has_settled_within_a_second() {
    let seed = 0x5eed_0010;
    let mut random = Random(seed);
    for jitter in [0.0, 20.0, 40.0] {
        let talk = talk(60, 0.0, false, &mut |_| Some(random.next() * jitter), no_extra);
        let (first, settled) = (talk.delay_at(1), talk.delay_at(60));
        assert!((first - settled).abs() < 25.0, "seed {seed}, {jitter} ms: {first} and {settled} ms");
        assert!(talk.delay_at(60) < jitter + 35.0, "seed {seed}, {jitter} ms: {settled} ms");
    }
}

#[test]
fn jitter_alone_costs_no_sound() {
    let seed = 0x5eed_0011;
    let mut random = Random(seed);
    let talk = talk(120, 0.0, false, &mut |_| Some(random.next() * 20.0), no_extra);
    assert!(talk.concealed() < 0.001, "seed {seed}: {:?}", talk.playout.stats());
    assert!(talk.broken(100) < 10, "seed {seed}: {} packets", talk.broken(100));
}

#[test]
fn clocks_that_differ_are_followed_between_words() {
    for skew in [100e-6, -100e-6] {
        let talk = talk(600, skew, false, &mut |_| Some(2.0), no_extra);
        let stats = talk.playout.stats();
        assert_eq!(stats.concealed, 0, "{skew}: {stats:?}");
        assert_eq!(talk.broken(100), 0, "{skew}: a word was stretched");
        // 100 ppm of 600 s are 60 ms; the corridor is narrower than half of it.
        assert!(stats.shortened + stats.lengthened >= 1440, "{skew}: {stats:?}");
        assert!(talk.delay_at(600) < 40.0, "{skew}: {} ms", talk.delay_at(600));
    }
}

#[test]
fn a_late_packet_is_played_whole() {
    // Once, on an even path, whose delay is less than that; nothing else has come by then.
    let talk = talk(20, 0.0, false, &mut |n| Some(if n == 510 { 19.0 } else { 0.0 }), no_extra);
    let stats = talk.playout.stats();
    assert!((480..=960).contains(&stats.concealed), "{stats:?}");
    // Its head is a fade from what was made up.
    let heard = talk.played.iter().filter(|number| **number == 510.0).count();
    assert!(stats.late == 0 && talk.broken(100) == 1 && heard >= FRAME - 240, "{heard}, {stats:?}");
}

#[test]
fn where_much_is_lost_the_buffer_waits_for_what_carries_it() {
    let seed = 0x5eed_0012;
    let mut random = Random(seed);
    let talk = talk(120, 0.0, true, &mut |_| (random.next() >= 0.1).then_some(2.0), no_extra);
    let stats = talk.playout.stats();
    // 600 lost; those of two in a row cannot be repaired, nor are the first ones of all.
    assert!(stats.repaired > 450, "seed {seed}: {stats:?}");
    assert!(talk.concealed() < 0.03, "seed {seed}: {}", talk.concealed());
    assert!((20.0..60.0).contains(&talk.delay_at(120)), "seed {seed}: {} ms", talk.delay_at(120));
}

#[test]
fn bursts_of_loss_do_not_swell_the_delay() {
    let seed = 0x5eed_0013;
    let (mut random, mut losing) = (Random(seed), false);
    let mut network = |_| {
        losing = if losing { random.next() >= 1.0 / 3.0 } else { random.next() < 0.15 / 0.85 / 3.0 };
        (!losing).then_some(2.0)
    };
    let talk = talk(120, 0.0, true, &mut network, no_extra);
    // Of a burst of three on average the last one is carried.
    assert!(talk.concealed() < 0.14, "seed {seed}: {}", talk.concealed());
    assert!(talk.delays.iter().skip(100).all(|(delay, _)| delay.is_none_or(|delay| delay < 90.0)));
}

#[test]
fn spikes_are_covered_once_they_are_known() {
    // Every two seconds nothing comes for 100 ms, and then all at once.
    let mut network = |n: u32| {
        let into = n % 100;
        Some(if into < 5 { 100.0 - f64::from(into) * 20.0 } else { 0.0 })
    };
    let talk = talk(120, 0.0, false, &mut network, no_extra);
    assert_eq!(talk.playout.stats().restarts, 0);
    assert!(talk.concealed() < 0.01, "{}", talk.concealed());
    assert!((90.0..150.0).contains(&talk.delay_at(120)), "{} ms", talk.delay_at(120));
}

#[test]
fn an_extra_delay_comes_gently_and_goes_again() {
    let extra = |tick: u32| if (2000..6000).contains(&tick) { 200.0 } else { 0.0 };
    let talk = talk(100, 0.0, false, &mut |_| Some(0.0), extra);
    let (before, during, after) = (talk.delay_at(20), talk.delay_at(50), talk.delay_at(100));
    assert!((190.0..235.0).contains(&(during - before)), "{before} and {during} ms");
    assert!((after - before).abs() < 35.0, "{before} and {after} ms");
    assert_eq!(talk.playout.stats().concealed, 0);
    let mut playout = Playout::new(Numbers);
    playout.set_extra_delay_ms(f64::INFINITY);
    let without = playout.target_ms();
    playout.set_extra_delay_ms(1e9);
    assert_eq!(playout.target_ms() - without, MAX_EXTRA_DELAY_MS);
}

#[test]
fn what_plays_is_known_by_its_timestamp() {
    let start = Instant::now();
    let mut playout = Playout::new(Numbers);
    assert_eq!(playout.playing(), None);
    let mut block = [0.0; BLOCK];
    for n in 0..100 {
        playout.insert(&packet(start, n, f64::from(n) * 20.0, false, 1));
        for half in 0..2 {
            let now = start + Duration::from_millis(u64::from(n * 20 + half * 10));
            let playing = playout.playing();
            playout.pull(now, &mut block);
            if let Some(playing) = playing.filter(|_| n > 20 && block[0] > 0.0) {
                let first = packet(start, block[0] as u32, 0.0, false, 1);
                let into = playing.timestamp.wrapping_sub(first.timestamp);
                assert!(playing.ssrc == 7 && into < FRAME as u32, "{playing:?} at {}", block[0]);
            }
        }
    }
}

#[test]
fn opus_packets_of_any_length_and_stereo_are_played_whole() {
    use crate::media::audio::codec::OpusDecoder;
    for (milliseconds, channels) in [
        (10, opus::Channels::Mono),
        (40, opus::Channels::Mono),
        (60, opus::Channels::Mono),
        (20, opus::Channels::Stereo),
    ] {
        let samples = milliseconds as usize * 48;
        let wide = if matches!(channels, opus::Channels::Stereo) { 2 } else { 1 };
        let mut encoder = opus::Encoder::new(48_000, channels, opus::Application::Voip).unwrap();
        let start = Instant::now();
        let (mut playout, mut played) = (Playout::new(OpusDecoder::new().unwrap()), Vec::new());
        let mut sent = 0;
        for tick in 0..500u64 {
            let now_ms = tick * 10;
            while u64::from(sent * milliseconds) <= now_ms {
                let tone = |i: usize| ((sent as usize * samples + i) as f32 * 0.057_6).sin() * 0.2;
                let frame: Vec<f32> = (0..samples).flat_map(|i| std::iter::repeat_n(tone(i), wide)).collect();
                let mut packet = packet(start, sent, f64::from(sent * milliseconds), false, 1);
                packet.timestamp = sent * samples as u32;
                packet.payload = encoder.encode_vec_float(&frame, 1275).unwrap().into();
                playout.insert(&packet);
                sent += 1;
            }
            let mut block = [0.0; BLOCK];
            playout.pull(start + Duration::from_millis(now_ms), &mut block);
            played.extend(block);
        }
        let stats = playout.stats();
        assert_eq!((stats.concealed, stats.late, stats.malformed), (0, 0, 0), "{milliseconds} ms: {stats:?}");
        let tail = &played[96_000..];
        let rms = (tail.iter().map(|s| s * s).sum::<f32>() / tail.len() as f32).sqrt();
        assert!((rms / 0.141_4 - 1.0).abs() < 0.1, "{milliseconds} ms: {rms}");
    }
}

/// A tone of `seconds` through the codec, of which every 20th packet and the one after it never come. Returns what was
/// made up after the first five seconds, and the playout.
fn lose_pairs(seconds: u32, carry: bool) -> (u64, Playout<crate::media::audio::codec::OpusDecoder>) {
    use crate::media::audio::codec::{Encoded, Encoder, OpusDecoder};
    let start = Instant::now();
    let (mut encoder, mut redundancy) = (Encoder::new().unwrap(), redundancy::Redundancy::default());
    let (mut playout, mut at_first) = (Playout::new(OpusDecoder::new().unwrap()), 0);
    let mut block = [0.0; BLOCK];
    for n in 0..seconds * 50 {
        let frame = std::array::from_fn(|i| ((n as usize * FRAME + i) as f32 * 0.057_6).sin() * 0.2);
        let Encoded::Packet { data, .. } = encoder.encode(&frame).unwrap() else { panic!("a tone is sound") };
        let mut packet = packet(start, n, f64::from(n) * 20.0, false, 1);
        packet.payload = redundancy.wrap(data, packet.timestamp, carry);
        if !matches!(n % 20, 10 | 11) {
            playout.insert(&packet);
        }
        for half in 0..2 {
            playout.pull(start + Duration::from_millis(u64::from(n * 20 + half * 10)), &mut block);
        }
        if n == 250 {
            at_first = playout.stats().concealed;
        }
    }
    (playout.stats().concealed - at_first, playout)
}

#[test]
fn packets_that_never_came_are_played_from_the_ones_that_carry_them() {
    let ((made_up, playout), (without, _)) = (lose_pairs(60, true), lose_pairs(60, false));
    let stats = playout.stats();
    assert_eq!((made_up, stats.duplicates, stats.late, stats.restarts), (0, 0, 0, 0), "{stats:?}");
    // All but the ones lost before it had come to wait for them.
    assert!((270..=300).contains(&stats.carried), "{stats:?}");
    assert!(playout.target_ms() < 60.0 && playout.delay_ms().unwrap() < 85.0, "{:?}", playout.delay_ms());
    assert!(without > 250 * FRAME as u64, "nothing had to be made up: {without}");
}

#[test]
fn what_is_carried_but_had_come_costs_no_delay() {
    let start = Instant::now();
    let mut redundancy = redundancy::Redundancy::default();
    let mut playout = Playout::new(crate::media::audio::codec::OpusDecoder::new().unwrap());
    let mut encoder = crate::media::audio::codec::Encoder::new().unwrap();
    let mut block = [0.0; BLOCK];
    for n in 0..500 {
        let frame = std::array::from_fn(|i| ((n as usize * FRAME + i) as f32 * 0.057_6).sin() * 0.2);
        let crate::media::audio::codec::Encoded::Packet { data, .. } = encoder.encode(&frame).unwrap() else {
            panic!("a tone is sound")
        };
        let mut packet = packet(start, n, f64::from(n) * 20.0, false, 1);
        packet.payload = redundancy.wrap(data, packet.timestamp, true);
        playout.insert(&packet);
        for half in 0..2 {
            playout.pull(start + Duration::from_millis(u64::from(n * 20 + half * 10)), &mut block);
        }
    }
    let stats = playout.stats();
    assert_eq!((stats.carried, stats.duplicates, stats.late, stats.packets), (0, 0, 0, 500), "{stats:?}");
    assert!(playout.target_ms() <= 10.0, "{}", playout.target_ms());
}

/// Speech, then a pause of which a packet comes every 400 ms and every third never does, then speech.
#[test]
fn what_is_lost_in_a_pause_holds_no_speech_up() {
    use crate::media::audio::codec::OpusDecoder;
    let start = Instant::now();
    let mut redundancy = redundancy::Redundancy::default();
    let mut playout = Playout::new(OpusDecoder::new().unwrap());
    let mut encoder = crate::media::audio::codec::Encoder::new().unwrap();
    let (mut sequence, mut lost, mut block) = (0_u32, 0, [0.0; BLOCK]);
    let mut sounding = 0;
    for n in 0..2500_u32 {
        let speaks = !(500..2000).contains(&n);
        let frame = std::array::from_fn(|i| {
            if speaks { ((n as usize * FRAME + i) as f32 * 0.057_6).sin() * 0.2 } else { 0.0 }
        });
        if let crate::media::audio::codec::Encoded::Packet { data, .. } = encoder.encode(&frame).unwrap() {
            let mut packet = packet(start, sequence, f64::from(n) * 20.0, false, 1);
            packet.timestamp = n * FRAME as u32;
            packet.payload = redundancy.wrap(data, packet.timestamp, true);
            sequence += 1;
            if sequence % 3 == 1 && !speaks {
                lost += 1;
            } else {
                playout.insert(&packet);
            }
        }
        for half in 0..2 {
            playout.pull(start + Duration::from_millis(u64::from(n * 20 + half * 10)), &mut block);
            sounding += u32::from(n > 2050 && block.iter().any(|sample| sample.abs() > 0.05));
        }
        assert!(playout.target_ms() < 60.0, "{n}: {} ms", playout.target_ms());
    }
    assert!(lost > 10 && sounding > 850, "{lost} lost, {sounding} blocks of sound");
}
