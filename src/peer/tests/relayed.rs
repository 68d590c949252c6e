//! Through a TURN server: Debian's coturn on loopback, started for the test.

use super::pair::{End, config, frame, reassemble, receive_picture, signal_for, signal_until};
use crate::config::IceServer;
use crate::peer::{Command, PeerEvent};
use std::process::{Child, Stdio};
use std::time::Duration;

struct Turn(Child, u16);

impl Turn {
    /// `None` where no TURN server is installed.
    async fn start() -> Option<Self> {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("a free port").port();
        let child = std::process::Command::new("turnserver")
            .args(["-n", "--no-tls", "--no-dtls", "--no-cli", "--no-tcp", "--lt-cred-mech", "--realm=test"])
            .args(["--user=ahoy:secret", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
            .args(["--allow-loopback-peers", "--log-file=/dev/null", "--pidfile=/dev/null"])
            .arg(format!("--listening-port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("the TURN server does not start: {error}"),
        };
        tokio::time::sleep(Duration::from_millis(700)).await;
        Some(Self(child, port))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_only_call_goes_through_the_turn_server() {
    let Some(turn) = Turn::start().await else {
        println!("no turnserver installed: nothing to test");
        return;
    };
    let mut settings = config();
    settings.relay_only = true;
    settings.ice_servers = vec![IceServer {
        url: format!("turn:127.0.0.1:{}", turn.1),
        username: "ahoy".into(),
        credential: "secret".into(),
    }];
    let (mut a, mut b) = (End::open_with(1, settings.clone()), End::open_with(2, settings));
    a.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "connecting", |a, b| a.is_connected() && b.is_connected()).await;
    for event in a.seen.iter().chain(&b.seen) {
        if let PeerEvent::CandidateGathered(candidate) = event {
            assert!(candidate.candidate.contains("typ relay"), "{candidate:?} gives our address away");
        }
    }
    let picture = frame(7, 9_000, true);
    a.video_out.send(picture.clone()).await.expect("the sender runs");
    assert_eq!(reassemble(&receive_picture(&b, 21_000).await), &picture.data[..]);
    signal_for(&mut a, &mut b, Duration::from_millis(1_300)).await;
    assert_eq!(a.peer.stats().route, Some("relay"));
    a.peer.close().await;
    b.peer.close().await;
}
