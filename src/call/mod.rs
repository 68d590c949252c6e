//! `Call`: the sans-IO state machine of one call. Events in, actions out, time as a parameter.
//!
//! Driven by the engine, which feeds it what users, signaling and the peer connection say, and carries out its
//! actions in order. It never does I/O, never reads a clock and never looks at media.
//!
//! Reading order: [`State`] and the diagram at [`Call`]; `machine` (the table of every state and event);
//! `transitions` (what each entry of the table does); `recovery` (how a lost path is repaired); `negotiation` (offers and
//! answers inside the call); `candidates` (which candidate has to wait for which description).
//!
//! What is left to the engine: telling its calls apart by [`CallId`] and peer, refusing other callers as busy,
//! handing an offer from the very peer that is being dialed to the call instead of ringing a second
//! time, ignoring the late offers of a call that has ended, and answering an answer that belongs to no call with a
//! hang-up.

mod candidates;
mod limits;
mod machine;
mod negotiation;
mod recovery;
mod state;
#[cfg(test)]
mod tests;
mod transitions;

pub use limits::*;
pub use machine::Call;
pub use state::{Direction, EndReason, State};

use crate::protocol::{IceCandidate, SessionDescription, Signal};

/// Tells one call from another within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// What happens to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The user (or the accept policy) answers the ringing call.
    Answer {
        /// Send our picture.
        video: bool,
    },
    /// The user calls the very peer that rings here, or whose call was just answered: answers it, and if it turns out
    /// to have been taken back, the other side is called.
    CallBack {
        /// Send our picture.
        video: bool,
    },
    /// The user refuses the ringing call.
    Decline,
    /// The user ends the call.
    HangUp,
    /// The other side's signal; the engine has checked that it is from this call's peer.
    Signal(Signal),
    /// The other side is no longer online. Ends a call that is not yet connected; a connected one goes on, for the
    /// media path does not need the server, and one that is being repaired has little time left.
    PeerLeft,
    /// The server could not deliver to the other side.
    Undeliverable,
    /// `Action::CreateOffer` is done: the offer is our local description.
    OfferCreated(SessionDescription),
    /// `Action::CreateAnswer` is done: the answer is our local description.
    AnswerCreated(SessionDescription),
    /// `Action::ApplyOffer` is done.
    OfferApplied,
    /// `Action::ApplyAnswer` is done.
    AnswerApplied,
    /// `Action::Rollback` is done.
    RolledBack,
    /// An operation on the peer connection failed.
    OperationFailed {
        /// What failed, in words.
        reason: String,
    },
    /// This machine's network changed, or the machine has slept.
    NetworkChanged {
        /// The address that the media path begins at is gone.
        cut_off: bool,
    },
    /// The signaling server is out of reach, or there is reason to think so.
    SignalingLost,
    /// The signaling server answers.
    SignalingBack,
    /// The peer connection asks for a new negotiation.
    NegotiationNeeded {
        /// With new ICE credentials.
        ice_restart: bool,
    },
    /// ICE found a local candidate.
    CandidateGathered(IceCandidate),
    /// The state of the media path changed.
    Connectivity(Connectivity),
    /// The remote description's media that the other side sends.
    RemoteTracks {
        /// Sends sound.
        audio: bool,
        /// Sends a picture.
        video: bool,
    },
    /// The user refused access to camera or microphone: the same as cancelling.
    MediaRefused,
}

/// State of the media path (ICE and DTLS together), `RTCPeerConnectionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// Being set up.
    Connecting,
    /// Media can flow.
    Connected,
    /// No answers lately; it may come back.
    Disconnected,
    /// It will not come back by itself.
    Failed,
    /// Closed.
    Closed,
}

/// What the engine is to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this to the other side.
    Send(Signal),
    /// Make the peer connection.
    OpenPeer,
    /// Throw the peer connection away and make a new one; events of the old one are strangers.
    ReplacePeer,
    /// Open microphone and, if `video`, camera: for the preview, nothing goes to the wire.
    OpenMedia {
        /// With the camera.
        video: bool,
    },
    /// Create an offer and set it as the local description.
    CreateOffer {
        /// With new ICE credentials.
        ice_restart: bool,
    },
    /// Set the remote offer.
    ApplyOffer(SessionDescription),
    /// Create an answer and set it as the local description.
    CreateAnswer,
    /// Set the remote answer.
    ApplyAnswer(SessionDescription),
    /// Take our pending offer back.
    Rollback,
    /// Hand a remote candidate to ICE.
    AddCandidate(IceCandidate),
    /// Both sides have accepted: media may go to the wire.
    StartSending,
    /// Close everything that the call opened. Given exactly once, after which no action follows.
    Release,
}
