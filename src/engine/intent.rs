//! What a user (the window, or the agent's stdin) may want of the engine.

use crate::config::{CameraChoice, MicrophoneChoice, Settings, SpeakerChoice};

/// What a test of the devices is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestedSound {
    /// Play a melody on the speaker.
    Speaker,
    /// Play the ringtone as it would ring.
    Ringtone,
    /// Record the microphone for a few seconds and play that.
    Microphone,
    /// End the test.
    Stop,
}

/// One wish. The engine carries it out or puts a notice into the next snapshot that says why not.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Go online under this name. An empty `server` means: port 6503 on this machine if one answers, else a server
    /// inside this program.
    SignIn {
        /// The name wished for; the server may grant another.
        name: String,
        /// `ws://HOST:PORT`, `HOST:PORT`, `HOST`, or empty.
        server: String,
    },
    /// Go offline; a call in progress ends.
    SignOut,
    /// Let the embedded server listen on all interfaces (true) or on loopback only (false).
    HostForOthers(bool),
    /// Call this user.
    Call {
        /// The user to call.
        peer: String,
    },
    /// Answer the ringing call, with or without video.
    Answer {
        /// Send our picture.
        video: bool,
    },
    /// Refuse the ringing call.
    Decline,
    /// End the call.
    HangUp,
    /// Send a chat message to everyone, or to one user.
    Message {
        /// What to say.
        text: String,
        /// To whom; `None` is everyone.
        to: Option<String>,
    },
    /// Turn the microphone off (true) or on.
    MuteMicrophone(bool),
    /// Play the other side at this factor of its height, 0 to [`MAX_VOLUME`](super::MAX_VOLUME), in this call.
    SetVolume(f32),
    /// Try speaker or microphone.
    TestSound(TestedSound),
    /// Turn the camera off (true) or on.
    MuteCamera(bool),
    /// Use another camera, from now on and in the present call.
    SelectCamera(CameraChoice),
    /// Use another microphone, from now on and in the present call.
    SelectMicrophone(MicrophoneChoice),
    /// Use another speaker, from now on and in the present call.
    SelectSpeaker(SpeakerChoice),
    /// Switch what is done to the microphone's sound; `None` leaves a switch as it is.
    SwitchProcessing {
        /// Take out the other side's voice.
        echo_cancellation: Option<bool>,
        /// Lower steady noise.
        noise_suppression: Option<bool>,
        /// Level the loudness.
        automatic_gain: Option<bool>,
    },
    /// Look for devices again.
    RefreshDevices,
    /// Replace the settings that last.
    ChangeSettings(Box<Settings>),
    /// The reply to [`Question`](super::Question): yes or no.
    Reply(bool),
    /// Forget the notice of this number.
    DismissNotice(u64),
    /// Forget how the last call ended.
    DismissEnded,
    /// End everything in order; the engine's last snapshot has `finished` set.
    Quit,
}

/// A wish that waits until the devices have been listed.
pub(super) enum Waiting {
    Dial { peer: String },
    Answer { video: bool },
}
