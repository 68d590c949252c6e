//! Two participants, the network between them and the clock over them.

use super::ahoy::Ahoy;
use super::page::{Page, Step};
use super::peer::FakePeer;
use crate::call::{Call, Connectivity, Event, State};
use crate::protocol::{SdpKind, Signal};
use std::time::{Duration, Instant};

/// How long ICE goes unanswered before it reports `disconnected`.
const NOTICED: Duration = Duration::from_secs(5);

/// What a participant says, and what will happen to it later.
#[derive(Default)]
pub(super) struct Outbox {
    sent: Vec<Signal>,
    later: Vec<Happening>,
}

impl Outbox {
    pub(super) fn send(&mut self, signal: Signal) {
        self.sent.push(signal);
    }

    pub(super) fn later(&mut self, happening: Happening) {
        self.later.push(happening);
    }
}

/// Something of one peer connection; those of a closed one are strangers.
#[derive(Debug)]
pub(super) enum Happening {
    Peer { at: Instant, peer: String, event: Event },
    Page { at: Instant, peer: String, step: Step },
}

#[expect(clippy::large_enum_variant, reason = "there are two of them")]
pub(super) enum Party {
    Ahoy(Ahoy),
    Page(Page),
}

impl Party {
    pub(super) fn peer(&self) -> Option<&FakePeer> {
        match self {
            Self::Ahoy(ahoy) => ahoy.peer.as_ref(),
            Self::Page(page) => page.peer.as_ref(),
        }
    }

    fn path(&self) -> Option<Connectivity> {
        match self {
            Self::Ahoy(ahoy) => ahoy.path,
            Self::Page(page) => page.path,
        }
    }
}

/// What a user does.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Dial,
    HangUp,
    Tell(Event),
}

#[derive(Debug)]
enum What {
    Deliver(Signal),
    Happen(Happening),
    Do(Deed),
    LookAtPath,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) parties: [Party; 2],
    /// One-way delay of what each side sends.
    pub(super) delay: [Duration; 2],
    /// The same for its candidates, which may so overtake answers, or lag behind. No offer is ever overtaken: all
    /// is said on one TCP connection, and whoever offers sends the offer first.
    pub(super) candidate_delay: [Duration; 2],
    /// The user answers what rings, after this long.
    pub(super) accepts: Option<Duration>,
    pub(super) link_up: bool,
    /// Every offer that reached side 0, 1.
    pub(super) offers_received: [u32; 2],
    offer_arrives: [Option<Instant>; 2],
    broken: Vec<(String, String)>,
    down_since: [Option<Instant>; 2],
    queue: Vec<(Instant, u64, usize, What)>,
    order: u64,
}

impl World {
    pub(super) fn of(parties: [Party; 2]) -> Self {
        let delay = [Duration::from_millis(30); 2];
        Self {
            now: Instant::now(),
            parties,
            delay,
            candidate_delay: delay,
            accepts: Some(Duration::from_secs(2)),
            link_up: true,
            offers_received: [0; 2],
            offer_arrives: [None; 2],
            broken: Vec::new(),
            down_since: [None; 2],
            queue: Vec::new(),
            order: 0,
        }
    }

    /// alice, whose offer goes first, and bob.
    pub(super) fn two() -> Self {
        Self::of([Party::Ahoy(Ahoy::new("alice", "bob")), Party::Ahoy(Ahoy::new("bob", "alice"))])
    }

    /// alice and a page.
    pub(super) fn with_page() -> Self {
        Self::of([Party::Ahoy(Ahoy::new("alice", "page")), Party::Page(Page::new("page"))])
    }

    pub(super) fn ahoy(&self, who: usize) -> &Ahoy {
        match &self.parties[who] {
            Party::Ahoy(ahoy) => ahoy,
            Party::Page(_) => panic!("{who} is a page"),
        }
    }

    pub(super) fn page(&mut self) -> &mut Page {
        match &mut self.parties[1] {
            Party::Page(page) => page,
            Party::Ahoy(_) => panic!("no page here"),
        }
    }

    pub(super) fn state(&self, who: usize) -> Option<&State> {
        self.ahoy(who).state()
    }

    pub(super) fn plan(&mut self, after_ms: u64, who: usize, deed: Deed) {
        self.push(self.now + Duration::from_millis(after_ms), who, What::Do(deed));
    }

    pub(super) fn tell(&mut self, who: usize, event: Event) {
        self.plan(0, who, Deed::Tell(event));
    }

    /// The program is killed and started again.
    pub(super) fn restart(&mut self, who: usize) {
        if let Party::Ahoy(ahoy) = &mut self.parties[who] {
            ahoy.restart();
        }
        self.look_at_path();
    }

    /// The local network changes: what was agreed on carries nothing any more, fresh credentials do.
    pub(super) fn break_path(&mut self) {
        if let (Some(a), Some(b)) = (self.parties[0].peer(), self.parties[1].peer()) {
            self.broken.extend(a.pair_with(b));
        }
        self.look_at_path();
    }

    pub(super) fn set_link(&mut self, up: bool) {
        self.link_up = up;
        self.look_at_path();
    }

    pub(super) fn run(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// The next thing that happens, whenever it does. False if nothing will.
    pub(super) fn step(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        self.now = self.now.max(at);
        let next =
            self.queue.iter().enumerate().min_by_key(|(_, entry)| (entry.0, entry.1)).map(|found| found.0);
        match next.filter(|index| self.queue[*index].0 <= self.now) {
            Some(index) => {
                let (_, _, who, what) = self.queue.swap_remove(index);
                self.happen(who, what);
            }
            None => {
                for who in 0..2 {
                    let now = self.now;
                    self.with_ahoy(who, |ahoy, out| ahoy.timeout(now, out));
                }
            }
        }
        self.look_at_path();
        true
    }

    fn next_at(&self) -> Option<Instant> {
        let timeouts = self.parties.iter().filter_map(|party| match party {
            Party::Ahoy(ahoy) => ahoy.call.as_ref().and_then(Call::poll_timeout),
            Party::Page(_) => None,
        });
        self.queue.iter().map(|entry| entry.0).chain(timeouts).min()
    }

    fn happen(&mut self, who: usize, what: What) {
        let now = self.now;
        match what {
            What::Deliver(signal) => {
                self.offers_received[who] += u32::from(matches!(signal, Signal::Offer { .. }));
                let rang = match &self.parties[who] {
                    Party::Ahoy(ahoy) => ahoy.rang,
                    Party::Page(_) => 0,
                };
                let mut out = Outbox::default();
                match &mut self.parties[who] {
                    Party::Ahoy(ahoy) => ahoy.receive(signal, now, &mut out),
                    Party::Page(page) => page.receive(signal, now, &mut out),
                }
                self.post(who, out);
                if let (Party::Ahoy(ahoy), Some(after)) = (&self.parties[who], self.accepts)
                    && ahoy.rang > rang
                {
                    self.push(now + after, who, What::Do(Deed::Tell(Event::Answer { video: true })));
                }
            }
            What::Happen(Happening::Peer { peer, event, .. }) => {
                if self.parties[who].peer().is_some_and(|own| own.id == peer) {
                    self.with_ahoy(who, |ahoy, out| ahoy.event(event, now, out));
                }
            }
            What::Happen(Happening::Page { peer, step, .. }) => {
                if self.parties[who].peer().is_some_and(|own| own.id == peer) {
                    let mut out = Outbox::default();
                    self.page().step(step, now, &mut out);
                    self.post(who, out);
                }
            }
            What::Do(deed) => {
                let mut out = Outbox::default();
                match (&mut self.parties[who], deed) {
                    (Party::Ahoy(ahoy), Deed::Dial) => ahoy.dial(now, &mut out),
                    (Party::Ahoy(ahoy), Deed::HangUp) => ahoy.event(Event::HangUp, now, &mut out),
                    (Party::Ahoy(ahoy), Deed::Tell(event)) => ahoy.event(event, now, &mut out),
                    (Party::Page(page), Deed::Dial) => page.invite(now, &mut out),
                    (Party::Page(page), Deed::HangUp) => page.hang_up(&mut out),
                    (Party::Page(_), Deed::Tell(event)) => panic!("a page knows no {event:?}"),
                }
                self.post(who, out);
            }
            What::LookAtPath => {}
        }
    }

    fn with_ahoy(&mut self, who: usize, deed: impl FnOnce(&mut Ahoy, &mut Outbox)) {
        let mut out = Outbox::default();
        if let Party::Ahoy(ahoy) = &mut self.parties[who] {
            deed(ahoy, &mut out);
        }
        self.post(who, out);
    }

    /// Signaling loses nothing and keeps the order of what a side says; candidates have a delay of their own.
    fn post(&mut self, who: usize, out: Outbox) {
        for signal in out.sent {
            let arrives = self.now + self.delay[who];
            let arrives = match &signal {
                Signal::Candidate(_) => {
                    let alone = self.now + self.candidate_delay[who];
                    self.offer_arrives[who].map_or(alone, |offer| alone.max(offer))
                }
                Signal::Offer { description, .. } => {
                    assert_eq!(description.kind, SdpKind::Offer);
                    self.offer_arrives[who] = Some(arrives);
                    arrives
                }
                Signal::Answer(_)
                | Signal::HangUp(_)
                | Signal::MediaState { .. }
                | Signal::View { .. }
                | Signal::PathCheck { .. } => arrives,
            };
            self.push(arrives, 1 - who, What::Deliver(signal));
        }
        for happening in out.later {
            let at = match &happening {
                Happening::Peer { at, .. } | Happening::Page { at, .. } => *at,
            };
            self.push(at, who, What::Happen(happening));
        }
    }

    fn push(&mut self, at: Instant, who: usize, what: What) {
        self.order += 1;
        self.queue.push((at, self.order, who, what));
    }

    fn look_at_path(&mut self) {
        let pair = match (self.parties[0].peer(), self.parties[1].peer()) {
            (Some(a), Some(b)) => a.pair_with(b),
            (None, _) | (_, None) => None,
        };
        let up = self.link_up && pair.is_some_and(|pair| !self.broken.contains(&pair));
        for who in 0..2 {
            if self.parties[who].peer().is_none() {
                self.down_since[who] = None;
                continue;
            }
            let connected = self.parties[who].path() == Some(Connectivity::Connected);
            match (up, connected) {
                (true, false) => self.report(who, Connectivity::Connected),
                (true, true) | (false, false) => self.down_since[who] = None,
                (false, true) => match self.down_since[who] {
                    None => {
                        self.down_since[who] = Some(self.now);
                        self.push(self.now + NOTICED, who, What::LookAtPath);
                    }
                    Some(since) if since + NOTICED <= self.now => {
                        self.report(who, Connectivity::Disconnected);
                    }
                    Some(_) => {}
                },
            }
        }
    }

    fn report(&mut self, who: usize, path: Connectivity) {
        let now = self.now;
        self.down_since[who] = None;
        if let Party::Page(page) = &mut self.parties[who] {
            page.connectivity(path);
        }
        self.with_ahoy(who, |ahoy, out| ahoy.event(Event::Connectivity(path), now, out));
    }

    /// Both are in the call, media flows both ways, and nothing illegal was asked of a peer connection.
    #[track_caller]
    pub(super) fn assert_in_call(&self) {
        for party in &self.parties {
            match party {
                Party::Ahoy(ahoy) => {
                    assert_eq!(ahoy.state(), Some(&State::Connected), "{} ended {:?}", ahoy.name, ahoy.ended);
                    assert!(ahoy.sending >= 1 && ahoy.media_open, "{} sends", ahoy.name);
                }
                Party::Page(page) => assert_eq!(page.path, Some(Connectivity::Connected)),
            }
            let peer = party.peer().expect("a peer connection");
            assert!(!peer.is_stuck(), "{} awaits an answer", peer.id);
            assert!(peer.remote.as_ref().is_some_and(|said| said.sends), "{} receives", peer.id);
        }
        self.assert_legal();
    }

    #[track_caller]
    pub(super) fn assert_legal(&self) {
        for party in &self.parties {
            if let Party::Ahoy(ahoy) = party {
                assert_eq!(ahoy.violations, Vec::<String>::new());
            }
        }
    }

    /// Nothing is left of any call on either side.
    #[track_caller]
    pub(super) fn assert_quiet(&self) {
        for party in &self.parties {
            if let Party::Ahoy(ahoy) = party {
                assert_eq!(ahoy.state(), None, "{} is still in a call", ahoy.name);
                assert!(!ahoy.media_open, "{}'s camera is still on", ahoy.name);
            }
            assert!(party.peer().is_none());
        }
        self.assert_legal();
    }
}
