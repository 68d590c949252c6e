//! The devices of a call: opened, muted and switched through the media desk, and the other side told.

use super::{ActiveCall, Context};
use crate::config::{CameraChoice, MicrophoneChoice};
use crate::engine::media_desk::{CameraOrder, DeskOrder, OpenOrder, Pictures};
use crate::engine::{MAX_VOLUME, Phase};
use crate::media::event::DeviceKind;
use crate::protocol::Signal;

impl ActiveCall {
    /// Turns the microphone off or on.
    pub(in crate::engine) fn mute_microphone(&mut self, muted: bool, context: &Context<'_>) {
        self.microphone_muted = muted;
        if self.media_open {
            self.order(DeskOrder::Mute(self.id(), muted), context);
        }
        self.tell_media_state(context);
    }

    /// Plays the other side at this factor of its height.
    pub(in crate::engine) fn set_volume(&mut self, factor: f32, context: &Context<'_>) {
        self.volume = factor.clamp(0.0, MAX_VOLUME);
        if self.media_open {
            self.order(DeskOrder::Volume(self.id(), self.volume), context);
        }
    }

    /// Turns the camera off or on; off means that the device is let go.
    pub(in crate::engine) fn mute_camera(&mut self, muted: bool, context: &Context<'_>) {
        self.camera_muted = muted;
        self.reopen_camera(context);
        self.tell_media_state(context);
    }

    /// Takes up the devices that the settings name now.
    pub(in crate::engine) fn reopen_camera(&mut self, context: &Context<'_>) {
        if self.media_open {
            self.order(DeskOrder::Camera(self.id(), self.camera(context)), context);
        }
    }

    /// The same for the microphone.
    pub(in crate::engine) fn reopen_microphone(&mut self, context: &Context<'_>) {
        if self.media_open {
            self.order(DeskOrder::Microphone(self.id(), context.settings.microphone.clone()), context);
        }
    }

    /// The same for the speaker.
    pub(in crate::engine) fn reopen_speaker(&mut self, context: &Context<'_>) {
        if self.media_open {
            self.order(DeskOrder::Speaker(self.id(), context.settings.speaker.clone()), context);
        }
    }

    /// Does to the microphone's sound what the settings say now.
    pub(in crate::engine) fn switch_processing(&mut self, context: &Context<'_>) {
        if self.media_open {
            self.order(DeskOrder::Processing(self.id(), context.settings.sound_processing), context);
        }
    }

    /// A device was opened (or replaced by another), or is gone.
    pub(in crate::engine) fn device_changed(
        &mut self,
        kind: DeviceKind,
        present: bool,
        context: &Context<'_>,
    ) {
        match kind {
            DeviceKind::Camera => self.has_camera = present,
            DeviceKind::Microphone => self.has_microphone = present,
            DeviceKind::Speaker => return,
        }
        self.tell_media_state(context);
    }

    /// The camera to open now; `None` while it is off.
    pub(super) fn camera(&self, context: &Context<'_>) -> Option<CameraOrder> {
        let settings = context.settings;
        (!self.camera_muted && settings.camera != CameraChoice::None)
            .then(|| CameraOrder { choice: settings.camera.clone(), full_hd: settings.full_hd })
    }

    pub(super) fn tell_media_state(&self, context: &Context<'_>) {
        if self.phase() != Phase::Connected {
            return;
        }
        // An echo of nothing is nothing.
        let camera = self.has_camera
            && self.camera(context).is_some()
            && (context.settings.camera != CameraChoice::Echo || self.remote_video);
        let microphone = self.has_microphone
            && !self.microphone_muted
            && context.settings.microphone != MicrophoneChoice::None
            && (context.settings.microphone != MicrophoneChoice::Echo || self.remote_audio);
        self.send(&Signal::MediaState { audio: microphone, video: camera }, context);
    }

    /// Tells the other side how large its picture is shown, if that is news. A window that is being dragged larger says
    /// nothing before it rests: each size costs the other side a keyframe.
    pub(super) fn tell_view(&mut self, context: &Context<'_>) {
        let view = self.remote_picture.drawn.size();
        let rests = std::mem::replace(&mut self.last_view, view) == view;
        if self.phase() == Phase::Connected
            && rests
            && view != self.told_view
            && let Some((width, height)) = view
        {
            self.told_view = view;
            self.send(&Signal::View { width, height }, context);
        }
    }

    pub(super) fn open_media(&mut self, context: &Context<'_>) {
        let Some(ports) = self.media_ports.take() else { return };
        self.media_open = true;
        let pictures = context
            .options
            .pictures
            .then(|| Pictures { local: self.local_picture.clone(), remote: self.remote_picture.clone() });
        let order = OpenOrder {
            call: self.id(),
            camera: self.camera(context),
            microphone: context.settings.microphone.clone(),
            microphone_muted: self.microphone_muted,
            speaker: context.settings.speaker.clone(),
            processing: context.settings.sound_processing,
            volume: self.volume,
            sound_levels: self.sound_levels.clone(),
            record_video: context.options.record_video.clone(),
            ports,
            local: self.local.clone(),
            remote: self.remote.clone(),
            pictures,
            events: self.media_sender.clone(),
        };
        self.order(DeskOrder::Open(Box::new(order)), context);
    }

    pub(super) fn order(&self, order: DeskOrder, context: &Context<'_>) {
        if !context.desk.order(order) {
            tracing::error!("the media desk is stuck: a device does not answer");
        }
    }
}
