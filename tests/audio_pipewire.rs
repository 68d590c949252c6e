//! Sound through PipeWire, which speaks PulseAudio's protocol: a session between devices that come and go, and a server
//! that is started anew. What each event costs the listener is printed; what is asserted is that sound comes back.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sound_rig;

use ahoy::config::{MicrophoneChoice, SpeakerChoice};
use ahoy::media::audio::list_devices;
use ahoy::media::event::{DeviceKind, MediaEvent};
use sound_rig::hearing::hears_tone;
use sound_rig::pipewire::{PipeWire, is_installed};
use sound_rig::{Looped, add_cards, add_source, add_speaker, gap_ms, pactl, record_during, run_apart, tone};
use std::path::Path;
use std::time::Instant;

/// Does something to the devices while a tone runs through the call, and prints for how long nobody heard it.
fn gap(folder: &Path, what: &str, action: impl FnOnce()) {
    let (_, heard) = record_during(folder, "bus.monitor", action);
    match gap_ms(&heard) {
        Some(gap) => eprintln!("{what}: silent for {gap} ms"),
        // A recorder, too, waits for the session manager, and longer on a machine that is busy.
        None => eprintln!("{what}: {} s were recorded, and hardly any sound", heard.len() / 48_000),
    }
    hears_tone(folder, "bus.monitor");
}

fn is_lost(event: &MediaEvent) -> bool {
    matches!(event, MediaEvent::Lost { .. })
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
        let has =
            |devices: &[ahoy::media::device::Device], id: &str| devices.iter().any(|device| device.id == id);
        assert!(
            has(&microphones, "pulseaudio:mic") && has(&speakers, "pulseaudio:out"),
            "{microphones:?}{speakers:?}"
        );
        let mut looped = Looped::start("mic", "out");
        looped.expect_both_opened();
        let player = tone("inject", folder);
        hears_tone(folder, "bus.monitor");

        let (speaker, microphone) = (DeviceKind::Speaker, DeviceKind::Microphone);
        gap(folder, "the speaker is unplugged", || {
            pactl(&["unload-module", &out]);
            looped.expect_lost(speaker, true);
            looped.expect_opened(speaker);
        });
        gap(folder, "the speaker is plugged in again", || {
            add_speaker("out");
            looped.expect_opened(speaker);
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
        looped.session.set_microphone(MicrophoneChoice::Default);
        looped.expect_opened(microphone);
        drop(player);

        eprintln!("every device goes");
        pactl(&["unload-module", &wire]);
        looped.expect("lost", is_lost);
        looped.assert_alive();
        let began = Instant::now();
        add_cards();
        looped.expect_both_opened();
        eprintln!("devices came back: used after {:?}", began.elapsed());

        drop(server);
        looped.expect("lost", is_lost);
        looped.expect("lost", is_lost);
        looped.assert_alive();
        let server = PipeWire::start(folder);
        let began = Instant::now();
        add_cards();
        looped.expect_both_opened();
        eprintln!("PipeWire came back: used after {:?}", began.elapsed());
        let _player = tone("inject", folder);
        hears_tone(folder, "bus.monitor");
        looped.stop_in_time();
        drop(server);
    });
}
