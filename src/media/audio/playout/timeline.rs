//! One unbroken run of a sender's clock: sequence numbers and timestamps beyond their wrap.
//!
//! Driven by the playout; knows nothing of sound.

/// Sequence numbers may jump this far (`MAX_DROPOUT` of RFC 3550 appendix A.1), or back this far (`MAX_MISORDER`).
const MAX_DROPOUT: i64 = 3000;
const MAX_MISORDER: i64 = 100;
/// Packets in a row that come too late before the timeline is taken to have moved, and begins anew: 0.5 s.
const LATE_RUN: u32 = 25;

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Extended sequence number and timestamp.
    At(i64, i64),
    /// A jump that the next packet must confirm.
    Doubtful,
    /// A jump, confirmed: another timeline.
    Elsewhere,
}

/// See the module.
pub(super) struct Timeline {
    pub(super) ssrc: u32,
    /// Sequence number that continues what was decoded.
    pub(super) next_sequence: i64,
    /// Timestamp after what was decoded or given up.
    pub(super) decoded_to: i64,
    /// Something was played.
    pub(super) started: bool,
    /// Newest packet: extended sequence number and timestamp.
    newest: (i64, i64),
    /// Sequence number that would confirm a jump.
    probation: Option<u16>,
    late_run: u32,
}

impl Timeline {
    /// Begins with this packet.
    pub(super) fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        let (sequence, timestamp) = (i64::from(sequence), i64::from(timestamp));
        Self {
            ssrc,
            next_sequence: sequence,
            decoded_to: timestamp,
            started: false,
            newest: (sequence, timestamp),
            probation: None,
            late_run: 0,
        }
    }

    /// Where the timeline's first packet stands.
    pub(super) fn head(&self) -> (i64, i64) {
        self.newest
    }

    /// Extends both numbers by their distance to the newest packet.
    pub(super) fn place(&mut self, sequence: u16, timestamp: u32) -> Place {
        let (newest_sequence, newest_timestamp) = self.newest;
        let step = i64::from(sequence.wrapping_sub(newest_sequence as u16) as i16);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            // Two in order make the jump believable (RFC 3550 appendix A.1).
            if self.probation != Some(sequence) {
                self.probation = Some(sequence.wrapping_add(1));
                return Place::Doubtful;
            }
            return Place::Elsewhere;
        }
        self.probation = None;
        let timestamp_step = i64::from(timestamp.wrapping_sub(newest_timestamp as u32) as i32);
        Place::At(newest_sequence + step, newest_timestamp + timestamp_step)
    }

    /// Notes a packet that was accepted.
    pub(super) fn advance(&mut self, sequence: i64, timestamp: i64) {
        if sequence > self.newest.0 {
            self.newest = (sequence, timestamp);
        }
    }

    /// The first ones came out of order: begin with the earliest.
    pub(super) fn begin_earlier(&mut self, sequence: i64, timestamp: i64) {
        if !self.started && sequence < self.next_sequence {
            self.next_sequence = sequence;
            self.decoded_to = self.decoded_to.min(timestamp);
        }
    }

    /// Notes a packet that came after its turn. True if so many did that the timeline must have moved.
    pub(super) fn note_late(&mut self, sequence: i64) -> bool {
        let long_ago = sequence < self.next_sequence - MAX_MISORDER;
        self.late_run += 1;
        self.next_sequence = self.next_sequence.max(sequence + 1);
        self.late_run >= LATE_RUN && !long_ago
    }

    /// Notes a packet that came before its turn.
    pub(super) fn note_in_time(&mut self) {
        self.late_run = 0;
    }
}
