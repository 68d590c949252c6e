//! One connection's task: owns the socket from the handshake to the last byte.
//!
//! Driven by its peer and, through a bounded queue, by the hub. It never waits for another connection.
//!
//! | The peer | What happens to it |
//! |---|---|
//! | sends a message over [`MAX_MESSAGE_BYTES`] | closed with 1009 |
//! | breaks RFC 6455 | closed with 1002; invalid UTF-8 with 1007 |
//! | sends too fast ([`super::rate`]) | is read more slowly |
//! | does not read what it is sent | dropped when its queue or [`WRITE_TIMEOUT`] is over |
//! | answers no ping ([`PING_INTERVAL`], [`MAX_MISSED_PINGS`]) | dropped |
//! | never finishes its handshake | dropped after [`HANDSHAKE_TIMEOUT`] |

use super::door;
use super::linger::linger;
use super::link::{Event, Link, Outgoing, QUEUE_MESSAGES};
use super::rate::RateLimit;
use super::registry::Closing;
use super::session::{ConnectionId, Departure};
use crate::protocol::MAX_MESSAGE_BYTES;
use futures_util::{SinkExt, StreamExt};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// Time between pings (RFC 6455 section 5.5.2).
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Pings in a row without any sign of life after which the connection is dropped, when the next one is due.
pub const MAX_MISSED_PINGS: u32 = 2;
/// How long a peer may take for its HTTP request.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one message may take into the peer's socket.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that we close may take to say goodbye.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Receive buffer of one connection, bytes: small, for there may be a thousand.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// Serves one accepted socket to its end.
pub(super) async fn run(
    stream: TcpStream,
    id: ConnectionId,
    hub: mpsc::Sender<Event>,
    mut stop: watch::Receiver<bool>,
    ping_interval: Duration,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let opened = tokio::select! {
        opened = timeout(HANDSHAKE_TIMEOUT, door::open(stream, config)) => opened,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let mut socket = match opened {
        Ok(Ok(Some(socket))) => socket,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(connection = id.0, %error, "no handshake"),
        Err(_) => return tracing::debug!(connection = id.0, "no handshake in time"),
    };
    let (sender, outgoing) = mpsc::channel(QUEUE_MESSAGES);
    let (alive, dropped) = oneshot::channel();
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let link = Link { outgoing: sender, queued_bytes: Arc::clone(&queued_bytes), _alive: alive };
    if hub.send(Event::Opened(id, link)).await.is_err() {
        return;
    }
    let mut connection = Connection { id, socket: &mut socket, hub: &hub, outgoing, queued_bytes };
    let ending = tokio::select! {
        ending = connection.serve(ping_interval) => ending,
        _ = stop.wait_for(|stop| *stop) => Ending::Close(CloseCode::Away, "the server is shutting down"),
        _ = dropped => Ending::Drop(Departure::Silent, "the hub dropped it"),
    };
    let departure = match ending {
        Ending::Drop(departure, _) => departure,
        Ending::Close(..) => Departure::Closed,
    };
    // The others are told before the goodbye, which may take its time.
    if hub.send(Event::Ended(id, departure)).await.is_err() {
        tracing::debug!(connection = id.0, "the hub is gone");
    }
    match ending {
        Ending::Drop(departure, reason) => {
            tracing::debug!(connection = id.0, ?departure, reason, "connection ended");
        }
        Ending::Close(code, reason) => {
            tracing::debug!(connection = id.0, %code, reason, "connection closed");
            farewell(socket, code, reason).await;
        }
    }
}

/// How a connection ends.
enum Ending {
    /// It is closed already, or not worth a word.
    Drop(Departure, &'static str),
    /// We close it.
    Close(CloseCode, &'static str),
}

struct Connection<'a> {
    id: ConnectionId,
    socket: &'a mut WebSocketStream<TcpStream>,
    hub: &'a mpsc::Sender<Event>,
    outgoing: mpsc::Receiver<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Connection<'_> {
    async fn serve(&mut self, ping_interval: Duration) -> Ending {
        let mut rate = RateLimit::new(Instant::now().into_std());
        let mut resume_at: Option<Instant> = None;
        let mut missed_pings = 0;
        let mut goodbye = false;
        let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = self.socket.next(), if resume_at.is_none() => {
                    missed_pings = 0;
                    let message = match received {
                        Some(Ok(message)) => message,
                        Some(Err(_)) | None if goodbye => return Ending::Drop(Departure::Closed, "it said goodbye"),
                        Some(Err(error)) => return ending_of(&error),
                        None => return Ending::Drop(Departure::Ended, "the stream ended"),
                    };
                    let now = Instant::now();
                    let delay = rate.charge(message.len(), now.into_std());
                    if !delay.is_zero() {
                        resume_at = Some(now + delay);
                    }
                    let event = match message {
                        Message::Text(text) => Event::Text(self.id, text),
                        Message::Binary(_) => Event::Binary(self.id),
                        // Ping and close are answered by the library when it is polled again.
                        Message::Close(_) => {
                            goodbye = true;
                            continue;
                        }
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                    };
                    if self.hub.send(event).await.is_err() {
                        return Ending::Drop(Departure::Silent, "the hub is gone");
                    }
                }
                () = sleep_until(resume_at.unwrap_or_else(Instant::now)), if resume_at.is_some() => resume_at = None,
                outgoing = self.outgoing.recv() => {
                    let text = match outgoing {
                        Some(Outgoing::Text(text)) => text,
                        Some(Outgoing::Close(Closing::Full)) => {
                            return Ending::Close(CloseCode::Again, "the server is full: try again later");
                        }
                        Some(Outgoing::Close(Closing::Replaced)) => {
                            return Ending::Close(CloseCode::Normal, "you came back on another connection");
                        }
                        None => return Ending::Drop(Departure::Silent, "the hub dropped it"),
                    };
                    let sent = self.send(Message::text(&*text)).await;
                    self.queued_bytes.fetch_sub(text.len(), Ordering::Relaxed);
                    if let Some(ending) = sent {
                        return ending;
                    }
                }
                _ = pings.tick() => {
                    // Whoever is not read cannot be heard.
                    if resume_at.is_some() {
                        continue;
                    }
                    if missed_pings >= MAX_MISSED_PINGS {
                        return Ending::Drop(Departure::Silent, "it answers no ping");
                    }
                    missed_pings += 1;
                    if let Some(ending) = self.send(Message::Ping(Bytes::new())).await {
                        return ending;
                    }
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Option<Ending> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(ending_of(&error)),
            Err(_) => Some(Ending::Drop(Departure::Silent, "it does not read what it is sent")),
        }
    }
}

fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Capacity(_) => Ending::Close(CloseCode::Size, "a message may have at most 262144 bytes"),
        Error::Utf8(_) => Ending::Close(CloseCode::Invalid, "a text message must be UTF-8"),
        Error::Protocol(protocol) => {
            use tokio_tungstenite::tungstenite::error::ProtocolError;
            match protocol {
                ProtocolError::ResetWithoutClosingHandshake => {
                    Ending::Drop(Departure::Ended, "the stream ended without a goodbye")
                }
                // Both sides closed at the same time: data of a peer that was already told to go.
                ProtocolError::SendAfterClosing | ProtocolError::ReceivedAfterClosing => {
                    Ending::Drop(Departure::Closed, "the peer closed it")
                }
                _ => Ending::Close(CloseCode::Protocol, "this breaks the WebSocket protocol"),
            }
        }
        // The peer's system says that nobody is at the other end any more. Every other error is the network's.
        Error::Io(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
            ) =>
        {
            Ending::Drop(Departure::Ended, "the peer is gone")
        }
        Error::ConnectionClosed | Error::AlreadyClosed => {
            Ending::Drop(Departure::Closed, "the peer closed it")
        }
        _ => Ending::Drop(Departure::Silent, "the network is gone"),
    }
}

/// Says why we close, then reads away what the peer is still sending: closing a socket with unread data resets it, and
/// the peer would never see the reason (RFC 6455 section 7.1.1; RFC 9112 section 9.6 describes the same for HTTP).
async fn farewell(mut socket: WebSocketStream<TcpStream>, code: CloseCode, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    match timeout(FAREWELL_TIMEOUT, socket.send(Message::Close(Some(frame)))).await {
        Ok(Ok(())) => linger(socket.into_inner()).await,
        Ok(Err(error)) => tracing::debug!(%error, "no goodbye"),
        Err(_) => tracing::debug!("no goodbye in time"),
    }
}
