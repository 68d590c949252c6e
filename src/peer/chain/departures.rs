//! What left, by transport-wide sequence number, until the remote tells what became of it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Driven by [`super::transport`]; it knows neither clocks nor packets.

use crate::peer::rate::Outcome;
use rtc::interceptor::convert_twcc;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use std::collections::VecDeque;
use std::time::Instant;

/// Packets remembered until the remote tells of them: several seconds at the highest rate. The oldest goes first.
const HISTORY: usize = 4096;

/// What is known of a packet's fate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Reported as lost. It may still arrive: it was overtaken then.
    Missed,
    /// Reported as arrived.
    Settled,
}

struct Sent {
    departed: Instant,
    octets: usize,
    cluster: Option<u32>,
    picture: bool,
    fate: Fate,
}

/// What a feedback tells that was not known.
#[derive(Default)]
pub(super) struct News {
    /// In the order of sending.
    pub(super) outcomes: Vec<Outcome>,
    /// When the newest packet that it reports as arrived had left.
    pub(super) newest: Option<Instant>,
    /// When the oldest packet of a picture that it reports as lost had left.
    pub(super) lost_picture: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Departures {
    /// Number of the oldest packet, without rollover.
    first: u64,
    sent: VecDeque<Sent>,
}

impl Departures {
    /// The number of the next packet, which departs now; whether it is part of a `picture`.
    pub(super) fn depart(&mut self, now: Instant, octets: usize, cluster: Option<u32>, picture: bool) -> u16 {
        if self.sent.len() == HISTORY {
            self.sent.pop_front();
            self.first += 1;
        }
        let number = self.first + self.sent.len() as u64;
        self.sent.push_back(Sent { departed: now, octets, cluster, picture, fate: Fate::Unknown });
        number as u16
    }

    /// The packet with this number, if it is known: the newest that it can mean.
    fn find(&mut self, number: u16) -> Option<&mut Sent> {
        let next = self.first + self.sent.len() as u64;
        let back = u64::from((next as u16).wrapping_sub(number));
        let index = next.checked_sub(back)?.checked_sub(self.first)?;
        self.sent.get_mut(usize::try_from(index).ok()?)
    }

    /// What a feedback tells.
    pub(super) fn handle_feedback(&mut self, feedback: &TransportLayerCc) -> News {
        let mut news = News::default();
        // The last chunk has room for more packets than the feedback is about (section 3.1.4): its rest would read as
        // the loss of packets that are still on their way.
        let count = usize::from(feedback.packet_status_count);
        for acknowledgement in convert_twcc(feedback).into_iter().take(count) {
            let Some(sent) = self.find(acknowledgement.sequence_number) else {
                continue;
            };
            let before = sent.fate;
            if before == Fate::Settled || (before == Fate::Missed && !acknowledgement.arrived) {
                continue;
            }
            sent.fate = if acknowledgement.arrived { Fate::Settled } else { Fate::Missed };
            if acknowledgement.arrived {
                news.newest = news.newest.max(Some(sent.departed));
                // Without a time it counts neither as lost nor as arrived.
                if acknowledgement.arrival.is_none() {
                    continue;
                }
            } else if sent.picture {
                news.lost_picture.get_or_insert(sent.departed);
            }
            news.outcomes.push(Outcome {
                departed: sent.departed,
                arrived: acknowledgement.arrival,
                octets: sent.octets,
                cluster: sent.cluster,
                late: before == Fate::Missed,
            });
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    };
    use std::time::Duration;

    /// A report on the first packets, in order: which of them arrived.
    fn report(arrived: &[bool]) -> TransportLayerCc {
        let small = SymbolTypeTcc::PacketReceivedSmallDelta;
        let symbol = |arrived: &bool| if *arrived { small } else { SymbolTypeTcc::PacketNotReceived };
        let delta = |_| RecvDelta { type_tcc_packet: small, delta: 250 };
        TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 2,
            base_sequence_number: 0,
            packet_status_count: arrived.len() as u16,
            reference_time: 0,
            fb_pkt_count: 0,
            packet_chunks: vec![PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list: arrived.iter().map(symbol).collect(),
            })],
            recv_deltas: arrived.iter().filter(|arrived| **arrived).map(delta).collect(),
        }
    }

    #[test]
    fn the_sound_behind_it_tells_that_a_picture_is_lost() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut departures = Departures::default();
        for (milliseconds, picture) in [(0, false), (10, false), (20, true), (22, true), (40, false)] {
            departures.depart(at(milliseconds), 100, None, picture);
        }
        let news = departures.handle_feedback(&report(&[true, false]));
        assert_eq!((news.outcomes.len(), news.newest, news.lost_picture), (2, Some(at(0)), None), "sound");
        let news = departures.handle_feedback(&report(&[true, false, false, false, true]));
        assert_eq!((news.outcomes.len(), news.newest), (3, Some(at(40))));
        assert_eq!(news.lost_picture, Some(at(20)), "the oldest of them");
        let again = departures.handle_feedback(&report(&[true, false, false, false, true]));
        assert_eq!((again.outcomes.len(), again.lost_picture), (0, None), "that was known");
    }
}
