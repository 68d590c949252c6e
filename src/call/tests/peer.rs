//! A peer connection of words only: signaling states, generations of ICE credentials, and whom it would reach.

use crate::protocol::{IceCandidate, SdpKind, SessionDescription};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signaling {
    Stable,
    HaveLocalOffer,
    HaveRemoteOffer,
}

/// What a description says, in the few lines that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The peer connection that made it: its DTLS fingerprint.
    pub(super) maker: String,
    /// Which description of its maker's it is.
    pub(super) number: u32,
    pub(super) fragment: String,
    pub(super) sends: bool,
    pub(super) media: usize,
    /// The offer that it answers: maker and number.
    pub(super) answers: String,
}

impl Said {
    fn write(&self, kind: SdpKind) -> SessionDescription {
        let Self { maker, number, fragment, sends, media, answers } = self;
        let mut sdp = format!("v=0\r\no=- {maker} {number}\r\na=sends:{sends}\r\na=answers:{answers}\r\n");
        for _ in 0..*media {
            sdp.push_str(&format!("m=x 9\r\na=ice-ufrag:{fragment}\r\n"));
        }
        SessionDescription::new(kind, sdp)
    }

    pub(super) fn read(description: &SessionDescription) -> Self {
        let value = |key: &str| {
            description.sdp.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let origin = value("o=- ");
        let (maker, number) = origin.split_once(' ').expect("an origin line");
        Self {
            maker: maker.to_owned(),
            number: number.parse().expect("a number"),
            fragment: value("a=ice-ufrag:"),
            sends: value("a=sends:") == "true",
            media: description.sdp.matches("m=").count(),
            answers: value("a=answers:"),
        }
    }
}

#[derive(Debug)]
pub(super) struct FakePeer {
    pub(super) id: String,
    pub(super) signaling: Signaling,
    pub(super) media: usize,
    pub(super) sends: bool,
    made: u32,
    fragments: u32,
    /// Local and remote description in force.
    pub(super) local: Option<Said>,
    pub(super) remote: Option<Said>,
    pending: Option<Said>,
    /// Fragments whose candidates we were given.
    reachable: Vec<String>,
}

impl FakePeer {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            signaling: Signaling::Stable,
            media: 2,
            sends: true,
            made: 0,
            fragments: 0,
            local: None,
            remote: None,
            pending: None,
            reachable: Vec::new(),
        }
    }

    fn describe(&mut self, answers: Option<&Said>, fresh: bool) -> Said {
        self.made += 1;
        let known = self.local.as_ref().map(|said| said.fragment.clone()).filter(|_| !fresh);
        let fragment = known.unwrap_or_else(|| {
            self.fragments += 1;
            format!("{}-{}", self.id, self.fragments)
        });
        Said {
            maker: self.id.clone(),
            number: self.made,
            fragment,
            sends: self.sends,
            media: self.media,
            answers: answers.map(|offer| format!("{}/{}", offer.maker, offer.number)).unwrap_or_default(),
        }
    }

    pub(super) fn create_offer(&mut self, ice_restart: bool) -> Result<SessionDescription, String> {
        self.expect(Signaling::Stable, "create an offer")?;
        let offer = self.describe(None, ice_restart);
        self.signaling = Signaling::HaveLocalOffer;
        self.pending = Some(offer.clone());
        Ok(offer.write(SdpKind::Offer))
    }

    pub(super) fn apply_offer(&mut self, offer: &SessionDescription) -> Result<(), String> {
        self.expect(Signaling::Stable, "apply an offer")?;
        let said = self.readable(offer, SdpKind::Offer)?;
        self.media = self.media.max(said.media);
        self.signaling = Signaling::HaveRemoteOffer;
        self.pending = Some(said);
        Ok(())
    }

    pub(super) fn create_answer(&mut self) -> Result<SessionDescription, String> {
        self.expect(Signaling::HaveRemoteOffer, "create an answer")?;
        let offer = self.pending.take().expect("a pending offer");
        let restarted = self.remote.as_ref().is_some_and(|old| old.fragment != offer.fragment);
        let mut answer = self.describe(Some(&offer), restarted);
        answer.media = offer.media;
        self.signaling = Signaling::Stable;
        self.local = Some(answer.clone());
        self.remote = Some(offer);
        Ok(answer.write(SdpKind::Answer))
    }

    pub(super) fn apply_answer(&mut self, answer: &SessionDescription) -> Result<(), String> {
        self.expect(Signaling::HaveLocalOffer, "apply an answer")?;
        let said = self.readable(answer, SdpKind::Answer)?;
        let offer = self.pending.clone().expect("a pending offer");
        if said.answers != format!("{}/{}", offer.maker, offer.number) {
            return Err(format!("{} answers {}, not {}", said.maker, said.answers, offer.number));
        }
        self.signaling = Signaling::Stable;
        self.pending = None;
        self.local = Some(offer);
        self.remote = Some(said);
        Ok(())
    }

    pub(super) fn rollback(&mut self) -> Result<(), String> {
        if self.signaling == Signaling::Stable {
            return Err("nothing to roll back".into());
        }
        self.signaling = Signaling::Stable;
        self.pending = None;
        Ok(())
    }

    pub(super) fn add_candidate(&mut self, candidate: &IceCandidate) -> Result<(), String> {
        let fragment =
            candidate.username_fragment.clone().expect("candidates of this world name their generation");
        let pending = self.pending.as_ref().filter(|_| self.signaling == Signaling::HaveRemoteOffer);
        if ![self.remote.as_ref(), pending].into_iter().flatten().any(|said| said.fragment == fragment) {
            return Err(format!("{}: candidate of an unknown generation {fragment}", self.id));
        }
        self.reachable.push(fragment);
        Ok(())
    }

    /// Whether a remote offer awaits an answer that nobody will make.
    pub(super) fn is_stuck(&self) -> bool {
        self.signaling == Signaling::HaveRemoteOffer
    }

    /// The two generations that would carry media from here to `other`, if both agree on them.
    pub(super) fn pair_with(&self, other: &Self) -> Option<(String, String)> {
        let (ours, theirs) = (self.local.as_ref()?, self.remote.as_ref()?);
        let agreed = other.local.as_ref()?.fragment == theirs.fragment
            && other.remote.as_ref()?.fragment == ours.fragment
            && self.reachable.contains(&theirs.fragment)
            && other.reachable.contains(&ours.fragment);
        agreed.then(|| (ours.fragment.clone(), theirs.fragment.clone()))
    }

    /// Our candidates for the description just made.
    pub(super) fn candidates(&self, description: &SessionDescription) -> Vec<IceCandidate> {
        let fragment = Said::read(description).fragment;
        (1..=2)
            .map(|port| IceCandidate {
                username_fragment: Some(fragment.clone()),
                ..super::candidate("", port)
            })
            .collect()
    }

    fn expect(&self, wanted: Signaling, what: &str) -> Result<(), String> {
        let found = self.signaling;
        if found == wanted { Ok(()) } else { Err(format!("{}: cannot {what} in {found:?}", self.id)) }
    }

    fn readable(&self, description: &SessionDescription, kind: SdpKind) -> Result<Said, String> {
        if description.kind != kind {
            return Err(format!("{}: {:?} where a {kind:?} belongs", self.id, description.kind));
        }
        let said = Said::read(description);
        match &self.remote {
            Some(known) if known.maker != said.maker => {
                Err(format!("{}: the fingerprint of {} is not that of {}", self.id, said.maker, known.maker))
            }
            Some(_) | None => Ok(said),
        }
    }
}
