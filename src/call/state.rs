//! Where a call stands, and the ways in which it can end.

use crate::protocol::HangUpReason;

/// Whose idea the call was. Two calls that crossed and became one keep the direction they began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other side called.
    Incoming,
    /// We called.
    Outgoing,
}

/// Where the call stands; see the diagram at [`Call`](super::Call). "Idle" is the absence of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// We called; the other side has not answered.
    Dialing,
    /// The other side called; we have not answered.
    Ringing,
    /// Both accepted; the media path is being made.
    Connecting,
    /// Media can flow.
    Connected,
    /// The media path broke and is being repaired.
    Reconnecting,
    /// Over, for ever.
    Ended(EndReason),
}

/// Why a call ended, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The user hung up.
    LocalHangUp,
    /// The other side hung up.
    RemoteHangUp,
    /// The user refused the call.
    DeclinedByUs,
    /// The other side refused the call.
    Declined,
    /// The other side is in another call.
    Busy,
    /// We called and nobody answered.
    NoAnswer,
    /// We were called and did not answer.
    Missed,
    /// The user took the call back before it was answered, or refused access to camera and microphone.
    Cancelled,
    /// The caller took the call back before it was answered.
    GaveUp,
    /// Both called each other, again and again, and the other side's program could not settle it.
    GlareLost,
    /// Our end could not set up the media; says why.
    MediaFailed(String),
    /// The other end could not set up or keep the media.
    RemoteFailed,
    /// No path for the media was found, or it broke and did not come back.
    NetworkFailed,
    /// The other side went offline.
    PeerLeft,
    /// The other side stopped sending both sound and picture, which ends the call as in the article.
    TracksGone,
}

impl EndReason {
    /// The reason as a sentence for the user; `peer` is the other side's name.
    pub fn sentence(&self, peer: &str) -> String {
        match self {
            Self::LocalHangUp => format!("You ended the call with {peer}."),
            Self::RemoteHangUp => format!("{peer} hung up."),
            Self::DeclinedByUs => format!("You declined the call from {peer}."),
            Self::Declined => format!("{peer} declined."),
            Self::Busy => format!("{peer} is in another call."),
            Self::NoAnswer => format!("{peer} did not answer."),
            Self::Missed => format!("You missed a call from {peer}."),
            Self::Cancelled => format!("You cancelled the call with {peer}."),
            Self::GaveUp => format!("{peer} gave up."),
            Self::GlareLost => {
                format!("You and {peer} called each other at the same time. Please call again.")
            }
            Self::MediaFailed(reason) => format!("The call with {peer} could not be set up: {reason}."),
            Self::RemoteFailed => format!("{peer}'s end could not keep the call going."),
            Self::NetworkFailed => format!("No network path to {peer} could be found or kept."),
            Self::PeerLeft => format!("{peer} went offline."),
            Self::TracksGone => format!("{peer} stopped sending sound and picture."),
        }
    }

    /// What a hang-up that arrives in `state` means; `None` if it does not concern the call.
    ///
    /// A stock page's hang-up has no reason: what it means follows from the state alone.
    pub(super) fn of_remote_hang_up(state: &State, reason: Option<HangUpReason>) -> Option<Self> {
        use HangUpReason as R;
        match (state, reason) {
            // A caller cancels its own offer. While we dial, that is one that crossed ours, and ours still stands.
            (State::Dialing, Some(R::Cancelled)) => None,
            (State::Dialing, None | Some(R::Declined)) => Some(Self::Declined),
            (State::Dialing, Some(R::NoAnswer)) => Some(Self::NoAnswer),
            (State::Dialing, Some(R::Ended)) => Some(Self::RemoteHangUp),
            // The caller's clock ran out a moment before ours.
            (State::Ringing, Some(R::NoAnswer)) => Some(Self::Missed),
            // Whatever the caller says, a call that nobody is at must stop ringing.
            (State::Ringing, None | Some(R::Cancelled | R::Ended | R::Declined | R::Busy)) => {
                Some(Self::GaveUp)
            }
            (State::Connecting, Some(R::Cancelled)) => Some(Self::GaveUp),
            (State::Connecting, Some(R::Declined)) => Some(Self::Declined),
            (State::Dialing | State::Connecting, Some(R::Busy)) => Some(Self::Busy),
            (State::Connecting, None | Some(R::Ended | R::NoAnswer)) => Some(Self::RemoteHangUp),
            (
                State::Connected | State::Reconnecting,
                None | Some(R::Ended | R::Declined | R::Busy | R::NoAnswer | R::Cancelled),
            ) => Some(Self::RemoteHangUp),
            (
                State::Dialing | State::Ringing | State::Connecting | State::Connected | State::Reconnecting,
                Some(R::Failed),
            ) => Some(Self::RemoteFailed),
            (State::Ended(_), None | Some(_)) => None,
        }
    }
}
