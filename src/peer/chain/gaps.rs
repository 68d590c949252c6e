//! The packets missing from one stream: which to ask for, when, and when to stop. Sans-IO.
//!
//! Driven by [`super::request`]. A packet is asked for when it cannot merely have been overtaken any more
//! ([`Reordering`]), again when its repair is overdue by the measured time of repairs (the retransmission timer of
//! RFC 6298, with its rule of Karn), and no more when it was asked for too often, is too old, or the picture has given
//! it up. A gap that a keyframe closes sooner is not asked for at all.
//!
//! While parities come ([`crate::peer::fec`]), a packet is not asked for before the first of them that covers it: most
//! losses are mended by then. One that comes and does not mend is the word to ask at once.

use super::reordering::Reordering;
use crate::media::reception::Horizon;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A packet is asked for this often at most. At 20 % loss one packet in two million needs more.
const MAX_REQUESTS: u8 = 9;
/// A packet of sound, so often: it cannot wait as a picture can, and a second request brings no more (see
/// [`super::request`]).
const MAX_SOUND_REQUESTS: u8 = 1;
/// Longest round trip on which sound is asked for: a listener bears 150 ms (ITU-T G.114), and some of it is spent
/// elsewhere.
const MAX_SOUND_RTT: Duration = Duration::from_millis(100);
/// Where packets of sound carry earlier ones, what is missing is not asked for until so many have come that carry none:
/// a second of speech, and far more of a pause, of which few are sent and none carries.
const CARRIED_FOR: u32 = 50;
/// A packet that has been missing for this long is of no use any more; the picture gives up sooner as a rule.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Packets that may be missing at once, whatever the picture's own limit. Beyond it, all are given up.
const MAX_MISSING: usize = 600;
/// Round-trip time that is assumed until it is measured (libwebrtc `kDefaultRttMs`).
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// Bounds of the time between two requests for one packet.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// On a path where a repair takes this long, a request is said twice, the second time after a quarter of it: a lost
/// request costs a whole round trip, and a few octets prevent it. Who repairs ignores the second (he must not repeat
/// himself within a round trip: libwebrtc's and our own do not).
const REPEAT_FROM: Duration = Duration::from_millis(40);
/// Without a parity for so long none is waited for any more.
const PARITY_SILENCE: Duration = Duration::from_secs(1);
/// How long a parity is waited for until it is known how long they take: two pictures at 30 a second.
const PARITY_WAIT: Duration = Duration::from_millis(66);
/// And at most, however long they take: asking in vain costs some octets, not asking a round trip more.
const MAX_PARITY_WAIT: Duration = Duration::from_millis(150);
/// The clock's grain in the retransmission timer (G of RFC 6298): timers and threads are this late as a rule.
const GRAIN: Duration = Duration::from_millis(5);
/// Sequence numbers of which it is remembered whether they came, to tell duplicates from late arrivals.
const WINDOW: i64 = 2048;

struct Missing {
    since: Instant,
    requests: u8,
    asked: Option<Instant>,
    due: Instant,
    /// The last request is said once more at this time: it may have been lost itself.
    repeat: Option<Instant>,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peer) enum Noted {
    /// The next one, or one further on.
    New,
    /// One that had been overtaken.
    Overtaken,
    /// One that was missing and asked for.
    Repaired,
    /// One that was here already.
    Duplicate,
    /// One that had been given up.
    Late,
    /// One that parities gave back.
    Restored,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peer) enum Way {
    /// As it was sent, as far as is known.
    Itself,
    /// As a retransmission.
    Repair,
    /// Out of parities.
    Parity,
}

/// Smoothed time from request to repair, and from loss to parity (RFC 6298 section 2).
#[derive(Debug, Default)]
struct RepairTime(Option<(f64, f64)>);

/// When parities come.
#[derive(Debug, Default)]
struct Parities {
    heard: Option<Instant>,
    time: RepairTime,
}

impl Parities {
    /// How long the first parity over a packet just found missing is to be waited for.
    fn wait(&self, now: Instant) -> Duration {
        let comes = self.heard.is_some_and(|at| now.saturating_duration_since(at) < PARITY_SILENCE);
        match self.time.0 {
            _ if !comes => Duration::ZERO,
            None => PARITY_WAIT,
            Some((mean, deviation)) => {
                let wait = mean + (4.0 * deviation).max(GRAIN.as_secs_f64());
                Duration::from_secs_f64(wait).min(MAX_PARITY_WAIT)
            }
        }
    }
}

impl RepairTime {
    fn sample(&mut self, time: Duration) {
        let sample = time.as_secs_f64();
        self.0 = Some(match self.0 {
            None => (sample, sample / 2.0),
            Some((mean, deviation)) => {
                (mean + (sample - mean) / 8.0, deviation + ((sample - mean).abs() - deviation) / 4.0)
            }
        });
    }

    /// When a repair is overdue.
    fn timeout(&self, rtt: Option<Duration>) -> Duration {
        let (mean, deviation) = self.0.unwrap_or_else(|| {
            let rtt = rtt.unwrap_or(DEFAULT_RTT).as_secs_f64();
            (rtt, rtt / 16.0)
        });
        let mean = mean.max(rtt.unwrap_or_default().as_secs_f64());
        let timeout = Duration::from_secs_f64(mean + (4.0 * deviation).max(GRAIN.as_secs_f64()));
        timeout.clamp(INTERVAL.0, INTERVAL.1)
    }
}

/// See the module.
pub(in crate::peer) struct Gaps {
    /// Retransmissions come on a stream of their own, so an original is known for one.
    marked_repairs: bool,
    sound: bool,
    /// Missing sound comes by itself for so many packets more.
    carried_for: u32,
    highest: Option<i64>,
    missing: BTreeMap<i64, Missing>,
    /// Which of the last [`WINDOW`] sequence numbers came, one bit each.
    seen: [u64; WINDOW as usize / 64],
    reordering: Reordering,
    repair_time: RepairTime,
    parities: Parities,
    rtt: Option<Duration>,
}

impl Gaps {
    /// `marked_repairs`: repairs can be told from originals (RFC 4588).
    pub(in crate::peer) fn new(marked_repairs: bool) -> Self {
        Self {
            marked_repairs,
            sound: false,
            carried_for: 0,
            highest: None,
            missing: BTreeMap::new(),
            seen: [0; WINDOW as usize / 64],
            reordering: Reordering::default(),
            repair_time: RepairTime::default(),
            parities: Parities::default(),
            rtt: None,
        }
    }

    /// The same for sound, which is asked for once, and only on a short path.
    pub(in crate::peer) fn for_sound(marked_repairs: bool) -> Self {
        Self { sound: true, ..Self::new(marked_repairs) }
    }

    /// Whether it is sound.
    pub(in crate::peer) fn is_sound(&self) -> bool {
        self.sound
    }

    /// A packet of sound came, which carries an earlier one or not. If so, what is missing comes with the next ones,
    /// sooner than if asked for.
    pub(in crate::peer) fn note_carrier(&mut self, carries: bool) {
        self.carried_for = if carries { CARRIED_FOR } else { self.carried_for.saturating_sub(1) };
    }

    /// The round-trip time as the transport has measured it.
    pub(in crate::peer) fn set_rtt(&mut self, rtt: Option<Duration>) {
        self.rtt = rtt;
    }

    /// Packets missing at present.
    #[cfg(test)]
    pub(in crate::peer) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Notes the arrival of a packet. Gaps of more than `limit` packets are left to a keyframe.
    pub(in crate::peer) fn note(&mut self, now: Instant, sequence: u16, way: Way, limit: usize) -> Noted {
        let Some(highest) = self.highest else {
            let extended = i64::from(sequence);
            self.highest = Some(extended);
            self.mark(extended);
            return Noted::New;
        };
        let extended = highest + i64::from(sequence.wrapping_sub(highest as u16) as i16);
        if extended <= highest {
            return self.note_old(now, extended, highest, way);
        }
        self.miss(now, highest, extended, limit);
        self.mark(extended);
        self.highest = Some(extended);
        if way == Way::Parity { Noted::Restored } else { Noted::New }
    }

    /// Something after `highest` came: what is between it and `end` is missing.
    fn miss(&mut self, now: Instant, highest: i64, end: i64, limit: usize) {
        for number in highest + 1..=end.min(highest + WINDOW) {
            self.unmark(number);
        }
        let gap = (end - highest - 1) as usize;
        if gap + self.missing.len() > limit.min(MAX_MISSING) {
            self.missing.clear();
            return;
        }
        let due = now + self.reordering.wait().max(self.parities.wait(now));
        for lost in highest + 1..end {
            self.missing.insert(lost, Missing { since: now, requests: 0, asked: None, due, repeat: None });
        }
    }

    /// A parity over these packets came, in order, and mended what it could: those that are missing still are asked for
    /// now. The last ones of a picture are known to be missing by nothing else until the next picture comes.
    pub(in crate::peer) fn note_parity(
        &mut self,
        now: Instant,
        covered: impl Iterator<Item = u16>,
        limit: usize,
    ) {
        self.parities.heard = Some(now);
        let Some(mut highest) = self.highest else { return };
        let ask = now + self.reordering.wait();
        for sequence in covered {
            let extended = highest + i64::from(sequence.wrapping_sub(highest as u16) as i16);
            if extended > highest {
                self.miss(now, highest, extended + 1, limit);
                highest = extended;
                self.highest = Some(extended);
            }
            if let Some(missing) = self.missing.get_mut(&extended).filter(|missing| missing.requests == 0) {
                self.parities.time.sample(now.saturating_duration_since(missing.since));
                missing.due = missing.due.min(ask);
            }
        }
    }

    fn note_old(&mut self, now: Instant, extended: i64, highest: i64, way: Way) -> Noted {
        if let Some(missing) = self.missing.remove(&extended) {
            self.mark(extended);
            if way == Way::Parity {
                self.reordering.note_lost();
                if missing.requests == 0 {
                    self.parities.time.sample(now.saturating_duration_since(missing.since));
                }
                return Noted::Restored;
            }
            let repair = way == Way::Repair;
            let waited = missing.asked.map(|asked| now.saturating_duration_since(asked));
            let repaired = match waited {
                Some(_) if self.marked_repairs => repair,
                // Sooner than a repair can be here.
                Some(waited) => waited >= self.rtt.unwrap_or(DEFAULT_RTT) / 2,
                None => repair,
            };
            if !repaired {
                self.reordering.note_overtaken(now.saturating_duration_since(missing.since));
                return Noted::Overtaken;
            }
            self.reordering.note_lost();
            // Karn: a repair after two requests does not say which of them it answers.
            if let (Some(waited), 1) = (waited, missing.requests) {
                self.repair_time.sample(waited);
            }
            return Noted::Repaired;
        }
        if highest - extended >= WINDOW || self.is_marked(extended) {
            return Noted::Duplicate;
        }
        self.mark(extended);
        if way == Way::Parity { Noted::Restored } else { Noted::Late }
    }

    /// What is missing before this is no longer wanted.
    pub(in crate::peer) fn abandon(&mut self, horizon: Horizon) {
        if self.missing.is_empty() {
            return;
        }
        let Some(highest) = self.highest else { return };
        let first = highest + i64::from(horizon.sequence.wrapping_sub(highest as u16) as i16);
        while let Some(entry) = self.missing.first_entry().filter(|entry| *entry.key() < first) {
            entry.remove();
        }
    }

    /// Appends the sequence numbers to ask for now, in order.
    pub(in crate::peer) fn poll_requests(&mut self, now: Instant, wanted: &mut Vec<u16>) {
        if self.sound && (self.carried_for > 0 || self.rtt.unwrap_or(DEFAULT_RTT) > MAX_SOUND_RTT) {
            self.missing.clear();
            return;
        }
        let most = if self.sound { MAX_SOUND_REQUESTS } else { MAX_REQUESTS };
        let repeated = !self.sound;
        let timeout = self.repair_time.timeout(self.rtt);
        let reordering = &mut self.reordering;
        self.missing.retain(|_, missing| {
            let live = now.saturating_duration_since(missing.since) < MAX_AGE
                && (missing.requests < most || missing.due > now);
            if !live {
                reordering.note_lost();
            }
            live
        });
        for (sequence, missing) in &mut self.missing {
            if missing.due <= now && missing.requests < most {
                missing.requests += 1;
                missing.asked = Some(now);
                missing.due = now + timeout;
                missing.repeat = (repeated && timeout >= REPEAT_FROM).then(|| now + timeout / 4);
                wanted.push(*sequence as u16);
            } else if missing.repeat.is_some_and(|repeat| repeat <= now) {
                missing.repeat = None;
                wanted.push(*sequence as u16);
            }
        }
    }

    /// When [`Self::poll_requests`] is to be called next.
    pub(in crate::peer) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.repeat.unwrap_or(missing.due).min(missing.due)).min()
    }

    fn bit(number: i64) -> (usize, u64) {
        let place = number.rem_euclid(WINDOW) as usize;
        (place / 64, 1 << (place % 64))
    }

    fn mark(&mut self, number: i64) {
        let (word, bit) = Self::bit(number);
        self.seen[word] |= bit;
    }

    fn unmark(&mut self, number: i64) {
        let (word, bit) = Self::bit(number);
        self.seen[word] &= !bit;
    }

    fn is_marked(&self, number: i64) -> bool {
        let (word, bit) = Self::bit(number);
        self.seen[word] & bit != 0
    }
}
