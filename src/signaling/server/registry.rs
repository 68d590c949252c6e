//! Who is connected, what they are called, and who gets which message.
//!
//! Sans-IO: driven by the hub ([`super::hub`]) and by tests, with `handle_*` in and [`Registry::poll_output`] out.
//! It never touches a socket, never reads a clock and never waits. Its work for one input is bounded by the number
//! of connections.
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
//!
//! Unknown fields and unknown types are relayed untouched. `name` is always overwritten with the sender's true name.
//! A chat text is relayed as it is: a page must draw it as text, as `textContent` does.

use crate::protocol::{Envelope, FEATURE_PRESENCE, FEATURE_UNDELIVERABLE, clean_name, kind, numbered_name};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Connections at a time, signed in or not. One more is refused with [`Closing::Full`].
pub const MAX_CONNECTIONS: usize = 1000;

/// One connection; never used again in the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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
}

/// A connection of the table.
#[derive(Debug, Default)]
struct Connection {
    /// The granted name, once signed in.
    name: Option<Arc<str>>,
    /// Announced [`FEATURE_PRESENCE`].
    presence: bool,
    /// Announced [`FEATURE_UNDELIVERABLE`].
    undeliverable: bool,
}

/// The table of connections and names.
#[derive(Debug, Default)]
pub struct Registry {
    connections: BTreeMap<ConnectionId, Connection>,
    /// Who is called what; the exact name, case included.
    names: HashMap<Arc<str>, ConnectionId>,
    /// Those signed in, oldest first: the order of `userlist`.
    order: Vec<ConnectionId>,
    outputs: VecDeque<(ConnectionId, Output)>,
}

impl Registry {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection is open. It is told its number, or closed if there are too many. `date`: Unix time, ms.
    pub fn handle_connect(&mut self, id: ConnectionId, date: u64) {
        if self.connections.len() >= MAX_CONNECTIONS {
            self.outputs.push_back((id, Output::Close(Closing::Full)));
            return;
        }
        self.connections.insert(id, Connection::default());
        self.send(id, &Envelope::new(kind::ID).with("id", id.0).with("date", date));
    }

    /// A connection is gone, whatever the reason.
    pub fn handle_disconnect(&mut self, id: ConnectionId, date: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let Some(name) = connection.name else { return };
        self.names.remove(&name);
        self.order.retain(|other| *other != id);
        let left = Envelope::new(kind::USER_LEFT).with("name", &*name).with("date", date);
        self.announce(&left, None, id);
    }

    /// A binary message, of which the protocol has none.
    pub fn handle_binary(&mut self, id: ConnectionId) {
        self.refuse(id, "binary messages are not understood: send JSON as text");
    }

    /// A text message. `date`: Unix time, ms.
    pub fn handle_text(&mut self, id: ConnectionId, text: &str, date: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let envelope = match Envelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => return self.refuse(id, &error.to_string()),
        };
        match (&connection.name, envelope.kind()) {
            (None, kind::USERNAME) => self.sign_in(id, &envelope, date),
            (None, _) => self.refuse(id, "sign in first: send a \"username\""),
            (Some(name), kind::USERNAME) => {
                let name = Arc::clone(name);
                self.sign_in_again(id, &name, &envelope);
            }
            (Some(_), server) if kind::OF_THE_SERVER.contains(&server) => {
                self.refuse(id, &format!("only the server sends \"{server}\""));
            }
            (Some(name), _) => {
                let name = Arc::clone(name);
                self.relay(id, &name, envelope, date);
            }
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

    /// The names of those signed in, oldest first.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.order.iter().filter_map(|id| self.connections.get(id)?.name.as_deref())
    }

    fn sign_in(&mut self, id: ConnectionId, envelope: &Envelope, date: u64) {
        let Some(wish) = envelope.text("name") else {
            return self.refuse(id, "a \"username\" needs a \"name\", which is a string");
        };
        let name = self.free_name(wish);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.presence = envelope.texts("features").any(|feature| feature == FEATURE_PRESENCE);
        connection.undeliverable = envelope.texts("features").any(|feature| feature == FEATURE_UNDELIVERABLE);
        connection.name = Some(Arc::clone(&name));
        self.names.insert(Arc::clone(&name), id);
        self.order.push(id);
        if *name != *wish {
            self.send(id, &rejection(id, &name));
        }
        let list = self.user_list();
        self.outputs.push_back((id, Output::Text(list)));
        // The article's page draws the first as "User X signed in"; clients with presence take the second.
        let signed_in = Envelope::new(kind::USERNAME).with("name", &*name).with("date", date);
        let joined = Envelope::new(kind::USER_JOINED).with("name", &*name).with("date", date);
        self.announce(&joined, Some(&signed_in), id);
    }

    /// A name belongs to its connection for good: calls under way are addressed by it.
    fn sign_in_again(&mut self, id: ConnectionId, name: &str, envelope: &Envelope) {
        self.send(id, &rejection(id, name));
        if envelope.text("name") != Some(name) {
            self.refuse(id, &format!("you are signed in as \"{name}\": connect anew to change your name"));
        }
    }

    fn relay(&mut self, sender: ConnectionId, name: &str, mut envelope: Envelope, date: u64) {
        envelope.set("name", name);
        if envelope.kind() == kind::MESSAGE {
            if envelope.text("text").is_none() {
                return self.refuse(sender, "a \"message\" needs a \"text\", which is a string");
            }
            if envelope.field("date").is_none() {
                envelope.set("date", date);
            }
        }
        if envelope.kind() == kind::VIDEO_OFFER {
            // So that one that was held up on its way to a sleeping computer does not ring there at its waking.
            envelope.set("date", date);
        }
        let Some(target) = envelope.target() else {
            let text: Arc<str> = envelope.to_json().into();
            // Chat comes back to its sender, as in the article: the page draws its own words from the echo. What
            // concerns a call does not: the page hangs up without a target, and the echo of that could end the
            // call that it begins next.
            let echo = !kind::OF_A_CALL.contains(&envelope.kind());
            for id in self.order.iter().filter(|id| echo || **id != sender) {
                self.outputs.push_back((*id, Output::Text(Arc::clone(&text))));
            }
            return;
        };
        if let Some(id) = self.names.get(target) {
            self.outputs.push_back((*id, Output::Text(envelope.to_json().into())));
        } else if self.connections.get(&sender).is_some_and(|connection| connection.undeliverable) {
            let answer = Envelope::new(kind::UNDELIVERABLE).with("of", envelope.kind()).to(target);
            self.send(sender, &answer);
        }
    }

    /// Tells everyone signed in but `subject` of a change: `delta` to those with presence; the whole list, then
    /// `notice`, to the others.
    fn announce(&mut self, delta: &Envelope, notice: Option<&Envelope>, subject: ConnectionId) {
        let list = self.user_list();
        let delta: Arc<str> = delta.to_json().into();
        let notice: Option<Arc<str>> = notice.map(|notice| notice.to_json().into());
        for id in self.order.iter().filter(|id| **id != subject) {
            let Some(connection) = self.connections.get(id) else { continue };
            if connection.presence {
                self.outputs.push_back((*id, Output::Text(Arc::clone(&delta))));
            } else {
                self.outputs.push_back((*id, Output::Text(Arc::clone(&list))));
                if let Some(notice) = &notice {
                    self.outputs.push_back((*id, Output::Text(Arc::clone(notice))));
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

    fn send(&mut self, id: ConnectionId, envelope: &Envelope) {
        self.outputs.push_back((id, Output::Text(envelope.to_json().into())));
    }

    fn refuse(&mut self, id: ConnectionId, problem: &str) {
        self.send(id, &Envelope::new(kind::ERROR).with("message", problem));
    }
}

fn rejection(id: ConnectionId, name: &str) -> Envelope {
    Envelope::new(kind::REJECT_USERNAME).with("id", id.0).with("name", name)
}
