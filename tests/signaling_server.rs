//! The server over real sockets: what the article's page does, and what no honest page does.

#[path = "common/signaling.rs"]
mod fixture;

use ahoy::signaling::server::{Server, ServerError};
use fixture::{PATIENCE, Peer, server};
use futures_util::SinkExt;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn two_pages_of_the_article_set_up_and_end_a_call() {
    let (server, address) = server().await;
    let mut naomi = Peer::page(address, "naomi").await;
    assert_eq!(naomi.subprotocol.as_deref(), Some("json"));
    let mut priya = Peer::page(address, "priya").await;
    assert_eq!(naomi.receive().await, json!({"type": "userlist", "users": ["naomi", "priya"]}));
    assert_eq!(naomi.receive().await["type"], "username");

    let offer = json!({"name": "naomi", "target": "priya", "type": "video-offer",
                       "sdp": {"type": "offer", "sdp": "v=0\r\n"}});
    naomi.send(offer.clone()).await;
    let mut received = priya.receive().await;
    let date = received.as_object_mut().and_then(|fields| fields.remove("date"));
    assert!(
        date.is_some_and(|date| date.as_u64() > Some(1_700_000_000_000)),
        "the server says when it passed"
    );
    assert_eq!(received, offer);
    let answer = json!({"name": "priya", "target": "naomi", "type": "video-answer",
                        "sdp": {"type": "answer", "sdp": "v=0\r\n"}});
    priya.send(answer.clone()).await;
    assert_eq!(naomi.receive().await, answer);
    let candidate =
        json!({"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0});
    naomi.send(json!({"type": "new-ice-candidate", "target": "priya", "candidate": candidate})).await;
    assert_eq!(
        priya.receive().await,
        json!({"type": "new-ice-candidate", "target": "priya", "candidate": candidate, "name": "naomi"})
    );
    naomi.send(json!({"text": "hi <3", "type": "message", "id": 1, "date": 5})).await;
    let chat = json!({"text": "hi <3", "type": "message", "id": 1, "date": 5, "name": "naomi"});
    assert_eq!(naomi.receive().await, chat);
    assert_eq!(priya.receive().await, chat);
    naomi.send(json!({"name": "naomi", "target": null, "type": "hang-up"})).await;
    assert_eq!(priya.receive().await["type"], "hang-up");
    drop(priya);
    assert_eq!(naomi.receive().await, json!({"type": "userlist", "users": ["naomi"]}));
    server.close().await;
}

#[tokio::test]
async fn json_is_agreed_upon_when_asked_for_and_not_demanded() {
    let (server, address) = server().await;
    for (asked, agreed) in [(Some("json"), Some("json")), (Some("chat, json"), Some("json")), (None, None)] {
        let mut peer = Peer::connect(address, asked).await;
        assert_eq!(peer.subprotocol.as_deref(), agreed);
        assert_eq!(peer.receive().await["type"], "id");
    }
    server.close().await;
}

#[tokio::test]
async fn bad_messages_are_answered_and_disturb_nobody() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    let mut mallory = Peer::page(address, "mallory").await;
    bystander.until("username").await;
    let nested = "[".repeat(100_000);
    for text in ["", "{", "[]", "{}", r#"{"type":"message","text":"x","target":7}"#, nested.as_str()] {
        mallory.send_text(text).await;
        assert_eq!(mallory.receive().await["type"], "error");
    }
    mallory.socket.send(Message::binary(vec![0, 159, 146, 150])).await.unwrap();
    assert_eq!(mallory.receive().await["type"], "error");
    mallory.send(json!({"type": "username", "name": "bystander"})).await;
    assert_eq!(mallory.receive().await, json!({"type": "rejectusername", "id": 2, "name": "mallory"}));
    assert_eq!(mallory.receive().await["type"], "error");
    mallory.send(json!({"type": "video-offer", "target": "nobody", "sdp": {}})).await;
    bystander.assert_undisturbed().await;
    assert_eq!(mallory.receive().await["text"], "still here");
    server.close().await;
}

#[tokio::test]
async fn a_stranger_is_told_to_sign_in() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    let mut stranger = Peer::connect(address, None).await;
    assert_eq!(stranger.receive().await["type"], "id");
    stranger.send(json!({"type": "message", "text": "hello?"})).await;
    assert_eq!(stranger.receive().await["type"], "error");
    bystander.assert_undisturbed().await;
    server.close().await;
}

#[tokio::test]
async fn ten_megabytes_are_too_big() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    let mut mallory = Peer::connect(address, Some("json")).await;
    assert_eq!(mallory.receive().await["type"], "id");
    mallory.send_text(&"x".repeat(10_000_000)).await;
    assert_eq!(mallory.close_code().await, 1009);
    bystander.assert_undisturbed().await;
    server.close().await;
}

#[tokio::test]
async fn a_broken_websocket_is_closed() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    // An unmasked text frame (RFC 6455 section 5.1), and a text that is not UTF-8 (section 8.1; the mask is zero).
    for (frame, code) in [(&[0x81, 1, b'x'][..], 1002), (&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007)] {
        let mut mallory = Peer::connect(address, None).await;
        assert_eq!(mallory.receive().await["type"], "id");
        mallory.socket.get_mut().write_all(frame).await.unwrap();
        assert_eq!(mallory.close_code().await, code);
    }
    bystander.assert_undisturbed().await;
    server.close().await;
}

#[tokio::test]
async fn who_does_not_read_is_dropped_and_blocks_nobody() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    let slow = Peer::page(address, "slow").await;
    bystander.until("username").await;
    // Several, so that their own rate limit is no matter.
    let mut talkers = Vec::new();
    for number in 0..8 {
        talkers.push(Peer::page(address, &format!("talker {number}")).await);
        bystander.until("username").await;
    }
    let text = "x".repeat(200_000);
    let started = Instant::now();
    let mut left = false;
    for round in 0..400 {
        let talker = &mut talkers[round % 8];
        talker.send(json!({"type": "message", "text": text, "target": "slow"})).await;
        bystander.send(json!({"type": "message", "text": "pulse"})).await;
        if bystander.receive().await["type"] == "userlist" {
            left = true;
            break;
        }
    }
    assert!(left, "the slow reader was kept");
    assert!(started.elapsed() < PATIENCE);
    drop(slow);
    server.close().await;
}

#[tokio::test]
async fn a_flood_is_slowed_and_a_bystander_answers_at_once() {
    let (server, address) = server().await;
    let mut bystander = Peer::page(address, "bystander").await;
    let mut mallory = Peer::page(address, "mallory").await;
    bystander.until("username").await;
    let flood = tokio::spawn(async move {
        let wave = json!({"type": "wave", "target": "nobody", "x": "x".repeat(8000)}).to_string();
        for _ in 0..50_000 {
            if mallory.socket.send(Message::text(wave.as_str())).await.is_err() {
                break;
            }
        }
    });
    for _ in 0..20 {
        let asked = Instant::now();
        bystander.assert_undisturbed().await;
        assert!(asked.elapsed() < Duration::from_secs(5), "waited {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!flood.is_finished(), "400 MB passed within seconds");
    flood.abort();
    server.close().await;
}

#[tokio::test]
async fn who_answers_no_ping_is_dropped() {
    let mut server = Server::with_ping_interval(Duration::from_millis(200));
    let address = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    // This peer is not polled, so it answers nothing, but its socket stays open.
    let silent = Peer::page(address, "silent").await;
    let mut alive = Peer::page(address, "alive").await;
    let list = timeout(PATIENCE, alive.until("userlist")).await.unwrap();
    assert_eq!(list["users"], json!(["alive"]));
    drop(silent);
    server.close().await;
}

#[tokio::test]
async fn a_browser_gets_a_page_and_garbage_an_answer() {
    let (server, address) = server().await;
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405"),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 426"),
        ("\u{16}\u{3}\u{1} this is no HTTP\r\n\r\n", "HTTP/1.1 400"),
        (&format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(20_000)), "HTTP/1.1 431"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
        assert!(text.starts_with(answer), "{request:.40}: {text}");
        assert_eq!(text.contains("<h1>Ahoy</h1>"), answer.ends_with("OK"));
    }
    server.close().await;
}

#[tokio::test]
async fn connections_outlive_the_listener_whose_port_is_free_again() {
    let (mut server, address) = server().await;
    let mut alice = Peer::page(address, "alice").await;
    server.stop_listening().await;
    assert!(TcpStream::connect(address).await.is_err());
    let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
    assert_eq!(server.listen(everywhere).await.unwrap(), everywhere);
    let _bob = Peer::page(address, "bob").await;
    assert_eq!(alice.receive().await["users"], json!(["alice", "bob"]));
    server.close().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (server, address) = server().await;
    let error = Server::new().listen(address).await.unwrap_err();
    assert!(matches!(error, ServerError::InUse(taken) if taken == address));
    assert!(error.to_string().contains(&address.port().to_string()));
    server.close().await;
}

#[tokio::test]
async fn closing_says_goodbye_and_does_not_wait_for_the_rude() {
    let (server, address) = server().await;
    let mut polite = Peer::page(address, "polite").await;
    let _rude = Peer::page(address, "rude").await;
    let _unfinished = TcpStream::connect(address).await.unwrap();
    let closing = tokio::spawn(server.close());
    assert_eq!(polite.close_code().await, 1001);
    timeout(Duration::from_secs(5), closing).await.expect("closing took too long").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
