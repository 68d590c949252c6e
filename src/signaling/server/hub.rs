//! The one task that owns the registry and the list of connections.
//!
//! Driven by the acceptors and the connections through one bounded queue. It never waits for a connection: what does
//! not fit into a connection's own queue closes that connection.

use super::connection;
use super::link::{Event, Link, Outgoing};
use super::registry::{MAX_CONNECTIONS, Output, Registry};
use super::session::{ConnectionId, Departure};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// Events that may wait for the hub. When full the connections wait, and TCP slows their peers; each has at most one
/// event waiting outside the queue, and they are taken in turn.
pub(super) const EVENT_CAPACITY: usize = 1024;
/// Sockets that have not yet become connections (handshakes, plain HTTP) beyond the full number of connections. One
/// more is dropped at once.
const SPARE_SOCKETS: usize = 256;

/// Runs until `stop` is true, or its sender gone, and all connections are closed.
pub(super) async fn run(
    sender: mpsc::Sender<Event>,
    mut events: mpsc::Receiver<Event>,
    mut stop: watch::Receiver<bool>,
    ping_interval: Duration,
) {
    let mut hub = Hub {
        registry: Registry::new(),
        links: HashMap::new(),
        tasks: JoinSet::new(),
        next_id: 1,
        sender,
        stop: stop.clone(),
        ping_interval,
    };
    loop {
        let due = hub.registry.poll_timeout();
        tokio::select! {
            // `sender` lives in the hub, so the queue never ends.
            Some(event) = events.recv() => hub.handle(event),
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                hub.registry.handle_timeout(unix_milliseconds(), Instant::now());
                hub.deliver();
            }
            Some(ended) = hub.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task ended badly");
                    hub.sweep();
                }
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // The connections saw the same signal; their last events must not fill the queue.
    while !hub.tasks.is_empty() {
        tokio::select! {
            Some(_) = events.recv() => {}
            Some(_) = hub.tasks.join_next() => {}
        }
    }
}

struct Hub {
    registry: Registry,
    links: HashMap<ConnectionId, Link>,
    tasks: JoinSet<()>,
    next_id: u64,
    sender: mpsc::Sender<Event>,
    stop: watch::Receiver<bool>,
    ping_interval: Duration,
}

impl Hub {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted(stream) => {
                if self.tasks.len() >= MAX_CONNECTIONS + SPARE_SOCKETS {
                    tracing::warn!("too many sockets: one more is dropped");
                    return;
                }
                let id = ConnectionId(self.next_id);
                self.next_id += 1;
                let task =
                    connection::run(stream, id, self.sender.clone(), self.stop.clone(), self.ping_interval);
                self.tasks.spawn(task);
            }
            Event::Opened(id, link) => {
                self.links.insert(id, link);
                self.registry.handle_connect(id, token(), unix_milliseconds());
            }
            // A connection that was dropped may still have messages in the queue: they are nobody's now.
            Event::Text(id, text) => self.registry.handle_text(id, &text, unix_milliseconds()),
            Event::Binary(id) if self.links.contains_key(&id) => self.registry.handle_binary(id),
            Event::Binary(_) => {}
            Event::Ended(id, departure) => {
                self.links.remove(&id);
                self.forget(id, departure);
            }
        }
        self.deliver();
    }

    /// Carries out what the registry wants.
    fn deliver(&mut self) {
        while let Some((id, output)) = self.registry.poll_output() {
            let Some(link) = self.links.get(&id) else { continue };
            let outgoing = match output {
                Output::Text(text) => Outgoing::Text(text),
                Output::Close(closing) => Outgoing::Close(closing),
            };
            if let Err(overflow) = link.offer(outgoing) {
                tracing::info!(connection = id.0, reason = %overflow, "connection dropped");
                // Dropping the link ends the task even in the middle of a write.
                self.links.remove(&id);
                self.forget(id, Departure::Silent);
            }
        }
    }

    /// Takes out connections whose task is gone without a last word.
    fn sweep(&mut self) {
        let gone: Vec<_> =
            self.links.iter().filter(|(_, link)| link.is_closed()).map(|(id, _)| *id).collect();
        for id in gone {
            self.links.remove(&id);
            self.forget(id, Departure::Silent);
        }
        self.deliver();
    }

    fn forget(&mut self, id: ConnectionId, departure: Departure) {
        self.registry.handle_disconnect(id, departure, unix_milliseconds(), Instant::now());
    }
}

/// A secret of 128 bits (RFC 4086 section 8.2.1 asks for as many of one that is to outlive guessing).
fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The `date` of the protocol: Unix time in milliseconds.
fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
