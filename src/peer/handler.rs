//! Hears the `webrtc` crate's events and passes them on. It is awaited inside the crate's driver, so it only does
//! `try_send`: waiting here would stop the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceCandidate, RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

/// Events that may wait for the connection's task: more than all candidates of many interfaces. When full, the
/// connection is reported as failed.
pub(super) const NOTICE_CAPACITY: usize = 128;

/// What the driver told.
#[derive(Debug)]
pub(super) enum Notice {
    Candidate(RTCIceCandidate),
    State(RTCPeerConnectionState),
}

/// See the module.
pub(super) struct Handler {
    notices: mpsc::Sender<Notice>,
    overflowed: Arc<AtomicBool>,
}

impl Handler {
    /// Passes events to `notices`; sets `overflowed` when one was lost.
    pub(super) fn new(notices: mpsc::Sender<Notice>, overflowed: Arc<AtomicBool>) -> Self {
        Self { notices, overflowed }
    }

    fn pass(&self, notice: Notice) {
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.notices.try_send(notice) {
            tracing::error!(?notice, "the connection's task is stuck: an event was lost");
            self.overflowed.store(true, Ordering::Release);
        }
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        self.pass(Notice::Candidate(event.candidate));
    }

    async fn on_ice_candidate_error(&self, event: RTCPeerConnectionIceErrorEvent) {
        tracing::debug!(?event, "a STUN or TURN server did not answer as it should");
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.pass(Notice::State(state));
    }

    async fn on_track(&self, _track: Arc<dyn TrackRemote>) {
        // Media leaves the chain before it reaches the track: see `chain::deliver`.
    }
}
