//! ICE candidates that wait: remote ones for the description they belong to, local ones for ours to be sent.
//!
//! Driven by [`Negotiation`](super::negotiation::Negotiation). A candidate belongs to a description when they share
//! a username fragment (RFC 8445 section 5.3, RFC 8839 section 5.4): fragments tell the generations of an ICE restart
//! apart, and a dead offer's candidates from a living one's. Never reads anything else of a candidate.

use super::Action;
use super::limits::{PENDING_CANDIDATES, RETIRED_FRAGMENTS};
use crate::protocol::{IceCandidate, SessionDescription, Signal};
use std::collections::VecDeque;

/// The candidates of one peer connection that cannot go on yet, and the fragments by which that is decided.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Gathered, but our description that announces them has not been sent.
    local: VecDeque<IceCandidate>,
    /// Received, but their description has not been applied.
    remote: VecDeque<IceCandidate>,
    /// Fragments of our description that was sent last; empty before the first.
    local_fragments: Vec<String>,
    /// Fragments of the remote description in force; empty before the first.
    remote_fragments: Vec<String>,
    /// Those of the one before, in case the newest is taken back.
    previous_fragments: Vec<String>,
    /// Remote fragments that are dead.
    retired: VecDeque<String>,
    /// A remote description has been applied.
    described: bool,
}

impl Candidates {
    /// For the peer connection that replaces this one's: everything is forgotten but what is dead.
    pub(super) fn renewed(&mut self) -> Self {
        let mut retired = std::mem::take(&mut self.retired);
        retired.extend(self.remote_fragments.drain(..));
        let mut renewed = Self { retired, remote: std::mem::take(&mut self.remote), ..Self::default() };
        renewed.forget_oldest();
        renewed.purge();
        renewed
    }

    /// A local candidate was gathered; `describing` while a description of ours is being created.
    pub(super) fn gathered(&mut self, candidate: IceCandidate, describing: bool, out: &mut VecDeque<Action>) {
        if candidate.candidate.is_empty() {
            return; // The end of candidates: a trickling peer has no use for it, and the article's sends none.
        }
        let announced = match fragment(&candidate) {
            Some(own) => self.local_fragments.iter().any(|known| known == own),
            None => !describing && !self.local_fragments.is_empty(),
        };
        if announced {
            out.push_back(Action::Send(Signal::Candidate(candidate)));
        } else {
            hold(&mut self.local, candidate, "local");
        }
    }

    /// Our description has been sent: so are the candidates that it announces. The others belong to a description
    /// that was taken back.
    pub(super) fn local_description_sent(&mut self, sent: &SessionDescription, out: &mut VecDeque<Action>) {
        self.local_fragments = fragments(&sent.sdp);
        for candidate in std::mem::take(&mut self.local) {
            if belongs(&candidate, &self.local_fragments) {
                out.push_back(Action::Send(Signal::Candidate(candidate)));
            }
        }
    }

    /// A remote candidate arrived; `applying` while a remote description is being applied.
    ///
    /// An empty one (the end of candidates) is ignored: it would only let ICE give up sooner, which is for the
    /// call's clocks to decide.
    pub(super) fn received(&mut self, candidate: IceCandidate, applying: bool, out: &mut VecDeque<Action>) {
        if candidate.candidate.is_empty() || self.is_retired(&candidate) {
            return;
        }
        let known = match fragment(&candidate) {
            Some(own) => self.remote_fragments.iter().any(|known| known == own),
            None => true,
        };
        if self.described && !applying && known {
            out.push_back(Action::AddCandidate(candidate));
        } else {
            hold(&mut self.remote, candidate, "remote");
        }
    }

    /// A remote description has been applied: the candidates that waited for it go to ICE, in order. Those that
    /// belong neither to it nor to `next`, the offer that will be applied after it, are stale. True if it brought
    /// new ICE credentials to a connection that had some.
    pub(super) fn remote_description_applied(
        &mut self,
        applied: &SessionDescription,
        next: Option<&SessionDescription>,
        out: &mut VecDeque<Action>,
    ) -> bool {
        let previous = std::mem::replace(&mut self.remote_fragments, fragments(&applied.sdp));
        let restarted = self.described && !previous.iter().any(|old| self.remote_fragments.contains(old));
        self.described = true;
        self.retired.retain(|fragment| !self.remote_fragments.contains(fragment));
        self.bury(previous.clone());
        self.previous_fragments = previous;
        let next = next.map(|offer| fragments(&offer.sdp)).unwrap_or_default();
        for candidate in std::mem::take(&mut self.remote) {
            if belongs(&candidate, &self.remote_fragments) {
                out.push_back(Action::AddCandidate(candidate));
            } else if belongs(&candidate, &next) {
                self.remote.push_back(candidate);
            } else {
                tracing::debug!("a stale remote candidate is dropped");
            }
        }
        restarted
    }

    /// The remote description applied last was taken back: the one before is in force again.
    pub(super) fn remote_description_taken_back(&mut self) {
        let dead =
            std::mem::replace(&mut self.remote_fragments, std::mem::take(&mut self.previous_fragments));
        self.described = !self.remote_fragments.is_empty();
        self.retired.retain(|fragment| !self.remote_fragments.contains(fragment));
        self.bury(dead);
    }

    /// A remote description that will never be applied: its candidates are dead, unless they are also those of the
    /// description in force.
    pub(super) fn retire(&mut self, dead: &SessionDescription) {
        self.bury(fragments(&dead.sdp));
    }

    /// Whether the description belongs to a generation that is dead.
    pub(super) fn is_dead(&self, description: &SessionDescription) -> bool {
        let own = fragments(&description.sdp);
        !own.is_empty() && own.iter().all(|fragment| self.retired.contains(fragment))
    }

    fn bury(&mut self, dead: Vec<String>) {
        for fragment in dead {
            if !self.remote_fragments.contains(&fragment) && !self.retired.contains(&fragment) {
                self.retired.push_back(fragment);
            }
        }
        self.forget_oldest();
        self.purge();
    }

    fn forget_oldest(&mut self) {
        while self.retired.len() > RETIRED_FRAGMENTS {
            self.retired.pop_front();
        }
    }

    fn purge(&mut self) {
        let retired = &self.retired;
        self.remote.retain(|candidate| {
            !fragment(candidate).is_some_and(|own| retired.iter().any(|dead| dead == own))
        });
    }

    fn is_retired(&self, candidate: &IceCandidate) -> bool {
        fragment(candidate).is_some_and(|own| self.retired.iter().any(|dead| dead == own))
    }
}

fn hold(queue: &mut VecDeque<IceCandidate>, candidate: IceCandidate, whose: &str) {
    if queue.len() < PENDING_CANDIDATES {
        queue.push_back(candidate);
    } else {
        tracing::warn!(whose, "too many candidates wait for their description: the newest is dropped");
    }
}

/// A candidate that names no generation belongs to any.
fn belongs(candidate: &IceCandidate, fragments: &[String]) -> bool {
    fragment(candidate).is_none_or(|own| fragments.iter().any(|known| known == own))
}

/// The username fragment that a candidate names: the member of `RTCIceCandidateInit`, or else the extension
/// attribute `ufrag` in the candidate line, as browsers write it.
fn fragment(candidate: &IceCandidate) -> Option<&str> {
    candidate.username_fragment.as_deref().filter(|own| !own.is_empty()).or_else(|| {
        let mut words = candidate.candidate.split_ascii_whitespace();
        words.find(|word| *word == "ufrag")?;
        words.next()
    })
}

/// The username fragments of a description: `a=ice-ufrag` (RFC 8839 section 5.4) at session level or in any media
/// section, which share one when they are bundled.
fn fragments(sdp: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for own in sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:")) {
        if !found.iter().any(|known| known == own) {
            found.push(own.to_owned());
        }
    }
    found
}
