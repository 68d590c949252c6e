//! The client against our server, a server written after the article's sample, and no server.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![allow(clippy::result_large_err, reason = "the callback's type is the library's")]

#[path = "common/signaling.rs"]
mod fixture;

use ahoy::protocol::{HangUpReason, SdpKind, SessionDescription, Signal};
use ahoy::signaling::client::{EVENT_CAPACITY, SendError, SignalingClient, SignalingEvent, Timing};
use ahoy::signaling::server::Server;
use fixture::{PATIENCE, Peer, server};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

struct Participant {
    client: SignalingClient,
    events: mpsc::Receiver<SignalingEvent>,
}

impl Participant {
    fn connect(address: SocketAddr, name: &str) -> Self {
        Self::connect_with(address, name, Timing::default())
    }

    fn connect_with(address: SocketAddr, name: &str, timing: Timing) -> Self {
        let (sender, events) = mpsc::channel(EVENT_CAPACITY);
        let client = SignalingClient::connect_with(format!("ws://{address}/"), name.into(), sender, timing);
        Self { client, events }
    }

    async fn next(&mut self) -> SignalingEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("nothing happened").expect("the task ended")
    }

    async fn connected(&mut self) -> (String, bool) {
        match self.next().await {
            SignalingEvent::Connected { name, renamed } => (name, renamed),
            other => panic!("not connected but {other:?}"),
        }
    }

    async fn users(&mut self) -> Vec<String> {
        match self.next().await {
            SignalingEvent::Users(users) => users,
            other => panic!("no users but {other:?}"),
        }
    }

    async fn disconnected(&mut self) -> String {
        match self.next().await {
            SignalingEvent::Disconnected { reason } => reason,
            other => panic!("not disconnected but {other:?}"),
        }
    }
}

/// A server of a test's own: accepts one connection, choosing the subprotocol or not.
async fn accept(listener: &TcpListener, agree: bool) -> WebSocketStream<TcpStream> {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let choose = |_: &Request, mut response: Response| {
        if agree {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("json"));
        }
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap()
}

fn offer() -> Signal {
    let description = SessionDescription::new(SdpKind::Offer, "v=0\r\n");
    Signal::Offer { description, extended: true }
}

#[tokio::test]
async fn participants_meet_talk_and_leave() {
    let (server, address) = server().await;
    let mut alice = Participant::connect(address, "alice");
    assert_eq!(alice.connected().await, ("alice".into(), false));
    assert_eq!(alice.users().await, ["alice"]);
    let mut other = Participant::connect(address, "alice");
    assert_eq!(other.connected().await, ("alice1".into(), true));
    assert_eq!(other.users().await, ["alice", "alice1"]);
    assert_eq!(alice.users().await, ["alice", "alice1"]);

    alice.client.send_signal("alice1", &offer()).unwrap();
    let expected = SignalingEvent::Signal { from: Some("alice".into()), targeted: true, signal: offer() };
    assert_eq!(other.next().await, expected);
    other.client.send_message("psst", Some("alice")).unwrap();
    let SignalingEvent::Message { from, to, text, .. } = alice.next().await else { panic!("no message") };
    assert_eq!((from.as_str(), to.as_deref(), text.as_str()), ("alice1", Some("alice"), "psst"));
    alice.client.send_signal("nobody", &offer()).unwrap();
    assert_eq!(alice.next().await, SignalingEvent::Undeliverable { target: "nobody".into() });
    assert_eq!(alice.client.send_message(&"x".repeat(1_000_000), None), Err(SendError::TooLong));

    // The last words before closing arrive.
    let hang_up = Signal::HangUp(Some(HangUpReason::Ended));
    other.client.send_signal("alice", &hang_up).unwrap();
    other.client.close().await;
    let expected = SignalingEvent::Signal { from: Some("alice1".into()), targeted: true, signal: hang_up };
    assert_eq!(alice.next().await, expected);
    assert_eq!(alice.users().await, ["alice"]);
    server.close().await;
}

#[tokio::test]
async fn a_page_and_a_participant_understand_each_other() {
    let (server, address) = server().await;
    let mut alice = Participant::connect(address, "alice");
    alice.connected().await;
    alice.users().await;
    let mut page = Peer::page(address, "page").await;
    assert_eq!(alice.users().await, ["alice", "page"]);
    page.send(json!({"type": "hang-up", "name": "page", "target": null})).await;
    let expected =
        SignalingEvent::Signal { from: Some("page".into()), targeted: false, signal: Signal::HangUp(None) };
    assert_eq!(alice.next().await, expected);
    page.send(json!({"type": "video-offer", "target": "alice", "sdp": 7})).await;
    assert!(matches!(alice.next().await, SignalingEvent::Malformed { .. }));
    alice.client.send_message("hello", None).unwrap();
    let next = page.receive().await;
    assert_eq!(
        (&next["type"], &next["name"], &next["text"]),
        (&json!("message"), &json!("alice"), &json!("hello"))
    );
    server.close().await;
}

#[tokio::test]
async fn a_lost_server_is_reported_once_and_found_again() {
    let (server, address) = server().await;
    let mut alice = Participant::connect(address, "alice");
    alice.connected().await;
    alice.users().await;
    server.close().await;
    let reason = alice.disconnected().await;
    assert!(reason.contains("shutting down"), "{reason}");
    assert_eq!(alice.client.send_message("x", None), Err(SendError::NotConnected));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(alice.events.try_recv().is_err(), "the loss was reported again");
    let mut again = Server::new();
    again.listen(address).await.unwrap();
    assert_eq!(alice.connected().await, ("alice".into(), false));
    assert_eq!(alice.users().await, ["alice"]);
    again.close().await;
}

/// Passes everything on to `server` until it is dropped, which breaks every connection off without a goodbye.
async fn proxy(listener: &std::net::TcpListener, server: SocketAddr) -> tokio::task::JoinSet<()> {
    let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let mut passed = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(server).await.unwrap();
            passed.spawn(async move {
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    task
}

#[tokio::test]
async fn a_connection_that_breaks_is_continued_and_nothing_is_lost() {
    let (server, address) = server().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut bob = Participant::connect(address, "bob");
    bob.connected().await;
    bob.users().await;
    let road = proxy(&listener, address).await;
    let mut alice = Participant::connect(listener.local_addr().unwrap(), "alice");
    alice.connected().await;
    alice.users().await;
    assert_eq!(bob.users().await, ["bob", "alice"]);

    drop(road);
    alice.disconnected().await;
    let hang_up = Signal::HangUp(Some(HangUpReason::Ended));
    bob.client.send_message("are you there?", Some("alice")).unwrap();
    alice.client.send_signal("bob", &hang_up).unwrap();
    alice.client.hurry(true);
    let _road = proxy(&listener, address).await;

    assert_eq!(alice.connected().await, ("alice".into(), false));
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match alice.next().await {
            SignalingEvent::Message { text, .. } => heard.push(text),
            SignalingEvent::Users(users) => heard.push(users.join(" ")),
            other => panic!("neither the message nor the list but {other:?}"),
        }
    }
    heard.sort();
    assert_eq!(heard, ["are you there?", "bob alice"]);
    // bob has noticed nothing: no leaving, no joining, only what alice said.
    let expected = SignalingEvent::Signal { from: Some("alice".into()), targeted: true, signal: hang_up };
    assert_eq!(bob.next().await, expected);
    server.close().await;
}

#[tokio::test]
async fn a_server_that_is_doubted_is_asked_and_one_that_does_not_answer_is_left() {
    let (server, address) = server().await;
    let mut alice = Participant::connect(address, "alice");
    alice.connected().await;
    alice.users().await;
    alice.client.check();
    assert_eq!(alice.next().await, SignalingEvent::Alive);
    server.close().await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bob = Participant::connect(listener.local_addr().unwrap(), "bob");
    let mut silent = accept(&listener, true).await;
    silent.send(Message::text(json!({"type": "id", "id": 1}).to_string())).await.unwrap();
    silent.next().await.unwrap().unwrap();
    silent.send(Message::text(json!({"type": "userlist", "users": ["bob"]}).to_string())).await.unwrap();
    bob.connected().await;
    bob.users().await;
    // It reads nothing from here on, and so answers no ping.
    bob.client.check();
    let reason = bob.disconnected().await;
    assert!(reason.contains("silent"), "{reason}");
}

#[tokio::test]
async fn nobody_there_is_said_in_words() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let mut alice = Participant::connect(address, "alice");
    let reason = alice.disconnected().await;
    assert!(reason.contains(&format!("nothing answers on {address}")), "{reason}");
    timeout(Duration::from_secs(2), alice.client.close()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let timing = Timing {
        ping_after: Duration::from_millis(100),
        dead_after: Duration::from_millis(400),
        ..Timing::default()
    };
    let mut alice = Participant::connect_with(address, "alice", timing);
    let mut socket = accept(&listener, true).await;
    for message in [json!({"type": "id", "id": 1}), json!({"type": "userlist", "users": ["alice"]})] {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    alice.connected().await;
    alice.users().await;
    let reason = alice.disconnected().await;
    assert!(reason.contains("silent"), "{reason}");
}

/// The sample's server sends lists to everyone, also to who has not signed in, and stamps no candidates.
#[tokio::test]
async fn a_server_written_after_the_sample_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bob = Participant::connect(listener.local_addr().unwrap(), "bob");
    let mut socket = accept(&listener, true).await;
    let say = |message: Value| Message::text(message.to_string());
    socket.send(say(json!({"type": "userlist", "users": ["bob"]}))).await.unwrap();
    socket.send(say(json!({"type": "id", "id": 4}))).await.unwrap();
    let Some(Ok(Message::Text(hello))) = socket.next().await else { panic!("no login") };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(
        (&hello["type"], &hello["name"], &hello["id"]),
        (&json!("username"), &json!("bob"), &json!(4))
    );
    socket.send(say(json!({"type": "rejectusername", "id": 4, "name": "bob1"}))).await.unwrap();
    socket.send(say(json!({"type": "userlist", "users": ["bob", "bob1"]}))).await.unwrap();
    assert_eq!(bob.connected().await, ("bob1".into(), true));
    assert_eq!(bob.users().await, ["bob", "bob1"]);
    socket
        .send(say(json!({"type": "new-ice-candidate", "target": "bob1", "candidate": null})))
        .await
        .unwrap();
    let SignalingEvent::Signal { from, targeted, .. } = bob.next().await else { panic!("no signal") };
    assert_eq!((from, targeted), (None, true));
    socket.send(say(json!({"type": "hang-up", "name": "bob1"}))).await.unwrap();
    socket.send(say(json!({"type": "message", "name": "bob", "text": "hi", "date": 5}))).await.unwrap();
    // Our own hang-up, sent back, is no event.
    let expected = SignalingEvent::Message { from: "bob".into(), to: None, text: "hi".into(), date: 5.0 };
    assert_eq!(bob.next().await, expected);
}

#[tokio::test]
async fn a_server_without_subprotocols_is_asked_again_without() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bob = Participant::connect(listener.local_addr().unwrap(), "bob");
    let _refused = accept(&listener, false).await;
    let mut socket = accept(&listener, false).await;
    for message in [json!({"type": "id", "id": 1}), json!({"type": "userlist", "users": ["bob"]})] {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    assert_eq!(bob.connected().await, ("bob".into(), false));
}
