//! What the user chose: the command line and the settings file, parsed once into valid values.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the picture comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum CameraChoice {
    /// No picture is sent.
    None,
    /// The system's first camera.
    #[default]
    Default,
    /// A moving test pattern with a readable clock.
    Pattern,
    /// A Y4M file, looped.
    File(PathBuf),
    /// The camera of this name or path.
    Device(String),
    /// What the other side sends (the Echo contact; not to be had on the command line).
    Echo,
}

/// Where the sound comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum MicrophoneChoice {
    /// No sound is sent.
    None,
    /// The system's default input.
    #[default]
    Default,
    /// A test tone.
    Tone,
    /// A WAV file, looped.
    File(PathBuf),
    /// The input of this name or id.
    Device(String),
    /// What the other side sends, about a second later (the Echo contact).
    Echo,
}

/// Where the sound goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SpeakerChoice {
    /// Nowhere.
    None,
    /// The system's default output.
    #[default]
    Default,
    /// A WAV file, written anew.
    File(PathBuf),
    /// The output of this name or id.
    Device(String),
}

/// Who answers an incoming call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AcceptPolicy {
    /// Every call is accepted at once.
    Always,
    /// Every call is declined at once.
    Never,
    /// The user (or the script) decides.
    #[default]
    Ask,
}

/// A STUN or TURN server, `RTCIceServer` of the W3C WebRTC API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URL (RFC 7064, RFC 7065).
    pub url: String,
    /// TURN user name, or empty.
    #[serde(default)]
    pub username: String,
    /// TURN password, or empty.
    #[serde(default)]
    pub credential: String,
}

/// What is done to the sound of a microphone before it is sent. Only real devices are processed: a tone or a file
/// arrives as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SoundProcessing {
    /// Take the other side's voice out of what the microphone hears of the speaker.
    pub echo_cancellation: bool,
    /// Lower steady noise.
    pub noise_suppression: bool,
    /// Raise faint voices and hold back loud ones. Never touches the system's volume.
    pub automatic_gain: bool,
}

impl SoundProcessing {
    /// Nothing is done.
    pub const OFF: Self = Self { echo_cancellation: false, noise_suppression: false, automatic_gain: false };
}

impl Default for SoundProcessing {
    fn default() -> Self {
        Self { echo_cancellation: true, noise_suppression: true, automatic_gain: true }
    }
}

/// How loud calls ring, percent of full height, 0 (silent) to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RingtoneVolume(u8);

impl RingtoneVolume {
    /// What is above 100 is 100.
    pub fn percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    /// Percent of full height.
    pub fn as_percent(self) -> u8 {
        self.0.min(100)
    }

    /// As a factor of the height: squared, so that half of the scale sounds about half as loud.
    pub fn factor(self) -> f32 {
        (f32::from(self.as_percent()) / 100.0).powi(2)
    }
}

impl Default for RingtoneVolume {
    fn default() -> Self {
        Self(70)
    }
}

/// The settings that last, as they stand in the settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The name to sign in with.
    pub name: String,
    /// The server to sign in to; empty: on this machine.
    pub server: String,
    /// The camera.
    pub camera: CameraChoice,
    /// Ask the camera for 1920×1080 instead of 1280×720, and send it where the other side decodes it.
    pub full_hd: bool,
    /// The microphone.
    pub microphone: MicrophoneChoice,
    /// The speaker.
    pub speaker: SpeakerChoice,
    /// What is done to the microphone's sound.
    pub sound_processing: SoundProcessing,
    /// Where calls ring.
    pub ringtone_speaker: SpeakerChoice,
    /// How loud, percent.
    pub ringtone_volume: RingtoneVolume,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Use TURN relays only (hides our addresses from the other side).
    pub relay_only: bool,
    /// Who answers an incoming call.
    pub accept: AcceptPolicy,
}

impl Settings {
    /// Takes over from `after` whatever differs from `before`: what the user changed, and nothing that the command
    /// line laid over the settings for this run.
    pub fn take_changes(&mut self, before: &Self, after: &Self) {
        macro_rules! take {
            ($($field:ident),*) => {$(
                if before.$field != after.$field {
                    self.$field.clone_from(&after.$field);
                }
            )*};
        }
        take!(
            name,
            server,
            camera,
            full_hd,
            microphone,
            speaker,
            sound_processing,
            ringtone_speaker,
            ringtone_volume,
            ice_servers,
            relay_only,
            accept
        );
    }
}

impl fmt::Display for CameraChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Default => f.write_str("default"),
            Self::Pattern => f.write_str("pattern"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Device(name) => f.write_str(name),
            Self::Echo => f.write_str("echo"),
        }
    }
}

impl FromStr for CameraChoice {
    type Err = String;

    /// `none`, `default`, `pattern`, a path ending in `.y4m`, or a camera's name or path.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "" => return Err("name a camera: none, default, pattern, FILE.y4m or a device".into()),
            "none" => Self::None,
            "default" => Self::Default,
            "pattern" => Self::Pattern,
            path if has_extension(path, "y4m") => Self::File(path.into()),
            device => Self::Device(device.into()),
        })
    }
}

impl fmt::Display for MicrophoneChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Default => f.write_str("default"),
            Self::Tone => f.write_str("tone"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Device(name) => f.write_str(name),
            Self::Echo => f.write_str("echo"),
        }
    }
}

impl FromStr for MicrophoneChoice {
    type Err = String;

    /// `none`, `default`, `tone`, a path ending in `.wav`, or an input's name or id.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "" => return Err("name a microphone: none, default, tone, FILE.wav or a device".into()),
            "none" => Self::None,
            "default" => Self::Default,
            "tone" => Self::Tone,
            path if has_extension(path, "wav") => Self::File(path.into()),
            device => Self::Device(device.into()),
        })
    }
}

impl fmt::Display for SpeakerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Device(name) => f.write_str(name),
        }
    }
}

impl FromStr for SpeakerChoice {
    type Err = String;

    /// `none`, `default`, a path ending in `.wav`, or an output's name or id.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "" => return Err("name a speaker: none, default, FILE.wav or a device".into()),
            "none" => Self::None,
            "default" => Self::Default,
            path if has_extension(path, "wav") => Self::File(path.into()),
            device => Self::Device(device.into()),
        })
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

macro_rules! stored_as_text {
    ($($choice:ty),*) => {$(
        impl From<$choice> for String {
            fn from(choice: $choice) -> Self {
                choice.to_string()
            }
        }

        impl TryFrom<String> for $choice {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

stored_as_text!(CameraChoice, MicrophoneChoice, SpeakerChoice);

impl FromStr for IceServer {
    type Err = String;

    /// `URL[,USERNAME,CREDENTIAL]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',');
        let url = parts.next().unwrap_or_default().trim();
        let known = ["stun:", "stuns:", "turn:", "turns:"];
        let Some(scheme) = known.iter().find(|scheme| url.starts_with(**scheme)) else {
            return Err(format!("\"{url}\" is no STUN or TURN server: it must begin with stun: or turn:"));
        };
        if url.len() == scheme.len() {
            return Err(format!("\"{url}\" names no host"));
        }
        let (username, credential) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if scheme.starts_with("turn") && (username.is_empty() || credential.is_empty()) {
            return Err(format!(
                "a TURN server needs a user name and a credential: {url},USERNAME,CREDENTIAL"
            ));
        }
        Ok(Self { url: url.into(), username: username.into(), credential: credential.into() })
    }
}
