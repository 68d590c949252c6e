//! The wire messages of the signaling protocol: JSON objects over WebSocket subprotocol `json`.
//!
//! Used by the client (`signaling::client`) and the server (`signaling::server`). Sans-IO: text in, text out.
//! The message set is the one of MDN's article "Signaling and video calling"; Ahoy's extensions are optional
//! fields and new types, which a peer written after the article ignores.
//!
//! [`Envelope`] is how the server sees a message: a JSON object kept whole, with typed access to the few fields
//! that routing needs. [`decode`] and the `encode_*` functions are how a participant sees it.

mod envelope;
mod name;
mod participant;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, EnvelopeError, kind};
pub use name::{FALLBACK_NAME, clean_name, numbered_name};
pub use participant::{
    DecodeError, Incoming, Resume, decode, encode_message, encode_signal, encode_username,
};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An offer older than this is not rung: its sender stopped ringing before.
pub const OFFER_LIFETIME: Duration = Duration::from_secs(60);
/// WebSocket subprotocol that the article's client asks for.
pub const SUBPROTOCOL: &str = "json";
/// Default TCP port of the signaling server.
pub const DEFAULT_PORT: u16 = 6503;
/// Longest message that the server takes, bytes of JSON text. A session description with every codec and
/// candidate of a browser is below 20 KiB. A longer message closes the connection with 1009 (RFC 6455 section 7.4.1).
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Longest chat text that our client sends, bytes: escaped and wrapped it still fits [`MAX_MESSAGE_BYTES`].
pub const MAX_TEXT_BYTES: usize = 32 * 1024;
/// Longest name, in characters (Unicode scalar values). A longer wish is shortened.
pub const MAX_NAME_CHARS: usize = 64;
/// Feature announced in `username`: presence comes as `user-joined` and `user-left` after one whole list.
pub const FEATURE_PRESENCE: &str = "presence";
/// Feature announced in `username`: what cannot be delivered is answered with `undeliverable`.
pub const FEATURE_UNDELIVERABLE: &str = "undeliverable";
/// Feature announced in `username`: the server says `session`, whose token, given back in a later `username`, continues
/// the session on another connection. Both sides count the texts that they received in it, from the `session` on, so
/// that what was lost with the old connection is sent again, once and in order.
pub const FEATURE_RESUME: &str = "resume";

/// `RTCSessionDescription` of the W3C WebRTC API as it travels in `sdp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDescription {
    /// Offer or answer.
    #[serde(rename = "type")]
    pub kind: SdpKind,
    /// The SDP text (RFC 8866).
    pub sdp: String,
    /// Of an answer: the `o=` line of the offer that it answers (extension; a peer without it says nothing). An answer
    /// by itself does not tell, and one that comes late must not be taken for the answer to the next call's offer.
    #[serde(rename = "answers", default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

impl SessionDescription {
    /// A description by itself.
    pub fn new(kind: SdpKind, sdp: impl Into<String>) -> Self {
        Self { kind, sdp: sdp.into(), answers: None }
    }

    /// The value of the `o=` line (RFC 8866 section 5.2), which no two offers have in common.
    pub fn origin(&self) -> Option<&str> {
        self.sdp.lines().find_map(|line| line.strip_prefix("o="))
    }

    /// The identity of the SDP session: the fields of the `o=` line that stay the same through a session's
    /// renegotiations (RFC 8866 section 5.2: user name, session id, and the address after the version).
    pub fn session(&self) -> Option<&str> {
        let origin = self.origin()?;
        let mut fields = origin.split(' ');
        let user = fields.next()?;
        let id = fields.next()?;
        origin.get(..user.len() + 1 + id.len())
    }
}

/// `RTCSdpType`, as far as peers send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SdpKind {
    /// A proposal of how the media is to flow.
    Offer,
    /// The reply to an offer.
    Answer,
}

/// `RTCIceCandidateInit` of the W3C WebRTC API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IceCandidate {
    /// The `candidate:` attribute (RFC 8839 section 5.1); empty means that there are no more.
    pub candidate: String,
    /// Identification tag of the media section that it belongs to.
    pub sdp_mid: Option<String>,
    /// Index of that media section.
    pub sdp_m_line_index: Option<u16>,
    /// ICE username fragment of the generation that the candidate belongs to.
    pub username_fragment: Option<String>,
}

/// What one participant says to another about a call; travels as `video-offer`, `video-answer`,
/// `new-ice-candidate`, `hang-up` and the extensions `media-state`, `view` and `path-check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `video-offer`. `extended` is true when the sender announced Ahoy's extensions in it: a peer without them
    /// (the article's page) knows no busy, no decline and no glare rule.
    Offer {
        /// The offer.
        description: SessionDescription,
        /// Whether the sender speaks Ahoy's extensions (field `"ahoy": 1`).
        extended: bool,
    },
    /// `video-answer`.
    Answer(SessionDescription),
    /// `new-ice-candidate`.
    Candidate(IceCandidate),
    /// `hang-up`; `reason` is Ahoy's optional field.
    HangUp(Option<HangUpReason>),
    /// `media-state` (extension): whether the sender's microphone and camera are on.
    MediaState {
        /// Microphone on.
        audio: bool,
        /// Camera on.
        video: bool,
    },
    /// `view` (extension): the sender shows the other side's picture with so many pixels, so that a larger one is made
    /// for nothing: what `scaleResolutionDownTo` is in a page's own hands (W3C WebRTC Extensions). Without it the
    /// picture is sent as large as can be.
    View {
        /// Pixels across, at least 1.
        width: u16,
        /// Pixels down, at least 1.
        height: u16,
    },
    /// `path-check` (extension): the sender hears nothing of the media, and asks over the server whether the other
    /// side is there to make a new path with; or answers that question.
    PathCheck {
        /// This is the answer.
        answer: bool,
    },
}

/// Why a participant ended or refused a call; the optional field `reason` of `hang-up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HangUpReason {
    /// The user ended the call.
    Ended,
    /// The callee refused it.
    Declined,
    /// The callee is in another call.
    Busy,
    /// The callee did not answer in time.
    NoAnswer,
    /// The caller gave up before it was answered.
    Cancelled,
    /// The sender could not set up or keep the media.
    Failed,
}
