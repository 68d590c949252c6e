//! Congestion feedback to the remote, at intervals that follow what arrives.
//!
//! The crate's receiver notes every arrival and writes the feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01),
//! but knows one interval only; [`ReportInterval`] decides when it is asked for one.

use crate::peer::rate::ReportInterval;
use rtc::interceptor::{
    Interceptor, Packet, StreamInfo, TaggedPacket, TwccReceiverBuilder, TwccReceiverInterceptor,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::time::{Duration, Instant};

/// Octets around an RTP packet: SRTP tag, UDP and IPv4 headers.
const OVERHEAD: usize = 10 + 8 + 20;

/// See the module.
pub(in crate::peer) struct Feedback {
    receiver: TwccReceiverInterceptor,
    interval: ReportInterval,
}

impl Default for Feedback {
    fn default() -> Self {
        // Its own interval is over whenever it is asked.
        let receiver = TwccReceiverBuilder::new().with_interval(Duration::ZERO).build();
        Self { receiver, interval: ReportInterval::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet {
            self.interval.handle_packet(tagged.now, packet.marshal_size() + OVERHEAD);
        }
        self.receiver.handle_read(tagged)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.receiver.poll_read()
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.receiver.handle_write(tagged)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.receiver.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.interval.handle_timeout(now) { self.receiver.handle_timeout(now) } else { Ok(()) }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.interval.poll_timeout()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.receiver.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.receiver.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.receiver.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.receiver.unbind_remote_stream(info);
    }
}
