//! Sound where no sound server can be reached by its own protocol: through ALSA, as on a machine without one. ALSA's card
//! is a plugin that leads to a sound server of the test's, which our own client cannot reach: it listens on TCP.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sound_rig;

use ahoy::config::{MicrophoneChoice, SpeakerChoice};
use ahoy::media::audio::list_devices;
use ahoy::media::event::MediaEvent;
use sound_rig::hearing::hears_tone;
use sound_rig::{Looped, add_cards, run_apart_at, start_server_with, tone};
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

/// What ALSA finds in the home folder. `pipewire` is the name by which a card that is none is taken for one.
const CARD: &str = r#"
pcm.pipewire {
    type pulse
    hint { show on description "A card that leads to a sound server" }
}
pcm.!default {
    type pulse
    hint { show on description "Default" }
}
"#;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start_server() -> sound_rig::Process {
    let address = std::env::var("PULSE_SERVER").unwrap();
    let port = address.rsplit(':').next().unwrap();
    start_server_with(&format!("module-native-protocol-tcp listen=127.0.0.1 port={port} auth-anonymous=1"))
}

fn is_lost(event: &MediaEvent) -> bool {
    matches!(event, MediaEvent::Lost { .. })
}

fn through_alsa(test: &str, scenario: impl FnOnce(&Path)) {
    run_apart_at(
        |folder| {
            std::fs::write(folder.join(".asoundrc"), CARD).unwrap();
            format!("tcp:127.0.0.1:{}", free_port())
        },
        test,
        scenario,
    );
}

#[test]
fn without_a_sound_server_a_call_uses_alsa_and_outlives_its_loss() {
    through_alsa("without_a_sound_server_a_call_uses_alsa_and_outlives_its_loss", |folder| {
        let server = start_server();
        add_cards();
        let (microphones, speakers) = list_devices();
        for device in microphones.iter().chain(&speakers) {
            assert!(device.id.starts_with("alsa:"), "{device:?}");
        }
        assert!(!microphones.is_empty() && !speakers.is_empty(), "ALSA lists nothing");
        let mut looped = Looped::start("alsa:pipewire", "alsa:pipewire");
        looped.expect_both_opened();
        let player = tone("inject", folder);
        hears_tone(folder, "bus.monitor");
        looped.session.set_speaker(SpeakerChoice::Default);
        looped.session.set_microphone(MicrophoneChoice::Default);
        looped.expect_both_opened();
        hears_tone(folder, "bus.monitor");
        drop(player);

        eprintln!("what is behind the card goes");
        drop(server);
        looped.expect("lost", is_lost);
        looped.assert_alive();
        let server = start_server();
        add_cards();
        let began = Instant::now();
        let _player = tone("inject", folder);
        hears_tone(folder, "bus.monitor");
        eprintln!("it came back: heard after {:?}", began.elapsed());
        looped.stop_in_time();
        drop(server);
    });
}
