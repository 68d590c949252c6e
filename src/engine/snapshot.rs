//! What the engine shows: one immutable picture of everything that a window or the agent may draw.

use crate::call::Direction;
use crate::config::Settings;
use crate::engine::stats::CallStats;
use crate::media::audio::{SoundLevels, SoundTest};
use crate::media::device::Devices;
use crate::media::video::frame::Frame;
use crate::media::video::latest::Latest;
use crate::media::video::rgba::{DrawnSize, RgbaImage};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The engine's state at one moment. Cheap to clone; lists are shared.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Where we stand with the signaling server.
    pub connection: Connection,
    /// Everyone online, ourselves included, as the server lists them.
    pub users: Arc<Vec<String>>,
    /// The chat, oldest first, at most [`CHAT_LINES`].
    pub chat: Arc<Vec<ChatLine>>,
    /// The call in progress or ringing.
    pub call: Option<CallView>,
    /// How the last call ended, until the next one ends or it is dismissed.
    pub ended: Option<EndedCall>,
    /// A question that waits for an [`Intent::Reply`](super::Intent::Reply).
    pub question: Option<Question>,
    /// What the user should know, oldest first.
    pub notices: Arc<Vec<Notice>>,
    /// How far a test of speaker or microphone is.
    pub sound_test: Latest<SoundTest>,
    /// What can be chosen.
    pub devices: Arc<Devices>,
    /// The devices have been looked for at least once.
    pub devices_listed: bool,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The engine has ended.
    pub finished: bool,
}

/// Chat lines kept; older ones are forgotten.
pub const CHAT_LINES: usize = 1000;

/// Highest [`CallView::volume`]: beyond it a voice of ordinary height is cut off.
pub const MAX_VOLUME: f32 = 2.0;

/// Where we stand with the signaling server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Not signed in.
    #[default]
    SignedOut,
    /// First attempt under way.
    Connecting {
        /// The server, as a URL.
        server: String,
    },
    /// Signed in.
    Online {
        /// The name that the server granted.
        name: String,
        /// The server, as a URL.
        server: String,
        /// `Some` if the server runs inside this program.
        hosting: Option<Hosting>,
    },
    /// The connection was lost; it keeps retrying.
    Reconnecting {
        /// The server, as a URL.
        server: String,
        /// Why.
        reason: String,
    },
}

/// The embedded server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosting {
    /// Reachable from other machines.
    pub for_others: bool,
    /// Addresses to give out, `ws://…`; empty on loopback.
    pub addresses: Vec<String>,
}

/// One line of the chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatLine {
    /// Grows by one from line to line.
    pub number: u64,
    /// Who said it; empty for the program's own remarks (somebody came, somebody left).
    pub from: String,
    /// `Some` if it was said to one user alone.
    pub to: Option<String>,
    /// What was said, as text.
    pub text: String,
    /// When.
    pub at: SystemTime,
}

/// How far the call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It rings: here (incoming) or there (outgoing).
    Ringing,
    /// Accepted; the path is being found.
    Connecting,
    /// Media flows.
    Connected,
    /// The path broke; it is being repaired.
    Reconnecting,
}

/// The call in progress.
#[derive(Clone)]
pub struct CallView {
    /// Tells this call from the others of this run.
    pub number: u64,
    /// Who it is with.
    pub peer: String,
    /// Whose idea it was.
    pub direction: Direction,
    /// How far it is.
    pub phase: Phase,
    /// When media first flowed.
    pub connected_at: Option<Instant>,
    /// Our microphone is off.
    pub microphone_muted: bool,
    /// Our camera is off.
    pub camera_muted: bool,
    /// We have a camera (or another source) open.
    pub has_camera: bool,
    /// We have a microphone (or another source) open.
    pub has_microphone: bool,
    /// The other side says that its microphone is off.
    pub remote_microphone_muted: bool,
    /// The other side says that its camera is off, or sends no picture.
    pub remote_camera_muted: bool,
    /// The other side's picture, as the window draws it.
    pub remote_picture: Picture,
    /// Our own picture, as the window draws it.
    pub local_picture: Picture,
    /// The other side's frames as they were decoded.
    pub remote_frames: Latest<Arc<Frame>>,
    /// Our own frames as they were captured.
    pub local_frames: Latest<Arc<Frame>>,
    /// How loud both directions are, renewed every 100 ms.
    pub sound_levels: Latest<SoundLevels>,
    /// The other side is played at this factor of its height.
    pub volume: f32,
    /// Figures, renewed once per statistics interval.
    pub stats: Arc<CallStats>,
}

/// A picture on its way to the screen: RGBA, converted off the window's thread.
#[derive(Clone, Default)]
pub struct Picture {
    /// The newest one.
    pub latest: Latest<Arc<RgbaImage>>,
    /// How large the window draws it, so that it comes no larger.
    pub drawn: Arc<DrawnSize>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCall {
    /// Which call it was: [`CallView::number`].
    pub number: u64,
    /// Who it was with.
    pub peer: String,
    /// Whose idea it was.
    pub direction: Direction,
    /// Why, as a sentence to show.
    pub reason: String,
    /// How long media flowed, if it did.
    pub duration: Option<Duration>,
}

/// Something that only the user can decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// There is neither camera nor microphone: join and only watch and listen?
    WatchOnly {
        /// With whom.
        peer: String,
    },
}

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Grows by one.
    pub number: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The words to show.
    pub text: String,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something works less well.
    Warning,
    /// Something that was asked for did not happen.
    Error,
}
