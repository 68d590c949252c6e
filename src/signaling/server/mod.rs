//! The signaling server: the article's chat server, hardened. Runs inside the app or as `ahoy-server`.
//!
//! Three layers: [`registry`] knows the rules and no sockets; the hub is the one task that owns it; each connection
//! is a task that owns its socket and speaks with the hub through bounded queues. The server keeps nothing on disk
//! and looks into no session description.
//!
//! A peer that does not read is disconnected, one that sends too fast is read more slowly, one that does not answer
//! pings is gone: see [`connection`] for the limits and [`registry`] for the answer to each malformed message.

pub mod connection;
mod door;
mod hub;
mod linger;
mod link;
pub mod rate;
pub mod registry;
pub mod session;
#[cfg(test)]
mod tests;

use link::Event;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long to wait before accepting again after the system refused to (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program has the port.
    #[error("port {} on {} is already in use: stop the program that uses it, or choose another port", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// The system reserves the port.
    #[error("this user may not listen on port {} of {}: choose a port above 1023", .0.port(), .0.ip())]
    NotPermitted(SocketAddr),
    /// The address is not one of this computer's.
    #[error("{} is not an address of this computer: listen on 0.0.0.0 for all of them", .0.ip())]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("the system cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A signaling server with any number of listeners and one table of users. Owns its tasks: dropping it stops them,
/// [`Server::close`] also says goodbye to the participants and waits.
pub struct Server {
    ping_interval: Duration,
    hub: Option<Running>,
    acceptors: Vec<JoinHandle<()>>,
}

/// The hub, once there is a listener.
struct Running {
    events: mpsc::Sender<Event>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new() -> Self {
        Self::with_ping_interval(connection::PING_INTERVAL)
    }

    /// The same, with another time between pings.
    pub fn with_ping_interval(ping_interval: Duration) -> Self {
        Self { ping_interval, hub: None, acceptors: Vec::new() }
    }

    /// Listens on one more address (port 0: any free one) and returns the address. Must run inside tokio.
    ///
    /// # Errors
    /// When the system does not let us listen there; the server goes on as it was.
    pub async fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, ServerError> {
        let listener = TcpListener::bind(address).await.map_err(|source| listen_error(address, source))?;
        let bound = listener.local_addr().map_err(|source| ServerError::Listen { address, source })?;
        let hub = self.hub.get_or_insert_with(|| {
            let (events, receiver) = mpsc::channel(hub::EVENT_CAPACITY);
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(hub::run(events.clone(), receiver, stopped, self.ping_interval));
            Running { events, stop, task }
        });
        let events = hub.events.clone();
        self.acceptors.push(tokio::spawn(accept(listener, events)));
        tracing::info!(address = %bound, "listening");
        Ok(bound)
    }

    /// Closes the listeners and keeps the connections. On return the ports are free.
    pub async fn stop_listening(&mut self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
        for acceptor in self.acceptors.drain(..) {
            // An aborted task has dropped its listener; a panic was reported by its thread.
            if let Err(error) = acceptor.await {
                tracing::debug!(%error, "listener closed");
            }
        }
    }

    /// Closes listeners and connections (code 1001, going away) and waits until all is closed: at most a few
    /// seconds, however the peers behave.
    pub async fn close(mut self) {
        self.stop_listening().await;
        let Some(Running { events, stop, task }) = self.hub.take() else { return };
        drop(events);
        stop.send_replace(true);
        if let Err(error) = task.await {
            tracing::error!(%error, "the server's hub ended badly");
        }
    }
}

impl Drop for Server {
    /// Stops listening at once; the hub and the connections see that the `stop` sender is gone and end by themselves.
    fn drop(&mut self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }
}

fn listen_error(address: SocketAddr, source: io::Error) -> ServerError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::InUse(address),
        io::ErrorKind::PermissionDenied => ServerError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable => ServerError::NotOurs(address),
        _ => ServerError::Listen { address, source },
    }
}

async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if events.send(Event::Accepted(stream)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
