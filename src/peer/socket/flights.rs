//! When a flight of the DTLS handshake is to be sent again.
//!
//! Sans-IO; driven by the sockets, which report what passes, and by their task, which waits and sends. The `webrtc`
//! crate repeats a flight after one second at the earliest, and forgets to when a part of the answer has come. A second
//! is right for a path of which nothing is known (RFC 6347 section 4.2.4.1); here the connectivity checks have just
//! measured the round trip, and a person is waiting. So the datagrams are repeated from outside, octet by octet: the
//! receiver drops those that it has had (section 4.1.2.6), and takes up what it missed. Never reads a clock, and never
//! changes an octet.
//!
//! A flight is repeated until something new comes in reply and the crate goes on with the next one, with intervals that
//! double; and at once when the other side repeats its own, which says that ours is lost. Whoever has said and heard
//! "finished" only does the latter: a client hears it last, so it repeats until then.

use super::datagram::{self, Record, Transaction};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The first interval before anything is known of the round trip: what libwebrtc begins with.
const UNKNOWN: Duration = Duration::from_millis(50);
/// What the other side may take to compute its reply, in the slowest of its flights.
const COMPUTING: Duration = Duration::from_millis(20);
/// The intervals double up to this one: the largest flight is then some 50 kbit/s, which is less than the sound that
/// follows it.
const LONGEST: Duration = Duration::from_millis(400);
/// Repetitions of one flight. Whoever has not answered by then, some ten seconds later, is not there; the crate's own
/// timer goes on.
const REPETITIONS: u32 = 26;
/// Datagrams of a flight that are kept; the largest of the crate's, with a chain of certificates, has half as many.
/// What would be more is not repeated.
const DATAGRAMS: usize = 16;
/// Checks whose answer may yet tell the round trip; the oldest is forgotten.
const CHECKS: usize = 64;

/// See the module. `Way` is how a datagram leaves the machine.
#[derive(Debug)]
pub(super) struct Flights<Way> {
    /// The newest flight, in order.
    flight: Vec<(Way, Vec<u8>)>,
    /// Something new has come since.
    answered: bool,
    /// When it was last sent, and is to be sent again.
    sent_at: Option<Instant>,
    due: Option<Instant>,
    interval: Duration,
    repetitions: u32,
    /// "Finished" has been said, and heard.
    said: bool,
    heard: bool,
    /// What has come.
    seen: [Window; 2],
    checks: VecDeque<(Transaction, Instant)>,
    /// The shortest round trip of a check.
    round_trip: Option<Duration>,
}

impl<Way> Default for Flights<Way> {
    fn default() -> Self {
        Self {
            flight: Vec::new(),
            answered: false,
            sent_at: None,
            due: None,
            interval: UNKNOWN,
            repetitions: 0,
            said: false,
            heard: false,
            seen: [Window::default(); 2],
            checks: VecDeque::new(),
            round_trip: None,
        }
    }
}

impl<Way: Clone> Flights<Way> {
    /// A datagram leaves. Whether [`Self::poll_timeout`] has changed.
    pub(super) fn handle_sent(&mut self, way: Way, datagram: &[u8], now: Instant) -> bool {
        let inner = datagram::unwrapped(datagram);
        if let Some(check) = datagram::check(inner) {
            self.checks.push_back((check, now));
            if self.checks.len() > CHECKS {
                self.checks.pop_front();
            }
            return false;
        }
        let records: Vec<Record> = datagram::handshake_records(inner).collect();
        let Some(first) = records.first() else { return false };
        // The crate's own repetition has other numbers, but the same messages.
        let again = first.message.is_some()
            && self.flight.iter().any(|(_, known)| begins_with(datagram::unwrapped(known), first.message));
        if self.answered || again {
            self.flight.clear();
        }
        if self.flight.is_empty() {
            self.repetitions = 0;
            self.interval = self.first_interval();
        }
        if self.flight.len() < DATAGRAMS {
            self.flight.push((way, datagram.to_vec()));
        }
        self.answered = false;
        self.said |= records.iter().any(is_finished);
        self.sent_at = Some(now);
        self.due = (!self.is_over()).then(|| now + self.interval);
        true
    }

    /// A datagram comes. Whether [`Self::poll_timeout`] has changed.
    pub(super) fn handle_received(&mut self, datagram: &[u8], now: Instant) -> bool {
        let inner = datagram::unwrapped(datagram);
        if let Some(answer) = datagram::check_answer(inner) {
            self.measure(answer, now);
            return false;
        }
        let before = self.due;
        let (mut any, mut new) = (false, false);
        for record in datagram::handshake_records(inner) {
            any = true;
            let epoch = usize::from(record.epoch.min(1));
            new |= self.seen[epoch].is_new(record.number);
            self.heard |= is_finished(&record);
        }
        if !any {
            return false;
        }
        self.answered |= new;
        if self.is_over() {
            self.due = None;
        }
        // Unless it crossed ours on the way.
        let crossed = self.sent_at.is_none_or(|sent| now.saturating_duration_since(sent) < self.crossing());
        if !new && !self.answered && !crossed && self.repetitions < REPETITIONS {
            self.due = Some(now);
        }
        self.due != before
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be sent again now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(Way, Vec<u8>)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.repetitions += 1;
        self.sent_at = Some(now);
        self.interval = (self.interval * 2).min(LONGEST);
        self.due = (!self.is_over() && self.repetitions < REPETITIONS).then(|| now + self.interval);
        tracing::debug!(repetition = self.repetitions, "a flight of the handshake is sent again");
        self.flight.clone()
    }

    /// The handshake is complete on this side.
    pub(super) fn is_over(&self) -> bool {
        self.said && self.heard
    }

    /// Long enough for the reply, by the best that is known.
    fn first_interval(&self) -> Duration {
        self.round_trip.map_or(UNKNOWN, |trip| (trip * 3 / 2 + COMPUTING).min(LONGEST))
    }

    /// What comes so soon after a flight of ours was sent before that arrived.
    fn crossing(&self) -> Duration {
        self.round_trip.map_or(UNKNOWN / 2, |trip| trip * 3 / 4)
    }

    fn measure(&mut self, answer: Transaction, now: Instant) {
        if let Some(index) = self.checks.iter().position(|(check, _)| *check == answer)
            && let Some((_, sent)) = self.checks.remove(index)
        {
            let trip = now.saturating_duration_since(sent);
            self.round_trip = Some(self.round_trip.map_or(trip, |known| known.min(trip)));
        }
    }
}

/// The only message of a handshake that is sent after the change of cipher.
fn is_finished(record: &Record) -> bool {
    record.is_handshake && record.epoch > 0
}

fn begins_with(datagram: &[u8], message: Option<(u16, u32)>) -> bool {
    datagram::handshake_records(datagram).next().is_some_and(|record| record.message == message)
}

/// Which of the newest 64 numbers of an epoch have come.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: Option<u64>,
    /// Bit 0 is the highest.
    seen: u64,
}

impl Window {
    /// Takes the number; whether it had not come before. One that is too old to say had.
    fn is_new(&mut self, number: u64) -> bool {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(number), 1);
            return true;
        };
        if number > highest {
            let ahead = u32::try_from(number - highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(number);
            return true;
        }
        let behind = u32::try_from(highest - number).unwrap_or(u32::MAX);
        let Some(bit) = 1u64.checked_shl(behind) else { return false };
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}
