//! Who is connected, what they are called, and who gets which message.
//!
//! Sans-IO: driven by the hub ([`super::hub`]) and by tests, with `handle_*` in and [`Registry::poll_output`] out.
//! It never touches a socket, never reads a clock and never waits. Its work for one input is bounded by the number
//! of participants.
//!
//! A connection is a socket; a session ([`super::session`]) is somebody who has signed in. They are the same for a page
//! written after the article. A client that announced that it can resume keeps its session when its connection is lost:
//!
//! ```text
//!   username, features: resume ──▶ session (token) ── connection lost ──▶ away ── username, resume: token ──▶ session
//!                                                                          │      (the old connection is closed)
//!                                                       ABSENCE over, or the name reclaimed
//!                                                                          ▼
//!                                                     user-left; undeliverable to whose texts waited
//! ```
//!
//! The name of somebody who is away is taken. But if the connection was ended by the other end's system and not by
//! silence, the program there is gone, and whoever asks for the name (that program's next run, most likely) gets it.
//!
//! # Answers to what no honest page sends
//!
//! Each goes to its sender alone; nobody else notices. `error` is a type that a page written after the article
//! ignores.
//!
//! | Input | Answer |
//! |---|---|
//! | not JSON, not an object, no usable `type`, `target` neither string nor null | `error` |
//! | binary message | `error` |
//! | anything but `username` before signing in | `error` |
//! | `username` without a string as `name` | `error`, and the connection may try again |
//! | `username` once signed in | `rejectusername` with the present name, and `error` if it asked for another |
//! | a type that only the server may send (`id`, `userlist`, ...) | `error` |
//! | `message` without a string as `text` | `error` |
//! | `target` that is not online | `undeliverable`, if the sender announced that it knows it; else nothing |
//! | empty, overlong, invisible or direction-changing name | signed in under the cleaned name, told by `rejectusername` |
//! | too many connections | closed with 1013 (try again later) |
//! | `resume` with a token that is not known | signed in anew, told by `resumed: false` |
//!
//! Unknown fields and unknown types are relayed untouched. `name` is always overwritten with the sender's true name.
//! A chat text is relayed as it is: a page must draw it as text, as `textContent` does.

use super::session::{ABSENCE, Absence, ConnectionId, Departure, Features, MAX_ABSENT, Session, SessionId};
use crate::protocol::{
    Envelope, FEATURE_PRESENCE, FEATURE_RESUME, FEATURE_UNDELIVERABLE, Resume, clean_name, kind,
    numbered_name,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Connections at a time, signed in or not. One more is refused with [`Closing::Full`].
pub const MAX_CONNECTIONS: usize = 1000;

/// What is to be done to one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this text.
    Text(Arc<str>),
    /// Close it. Nothing follows for this connection.
    Close(Closing),
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// [`MAX_CONNECTIONS`] are open.
    Full,
    /// Its session goes on on another connection.
    Replaced,
}

/// A connection of the table.
#[derive(Debug)]
struct Connection {
    /// The token of the session that may begin on it.
    token: String,
    /// Who it is, once signed in.
    session: Option<SessionId>,
}

/// The table of connections and names.
#[derive(Debug, Default)]
pub struct Registry {
    connections: HashMap<ConnectionId, Connection>,
    /// In the order of signing in, which is that of `userlist`.
    sessions: BTreeMap<SessionId, Session>,
    /// Who is called what; the exact name, case included.
    names: HashMap<Arc<str>, SessionId>,
    /// Whose token it is.
    tokens: HashMap<String, SessionId>,
    signed_in: u64,
    outputs: VecDeque<(ConnectionId, Output)>,
}

impl Registry {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection is open. It is told its number, or closed if there are too many. `token` is a secret that nobody
    /// can guess and no other connection has; `date`: Unix time, ms.
    pub fn handle_connect(&mut self, id: ConnectionId, token: String, date: u64) {
        if self.connections.len() >= MAX_CONNECTIONS {
            self.outputs.push_back((id, Output::Close(Closing::Full)));
            return;
        }
        self.connections.insert(id, Connection { token, session: None });
        self.answer(id, &Envelope::new(kind::ID).with("id", id.0).with("date", date));
    }

    /// A connection is gone.
    pub fn handle_disconnect(&mut self, id: ConnectionId, departure: Departure, date: u64, now: Instant) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let Some(who) = connection.session else { return };
        let Some(session) = self.sessions.get_mut(&who).filter(|session| session.connection == Some(id))
        else {
            return;
        };
        session.connection = None;
        if session.token.is_none() || departure == Departure::Closed {
            return self.expel(who, date);
        }
        let reclaimable = departure == Departure::Ended;
        session.absence = Some(Absence { until: now + ABSENCE, reclaimable, senders: Vec::new() });
        if self.absences().count() > MAX_ABSENT
            && let Some(oldest) = self.absences().min_by_key(|(_, until)| *until).map(|(who, _)| who)
        {
            self.expel(oldest, date);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.absences().map(|(_, until)| until).min()
    }

    /// Gives up who has been away for too long.
    pub fn handle_timeout(&mut self, date: u64, now: Instant) {
        let late: Vec<_> = self.absences().filter(|(_, until)| *until <= now).map(|(who, _)| who).collect();
        for who in late {
            self.expel(who, date);
        }
    }

    /// A binary message, of which the protocol has none.
    pub fn handle_binary(&mut self, id: ConnectionId) {
        self.refuse(id, "binary messages are not understood: send JSON as text");
    }

    /// A text message. `date`: Unix time, ms.
    pub fn handle_text(&mut self, id: ConnectionId, text: &str, date: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let sender = connection.session.and_then(|who| Some((who, self.sessions.get_mut(&who)?)));
        let sender = sender.map(|(who, session)| {
            session.received += 1;
            (who, Arc::clone(&session.name))
        });
        let envelope = match Envelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => return self.refuse(id, &error.to_string()),
        };
        match (sender, envelope.kind()) {
            (None, kind::USERNAME) => self.sign_in(id, &envelope, date),
            (None, _) => self.refuse(id, "sign in first: send a \"username\""),
            (Some((_, name)), kind::USERNAME) => self.sign_in_again(id, &name, &envelope),
            (Some(_), server) if kind::OF_THE_SERVER.contains(&server) => {
                self.refuse(id, &format!("only the server sends \"{server}\""));
            }
            (Some((who, name)), _) => self.relay(id, who, &name, envelope, date),
        }
    }

    /// The next thing to do to a connection. To be called until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<(ConnectionId, Output)> {
        self.outputs.pop_front()
    }

    /// Connections, signed in or not.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The names of those signed in, oldest first; with those who are awaited.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.sessions.values().map(|session| &*session.name)
    }

    fn absences(&self) -> impl Iterator<Item = (SessionId, Instant)> {
        self.sessions.iter().filter_map(|(who, session)| Some((*who, session.absence.as_ref()?.until)))
    }

    fn sign_in(&mut self, id: ConnectionId, envelope: &Envelope, date: u64) {
        let Some(wish) = envelope.text("name") else {
            return self.refuse(id, "a \"username\" needs a \"name\", which is a string");
        };
        let announced = |feature: &str| envelope.texts("features").any(|own| own == feature);
        let features = Features {
            presence: announced(FEATURE_PRESENCE),
            undeliverable: announced(FEATURE_UNDELIVERABLE),
        };
        if announced(FEATURE_RESUME)
            && let Some(resume) = Resume::of(envelope)
            && let Some(who) = self.tokens.get(resume.token).copied()
        {
            return self.resume(id, who, features, resume, wish);
        }
        self.make_room(wish, date);
        let name = self.free_name(wish);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.signed_in += 1;
        let who = SessionId(self.signed_in);
        connection.session = Some(who);
        let token = announced(FEATURE_RESUME).then(|| std::mem::take(&mut connection.token));
        if let Some(token) = &token {
            self.tokens.insert(token.clone(), who);
            self.outputs.push_back((id, Output::Text(session(token, false, 0).to_json().into())));
        }
        self.names.insert(Arc::clone(&name), who);
        self.sessions.insert(who, Session::new(Arc::clone(&name), features, id, token));
        if *name != *wish {
            self.send(who, &rejection(id, &name).to_json().into());
        }
        let list = self.user_list();
        self.send(who, &list);
        // The article's page draws the first as "User X signed in"; clients with presence take the second.
        let signed_in = Envelope::new(kind::USERNAME).with("name", &*name).with("date", date);
        let joined = Envelope::new(kind::USER_JOINED).with("name", &*name).with("date", date);
        self.announce(&joined, Some(&signed_in), who);
    }

    /// Somebody comes back: nobody else notices.
    fn resume(
        &mut self,
        id: ConnectionId,
        who: SessionId,
        features: Features,
        resume: Resume<'_>,
        wish: &str,
    ) {
        let Some(session) = self.sessions.get_mut(&who) else { return };
        session.features = features;
        session.absence = None;
        if let Some(old) = session.connection.replace(id) {
            // A connection that is dead without knowing it.
            self.connections.remove(&old);
            self.outputs.push_back((old, Output::Close(Closing::Replaced)));
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = Some(who);
        }
        let hello = self::session(resume.token, true, session.received);
        self.outputs.push_back((id, Output::Text(hello.to_json().into())));
        for text in session.missed(resume.received) {
            self.outputs.push_back((id, Output::Text(Arc::clone(text))));
        }
        let name = Arc::clone(&session.name);
        if *name != *wish {
            self.send(who, &rejection(id, &name).to_json().into());
        }
        let list = self.user_list();
        self.send(who, &list);
    }

    /// A name belongs to its connection for good: calls under way are addressed by it.
    fn sign_in_again(&mut self, id: ConnectionId, name: &str, envelope: &Envelope) {
        self.answer(id, &rejection(id, name));
        if envelope.text("name") != Some(name) {
            self.refuse(id, &format!("you are signed in as \"{name}\": connect anew to change your name"));
        }
    }

    /// Somebody is gone for good.
    fn expel(&mut self, who: SessionId, date: u64) {
        let Some(session) = self.sessions.remove(&who) else { return };
        self.names.remove(&session.name);
        if let Some(token) = &session.token {
            self.tokens.remove(token);
        }
        let left = Envelope::new(kind::USER_LEFT).with("name", &*session.name).with("date", date);
        self.announce(&left, None, who);
        for (sender, of) in session.absence.map(|absence| absence.senders).unwrap_or_default() {
            self.undeliverable(sender, &of, &session.name);
        }
    }

    /// Somebody whose program is gone gives the name up to whoever asks for it.
    fn make_room(&mut self, wish: &str, date: u64) {
        if let Some(who) = self.names.get(clean_name(wish).as_str()).copied()
            && let Some(session) = self.sessions.get(&who)
            && session.absence.as_ref().is_some_and(|absence| absence.reclaimable)
        {
            self.expel(who, date);
        }
    }

    fn relay(&mut self, id: ConnectionId, sender: SessionId, name: &str, mut envelope: Envelope, date: u64) {
        envelope.set("name", name);
        if envelope.kind() == kind::MESSAGE {
            if envelope.text("text").is_none() {
                return self.refuse(id, "a \"message\" needs a \"text\", which is a string");
            }
            if envelope.field("date").is_none() {
                envelope.set("date", date);
            }
        }
        if envelope.kind() == kind::VIDEO_OFFER {
            // So that one that was held up on its way to a sleeping computer does not ring there at its waking.
            envelope.set("date", date);
        }
        let text: Arc<str> = envelope.to_json().into();
        let Some(target) = envelope.target() else {
            // Chat comes back to its sender, as in the article: the page draws its own words from the echo. What
            // concerns a call does not: the page hangs up without a target, and the echo of that could end the
            // call that it begins next.
            let echo = !kind::OF_A_CALL.contains(&envelope.kind());
            let all: Vec<_> = self.sessions.keys().copied().filter(|who| echo || *who != sender).collect();
            for who in all {
                self.send(who, &text);
            }
            return;
        };
        let delivered = self.names.get(target).copied().is_some_and(|who| {
            // A question that only its being asked now makes sense of.
            if envelope.kind() == kind::PATH_CHECK
                && self.sessions.get(&who).is_some_and(|session| session.connection.is_none())
            {
                return false;
            }
            let taken = self.send(who, &text);
            if let Some(absence) = self.sessions.get_mut(&who).and_then(|session| session.absence.as_mut())
                && taken
                && !absence.senders.iter().any(|(other, _)| *other == sender)
            {
                absence.senders.push((sender, envelope.kind().to_owned()));
            }
            taken
        });
        if !delivered {
            self.undeliverable(sender, envelope.kind(), target);
        }
    }

    /// Tells everyone signed in but `subject` of a change: `delta` to those with presence; the whole list, then
    /// `notice`, to the others. Who is away gets the whole list at the return.
    fn announce(&mut self, delta: &Envelope, notice: Option<&Envelope>, subject: SessionId) {
        let list = self.user_list();
        let delta: Arc<str> = delta.to_json().into();
        let notice: Option<Arc<str>> = notice.map(|notice| notice.to_json().into());
        let present = |(who, session): (&SessionId, &Session)| {
            (*who != subject && session.connection.is_some()).then_some((*who, session.features.presence))
        };
        let others: Vec<_> = self.sessions.iter().filter_map(present).collect();
        for (who, presence) in others {
            if presence {
                self.send(who, &delta);
            } else {
                self.send(who, &list);
                if let Some(notice) = &notice {
                    self.send(who, notice);
                }
            }
        }
    }

    fn user_list(&self) -> Arc<str> {
        let users: Vec<&str> = self.users().collect();
        Envelope::new(kind::USER_LIST).with("users", users).to_json().into()
    }

    /// The name wished for, cleaned, with the lowest free number appended if it is taken.
    fn free_name(&self, wish: &str) -> Arc<str> {
        let base = clean_name(wish);
        if !self.names.contains_key(base.as_str()) {
            return base.into();
        }
        // One of the first N + 1 numbers is free, with N names taken.
        let mut number = 1;
        loop {
            let name = numbered_name(&base, number);
            if !self.names.contains_key(name.as_str()) {
                return name.into();
            }
            number += 1;
        }
    }

    /// Sends it to a participant, or keeps it for the return. False if neither is possible.
    fn send(&mut self, who: SessionId, text: &Arc<str>) -> bool {
        let Some(session) = self.sessions.get_mut(&who) else { return false };
        let (taken, connection) = session.take(text);
        if let Some(id) = connection {
            self.outputs.push_back((id, Output::Text(Arc::clone(text))));
        }
        taken
    }

    fn undeliverable(&mut self, sender: SessionId, of: &str, target: &str) {
        if self.sessions.get(&sender).is_some_and(|session| session.features.undeliverable) {
            let answer = Envelope::new(kind::UNDELIVERABLE).with("of", of).to(target);
            self.send(sender, &answer.to_json().into());
        }
    }

    /// Answers on a connection, whoever is at its end.
    fn answer(&mut self, id: ConnectionId, envelope: &Envelope) {
        let text: Arc<str> = envelope.to_json().into();
        match self.connections.get(&id).and_then(|connection| connection.session) {
            Some(who) => {
                self.send(who, &text);
            }
            None => self.outputs.push_back((id, Output::Text(text))),
        }
    }

    fn refuse(&mut self, id: ConnectionId, problem: &str) {
        self.answer(id, &Envelope::new(kind::ERROR).with("message", problem));
    }
}

fn rejection(id: ConnectionId, name: &str) -> Envelope {
    Envelope::new(kind::REJECT_USERNAME).with("id", id.0).with("name", name)
}

fn session(token: &str, resumed: bool, received: u64) -> Envelope {
    Envelope::new(kind::SESSION).with("token", token).with("resumed", resumed).with("received", received)
}
