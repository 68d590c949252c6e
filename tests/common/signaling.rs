//! A raw WebSocket peer and a server on a port of its own.

#![allow(dead_code, reason = "not every test binary uses every helper")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use ahoy::signaling::server::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longest wait for anything that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port of the loopback interface.
pub(crate) async fn server() -> (Server, SocketAddr) {
    let mut server = Server::new();
    let address = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    (server, address)
}

/// A peer that speaks exactly what a test tells it to.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) subprotocol: Option<String>,
}

impl Peer {
    /// Connects, asking for these subprotocols.
    pub(crate) async fn connect(address: SocketAddr, subprotocols: Option<&str>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        if let Some(subprotocols) = subprotocols {
            let value = HeaderValue::from_str(subprotocols).unwrap();
            request.headers_mut().insert("Sec-WebSocket-Protocol", value);
        }
        let (socket, response) = client_async(request, stream).await.unwrap();
        let subprotocol = response.headers().get("Sec-WebSocket-Protocol");
        let subprotocol = subprotocol.map(|value| value.to_str().unwrap().into());
        Self { socket, subprotocol }
    }

    /// Connects and signs in as the article's page does, and reads everything up to its first list.
    pub(crate) async fn page(address: SocketAddr, name: &str) -> Self {
        let mut peer = Self::connect(address, Some("json")).await;
        let id = peer.receive().await;
        assert_eq!(id["type"], "id");
        peer.send(json!({"name": name, "date": 1_700_000_000_000_u64, "id": id["id"], "type": "username"}))
            .await;
        peer.until("userlist").await;
        peer
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        timeout(PATIENCE, self.socket.send(Message::text(text))).await.unwrap().unwrap();
    }

    /// The next text message.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no text but {other:?}"),
            }
        }
    }

    /// The next message of this type; what comes before it is dropped.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.receive().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The close code with which the server ends this connection.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("not closed") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Close(None))) | None => panic!("closed without a code"),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("broken off: {error}"),
            }
        }
    }

    /// Nothing has come to this peer but its own echo: it hears itself next.
    pub(crate) async fn assert_undisturbed(&mut self) {
        self.send(json!({"type": "message", "text": "still here"})).await;
        let next = self.receive().await;
        assert_eq!(next["text"], "still here", "a bystander was disturbed: {next}");
    }
}
