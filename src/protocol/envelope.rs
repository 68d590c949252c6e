//! A message as the server sees it: a JSON object kept whole, so that unknown fields and types pass untouched.

use serde_json::{Map, Value};

/// The values of `type` that this program knows.
pub mod kind {
    /// Server to client: the number of the connection.
    pub const ID: &str = "id";
    /// Client to server: the name wished for. Server to client: someone signed in.
    pub const USERNAME: &str = "username";
    /// Server to client: the name given instead of the one wished for.
    pub const REJECT_USERNAME: &str = "rejectusername";
    /// Server to client: everyone online.
    pub const USER_LIST: &str = "userlist";
    /// Chat.
    pub const MESSAGE: &str = "message";
    /// A session description that proposes a call.
    pub const VIDEO_OFFER: &str = "video-offer";
    /// The session description that accepts it.
    pub const VIDEO_ANSWER: &str = "video-answer";
    /// An ICE candidate.
    pub const NEW_ICE_CANDIDATE: &str = "new-ice-candidate";
    /// The end of a call.
    pub const HANG_UP: &str = "hang-up";
    /// Extension: whether microphone and camera are on.
    pub const MEDIA_STATE: &str = "media-state";
    /// Extension: how large the sender shows the other side's picture.
    pub const VIEW: &str = "view";
    /// Extension: the sender hears nothing of the call's media; the other side answers if it is still in the call.
    pub const PATH_CHECK: &str = "path-check";
    /// Extension, server to client: the token by which this session can be resumed.
    pub const SESSION: &str = "session";
    /// Extension, server to client: someone signed in.
    pub const USER_JOINED: &str = "user-joined";
    /// Extension, server to client: someone left.
    pub const USER_LEFT: &str = "user-left";
    /// Extension, server to client: nobody of that name is online.
    pub const UNDELIVERABLE: &str = "undeliverable";
    /// Extension, server to client: what was wrong with a message, in words.
    pub const ERROR: &str = "error";

    /// What only the server may say: relayed from a client it would deceive the others.
    pub(crate) const OF_THE_SERVER: [&str; 8] =
        [ID, REJECT_USERNAME, USER_LIST, SESSION, USER_JOINED, USER_LEFT, UNDELIVERABLE, ERROR];
    /// What concerns a call.
    pub(crate) const OF_A_CALL: [&str; 7] =
        [VIDEO_OFFER, VIDEO_ANSWER, NEW_ICE_CANDIDATE, HANG_UP, MEDIA_STATE, VIEW, PATH_CHECK];
}

/// Why a text is no message; the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON (RFC 8259).
    #[error("the message is not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("a message must be a JSON object")]
    NotAnObject,
    /// `type` is missing, empty or not a string.
    #[error("a message needs a \"type\", which is a non-empty string")]
    NoType,
    /// `target` is neither a string nor null.
    #[error("\"target\" must be the name of a user")]
    BadTarget,
}

/// A message: a JSON object with a `type`, and a `target` that is a name or absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    kind: String,
    target: Option<String>,
    fields: Map<String, Value>,
}

impl Envelope {
    /// Parses one message.
    ///
    /// # Errors
    /// When it is not a JSON object with a usable `type` and `target`.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let value = serde_json::from_str(text).map_err(|error| EnvelopeError::NotJson(error.to_string()))?;
        let Value::Object(fields) = value else { return Err(EnvelopeError::NotAnObject) };
        let kind = match fields.get("type") {
            Some(Value::String(kind)) if !kind.is_empty() => kind.clone(),
            _ => return Err(EnvelopeError::NoType),
        };
        // The article's page hangs up with `target: null`.
        let target = match fields.get("target") {
            None | Some(Value::Null) => None,
            Some(Value::String(target)) => Some(target.clone()).filter(|target| !target.is_empty()),
            Some(_) => return Err(EnvelopeError::BadTarget),
        };
        Ok(Self { kind, target, fields })
    }

    /// An empty message of this type.
    pub fn new(kind: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        Self { kind: kind.into(), target: None, fields }
    }

    /// The same with this field set; not for `type` and `target`.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.set(field, value);
        self
    }

    /// Sets a field; not for `type` and `target`.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        debug_assert!(field != "type" && field != "target", "these are fixed when the envelope is made");
        self.fields.insert(field.into(), value.into());
    }

    /// The same, addressed to this user.
    #[must_use]
    pub fn to(mut self, target: &str) -> Self {
        self.fields.insert("target".into(), target.into());
        self.target = Some(target.into()).filter(|target: &String| !target.is_empty());
        self
    }

    /// The `type`, never empty.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The user that it is for; `None`: everyone. Never empty.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// A field, whatever it holds.
    pub fn field(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// A field that is a string.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    /// A field that is an array, as those of its elements that are strings.
    pub fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        self.fields.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The message as it goes to the wire.
    pub fn to_json(&self) -> String {
        // `Value`'s alternate-free Display is its compact JSON text and cannot fail on a map with string keys.
        Value::Object(self.fields.clone()).to_string()
    }
}
