//! The thread that opens, switches and closes the devices of a call, one order after the other.
//!
//! Opening a camera takes long and closing one can hang, so neither happens on the engine's loop; and because one
//! thread does both, the next call's camera is never asked for before the last call's has been let go.

use super::{CameraChoice, MicrophoneChoice, Picture, SpeakerChoice};
use crate::call::CallId;
use crate::config::SoundProcessing;
use crate::media::audio::{AudioPorts, AudioSession, AudioStats, SoundChoice, SoundLevels};
use crate::media::device::Devices;
use crate::media::event::MediaEvents;
use crate::media::ports::{EncodedAudio, EncodedFrame, Feedback, ReceivedPacket, SendControl};
use crate::media::video::capture::Capture;
use crate::media::video::encoder::VideoEncoder;
use crate::media::video::frame::{Frame, Size};
use crate::media::video::latest::Latest;
use crate::media::video::receiver::VideoReceiver;
use crate::media::video::record::VideoRecorder;
use crate::media::video::rgba::RgbaConverter;
use crate::media::video::source::CaptureWish;
use crate::media::video::stats::{
    VideoReceiveSnapshot, VideoReceiveStats, VideoSendSnapshot, VideoSendStats,
};
use crate::process;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long after a call's end its memory is given back: the peer connection closes meanwhile, and a call that
/// follows at once need not ask for it again.
const TIDY_AFTER: Duration = Duration::from_millis(500);
/// Orders that may wait. When full the call fails: the thread is stuck in a device.
const ORDER_CAPACITY: usize = 64;
/// Answers that may wait for the engine. When full the desk waits.
pub(super) const DESK_EVENT_CAPACITY: usize = 64;

/// What the engine wants of the desk.
pub(super) enum DeskOrder {
    /// Open the media of a call.
    Open(Box<OpenOrder>),
    /// Switch the camera on (with this choice) or off.
    Camera(CallId, Option<CameraOrder>),
    /// Use another microphone.
    Microphone(CallId, MicrophoneChoice),
    /// Turn the microphone off (true) or on.
    Mute(CallId, bool),
    /// Use another speaker.
    Speaker(CallId, SpeakerChoice),
    /// Do this to the microphone's sound.
    Processing(CallId, SoundProcessing),
    /// Play the other side at this factor of its height.
    Volume(CallId, f32),
    /// Report the figures of the call.
    Report(CallId),
    /// Close the media of a call.
    Close(CallId),
    /// Look for devices.
    ListDevices,
    /// End.
    Quit,
}

/// The camera to be opened.
pub(super) struct CameraOrder {
    pub(super) choice: CameraChoice,
    /// 1920×1080 instead of 1280×720.
    pub(super) full_hd: bool,
}

/// What a call's media is opened with.
pub(super) struct OpenOrder {
    pub(super) call: CallId,
    /// `None`: the camera stays off for now.
    pub(super) camera: Option<CameraOrder>,
    pub(super) microphone: MicrophoneChoice,
    pub(super) microphone_muted: bool,
    pub(super) speaker: SpeakerChoice,
    pub(super) processing: SoundProcessing,
    pub(super) volume: f32,
    pub(super) sound_levels: Latest<SoundLevels>,
    pub(super) record_video: Option<PathBuf>,
    pub(super) ports: MediaPorts,
    pub(super) local: Latest<Arc<Frame>>,
    pub(super) remote: Latest<Arc<Frame>>,
    /// Where converted pictures go, if anybody draws them.
    pub(super) pictures: Option<Pictures>,
    pub(super) events: MediaEvents,
}

/// Pictures for the screen.
pub(super) struct Pictures {
    pub(super) local: Picture,
    pub(super) remote: Picture,
}

/// The media's side of the ports.
pub(super) struct MediaPorts {
    pub(super) video_out: mpsc::Sender<EncodedFrame>,
    pub(super) audio_out: mpsc::Sender<EncodedAudio>,
    pub(super) video_in: Receiver<ReceivedPacket>,
    pub(super) audio_in: mpsc::Receiver<ReceivedPacket>,
    pub(super) feedback: mpsc::Sender<Feedback>,
    pub(super) control: Arc<SendControl>,
}

/// What the desk reports.
pub(super) enum DeskEvent {
    /// The figures asked for.
    Figures(CallId, Box<MediaFigures>),
    /// Something of the call's media could not be started at all.
    Failed(CallId, String),
    /// The devices of this machine.
    Devices(Devices),
}

/// Figures of one call's media.
pub(super) struct MediaFigures {
    pub(super) sent: VideoSendSnapshot,
    pub(super) received: VideoReceiveSnapshot,
    pub(super) audio: AudioStats,
}

/// The line to the desk; ends the thread when dropped.
pub(super) struct MediaDesk {
    orders: SyncSender<DeskOrder>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MediaDesk {
    /// Starts the thread.
    pub(super) fn start(events: mpsc::Sender<DeskEvent>) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDER_CAPACITY);
        let thread =
            std::thread::Builder::new().name("media-desk".into()).spawn(move || run(&inbox, &events))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Hands an order over; false if the desk is stuck or gone.
    pub(super) fn order(&self, order: DeskOrder) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Ends the thread. Blocks until what is open has been closed.
    pub(super) fn quit(mut self) {
        if self.orders.send(DeskOrder::Quit).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the media desk panicked");
        }
    }
}

fn run(orders: &Receiver<DeskOrder>, events: &mpsc::Sender<DeskEvent>) {
    let mut media: Option<CallMedia> = None;
    let mut tidy = false;
    loop {
        let order = match orders.recv_timeout(if tidy { TIDY_AFTER } else { Duration::MAX }) {
            Ok(order) => order,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                process::give_back_memory();
                tidy = false;
                continue;
            }
        };
        match order {
            DeskOrder::Open(order) => {
                // The last call's devices go first, should its `Close` have been lost.
                drop(media.take());
                let call = order.call;
                match CallMedia::open(*order) {
                    Ok(opened) => media = Some(opened),
                    Err(reason) => report(events, DeskEvent::Failed(call, reason)),
                }
            }
            DeskOrder::Close(call) => {
                if let Some(open) = media.take_if(|media| media.call == call) {
                    open.close();
                    tidy = true;
                }
            }
            DeskOrder::ListDevices => report(events, DeskEvent::Devices(list_devices())),
            DeskOrder::Quit => break,
            DeskOrder::Camera(call, camera) => {
                if let Some(media) = media.as_mut().filter(|media| media.call == call) {
                    media.set_camera(camera);
                }
            }
            DeskOrder::Microphone(call, choice) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    media.audio.set_microphone(choice);
                }
            }
            DeskOrder::Mute(call, muted) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    media.audio.set_muted(muted);
                }
            }
            DeskOrder::Speaker(call, choice) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    media.audio.set_speaker(choice);
                }
            }
            DeskOrder::Processing(call, processing) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    media.audio.set_processing(processing);
                }
            }
            DeskOrder::Volume(call, factor) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    media.audio.set_volume(factor);
                }
            }
            DeskOrder::Report(call) => {
                if let Some(media) = media.as_ref().filter(|media| media.call == call) {
                    report(events, DeskEvent::Figures(call, Box::new(media.figures())));
                }
            }
        }
    }
    if let Some(open) = media {
        open.close();
    }
}

fn report(events: &mpsc::Sender<DeskEvent>, event: DeskEvent) {
    if events.blocking_send(event).is_err() {
        tracing::debug!("the engine is gone");
    }
}

/// Lists everything that can be chosen. Takes as long as the system's own libraries take.
pub fn list_devices() -> Devices {
    let (microphones, speakers) = crate::media::audio::list_devices();
    Devices { cameras: crate::media::video::camera::list_cameras(), microphones, speakers }
}

/// Everything that one call keeps open.
struct CallMedia {
    call: CallId,
    capture: Option<Capture>,
    encoder: VideoEncoder,
    receiver: VideoReceiver,
    audio: AudioSession,
    converters: Vec<RgbaConverter>,
    recorder: Option<VideoRecorder>,
    local: Latest<Arc<Frame>>,
    remote: Latest<Arc<Frame>>,
    events: MediaEvents,
    control: Arc<SendControl>,
    sent: Arc<VideoSendStats>,
    received: Arc<VideoReceiveStats>,
}

impl CallMedia {
    /// Starts every stage. Devices open on threads of their own and report how that went.
    fn open(order: OpenOrder) -> Result<Self, String> {
        let OpenOrder { call, ports, local, remote, events, .. } = order;
        let control = ports.control;
        let sent = Arc::new(VideoSendStats::default());
        let received = Arc::new(VideoReceiveStats::default());
        let text = |error: &dyn std::fmt::Display| error.to_string();
        // The sound first: opening it takes longest, and the picture's stages are ready at once.
        let audio_ports =
            AudioPorts { out: ports.audio_out, packets: ports.audio_in, control: Arc::clone(&control) };
        let sound = SoundChoice {
            microphone: order.microphone,
            speaker: order.speaker,
            processing: order.processing,
        };
        let audio = AudioSession::start(sound, audio_ports, events.clone(), order.sound_levels)
            .map_err(|error| text(&error))?;
        audio.set_muted(order.microphone_muted);
        audio.set_volume(order.volume);
        let encoder = VideoEncoder::start(&local, ports.video_out, Arc::clone(&control), Arc::clone(&sent))
            .map_err(|error| text(&error))?;
        let receiver = VideoReceiver::start(
            ports.video_in,
            remote.clone(),
            ports.feedback,
            Arc::clone(&control),
            Arc::clone(&received),
        )
        .map_err(|error| text(&error))?;
        let mut converters = Vec::new();
        if let Some(pictures) = order.pictures {
            for (frames, picture) in [(&local, pictures.local), (&remote, pictures.remote)] {
                let converter = RgbaConverter::start(frames, picture.latest, picture.drawn);
                converters.push(converter.map_err(|error| text(&error))?);
            }
        }
        let recorder = order
            .record_video
            .map(|path| VideoRecorder::start(&remote, &path))
            .transpose()
            .map_err(|error| text(&error))?;
        let mut media = Self {
            call,
            capture: None,
            encoder,
            receiver,
            audio,
            converters,
            recorder,
            local,
            remote,
            events,
            control,
            sent,
            received,
        };
        media.set_camera(order.camera);
        Ok(media)
    }

    fn set_camera(&mut self, order: Option<CameraOrder>) {
        if let Some(capture) = self.capture.take() {
            capture.stop();
        }
        self.local.clear();
        let Some(CameraOrder { choice, full_hd }) = order else { return };
        let wish =
            CaptureWish { size: if full_hd { Size::FULL_HD } else { Size::HD }, ..CaptureWish::default() };
        let echo = (choice == CameraChoice::Echo).then(|| self.remote.clone());
        match Capture::start(choice, wish, self.local.clone(), self.events.clone(), echo) {
            Ok(capture) => {
                self.capture = Some(capture);
                self.control.want_keyframe();
            }
            Err(error) => tracing::error!(%error, "the camera's thread did not start"),
        }
    }

    fn figures(&self) -> MediaFigures {
        MediaFigures {
            sent: self.sent.snapshot(),
            received: self.received.snapshot(),
            audio: self.audio.stats(),
        }
    }

    /// Tells every stage to stop, then waits for each: the devices first, the rest after them.
    fn close(self) {
        if let Some(capture) = &self.capture {
            capture.signal();
        }
        self.encoder.signal();
        self.receiver.signal();
        for converter in &self.converters {
            converter.signal();
        }
        if let Some(recorder) = &self.recorder {
            recorder.signal();
        }
        if let Some(capture) = self.capture {
            capture.stop();
        }
        self.audio.stop();
    }
}
