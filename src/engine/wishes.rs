//! What becomes of each [`Intent`].

use super::active_call::ActiveCall;
use super::core::{Engine, start};
use super::echo::Echo;
use super::hosting::{HostingDesk, HostingEvent, HostingOrder};
use super::intent::Waiting;
use super::media_desk::DeskOrder;
use super::{Connection, Intent, Question, Settings, Severity, settings_file};
use crate::call::Event;
use crate::config::{CameraChoice, MicrophoneChoice};
use crate::signaling::client::{SendError, SignalingClient, server_url};
use std::sync::Arc;

/// What the user reads when there is nothing to call with.
pub const NOTHING_TO_CALL_WITH: &str =
    "Unable to open your call because no camera and/or microphone were found.";

impl Engine {
    pub(super) fn handle_intent(&mut self, intent: Intent) {
        match intent {
            Intent::SignIn { name, server } => self.sign_in(name, &server),
            Intent::SignOut => self.sign_out(),
            Intent::HostForOthers(wanted) => self.host(wanted),
            Intent::Call { peer } => self.call(&peer),
            Intent::Answer { video } => self.answer(video),
            Intent::Decline => self.with_call(|call, context, now| call.handle(Event::Decline, context, now)),
            Intent::HangUp => self.with_call(|call, context, now| call.handle(Event::HangUp, context, now)),
            Intent::Message { text, to } => self.say(&text, to),
            Intent::MuteMicrophone(muted) => {
                self.with_call(|call, context, _| call.mute_microphone(muted, context));
            }
            Intent::SetVolume(factor) => {
                self.with_call(|call, context, _| call.set_volume(factor, context));
            }
            Intent::TestSound(tested) => {
                if let Some(rings) = &mut self.rings {
                    rings.test(tested, &self.board.snapshot.settings);
                }
            }
            Intent::MuteCamera(muted) => self.with_call(|call, context, _| call.mute_camera(muted, context)),
            Intent::SelectCamera(camera) => {
                self.change_settings(|settings| settings.camera = camera);
                self.with_call(|call, context, _| call.reopen_camera(context));
            }
            Intent::SelectMicrophone(microphone) => {
                self.change_settings(|settings| settings.microphone = microphone);
                self.with_call(|call, context, _| call.reopen_microphone(context));
            }
            Intent::SelectSpeaker(speaker) => {
                self.change_settings(|settings| settings.speaker = speaker);
                self.with_call(|call, context, _| call.reopen_speaker(context));
            }
            Intent::SwitchProcessing { echo_cancellation, noise_suppression, automatic_gain } => {
                self.change_settings(|settings| {
                    let switches = &mut settings.sound_processing;
                    for (switch, wanted) in [
                        (&mut switches.echo_cancellation, echo_cancellation),
                        (&mut switches.noise_suppression, noise_suppression),
                        (&mut switches.automatic_gain, automatic_gain),
                    ] {
                        *switch = wanted.unwrap_or(*switch);
                    }
                });
                self.with_call(|call, context, _| call.switch_processing(context));
            }
            Intent::RefreshDevices => {
                self.desk.order(DeskOrder::ListDevices);
            }
            Intent::ChangeSettings(settings) => self.replace_settings(*settings),
            Intent::Reply(yes) => self.reply(yes),
            Intent::DismissNotice(number) => self.board.dismiss(number),
            Intent::DismissEnded => self.board.snapshot.ended = None,
            Intent::Quit => self.quitting = true,
        }
    }

    fn sign_in(&mut self, name: String, server: &str) {
        if self.board.snapshot.connection != Connection::SignedOut {
            self.board.notice(Severity::Info, "You are signed in already: sign out first.");
            return;
        }
        let name = name.trim().to_owned();
        if name.is_empty() {
            self.board.notice(Severity::Error, "Please enter a name that others will see.");
            return;
        }
        let url = match server.trim() {
            "" => None,
            text => match server_url(text) {
                Ok(url) => Some(url),
                Err(reason) => {
                    self.board.notice(Severity::Error, reason);
                    return;
                }
            },
        };
        let (stored_name, stored_server) = (name.clone(), server.trim().to_owned());
        self.change_settings(|settings| {
            settings.name = stored_name;
            settings.server = stored_server;
        });
        self.wished_name = name;
        match url {
            Some(url) => self.connect(url),
            None => {
                self.board.snapshot.connection = Connection::Connecting { server: "this machine".into() };
                self.hosting = Some(HostingDesk::start(self.options.may_host, self.hosting_events.clone()));
            }
        }
    }

    fn connect(&mut self, url: String) {
        self.board.snapshot.connection = Connection::Connecting { server: url.clone() };
        self.signaling =
            Some(SignalingClient::connect(url, self.wished_name.clone(), self.signaling_events.clone()));
    }

    fn sign_out(&mut self) {
        self.with_call(|call, context, now| call.handle(Event::HangUp, context, now));
        let (signaling, echo, hosting) = (self.signaling.take(), self.echo.take(), self.hosting.take());
        tokio::spawn(async move {
            if let Some(echo) = echo {
                echo.stop().await;
            }
            if let Some(signaling) = signaling {
                signaling.close().await;
            }
            if let Some(hosting) = hosting {
                hosting.close().await;
            }
        });
        let snapshot = &mut self.board.snapshot;
        snapshot.connection = Connection::SignedOut;
        snapshot.users = Arc::default();
        self.hosted = None;
    }

    pub(super) fn handle_hosting(&mut self, event: HostingEvent) {
        match event {
            HostingEvent::Ready { url, hosting } => {
                self.echo = hosting.is_some().then(|| Echo::sign_in(start(Echo::options(&url)), url.clone()));
                self.hosted = hosting;
                self.connect(url);
            }
            HostingEvent::Changed(hosting) => {
                self.hosted = Some(hosting);
                if let Connection::Online { hosting, .. } = &mut self.board.snapshot.connection {
                    hosting.clone_from(&self.hosted);
                }
            }
            HostingEvent::Failed { reason } => {
                self.board.notice(Severity::Error, reason);
                if self.signaling.is_none() {
                    self.hosting = None;
                    self.board.snapshot.connection = Connection::SignedOut;
                }
            }
        }
    }

    pub(super) fn connected(&mut self, name: String, renamed: bool) {
        let server = match &self.board.snapshot.connection {
            Connection::SignedOut => return,
            Connection::Connecting { server }
            | Connection::Online { server, .. }
            | Connection::Reconnecting { server, .. } => server.clone(),
        };
        if renamed {
            let text = format!("Somebody is called {} already: you are {name} here.", self.wished_name);
            self.board.notice(Severity::Info, text);
        }
        self.board.snapshot.connection = Connection::Online { name, server, hosting: self.hosted.clone() };
    }

    pub(super) fn disconnected(&mut self, reason: String) {
        let server = match &self.board.snapshot.connection {
            Connection::SignedOut => return,
            Connection::Connecting { server }
            | Connection::Online { server, .. }
            | Connection::Reconnecting { server, .. } => server.clone(),
        };
        tracing::warn!(%reason, "the signaling server is lost");
        self.board.snapshot.connection = Connection::Reconnecting { server, reason };
        self.board.snapshot.users = Arc::default();
    }

    fn host(&mut self, wanted: bool) {
        let ours = self.hosted.is_some();
        let ordered =
            ours && self.hosting.as_ref().is_some_and(|desk| desk.order(HostingOrder::ForOthers(wanted)));
        if !ordered {
            self.board.notice(
                Severity::Error,
                "This program does not run the server that you are signed in to, so it cannot open it for others. \
                 Sign out, leave the server empty, and sign in again.",
            );
        }
    }

    fn call(&mut self, peer: &str) {
        let Some(me) = self.me() else {
            let words = match &self.board.snapshot.connection {
                Connection::SignedOut => "You are not online: sign in first.",
                Connection::Connecting { .. }
                | Connection::Online { .. }
                | Connection::Reconnecting { .. } => "You cannot call yet: the server has not answered.",
            };
            self.board.notice(Severity::Error, words);
            return;
        };
        if peer == me {
            self.board.notice(
                Severity::Error,
                "You cannot call yourself, though you would surely get along. Call Echo to test your devices.",
            );
        } else if self.is_called_by(peer) {
            // Who calls the one that rings wants to talk to them.
            if self.has_nothing_to_send() {
                self.look_again(Waiting::Dial { peer: peer.to_owned() });
            } else {
                self.call_back();
            }
        } else if self.call.is_some() {
            self.board.notice(Severity::Error, "You can't start a call because you already have one open.");
        } else if !self.board.snapshot.users.iter().any(|user| user == peer) {
            self.board.notice(Severity::Error, format!("{peer} is not online."));
        } else if self.has_nothing_to_send() {
            self.look_again(Waiting::Dial { peer: peer.to_owned() });
        } else {
            self.dial(peer);
        }
    }

    /// This peer's call rings, or was answered a moment ago.
    fn is_called_by(&self, peer: &str) -> bool {
        self.call.as_ref().is_some_and(|call| call.peer_name() == peer && call.is_incoming_and_new())
    }

    fn call_back(&mut self) {
        self.with_call(|call, context, now| call.handle(Event::CallBack { video: true }, context, now));
    }

    /// Answers the ringing call.
    pub(super) fn answer(&mut self, video: bool) {
        if self.call.is_none() {
            self.board.notice(Severity::Error, "There is no call to answer any more.");
            return;
        }
        if self.has_nothing_to_send() {
            self.look_again(Waiting::Answer { video });
            return;
        }
        self.with_call(|call, context, now| call.handle(Event::Answer { video }, context, now));
    }

    /// Something may have been plugged in since the devices were listed.
    fn look_again(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
        self.desk.order(DeskOrder::ListDevices);
    }

    /// The devices are known: what waited for them is done, or the user is asked.
    pub(super) fn devices_listed(&mut self) {
        let nothing = self.has_nothing_to_send();
        match self.waiting.take() {
            None => {}
            // Their call may have come meanwhile.
            Some(Waiting::Dial { peer }) if !nothing && self.is_called_by(&peer) => self.call_back(),
            Some(Waiting::Dial { .. }) if self.call.is_some() => {}
            Some(Waiting::Dial { peer }) if nothing => {
                self.board.snapshot.question = Some(Question::WatchOnly { peer });
            }
            Some(Waiting::Dial { peer }) => self.dial(&peer),
            Some(Waiting::Answer { video }) => match &self.call {
                Some(call) if nothing => {
                    self.board.snapshot.question =
                        Some(Question::WatchOnly { peer: call.peer_name().to_owned() });
                }
                Some(_) => {
                    self.with_call(|call, context, now| call.handle(Event::Answer { video }, context, now));
                }
                None => {}
            },
        }
    }

    fn reply(&mut self, yes: bool) {
        let Some(Question::WatchOnly { peer }) = self.board.snapshot.question.take() else { return };
        let ringing = self.call.as_ref().is_some_and(|call| call.peer_name() == peer);
        match (ringing, yes) {
            (true, true) => {
                self.with_call(|call, context, now| call.handle(Event::Answer { video: true }, context, now));
            }
            (true, false) => self.with_call(|call, context, now| call.handle(Event::Decline, context, now)),
            (false, true) if self.call.is_none() => self.dial(&peer),
            (false, true | false) => {}
        }
    }

    /// Camera and microphone are wanted, and this machine has neither.
    pub(super) fn has_nothing_to_send(&self) -> bool {
        let Settings { camera, microphone, .. } = &*self.board.snapshot.settings;
        let devices = &self.board.snapshot.devices;
        self.board.snapshot.devices_listed
            && devices.cameras.is_empty()
            && devices.microphones.is_empty()
            && matches!(camera, CameraChoice::Default | CameraChoice::Device(_))
            && matches!(microphone, MicrophoneChoice::Default | MicrophoneChoice::Device(_))
    }

    fn say(&mut self, text: &str, to: Option<String>) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let (Some(me), Some(signaling)) = (self.me().map(str::to_owned), &self.signaling) else {
            self.board.notice(Severity::Error, "You are not online: the message was not sent.");
            return;
        };
        match signaling.send_message(text, to.as_deref()) {
            // What is said to everyone comes back from the server; what is said to one does not.
            Ok(()) if to.is_some() => self.board.chat(&me, to, text.to_owned()),
            Ok(()) => {}
            Err(error) => self.not_sent(&error),
        }
    }

    fn not_sent(&mut self, error: &SendError) {
        self.board.notice(Severity::Error, format!("The message was not sent: {error}."));
    }

    fn replace_settings(&mut self, new: Settings) {
        let old = Arc::clone(&self.board.snapshot.settings);
        let camera = old.camera != new.camera || old.full_hd != new.full_hd;
        let (microphone, speaker) = (old.microphone != new.microphone, old.speaker != new.speaker);
        let processing = old.sound_processing != new.sound_processing;
        self.change_settings(|settings| *settings = new);
        self.with_call(|call: &mut ActiveCall, context, _| {
            if processing {
                call.switch_processing(context);
            }
            if camera {
                call.reopen_camera(context);
            }
            if microphone {
                call.reopen_microphone(context);
            }
            if speaker {
                call.reopen_speaker(context);
            }
        });
    }

    /// Changes the settings and keeps them.
    fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        let settings = Arc::make_mut(&mut self.board.snapshot.settings);
        let old = settings.clone();
        change(settings);
        if *settings == old {
            return;
        }
        self.options.stored.take_changes(&old, settings);
        let Some(path) = &self.options.settings_file else { return };
        if let Err(error) = settings_file::save(path, &self.options.stored) {
            self.board.notice(Severity::Warning, error.to_string());
        }
    }
}
