//! The part of the settings about sound: what is done to our voice, how calls ring, and trying it all out.

use super::actions::Actions;
use super::source::{self, Source};
use super::widgets::{self, Tone};
use super::{REPAINT_DELAY, plain, theme};
use crate::engine::{
    Intent, RingtoneVolume, Settings, Snapshot, SoundProcessing, SoundTest, SpeakerChoice, TestedSound,
};
use eframe::egui::{Label, RichText, Sense, Slider, Ui, vec2};

/// What is being typed or chosen.
#[derive(Default)]
pub(super) struct SoundSettings {
    ringtone: Source,
}

impl SoundSettings {
    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let settings = &snapshot.settings;
        processing_ui(ui, settings, actions);
        self.ringtone_ui(ui, snapshot, actions);
        volume_ui(ui, settings, actions);
        test_ui(ui, snapshot, actions);
    }

    fn ringtone_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let kind = source::Kind { label: "Calls ring on", path_hint: None, is_file: |_| false };
        let fixed = [("Default", SpeakerChoice::Default)];
        let (settings, speakers) = (&snapshot.settings, &snapshot.devices.speakers);
        if let Some(choice) = self.ringtone.ui(ui, &kind, &fixed, speakers, &settings.ringtone_speaker) {
            change(actions, settings, |settings| settings.ringtone_speaker = choice);
        }
    }
}

fn change(actions: &mut Actions, settings: &Settings, change: impl FnOnce(&mut Settings)) {
    let mut changed = settings.clone();
    change(&mut changed);
    actions.send(Intent::ChangeSettings(Box::new(changed)));
}

fn processing_ui(ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
    let mut wanted = settings.sound_processing;
    let SoundProcessing { echo_cancellation, noise_suppression, automatic_gain } = &mut wanted;
    source::row_ui(ui, "Your voice", |ui, _| {
        ui.vertical(|ui| {
            ui.checkbox(echo_cancellation, "Echo cancellation").on_hover_text(
                "Takes the other side's voice out of what your microphone hears of your loudspeaker",
            );
            ui.checkbox(noise_suppression, "Noise suppression").on_hover_text("Lowers fans, traffic and hum");
            ui.checkbox(automatic_gain, "Automatic gain")
                .on_hover_text("Raises faint voices and holds back loud ones, without touching the system");
        });
    });
    if wanted != settings.sound_processing {
        change(actions, settings, |settings| settings.sound_processing = wanted);
    }
}

fn volume_ui(ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
    source::row_ui(ui, "Ringtone volume", |ui, label| {
        let mut percent = settings.ringtone_volume.as_percent();
        let slider = Slider::new(&mut percent, 0..=100).suffix(" %");
        if ui.add(slider).labelled_by(label).changed() {
            change(actions, settings, |settings| settings.ringtone_volume = RingtoneVolume::percent(percent));
        }
        if widgets::text_button(ui, "Ring", Tone::Plain).clicked() {
            actions.send(Intent::TestSound(TestedSound::Ringtone));
        }
    });
}

fn test_ui(ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
    let ctx = ui.ctx().clone();
    snapshot.sound_test.set_wake(move || ctx.request_repaint_after(REPAINT_DELAY));
    let test = snapshot.sound_test.peek().unwrap_or_default();
    let running = !matches!(test, SoundTest::Idle | SoundTest::Failed(_));
    source::row_ui(ui, "Try it", |ui, _| {
        ui.horizontal_wrapped(|ui| {
            if running {
                if widgets::text_button(ui, "Stop", Tone::Stop).clicked() {
                    actions.send(Intent::TestSound(TestedSound::Stop));
                }
                return;
            }
            // In a call the other side is the better test, and hears what is played.
            ui.add_enabled_ui(snapshot.call.is_none(), |ui| {
                for (words, tested) in [
                    ("Play a tone", TestedSound::Speaker),
                    ("Record and hear yourself", TestedSound::Microphone),
                ] {
                    if widgets::text_button(ui, words, Tone::Plain).clicked() {
                        actions.send(Intent::TestSound(tested));
                    }
                }
            });
        });
    });
    source::row_ui(ui, "", |ui, _| match &test {
        SoundTest::Idle => {
            widgets::hint(ui, "The Echo contact on your own server tries out a whole call.");
        }
        SoundTest::Failed(reason) => {
            ui.add(Label::new(RichText::new(plain::message(reason)).small().color(theme::RED)).wrap());
        }
        SoundTest::Playing { level } => state_ui(ui, "Playing…", *level, None),
        SoundTest::Recording { level, progress } => state_ui(ui, "Say something…", *level, Some(*progress)),
        SoundTest::PlayingBack { level, progress } => state_ui(ui, "This is you", *level, Some(*progress)),
    });
}

fn state_ui(ui: &mut Ui, words: &str, level: f32, progress: Option<f32>) {
    ui.label(RichText::new(words).color(theme::TEXT));
    let (rect, meter) = ui.allocate_exact_size(vec2(120.0, 6.0), Sense::hover());
    widgets::paint_level(ui.painter(), rect, level);
    meter.on_hover_text("Level");
    if let Some(progress) = progress {
        widgets::hint(ui, format!("{:.0} %", progress * 100.0));
    }
}
