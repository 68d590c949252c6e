//! A page written after the article's sample: what its script does with each message, awaits included.
//!
//! It answers every offer at once, has neither busy nor decline, adds its tracks after setting our offer and so
//! offers a second time, rolls back and returns without answering when offers cross, and closes without a word when
//! ICE reports `disconnected`.

use super::peer::{FakePeer, Signaling};
use super::world::{Happening, Outbox};
use crate::call::Connectivity;
use crate::protocol::{SessionDescription, Signal};
use std::time::{Duration, Instant};

/// Where a script continues after an `await`.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// After `setRemoteDescription(offer)` in `handleVideoOfferMsg`.
    OfferSet,
    /// After `getUserMedia` in `handleVideoOfferMsg`.
    CameraOpen,
    /// After `getUserMedia` in `invite`.
    Invited,
    /// `handleNegotiationNeededEvent`.
    NegotiationNeeded,
    /// After `createOffer` in it.
    OfferMade,
}

pub(super) struct Page {
    pub(super) name: String,
    pub(super) peer: Option<FakePeer>,
    pub(super) path: Option<Connectivity>,
    /// How long every other `await` takes.
    pub(super) awaits: Duration,
    /// How long the browser takes to open the camera.
    pub(super) camera_delay: Duration,
    /// Send the second offer ahead of the answer.
    pub(super) offers_first: bool,
    /// A program like it that returns every hang-up.
    pub(super) echoes_hang_up: bool,
    pub(super) closed: u32,
    camera: bool,
    /// Tracks were added that no negotiation covers.
    tracks_to_offer: bool,
    late_answer: Option<SessionDescription>,
    peers: u32,
}

impl Page {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            peer: None,
            path: None,
            awaits: Duration::from_millis(5),
            camera_delay: Duration::from_millis(40),
            offers_first: false,
            echoes_hang_up: false,
            closed: 0,
            camera: false,
            tracks_to_offer: false,
            late_answer: None,
            peers: 0,
        }
    }

    /// The user clicks on the other's name.
    pub(super) fn invite(&mut self, now: Instant, out: &mut Outbox) {
        if self.peer.is_none() {
            self.create_peer();
            self.later(Step::Invited, now + self.camera_delay, out);
        }
    }

    /// The user clicks "Hang Up". The target is cleared first, so that everyone hears it.
    pub(super) fn hang_up(&mut self, out: &mut Outbox) {
        if self.peer.is_some() {
            self.close();
            out.send(Signal::HangUp(None));
        }
    }

    pub(super) fn receive(&mut self, signal: Signal, now: Instant, out: &mut Outbox) {
        match signal {
            Signal::Offer { description, .. } => {
                if self.peer.is_none() {
                    self.create_peer();
                }
                let peer = self.peer.as_mut().expect("just made");
                if peer.signaling == Signaling::Stable {
                    if peer.apply_offer(&description).is_ok() {
                        self.later(Step::OfferSet, now + self.awaits, out);
                    }
                } else if peer.rollback().is_ok() {
                    logged(peer.apply_offer(&description));
                }
            }
            Signal::Answer(answer) => {
                let applied = self.peer.as_mut().is_some_and(|peer| peer.apply_answer(&answer).is_ok());
                if applied {
                    self.tracks_to_offer = false;
                }
            }
            Signal::Candidate(candidate) => {
                if let Some(peer) = &mut self.peer {
                    logged(peer.add_candidate(&candidate));
                }
            }
            Signal::HangUp(_) => {
                self.close();
                if self.echoes_hang_up {
                    out.send(Signal::HangUp(None));
                }
            }
            Signal::MediaState { .. } | Signal::View { .. } | Signal::PathCheck { .. } => {}
        }
    }

    pub(super) fn connectivity(&mut self, path: Connectivity) {
        self.path = Some(path);
        match path {
            Connectivity::Disconnected | Connectivity::Failed | Connectivity::Closed => self.close(),
            Connectivity::Connecting | Connectivity::Connected => {}
        }
    }

    pub(super) fn step(&mut self, step: Step, now: Instant, out: &mut Outbox) {
        let Some(peer) = &mut self.peer else { return };
        match step {
            Step::OfferSet if !self.camera => self.later(Step::CameraOpen, now + self.camera_delay, out),
            Step::OfferSet => self.answer(now, out),
            Step::CameraOpen => {
                self.open_camera();
                self.answer(now, out);
            }
            Step::Invited => {
                self.open_camera();
                self.later(Step::NegotiationNeeded, now + self.awaits, out);
            }
            Step::NegotiationNeeded if self.tracks_to_offer => {
                self.later(Step::OfferMade, now + self.awaits, out)
            }
            Step::NegotiationNeeded => {}
            Step::OfferMade => {
                // Not stable: another event will follow when it is.
                if peer.signaling != Signaling::Stable {
                    return;
                }
                // Tracks that no offer of the other side's made room for need sections of their own.
                if peer.remote.is_some() {
                    peer.media = 4;
                }
                peer.sends = true;
                let offer = peer.create_offer(false).expect("stable");
                let candidates = peer.candidates(&offer);
                out.send(Signal::Offer { description: offer, extended: false });
                if let Some(answer) = self.late_answer.take() {
                    out.send(Signal::Answer(answer));
                }
                candidates.into_iter().for_each(|candidate| out.send(Signal::Candidate(candidate)));
            }
        }
    }

    fn answer(&mut self, now: Instant, out: &mut Outbox) {
        let Some(peer) = &mut self.peer else { return };
        let covered = !self.tracks_to_offer;
        peer.sends = covered;
        let Ok(answer) = peer.create_answer() else { return };
        let candidates = peer.candidates(&answer);
        if self.offers_first && !covered {
            self.late_answer = Some(answer);
        } else {
            out.send(Signal::Answer(answer));
        }
        candidates.into_iter().for_each(|candidate| out.send(Signal::Candidate(candidate)));
        // Stable again: the browser looks whether something is left to negotiate.
        self.later(Step::NegotiationNeeded, now + self.awaits, out);
    }

    fn open_camera(&mut self) {
        self.camera = true;
        self.tracks_to_offer = true;
    }

    fn create_peer(&mut self) {
        self.peers += 1;
        self.path = None;
        let mut peer = FakePeer::new(format!("{}{}", self.name, self.peers));
        peer.sends = false;
        self.peer = Some(peer);
    }

    fn close(&mut self) {
        self.closed += u32::from(self.peer.is_some());
        self.peer = None;
        self.path = None;
        self.camera = false;
        self.tracks_to_offer = false;
        self.late_answer = None;
    }

    fn later(&self, step: Step, at: Instant, out: &mut Outbox) {
        if let Some(peer) = &self.peer {
            out.later(Happening::Page { at, peer: peer.id.clone(), step });
        }
    }
}

/// The sample page reports its errors to the console and goes on.
fn logged(result: Result<(), String>) {
    drop(result);
}
