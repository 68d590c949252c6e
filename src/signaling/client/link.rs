//! Making the connection, and saying in words why it cannot be made.

use super::Timing;
use crate::protocol::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use crate::signaling::address::ServerAddress;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Longest message that we take from a server, bytes: user lists of large servers are longer than what we may send.
const MAX_INCOMING_BYTES: usize = 8 * MAX_MESSAGE_BYTES;
/// How long one of several addresses of a host may take before the next is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);
/// Receive buffer, bytes.
const READ_BUFFER_BYTES: usize = 16 * 1024;

pub(super) type Socket = WebSocketStream<TcpStream>;

/// Connects and shakes hands. The error is a reason in words a person can act on.
pub(super) async fn open(url: &str, timing: &Timing) -> Result<Socket, String> {
    let address = ServerAddress::parse(url)?;
    match shake_hands(&address, timing, true).await? {
        Some(socket) => Ok(socket),
        // A server need not choose a subprotocol, but the library, like browsers, insists when it asked for one.
        None => shake_hands(&address, timing, false).await?.ok_or_else(|| no_server(&address)),
    }
}

/// `None`: the server does not know the subprotocol.
async fn shake_hands(address: &ServerAddress, timing: &Timing, ask: bool) -> Result<Option<Socket>, String> {
    let place = address.authority();
    let stream = match timeout(timing.connect, connect(address)).await {
        Ok(stream) => stream.map_err(|error| connect_reason(address, &error))?,
        Err(_) => return Err(no_answer(address)),
    };
    let mut request = address
        .url()
        .into_client_request()
        .map_err(|error| format!("{place} cannot be asked for this address: {error}"))?;
    if ask {
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_INCOMING_BYTES))
        .max_frame_size(Some(MAX_INCOMING_BYTES));
    match timeout(timing.connect, client_async_with_config(request, stream, Some(config))).await {
        Ok(Ok((socket, _))) => Ok(Some(socket)),
        Ok(Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)))) if ask => Ok(None),
        Ok(Err(Error::Http(response))) => Err(format!(
            "{place} answers, but is no signaling server (HTTP status {})",
            response.status().as_u16()
        )),
        Ok(Err(Error::Io(error))) => Err(format!("{place} broke the connection off: {error}")),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no handshake");
            Err(no_server(address))
        }
        Err(_) => Err(format!("{place} takes the connection, but says nothing: check the port")),
    }
}

fn no_answer(address: &ServerAddress) -> String {
    format!("{} does not answer: check the address, the network and the firewall", address.authority())
}

fn no_server(address: &ServerAddress) -> String {
    format!("{} answers, but is no signaling server: check the port", address.authority())
}

/// The address that the connection began at is no longer this computer's: nothing can come back on it.
pub(super) fn is_cut_off(socket: &Socket) -> bool {
    let (Ok(local), Ok(interfaces)) = (socket.get_ref().local_addr(), if_addrs::get_if_addrs()) else {
        return false;
    };
    let ip = local.ip().to_canonical();
    !ip.is_loopback() && !interfaces.iter().any(|interface| interface.ip() == ip)
}

/// Tries the host's addresses in the resolver's order.
async fn connect(address: &ServerAddress) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for candidate in lookup_host((address.host.as_str(), address.port)).await? {
        match timeout(ADDRESS_TIMEOUT, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn connect_reason(address: &ServerAddress, error: &io::Error) -> String {
    let place = address.authority();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing answers on {place}: is the server running, and is the port right?")
        }
        io::ErrorKind::TimedOut => no_answer(address),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            format!("there is no way to {place}: is this computer connected to a network?")
        }
        // The resolver's failures have no kind of their own.
        _ if error.raw_os_error().is_none() => {
            format!("there is no computer called \"{}\": check the spelling and the network", address.host)
        }
        _ => format!("cannot connect to {place}: {error}"),
    }
}

/// Why an open connection ended, from what reading or writing it last returned. `None`: it ended without a word.
pub(super) fn loss_reason(place: &str, last: Option<Result<Message, Error>>) -> String {
    match last {
        Some(Ok(Message::Close(Some(frame)))) if !frame.reason.is_empty() => {
            format!("{place} closed the connection: {}", frame.reason)
        }
        Some(Err(Error::Io(error))) => format!("the connection to {place} broke: {error}"),
        Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
            format!("{place} broke the connection off: the server or the network between went away")
        }
        Some(Err(error @ (Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_)))) => {
            format!("{place} sent something that is no signaling: {error}")
        }
        _ => format!("{place} closed the connection"),
    }
}
