//! How a lost path is repaired.
//!
//! Called by the table (`machine`). There are two ways back. The old pair of addresses may work again, which costs nothing
//! and takes no signaling: the peer connection keeps it and tells. Or both agree on new credentials (ICE restart, RFC 8445
//! section 9), which needs the server, and throws the old pair away on both sides. So a restart is only made when the
//! old pair cannot come back, or when both are known to be on the server while nothing has come back:
//!
//! ```text
//!   silence ──▶ Reconnecting ── CHECK_AFTER ──▶ path-check ────────▶ the other side
//!                    │                               ◀─ path-check (answer) ──┘
//!                    │                     RESTART_HOLD, and still nothing
//!   address gone,    ▼                               │
//!   or ICE failed ──▶ CreateOffer { ice_restart } ◀──┘      who is offline waits for SignalingBack
//! ```
//!
//! A page written after the article closes for good as soon as its browser calls the path disconnected, and says nothing.
//! Chromium does so five seconds after the first of its checks that nobody answered, even when media comes in again by
//! then, for it does not check sooner than 0.9 s after the last time: so a page may leave a second after the path is back.
//! Nothing that this side could send would make it check, and what is left is to end the call after [`STOCK_GRACE`].
//!
//! Somebody who is asked about a path of a call that it does not know (its program was started again) says so with a
//! hang-up, which ends the call here with the right reason. So does an offer of another session in the table.

use super::limits::{
    ABSENT_GRACE, CHECK_AFTER, CHECK_PATIENCE, GRACE, REPAIR_INTERVAL, RESTART_HOLD, STOCK_GRACE,
};
use super::machine::Dialect;
use super::{Action, Call, EndReason, State};
use crate::protocol::{HangUpReason, Signal};
use std::time::{Duration, Instant};

impl Call {
    /// The path is lost.
    pub(super) fn reconnecting(&mut self, now: Instant) {
        self.lost_at = Some(now);
        self.invited = false;
        self.enter(State::Reconnecting);
        self.set_grace(now);
        let after = match self.dialect {
            _ if self.cut_off => Some(Duration::ZERO),
            // It knows no path-check, and closes for good when it notices.
            Dialect::Stock => None,
            Dialect::Unknown | Dialect::Extended if self.goes_first() => Some(CHECK_AFTER),
            Dialect::Unknown | Dialect::Extended => Some(CHECK_PATIENCE),
        };
        self.clocks.repair = after.map(|after| now + after);
        self.repair_if_due(now);
    }

    /// The path is up, or there is a new one to be made: nothing of the loss is left.
    pub(super) fn path_repaired(&mut self) {
        self.clocks.grace = None;
        self.clocks.repair = None;
        self.lost_at = None;
        self.cut_off = false;
        self.invited = false;
    }

    /// The next step.
    pub(super) fn repair(&mut self, now: Instant) {
        if !self.signaling_up {
            return; // `signaling_back` goes on.
        }
        if self.cut_off || self.invited {
            self.invited = false;
            // From here on there are new sockets, and nothing to go back to.
            self.cut_off = false;
            self.negotiation.request(true, now, &mut self.actions);
        } else {
            self.actions.push_back(Action::Send(Signal::PathCheck { answer: false }));
        }
        self.clocks.repair = Some(now + REPAIR_INTERVAL);
    }

    /// This machine's network is another one, or ICE has given the path up (`cut_off`).
    pub(super) fn network_changed(&mut self, cut_off: bool, now: Instant) {
        match self.state {
            State::Connected if cut_off => {
                self.cut_off = true;
                self.reconnecting(now);
            }
            State::Reconnecting => {
                self.cut_off |= cut_off;
                // Against a page only the certainty that the path is gone is worth an offer.
                if self.clocks.repair.is_some() || self.cut_off {
                    self.clocks.repair = Some(now);
                    self.repair_if_due(now);
                }
            }
            // What was gathered is of no use: what can be is gathered anew as soon as the other side has answered.
            State::Dialing | State::Connecting if cut_off => {
                self.negotiation.request(true, now, &mut self.actions);
            }
            State::Dialing | State::Ringing | State::Connecting | State::Connected | State::Ended(_) => {}
        }
    }

    /// The server answers again, and what waited for it goes on.
    pub(super) fn signaling_back(&mut self, now: Instant) {
        let waited = !std::mem::replace(&mut self.signaling_up, true);
        if waited && (self.dialect != Dialect::Stock || self.cut_off) {
            self.clocks.repair = Some(now);
            self.repair_if_due(now);
        }
    }

    /// The other side hears nothing either, and asks whether we are there.
    pub(super) fn path_checked(&mut self, now: Instant) {
        if self.goes_first() {
            self.invited(now);
        } else {
            self.actions.push_back(Action::Send(Signal::PathCheck { answer: true }));
        }
    }

    /// The other side is there: if nothing comes back by itself in a moment, there will be a new path.
    pub(super) fn invited(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.invited, true) {
            self.clocks.repair = Some(now + RESTART_HOLD);
        }
    }

    /// The server says that the other side is not online.
    pub(super) fn peer_left(&mut self, now: Instant) {
        let news = !std::mem::replace(&mut self.absent, true);
        if news && self.state == State::Reconnecting {
            self.set_grace(now);
        }
    }

    /// The other side says something.
    pub(super) fn peer_returned(&mut self, now: Instant) {
        if std::mem::take(&mut self.absent) && self.state == State::Reconnecting {
            self.set_grace(now);
        }
    }

    /// The path did not come back in time.
    pub(super) fn give_up(&mut self) {
        if self.absent {
            self.end(EndReason::PeerLeft, None);
        } else {
            self.end(EndReason::NetworkFailed, Some(HangUpReason::Failed));
        }
    }

    fn set_grace(&mut self, now: Instant) {
        let grace = if self.dialect == Dialect::Stock { STOCK_GRACE } else { GRACE };
        let until = self.lost_at.unwrap_or(now) + grace;
        self.clocks.grace = Some(if self.absent { until.min(now + ABSENT_GRACE) } else { until });
    }

    fn repair_if_due(&mut self, now: Instant) {
        if self.clocks.repair.take_if(|at| *at <= now).is_some() {
            self.repair(now);
        }
    }
}
