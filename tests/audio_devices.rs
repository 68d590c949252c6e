//! Sound through a real sound server: a session between PulseAudio devices that come and go. What each event costs the
//! listener is printed; what is asserted is that sound comes back.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sound_rig;

use ahoy::config::{MicrophoneChoice, SpeakerChoice};
use ahoy::media::audio::list_devices;
use ahoy::media::event::{DeviceKind, MediaEvent};
use sound_rig::{
    Looped, TONE_LEVEL, add_cards, add_null_sink, add_source, add_speaker, longest_gap_ms, pactl,
    record_during, rms, run_apart, start, start_server, tone,
};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// No event may silence a call for longer: far more than any of them takes, for a machine that is busy.
const LONGEST_GAP_MS: usize = 2000;

/// Bursts of 440 Hz, 250 ms in each 500 ms, as 16 bit little endian.
fn write_bursts(path: &Path, seconds: usize) {
    let samples = (0..seconds * 48_000).flat_map(|i| {
        let on = if i % 24_000 < 12_000 { TONE_LEVEL * 32_767.0 } else { 0.0 };
        let value = (i as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * on;
        (value as i16).to_le_bytes()
    });
    std::fs::write(path, samples.collect::<Vec<u8>>()).unwrap();
}

/// Where bursts begin: the first loud sample after 100 ms of quiet.
fn onsets(samples: &[f32]) -> Vec<usize> {
    let (mut found, mut quiet) = (Vec::new(), 0);
    for (i, sample) in samples.iter().enumerate() {
        if sample.abs() < TONE_LEVEL / 4.0 {
            quiet += 1;
        } else {
            if quiet > 4800 {
                found.push(i);
            }
            quiet = 0;
        }
    }
    found
}

/// Processor time of our worker, of the sound server's client, and of the whole process, milliseconds.
fn cpu_ms() -> [f64; 3] {
    let mut sums = [0.0; 3];
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        let nanoseconds: f64 = stat.split_whitespace().next().unwrap().parse().unwrap();
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        sums[2] += nanoseconds / 1e6;
        match name.trim() {
            "audio" => sums[0] += nanoseconds / 1e6,
            "audio-pulse" => sums[1] += nanoseconds / 1e6,
            _ => {}
        }
    }
    sums
}

fn check_sound(folder: &Path, looped: &Looped) {
    let raw = folder.join("bursts.raw");
    write_bursts(&raw, 12);
    let arguments = ["-d", "inject", "--rate=48000", "--format=s16le", "--channels=1"];
    let _player = start("pacat", &[&arguments[..], &[raw.to_str().unwrap()]].concat(), Stdio::null());
    std::thread::sleep(Duration::from_secs(4));
    let (before, cpu) = (looped.session.stats(), cpu_ms());
    let (injected, heard) =
        record_during(folder, "bus.monitor", || std::thread::sleep(Duration::from_secs(4)));
    let (after, cpu_after) = (looped.session.stats(), cpu_ms());
    let (sent, came) = (onsets(&injected), onsets(&heard));
    assert!(sent.len() >= 6, "{} bursts were injected", sent.len());
    let mut delays: Vec<f64> = sent
        .iter()
        .filter_map(|begin| {
            came.iter().find(|onset| *onset > begin).map(|onset| (onset - begin) as f64 / 48.0)
        })
        .filter(|delay| *delay < 400.0)
        .collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays.len() + 2 >= sent.len(), "{sent:?} {came:?}");
    let median = delays[delays.len() / 2];
    let concealed = after.concealed_samples - before.concealed_samples;
    eprintln!(
        "microphone to speaker: median {median:.1} ms of {delays:.0?}; CPU per second: worker {:.1} ms, client {:.1} ms, all of the process {:.1} ms; \
         microphone's device {:.1} ms, its ring and frame {:.1} ms, buffer {:.0} ms, \
         speaker ring {:.0} ms, its device {:.1} ms; {concealed} samples made up, {} underruns, {} overruns",
        (cpu_after[0] - cpu[0]) / 6.0,
        (cpu_after[1] - cpu[1]) / 6.0,
        (cpu_after[2] - cpu[2]) / 6.0,
        after.microphone_device_ms,
        after.microphone_ring_ms,
        after.buffer_ms,
        after.speaker_ring_ms,
        after.speaker_device_ms,
        after.speaker_underruns - before.speaker_underruns,
        after.microphone_overruns - before.microphone_overruns,
    );
    // The middle of each burst: periods in 150 ms, 66 at 440 Hz, and its level. A busy machine spoils some, not all.
    let bursts: Vec<(usize, f32)> = came
        .iter()
        .filter_map(|begin| heard.get(begin + 2400..begin + 9600))
        .map(|burst| (burst.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count(), rms(burst)))
        .collect();
    let level = TONE_LEVEL / std::f32::consts::SQRT_2;
    let whole =
        |&(periods, loud): &(usize, f32)| (64..=68).contains(&periods) && (loud / level - 1.0).abs() < 0.15;
    assert!(bursts.iter().any(whole), "periods and levels {bursts:?}");
}

/// Does something to the devices while a tone runs through the call, and prints for how long nobody heard it.
fn gap(folder: &Path, what: &str, action: impl FnOnce()) {
    let (_, heard) = record_during(folder, "bus.monitor", action);
    let gap = longest_gap_ms(&heard);
    eprintln!("{what}: silent for {gap} ms");
    assert!(gap < LONGEST_GAP_MS, "{what}: silent for {gap} ms");
}

fn opened(kind: DeviceKind, name: &'static str) -> impl Fn(&MediaEvent) -> bool {
    move |event| matches!(event, MediaEvent::Opened { kind: found, device } if *found == kind && device.contains(name))
}

#[test]
fn devices_are_listed_and_sound_goes_through_with_its_frequency_and_level() {
    run_apart("devices_are_listed_and_sound_goes_through_with_its_frequency_and_level", |folder| {
        let server = start_server(folder);
        add_cards();
        add_speaker("out");
        add_source("mic");
        let (microphones, speakers) = list_devices();
        let ids: Vec<&str> = microphones.iter().chain(&speakers).map(|device| device.id.as_str()).collect();
        eprintln!("{ids:?}");
        assert!(microphones.iter().any(|device| device.id == "pulseaudio:mic" && !device.default));
        assert!(microphones[0].default && microphones[0].id == "pulseaudio:spare_mic", "{ids:?}");
        assert!(speakers[0].default && speakers[0].id == "pulseaudio:spare", "{ids:?}");
        assert!(!speakers[0].formats.is_empty());
        let mut looped = Looped::start("mic", "pulseaudio:out");
        looped.expect_both_opened();
        check_sound(folder, &looped);
        looped.stop_in_time();
        drop(server);
    });
}

#[test]
fn who_has_no_cookie_or_a_broken_one_has_sound() {
    run_apart("who_has_no_cookie_or_a_broken_one_has_sound", |folder| {
        let server = start_server(folder);
        // Its own programs make one.
        add_cards();
        let cookie = folder.join(".config/pulse/cookie");
        std::fs::write(&cookie, "half a cookie").unwrap();
        let first = || list_devices().1.into_iter().next().map(|speaker| speaker.id);
        assert_eq!(first().as_deref(), Some("pulseaudio:spare"), "with half a cookie");
        std::fs::remove_file(&cookie).unwrap();
        assert_eq!(first().as_deref(), Some("pulseaudio:spare"), "without a cookie");
        drop(server);
    });
}

#[test]
fn a_call_outlives_every_device_and_comes_back_to_the_chosen_one() {
    run_apart("a_call_outlives_every_device_and_comes_back_to_the_chosen_one", |folder| {
        let server = start_server(folder);
        let wire = add_cards();
        let (out, mic) = (add_speaker("out"), add_source("mic"));
        let mut looped = Looped::start("mic", "out");
        looped.expect_both_opened();
        let player = tone("inject", folder);
        std::thread::sleep(Duration::from_secs(1));

        let (speaker, microphone) = (DeviceKind::Speaker, DeviceKind::Microphone);
        gap(folder, "another speaker is chosen", || {
            looped.session.set_speaker(SpeakerChoice::Default);
            looped.expect_opened(speaker);
        });
        gap(folder, "another microphone is chosen", || {
            looped.session.set_microphone(MicrophoneChoice::Default);
            looped.expect_opened(microphone);
        });
        looped.session.set_speaker(SpeakerChoice::Device("out".into()));
        looped.session.set_microphone(MicrophoneChoice::Device("mic".into()));
        looped.expect_both_opened();
        gap(folder, "the speaker is unplugged", || {
            pactl(&["unload-module", &out]);
            looped.expect_lost(speaker, true);
            looped.expect_opened(speaker);
        });
        gap(folder, "the speaker is plugged in again", || {
            add_speaker("out");
            looped.expect("the chosen speaker is used again", opened(speaker, "Remapped"));
        });
        gap(folder, "the microphone is unplugged", || {
            pactl(&["unload-module", &mic]);
            looped.expect_lost(microphone, true);
            looped.expect_opened(microphone);
        });
        gap(folder, "the microphone is plugged in again", || {
            add_source("mic");
            looped.expect_opened(microphone);
        });
        looped.session.set_speaker(SpeakerChoice::Default);
        looped.expect_opened(speaker);
        gap(folder, "the system's default speaker becomes another", || {
            pactl(&["set-default-sink", "out"]);
            looped.expect_opened(speaker);
        });
        drop(player);

        eprintln!("every device goes");
        pactl(&["unload-module", &wire]);
        looped.expect_lost(microphone, false);
        looped.assert_alive();
        let began = Instant::now();
        add_cards();
        looped.expect_both_opened();
        eprintln!("devices came back: used after {:?}", began.elapsed());
        let _player = tone("inject", folder);
        hears(folder, "bus.monitor");
        looped.stop_in_time();
        drop(server);
    });
}

/// The tone must come out whole, within a few seconds.
fn hears(folder: &Path, monitor: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (left, heard) = record_during(folder, monitor, || {});
        let tail = &heard[heard.len() / 2..];
        let rising = tail.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        let hertz = rising as f32 * 48_000.0 / tail.len() as f32;
        if rms(tail) > TONE_LEVEL / 4.0 && (430.0..450.0).contains(&hertz) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "in vain: {hertz} Hz for 440, at {}, silence at {}",
            rms(tail),
            rms(&left)
        );
    }
}

#[test]
fn a_call_outlives_the_sound_server_and_one_that_hangs() {
    run_apart("a_call_outlives_the_sound_server_and_one_that_hangs", |folder| {
        let server = start_server(folder);
        add_cards();
        let mut looped = Looped::start("spare_mic", "spare");
        looped.expect_both_opened();
        drop(server);
        looped.expect("lost", is_lost);
        looped.expect("lost", is_lost);
        looped.assert_alive();
        let server = start_server(folder);
        let began = Instant::now();
        add_cards();
        looped.expect_both_opened();
        eprintln!("the sound server came back: used after {:?}", began.elapsed());
        let player = tone("inject", folder);
        hears(folder, "bus.monitor");
        drop(player);

        eprintln!("it hangs");
        server.signal("STOP");
        looped.expect("lost", is_lost);
        looped.expect("lost", is_lost);
        looped.assert_alive();
        looped.stop_in_time();
        server.signal("CONT");
        drop(server);
    });
}

#[test]
fn a_server_that_answers_nobody_is_named_and_used_once_it_does() {
    run_apart("a_server_that_answers_nobody_is_named_and_used_once_it_does", |folder| {
        let deaf = std::os::unix::net::UnixListener::bind(folder.join("native")).unwrap();
        let mut looped = Looped::start("spare_mic", "spare");
        for _ in 0..2 {
            looped.expect(
                "what is wrong",
                |event| matches!(event, MediaEvent::Lost { reason, .. } if reason.contains("sound server does not answer")),
            );
        }
        looped.assert_alive();
        drop(deaf);
        let server = start_server(folder);
        add_cards();
        looped.expect_both_opened();
        looped.stop_in_time();
        drop(server);
    });
}

#[test]
fn stereo_16_bit_devices_at_44100_hertz_work() {
    run_apart("stereo_16_bit_devices_at_44100_hertz_work", |folder| {
        let server = start_server(folder);
        let cd = ["rate=44100", "format=s16le", "channels=2"];
        add_null_sink("cd_in", &cd);
        add_null_sink("cd_out", &cd);
        let mut looped = Looped::start("cd_in.monitor", "cd_out");
        looped.expect_both_opened();
        let _player = tone("cd_in", folder);
        hears(folder, "cd_out.monitor");
        looped.stop_in_time();
        drop(server);
    });
}

fn is_lost(event: &MediaEvent) -> bool {
    matches!(event, MediaEvent::Lost { .. })
}
