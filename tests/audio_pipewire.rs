//! Sound through PipeWire, which speaks PulseAudio's protocol: a session between devices that come and go, and a server
//! that is started anew. What each event costs the listener is printed; what is asserted is that sound comes back.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sound_rig;

use ahoy::config::{MicrophoneChoice, SpeakerChoice};
use ahoy::media::audio::list_devices;
use ahoy::media::device::Device;
use sound_rig::hearing::hears_tone;
use sound_rig::pipewire::{PipeWire, is_installed};
use sound_rig::{Looped, add_cards, add_source, add_speaker, gap_ms, pactl, record_during, run_apart, tone};
use std::path::Path;
use std::time::Instant;

/// Does something to the devices while a tone runs through the call, and prints for how long nobody heard it. Which
/// device is used when is told by no assertion: on a busy machine PipeWire may take longer to connect one than the call
/// waits for its first sound.
fn gap(folder: &Path, what: &str, action: impl FnOnce()) {
    let (_, heard) = record_during(folder, "bus.monitor", action);
    match gap_ms(&heard) {
        Some(gap) => eprintln!("{what}: silent for {gap} ms"),
        // A recorder, too, waits for the session manager.
        None => eprintln!("{what}: {} s were recorded, and hardly any sound", heard.len() / 48_000),
    }
    let began = Instant::now();
    hears_tone(folder, "bus.monitor");
    eprintln!("  heard again after {:?} at most", began.elapsed());
}

#[test]
fn a_call_through_pipewire_outlives_its_devices_and_a_restart_of_the_server() {
    run_apart("a_call_through_pipewire_outlives_its_devices_and_a_restart_of_the_server", |folder| {
        if !is_installed() {
            return eprintln!("PipeWire is not installed: nothing is tested");
        }
        let server = PipeWire::start(folder);
        let wire = add_cards();
        let (out, mic) = (add_speaker("out"), add_source("mic"));
        let (microphones, speakers) = list_devices();
        let has = |devices: &[Device], id: &str| devices.iter().any(|device| device.id == id);
        assert!(has(&microphones, "pulseaudio:mic"), "{microphones:?}");
        assert!(has(&speakers, "pulseaudio:out"), "{speakers:?}");
        let mut looped = Looped::start("mic", "out");
        looped.expect_both_opened();
        let player = tone("inject", folder);
        hears_tone(folder, "bus.monitor");

        gap(folder, "the speaker is unplugged", || drop(pactl(&["unload-module", &out])));
        gap(folder, "the speaker is plugged in again", || drop(add_speaker("out")));
        gap(folder, "the microphone is unplugged", || drop(pactl(&["unload-module", &mic])));
        gap(folder, "the microphone is plugged in again", || drop(add_source("mic")));
        gap(folder, "the system's default speaker is chosen", || {
            looped.session.set_speaker(SpeakerChoice::Default);
            looped.session.set_microphone(MicrophoneChoice::Default);
        });
        gap(folder, "that default becomes another", || drop(pactl(&["set-default-sink", "out"])));
        drop(player);

        eprintln!("every device goes, and comes back");
        pactl(&["unload-module", &wire]);
        looped.assert_alive();
        add_cards();
        let player = tone("inject", folder);
        let began = Instant::now();
        hears_tone(folder, "bus.monitor");
        eprintln!("  heard again after {:?} at most", began.elapsed());
        drop(player);

        eprintln!("the server goes, and comes back");
        drop(server);
        looped.assert_alive();
        let server = PipeWire::start(folder);
        add_cards();
        let _player = tone("inject", folder);
        let began = Instant::now();
        hears_tone(folder, "bus.monitor");
        eprintln!("  heard again after {:?} at most", began.elapsed());
        looped.stop_in_time();
        drop(server);
    });
}
