//! The settings: devices, servers that help through firewalls, who may reach us. Every change takes effect at once.

use super::actions::Actions;
use super::icons::Icon;
use super::sound_settings::SoundSettings;
use super::source::{self, Source};
use super::widgets::{self, Tone};
use super::{plain, theme};
use crate::engine::{
    AcceptPolicy, CameraChoice, Connection, Hosting, IceServer, Intent, MicrophoneChoice, Settings, Snapshot,
    SpeakerChoice,
};
use eframe::egui::{
    Align, Color32, ComboBox, Context, Frame, Id, Label, Layout, Margin, Modal, RichText, ScrollArea, Stroke,
    TextEdit, Ui, vec2,
};

const WIDTH: f32 = 520.0;
/// STUN and TURN servers that the editor takes; ICE gathers on each, so more only slow a call down.
const MAX_SERVERS: usize = 8;

/// Drafts of what is being typed.
#[derive(Default)]
pub(super) struct SettingsWindow {
    name: Option<String>,
    camera: Source,
    microphone: Source,
    speaker: Source,
    sound: SoundSettings,
    server: ServerDraft,
}

/// A STUN or TURN server that is being typed.
#[derive(Default)]
struct ServerDraft {
    url: String,
    username: String,
    credential: String,
    /// Why the last attempt to add it failed.
    error: Option<String>,
}

impl SettingsWindow {
    /// Draws it; true if it is to be closed.
    pub(super) fn ui(&mut self, ctx: &Context, snapshot: &Snapshot, actions: &mut Actions) -> bool {
        let room = ctx.content_rect().size();
        let frame = Frame::new()
            .fill(theme::PANEL)
            .stroke(Stroke::new(1.0, theme::OUTLINE))
            .corner_radius(theme::CARD_RADIUS)
            .inner_margin(Margin::same(22));
        let modal =
            Modal::new(Id::unique("settings")).backdrop_color(Color32::from_black_alpha(150)).frame(frame);
        let response = modal.show(ctx, |ui| {
            ui.set_width(WIDTH.min(room.x - 80.0));
            let mut close = false;
            ui.horizontal(|ui| {
                ui.label(RichText::new("Settings").font(theme::strong_font(20.0)).color(Color32::WHITE));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    close =
                        widgets::icon_button(ui, Icon::Close, "Close settings", Tone::Quiet, 30.0).clicked();
                });
            });
            ui.add_space(4.0);
            let height = (room.y - 170.0).max(160.0);
            let scroll =
                ScrollArea::vertical().id_salt("settings").max_height(height).min_scrolled_height(height);
            scroll.auto_shrink([false, true]).show(ui, |ui| {
                ui.set_width(ui.available_width() - 14.0);
                self.sections_ui(ui, snapshot, actions);
            });
            close
        });
        let close = response.inner || response.should_close();
        if close {
            *self = Self::default();
        }
        close
    }

    fn sections_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        self.devices_ui(ui, snapshot, actions);
        Self::processing_ui(ui, &snapshot.settings, actions);
        section(ui, "You");
        self.name_ui(ui, &snapshot.settings, actions);
        accept_ui(ui, &snapshot.settings, actions);
        if let Connection::Online { hosting: Some(hosting), .. } = &snapshot.connection {
            section(ui, "Your server");
            hosting_ui(ui, hosting, actions);
        }
        section(ui, "Ways through firewalls");
        self.servers_ui(ui, &snapshot.settings, actions);
    }

    fn devices_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let (devices, settings) = (&snapshot.devices, &snapshot.settings);
        ui.horizontal(|ui| {
            // In a row, the space above a title would be space at its left.
            section_title(ui, "Camera and sound");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let refresh =
                    widgets::icon_button(ui, Icon::Refresh, "Look for devices again", Tone::Quiet, 28.0);
                if refresh.clicked() {
                    actions.send(Intent::RefreshDevices);
                }
            });
        });
        let cameras = [
            ("None", CameraChoice::None),
            ("Default", CameraChoice::Default),
            ("Test pattern", CameraChoice::Pattern),
        ];
        let kind = source::Kind {
            label: "Camera",
            path_hint: Some("PICTURES.y4m"),
            is_file: |choice| matches!(choice, CameraChoice::File(_)),
        };
        if let Some(choice) = self.camera.ui(ui, &kind, &cameras, &devices.cameras, &settings.camera) {
            actions.send(Intent::SelectCamera(choice));
        }
        let mut full_hd = settings.full_hd;
        if ui.checkbox(&mut full_hd, "Send up to 1080 lines (needs a quick machine and network)").changed() {
            actions.send(Intent::ChangeSettings(Box::new(Settings { full_hd, ..Settings::clone(settings) })));
        }
        let microphones = [
            ("None", MicrophoneChoice::None),
            ("Default", MicrophoneChoice::Default),
            ("Test tone", MicrophoneChoice::Tone),
        ];
        let kind = source::Kind {
            label: "Microphone",
            path_hint: Some("SOUND.wav"),
            is_file: |choice| matches!(choice, MicrophoneChoice::File(_)),
        };
        let chosen = self.microphone.ui(ui, &kind, &microphones, &devices.microphones, &settings.microphone);
        if let Some(choice) = chosen {
            actions.send(Intent::SelectMicrophone(choice));
        }
        let speakers = [("None", SpeakerChoice::None), ("Default", SpeakerChoice::Default)];
        let kind = source::Kind {
            label: "Speaker",
            path_hint: Some("RECORDING.wav"),
            is_file: |choice| matches!(choice, SpeakerChoice::File(_)),
        };
        if let Some(choice) = self.speaker.ui(ui, &kind, &speakers, &devices.speakers, &settings.speaker) {
            actions.send(Intent::SelectSpeaker(choice));
        }
        self.sound.ui(ui, snapshot, actions);
    }

    fn processing_ui(ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        let mut processing = settings.sound_processing;
        let boxes = [
            (&mut processing.echo_cancellation, "Cancel the echo of the speaker"),
            (&mut processing.noise_suppression, "Suppress noise"),
            (&mut processing.automatic_gain, "Adjust the microphone's loudness by itself"),
        ];
        for (switch, words) in boxes {
            ui.checkbox(switch, words);
        }
        if processing != settings.sound_processing {
            let changed = Settings { sound_processing: processing, ..settings.clone() };
            actions.send(Intent::ChangeSettings(Box::new(changed)));
        }
    }

    fn name_ui(&mut self, ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        source::row_ui(ui, "Name at the next sign-in", |ui, label| {
            let draft = self.name.get_or_insert_with(|| settings.name.clone());
            let edit =
                TextEdit::singleline(draft).desired_width(f32::INFINITY).margin(Margin::symmetric(10, 7));
            let field = ui.add(edit).labelled_by(label);
            let name = draft.trim();
            if field.lost_focus() && !name.is_empty() && name != settings.name {
                let changed = Settings { name: name.into(), ..settings.clone() };
                actions.send(Intent::ChangeSettings(Box::new(changed)));
            }
        });
    }

    fn servers_ui(&mut self, ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        let words = "STUN and TURN servers help two machines behind routers to find each other.";
        ui.add(Label::new(RichText::new(words).small().color(theme::TEXT_WEAK)).wrap());
        for (index, server) in settings.ice_servers.iter().enumerate() {
            ui.horizontal(|ui| {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let label = format!("Remove {}", plain::name(&server.url));
                    if widgets::icon_button(ui, Icon::Close, &label, Tone::Quiet, 26.0).clicked() {
                        let mut changed = settings.clone();
                        changed.ice_servers.remove(index);
                        actions.send(Intent::ChangeSettings(Box::new(changed)));
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let url = plain::name(&server.url);
                        let as_whom = plain::name(&server.username);
                        let words =
                            if server.username.is_empty() { url } else { format!("{url}, as {as_whom}") };
                        ui.add(Label::new(words).truncate());
                    });
                });
            });
        }
        if settings.ice_servers.len() < MAX_SERVERS {
            self.add_server_ui(ui, settings, actions);
        }
        let mut relay_only = settings.relay_only;
        ui.add_enabled_ui(relay_only || !settings.ice_servers.is_empty(), |ui| {
            let words = "Only through TURN relays (hides your addresses from the other side)";
            if ui.checkbox(&mut relay_only, words).changed() {
                actions.send(Intent::ChangeSettings(Box::new(Settings { relay_only, ..settings.clone() })));
            }
        });
    }

    fn add_server_ui(&mut self, ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        let draft = &mut self.server;
        ui.horizontal(|ui| {
            let rest = ui.available_width() - 84.0 - 3.0 * theme::GAP;
            let field = |ui: &mut Ui, text: &mut String, label: &str, hint: &'static str, share: f32| {
                let edit = TextEdit::singleline(text)
                    .desired_width(rest * share - 20.0)
                    .margin(Margin::symmetric(10, 7))
                    .password(hint == "Password")
                    .hint_text(hint);
                ui.add(edit).accessible_name(label);
            };
            field(ui, &mut draft.url, "Server URL", "stun:… or turn:…", 0.46);
            field(ui, &mut draft.username, "Server user name", "User", 0.26);
            field(ui, &mut draft.credential, "Server password", "Password", 0.28);
            let size = vec2(76.0, 32.0);
            let add = ui.add_enabled_ui(!draft.url.trim().is_empty(), |ui| {
                widgets::text_button_sized(ui, "Add", Tone::Plain, size).clicked()
            });
            if add.inner {
                match draft.parse() {
                    Ok(server) => {
                        let mut changed = settings.clone();
                        changed.ice_servers.push(server);
                        actions.send(Intent::ChangeSettings(Box::new(changed)));
                        *draft = ServerDraft::default();
                    }
                    Err(error) => draft.error = Some(error),
                }
            }
        });
        if let Some(error) = &draft.error {
            ui.add(Label::new(RichText::new(plain::message(error)).small().color(theme::RED)).wrap());
        }
    }
}

impl ServerDraft {
    /// The server typed, or why it is none, in words.
    fn parse(&self) -> Result<IceServer, String> {
        let (url, username) = (self.url.trim(), self.username.trim());
        if username.contains(',') || url.contains(',') {
            return Err("a server's URL and user name cannot contain a comma".into());
        }
        let server: IceServer = if username.is_empty() && self.credential.is_empty() {
            url.parse()?
        } else {
            format!("{url},{username},{}", self.credential).parse()?
        };
        Ok(server)
    }
}

fn section(ui: &mut Ui, title: &str) {
    ui.add_space(10.0);
    section_title(ui, title);
    ui.add_space(2.0);
}

fn section_title(ui: &mut Ui, title: &str) {
    ui.label(RichText::new(title).font(theme::strong_font(14.5)).color(theme::ACCENT));
}

fn accept_ui(ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
    source::row_ui(ui, "Incoming calls", |ui, label| {
        let words = |policy| match policy {
            AcceptPolicy::Ask => "Ask me",
            AcceptPolicy::Always => "Answer at once",
            AcceptPolicy::Never => "Decline at once",
        };
        let combo = ComboBox::from_id_salt("accept")
            .width(ui.available_width())
            .selected_text(words(settings.accept));
        let response = combo.show_ui(ui, |ui| {
            for policy in [AcceptPolicy::Ask, AcceptPolicy::Always, AcceptPolicy::Never] {
                if ui.selectable_label(settings.accept == policy, words(policy)).clicked() {
                    actions.send(Intent::ChangeSettings(Box::new(Settings {
                        accept: policy,
                        ..settings.clone()
                    })));
                }
            }
        });
        response.response.labelled_by(label);
    });
}

fn hosting_ui(ui: &mut Ui, hosting: &Hosting, actions: &mut Actions) {
    let mut for_others = hosting.for_others;
    if ui.checkbox(&mut for_others, "Host for others").changed() {
        actions.send(Intent::HostForOthers(for_others));
    }
    if !hosting.for_others {
        widgets::hint(ui, "Only programs on this machine can join now.");
        return;
    }
    if hosting.addresses.is_empty() {
        widgets::hint(ui, "This machine is on no network at the moment, so nobody else can join.");
        return;
    }
    widgets::hint(ui, "Others join with one of these addresses:");
    for address in &hosting.addresses {
        ui.horizontal(|ui| {
            ui.add(Label::new(RichText::new(plain::name(address)).monospace()).truncate());
            let label = format!("Copy {}", plain::name(address));
            if widgets::icon_button(ui, Icon::Copy, &label, Tone::Quiet, 26.0).clicked() {
                ui.ctx().copy_text(address.clone());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(url: &str, username: &str, credential: &str) -> ServerDraft {
        ServerDraft { url: url.into(), username: username.into(), credential: credential.into(), error: None }
    }

    #[test]
    fn a_typed_server_is_validated_and_says_what_is_missing() {
        assert_eq!(draft(" stun:example.org ", "", "").parse().unwrap().url, "stun:example.org");
        assert!(draft("example.org", "", "").parse().unwrap_err().contains("stun: or turn:"));
        assert!(draft("turn:example.org", "ada", "").parse().unwrap_err().contains("credential"));
        let server = draft("turn:example.org", "ada", "a,b").parse().unwrap();
        assert_eq!((server.username.as_str(), server.credential.as_str()), ("ada", "a,b"));
        assert!(draft("turn:example.org", "a,da", "x").parse().is_err());
    }
}
