//! Where packets of sound leave for the transport, and where they come from.

use crate::media::ports::{EncodedAudio, ReceivedPacket, SendControl};
use std::sync::Arc;

/// The sound's side of the border to the transport.
pub struct AudioPorts {
    /// Encoded packets go here; when full, the newest is dropped and counted.
    pub out: tokio::sync::mpsc::Sender<EncodedAudio>,
    /// Received packets come from here, to a thread that must never wait by spinning (`urgency`).
    pub packets: tokio::sync::mpsc::Receiver<ReceivedPacket>,
    /// What the transport allows.
    pub control: Arc<SendControl>,
}
