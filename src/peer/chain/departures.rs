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
    fate: Fate,
}

/// See the module.
#[derive(Default)]
pub(super) struct Departures {
    /// Number of the oldest packet, without rollover.
    first: u64,
    sent: VecDeque<Sent>,
}

impl Departures {
    /// The number of the next packet, which departs now.
    pub(super) fn depart(&mut self, now: Instant, octets: usize, cluster: Option<u32>) -> u16 {
        if self.sent.len() == HISTORY {
            self.sent.pop_front();
            self.first += 1;
        }
        let number = self.first + self.sent.len() as u64;
        self.sent.push_back(Sent { departed: now, octets, cluster, fate: Fate::Unknown });
        number as u16
    }

    /// The packet with this number, if it is known: the newest that it can mean.
    fn find(&mut self, number: u16) -> Option<&mut Sent> {
        let next = self.first + self.sent.len() as u64;
        let back = u64::from((next as u16).wrapping_sub(number));
        let index = next.checked_sub(back)?.checked_sub(self.first)?;
        self.sent.get_mut(usize::try_from(index).ok()?)
    }

    /// What a feedback tells that was not known, in the order of sending, and when the newest packet that it reports as
    /// arrived had left.
    pub(super) fn handle_feedback(&mut self, feedback: &TransportLayerCc) -> (Vec<Outcome>, Option<Instant>) {
        let mut outcomes = Vec::new();
        let mut newest: Option<Instant> = None;
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
                newest = Some(newest.map_or(sent.departed, |newest| newest.max(sent.departed)));
                // Without a time it counts neither as lost nor as arrived.
                if acknowledgement.arrival.is_none() {
                    continue;
                }
            }
            outcomes.push(Outcome {
                departed: sent.departed,
                arrived: acknowledgement.arrival,
                octets: sent.octets,
                cluster: sent.cluster,
                late: before == Fate::Missed,
            });
        }
        (outcomes, newest)
    }
}
