//! The first request on a socket: a WebSocket handshake becomes a connection, anything else gets a short answer.
//!
//! Driven by the connection's task under a timeout. It reads at most [`MAX_HEAD_BYTES`].

use super::linger::linger;
use crate::protocol::SUBPROTOCOL;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Result};

/// Longest request head, bytes: browsers with many cookies stay below it.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What a browser shows that was pointed here.
const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Ahoy</title>\n\
    <h1>Ahoy</h1>\n<p>This is the signaling server of Ahoy, the video-call application. \
    Enter this computer's name or address in Ahoy to meet the others here.</p>\n</html>\n";

/// Reads the request. `Some`: a WebSocket; `None`: it was answered and closed.
pub(super) async fn open(
    mut stream: TcpStream,
    config: WebSocketConfig,
) -> Result<Option<WebSocketStream<TcpStream>>> {
    let (request, rest) = match read_head(&mut stream).await? {
        Head::Request(request, rest) => (request, rest),
        Head::Refused(answer) => {
            answer.write(stream).await?;
            return Ok(None);
        }
    };
    if !request.headers().contains_key(UPGRADE) {
        let answer = match request.uri().path() {
            "/" | "/index.html" => Answer { status: "200 OK", header: "", body: PAGE },
            _ => Answer { status: "404 Not Found", header: "", body: "There is nothing here.\n" },
        };
        answer.write(stream).await?;
        return Ok(None);
    }
    let mut response = match create_response(&request) {
        Ok(response) => response,
        Err(Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) => {
            // RFC 6455 section 4.4.
            let header = "Sec-WebSocket-Version: 13\r\n";
            let body = "This server speaks WebSocket version 13.\n";
            Answer { status: "426 Upgrade Required", header, body }.write(stream).await?;
            return Ok(None);
        }
        Err(error) => {
            tracing::debug!(%error, "bad handshake");
            Answer::BAD_REQUEST.write(stream).await?;
            return Ok(None);
        }
    };
    if asks_for_json(&request) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let mut head = Vec::new();
    write_response(&mut head, &response)?;
    stream.write_all(&head).await?;
    Ok(Some(WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await))
}

enum Head {
    /// A GET, and what came after its head.
    Request(Request, Vec<u8>),
    /// Something else.
    Refused(Answer),
}

async fn read_head(stream: &mut TcpStream) -> Result<Head> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match Request::try_parse(&head) {
            Ok(Some((length, request))) => return Ok(Head::Request(request, head.split_off(length))),
            Ok(None) if head.len() > MAX_HEAD_BYTES => {
                let status = "431 Request Header Fields Too Large";
                return Ok(Head::Refused(Answer { status, header: "", body: "The request is too long.\n" }));
            }
            Ok(None) => {}
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                let (status, header) = ("405 Method Not Allowed", "Allow: GET\r\n");
                return Ok(Head::Refused(Answer { status, header, body: "Only GET is understood.\n" }));
            }
            Err(_) => return Ok(Head::Refused(Answer::BAD_REQUEST)),
        }
    }
}

/// `json` is among the subprotocols that the client offers (RFC 6455 section 4.1, a list or repeated headers). A
/// client that offers none is welcome, too.
fn asks_for_json(request: &Request) -> bool {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut names = offers.iter().filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    names.any(|name| name.trim() == SUBPROTOCOL)
}

struct Answer {
    status: &'static str,
    /// Further header lines, each with its line end.
    header: &'static str,
    body: &'static str,
}

impl Answer {
    const BAD_REQUEST: Self = Self {
        status: "400 Bad Request",
        header: "",
        body: "This is a WebSocket server; the request was not understood.\n",
    };

    async fn write(&self, mut stream: TcpStream) -> io::Result<()> {
        let kind = if self.body.starts_with("<!DOCTYPE") { "text/html" } else { "text/plain" };
        let text = format!(
            "HTTP/1.1 {}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{}\r\n{}",
            self.status,
            self.body.len(),
            self.header,
            self.body
        );
        stream.write_all(text.as_bytes()).await?;
        linger(stream).await;
        Ok(())
    }
}
