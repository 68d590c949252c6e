//! A message as a participant sees it: [`decode`] what the server relays, `encode_*` what it is to relay.

use super::envelope::{Envelope, kind};
use super::{
    EnvelopeError, FEATURE_PRESENCE, FEATURE_RESUME, FEATURE_UNDELIVERABLE, HangUpReason, IceCandidate,
    SdpKind, SessionDescription, Signal,
};
use serde::Deserialize;
use serde_json::Value;

/// What the server says, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// `id`: the connection is numbered; it is our turn to sign in.
    Id {
        /// The number, to be given back.
        id: Value,
        /// The server's clock, Unix time in milliseconds, if it says.
        date: Option<f64>,
    },
    /// `rejectusername`: we are called so instead.
    Renamed(String),
    /// `session` (extension): how this session can be resumed.
    Session {
        /// To be given back.
        token: String,
        /// This continues the session whose token we gave.
        resumed: bool,
        /// Texts of ours that the server has received in it.
        received: u64,
    },
    /// `userlist`: everyone online.
    Users(Vec<String>),
    /// `user-joined` (extension).
    Joined(String),
    /// `user-left` (extension).
    Left(String),
    /// `undeliverable` (extension): nobody of this name is online.
    Undeliverable {
        /// To whom it was.
        target: String,
        /// The `type` of what was lost.
        of: String,
    },
    /// `error` (extension): the server could not use something that we sent.
    Error(String),
    /// `message`.
    Message {
        /// Who said it; `None` if nobody stamped it.
        from: Option<String>,
        /// To whom; `None`: to everyone.
        target: Option<String>,
        /// What was said.
        text: String,
        /// Unix time in milliseconds, if it is known.
        date: Option<f64>,
    },
    /// Something about a call.
    Signal {
        /// Who sent it; `None` if nobody stamped it.
        from: Option<String>,
        /// To whom; `None`: to everyone.
        target: Option<String>,
        /// What was sent.
        signal: Signal,
        /// When it passed the server, Unix time in milliseconds by the server's clock, if it says.
        date: Option<f64>,
    },
    /// A type that this program does not know, or needs not: to be ignored.
    Other(String),
}

/// Why a message from the other side cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no message at all.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A field that its type needs is missing or of the wrong kind.
    #[error("a {kind} came with an unusable \"{field}\": {problem}")]
    Field {
        /// The message's `type`.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Decodes a message from the server. Unknown types and fields are no errors.
///
/// # Errors
/// When it is no message, or of a known type without what that type needs.
pub fn decode(text: &str) -> Result<Incoming, DecodeError> {
    let envelope = Envelope::parse(text)?;
    let from = envelope.text("name").filter(|name| !name.is_empty()).map(String::from);
    let target = envelope.target().map(String::from);
    let date = envelope.field("date").and_then(Value::as_f64);
    let signal = match envelope.kind() {
        kind::ID => {
            return Ok(Incoming::Id { id: envelope.field("id").cloned().unwrap_or(Value::Null), date });
        }
        kind::REJECT_USERNAME => {
            return Ok(Incoming::Renamed(string(&envelope, kind::REJECT_USERNAME, "name")?));
        }
        kind::SESSION => {
            return Ok(Incoming::Session {
                token: string(&envelope, kind::SESSION, "token")?,
                resumed: envelope.field("resumed").and_then(Value::as_bool).unwrap_or_default(),
                received: envelope.field("received").and_then(Value::as_u64).unwrap_or_default(),
            });
        }
        kind::USER_JOINED => return Ok(Incoming::Joined(string(&envelope, kind::USER_JOINED, "name")?)),
        kind::USER_LEFT => return Ok(Incoming::Left(string(&envelope, kind::USER_LEFT, "name")?)),
        kind::USER_LIST => {
            if !envelope.field("users").is_some_and(Value::is_array) {
                return Err(unusable(kind::USER_LIST, "users", "it is no array"));
            }
            return Ok(Incoming::Users(envelope.texts("users").map(String::from).collect()));
        }
        kind::UNDELIVERABLE => {
            // A name is never empty, so neither is the target of what could not be delivered.
            let target = target.ok_or_else(|| unusable(kind::UNDELIVERABLE, "target", "it is missing"))?;
            return Ok(Incoming::Undeliverable {
                target,
                of: envelope.text("of").unwrap_or_default().into(),
            });
        }
        kind::ERROR => return Ok(Incoming::Error(envelope.text("message").unwrap_or_default().into())),
        kind::MESSAGE => {
            let text = string(&envelope, kind::MESSAGE, "text")?;
            return Ok(Incoming::Message { from, target, text, date });
        }
        kind::VIDEO_OFFER => Signal::Offer {
            description: description(&envelope, kind::VIDEO_OFFER, SdpKind::Offer)?,
            extended: envelope.field("ahoy").and_then(Value::as_u64).is_some_and(|version| version >= 1),
        },
        kind::VIDEO_ANSWER => Signal::Answer(description(&envelope, kind::VIDEO_ANSWER, SdpKind::Answer)?),
        kind::NEW_ICE_CANDIDATE => Signal::Candidate(candidate(&envelope)?),
        // A reason of a later version must not keep the call open.
        kind::HANG_UP => {
            Signal::HangUp(envelope.field("reason").and_then(|reason| HangUpReason::deserialize(reason).ok()))
        }
        kind::MEDIA_STATE => {
            let flag = |field| flag(&envelope, kind::MEDIA_STATE, field);
            Signal::MediaState { audio: flag("audio")?, video: flag("video")? }
        }
        kind::VIEW => {
            let pixels = |field| pixels(&envelope, kind::VIEW, field);
            Signal::View { width: pixels("width")?, height: pixels("height")? }
        }
        kind::PATH_CHECK => Signal::PathCheck { answer: flag(&envelope, kind::PATH_CHECK, "answer")? },
        other => return Ok(Incoming::Other(other.into())),
    };
    Ok(Incoming::Signal { from, target, signal, date })
}

/// A session to be continued: the optional field `resume` of `username`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    /// The token of its `session`.
    pub token: &'a str,
    /// Texts of the server that we have received in it.
    pub received: u64,
}

impl<'a> Resume<'a> {
    /// The session that a `username` asks for; `None` if it asks for none, or not in a way that can be understood.
    pub fn of(envelope: &'a Envelope) -> Option<Self> {
        let resume = envelope.field("resume")?;
        Some(Self { token: resume.get("token")?.as_str()?, received: resume.get("received")?.as_u64()? })
    }
}

/// `username`: signs in, announcing Ahoy's extensions, or comes back. `id` is the server's, given back; `date` is Unix
/// time in milliseconds.
pub fn encode_username(name: &str, id: &Value, date: u64, resume: Option<Resume<'_>>) -> String {
    let hello = Envelope::new(kind::USERNAME)
        .with("name", name)
        .with("id", id.clone())
        .with("date", date)
        .with("features", vec![FEATURE_PRESENCE, FEATURE_UNDELIVERABLE, FEATURE_RESUME]);
    match resume {
        Some(Resume { token, received }) => {
            hello.with("resume", serde_json::json!({ "token": token, "received": received })).to_json()
        }
        None => hello.to_json(),
    }
}

/// `message`: says `text` to one user, or to everyone. `id` and `date` as in [`encode_username`].
pub fn encode_message(name: &str, text: &str, to: Option<&str>, id: &Value, date: u64) -> String {
    let message = Envelope::new(kind::MESSAGE)
        .with("name", name)
        .with("text", text)
        .with("id", id.clone())
        .with("date", date);
    match to {
        Some(target) => message.to(target).to_json(),
        None => message.to_json(),
    }
}

/// `video-offer`, `video-answer`, `new-ice-candidate`, `hang-up`, `media-state`, `view` or `path-check`, to one user.
pub fn encode_signal(name: &str, to: &str, signal: &Signal) -> String {
    let envelope = match signal {
        Signal::Offer { description, extended } => {
            let offer = Envelope::new(kind::VIDEO_OFFER).with("sdp", description_value(description));
            if *extended { offer.with("ahoy", 1) } else { offer }
        }
        Signal::Answer(description) => {
            Envelope::new(kind::VIDEO_ANSWER).with("sdp", description_value(description))
        }
        Signal::Candidate(candidate) => {
            Envelope::new(kind::NEW_ICE_CANDIDATE).with("candidate", candidate_value(candidate))
        }
        Signal::HangUp(reason) => {
            let hang_up = Envelope::new(kind::HANG_UP);
            match reason {
                Some(reason) => hang_up.with("reason", reason_text(*reason)),
                None => hang_up,
            }
        }
        Signal::MediaState { audio, video } => {
            Envelope::new(kind::MEDIA_STATE).with("audio", *audio).with("video", *video)
        }
        Signal::View { width, height } => {
            Envelope::new(kind::VIEW).with("width", *width).with("height", *height)
        }
        Signal::PathCheck { answer } => Envelope::new(kind::PATH_CHECK).with("answer", *answer),
    };
    envelope.with("name", name).to(to).to_json()
}

fn unusable(kind: &'static str, field: &'static str, problem: impl Into<String>) -> DecodeError {
    DecodeError::Field { kind, field, problem: problem.into() }
}

fn string(envelope: &Envelope, kind: &'static str, field: &'static str) -> Result<String, DecodeError> {
    envelope.text(field).map(String::from).ok_or_else(|| unusable(kind, field, "it is no string"))
}

fn flag(envelope: &Envelope, kind: &'static str, field: &'static str) -> Result<bool, DecodeError> {
    envelope
        .field(field)
        .and_then(Value::as_bool)
        .ok_or_else(|| unusable(kind, field, "it is neither true nor false"))
}

fn pixels(envelope: &Envelope, kind: &'static str, field: &'static str) -> Result<u16, DecodeError> {
    envelope
        .field(field)
        .and_then(Value::as_u64)
        .and_then(|pixels| u16::try_from(pixels).ok())
        .filter(|pixels| *pixels > 0)
        .ok_or_else(|| unusable(kind, field, "it is no number of pixels from 1 to 65535"))
}

/// `sdp`: an `RTCSessionDescription`, or (some pages written after the article's prose) its bare text.
fn description(
    envelope: &Envelope,
    kind: &'static str,
    expected: SdpKind,
) -> Result<SessionDescription, DecodeError> {
    let description = match envelope.field("sdp") {
        None => return Err(unusable(kind, "sdp", "it is missing")),
        Some(Value::String(sdp)) => SessionDescription::new(expected, sdp.clone()),
        Some(value) => SessionDescription::deserialize(value)
            .map_err(|error| unusable(kind, "sdp", error.to_string()))?,
    };
    if description.kind != expected {
        return Err(unusable(kind, "sdp", "its type contradicts the message's"));
    }
    // RFC 8866 section 5: a description begins with its version, which is 0.
    if !description.sdp.starts_with("v=0") {
        return Err(unusable(kind, "sdp", "it does not begin with v=0"));
    }
    Ok(description)
}

/// `candidate`: an `RTCIceCandidateInit`, its bare text, or null (no more candidates).
fn candidate(envelope: &Envelope) -> Result<IceCandidate, DecodeError> {
    let problem = |problem: &str| unusable(kind::NEW_ICE_CANDIDATE, "candidate", problem);
    let mut candidate = match envelope.field("candidate") {
        None => return Err(problem("it is missing")),
        Some(Value::Null) => IceCandidate::default(),
        Some(Value::String(candidate)) => {
            IceCandidate { candidate: candidate.clone(), ..IceCandidate::default() }
        }
        // Serde would take an array for the fields in order.
        Some(value @ Value::Object(_)) => {
            IceCandidate::deserialize(value).map_err(|error| problem(&error.to_string()))?
        }
        Some(_) => return Err(problem("it is no object")),
    };
    if let Some(attribute) = candidate.candidate.strip_prefix("a=") {
        candidate.candidate = attribute.into();
    }
    if candidate.candidate.is_empty() || is_candidate_attribute(&candidate.candidate) {
        Ok(candidate)
    } else {
        Err(problem("it is no candidate attribute"))
    }
}

/// The fixed part of the `candidate` attribute's grammar, RFC 8839 section 5.1.
fn is_candidate_attribute(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("candidate:") else { return false };
    let tokens: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [foundation, component, transport, priority, address, port, typ, kind, ..] = tokens[..] else {
        return false;
    };
    (1..=32).contains(&foundation.len())
        && component.parse::<u16>().is_ok_and(|component| (1..=256).contains(&component))
        && transport.bytes().all(|byte| byte.is_ascii_graphic())
        && priority.parse::<u32>().is_ok()
        && address.bytes().all(|byte| byte.is_ascii_graphic())
        && port.parse::<u16>().is_ok()
        && typ == "typ"
        && kind.bytes().all(|byte| byte.is_ascii_graphic())
}

fn description_value(description: &SessionDescription) -> Value {
    let kind = match description.kind {
        SdpKind::Offer => "offer",
        SdpKind::Answer => "answer",
    };
    let mut value = serde_json::json!({ "type": kind, "sdp": description.sdp });
    if let Some(answers) = &description.answers {
        value["answers"] = answers.as_str().into();
    }
    value
}

fn candidate_value(candidate: &IceCandidate) -> Value {
    serde_json::json!({
        "candidate": candidate.candidate,
        "sdpMid": candidate.sdp_mid,
        "sdpMLineIndex": candidate.sdp_m_line_index,
        "usernameFragment": candidate.username_fragment,
    })
}

fn reason_text(reason: HangUpReason) -> &'static str {
    match reason {
        HangUpReason::Ended => "ended",
        HangUpReason::Declined => "declined",
        HangUpReason::Busy => "busy",
        HangUpReason::NoAnswer => "no-answer",
        HangUpReason::Cancelled => "cancelled",
        HangUpReason::Failed => "failed",
    }
}
