//! A path that loses packets, between two real peers: a UDP relay that both take for each other.

use super::pair::{End, PATIENCE, carry, frame, reassemble, receive_picture};
use crate::media::ports::EncodedFrame;
use crate::peer::{Command, PeerEvent};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Which datagrams a relay lets pass.
type Passes = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The relay: what arrives at one socket leaves from the other.
struct Relay {
    towards_a: SocketAddr,
    towards_b: SocketAddr,
    /// Every so many media packets is lost; 0 loses none.
    lose_every: Arc<AtomicU32>,
    lost: Arc<AtomicU32>,
    blocked: Arc<AtomicBool>,
    tasks: [JoinHandle<()>; 2],
}

impl Relay {
    /// Between `a` and `b`, which are the peers' own addresses; `passes` decides for each datagram.
    async fn between(a: SocketAddr, b: SocketAddr, passes: Passes) -> Self {
        // `b` talks to `near_a` and takes it for `a`; what arrives there leaves `near_b`, which `a` takes for `b`.
        let near_a = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
        let near_b = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
        let (towards_a, towards_b) =
            (near_a.local_addr().expect("bound"), near_b.local_addr().expect("bound"));
        let lose_every = Arc::new(AtomicU32::new(0));
        let lost = Arc::new(AtomicU32::new(0));
        let blocked = Arc::new(AtomicBool::new(false));
        let forward = |from: &Arc<UdpSocket>, to: &Arc<UdpSocket>, target: SocketAddr| {
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            let passes = Arc::clone(&passes);
            let (every, lost, blocked) = (Arc::clone(&lose_every), Arc::clone(&lost), Arc::clone(&blocked));
            tokio::spawn(async move {
                let mut buffer = [0; 2048];
                let mut media: u32 = 0;
                while let Ok((length, _)) = from.recv_from(&mut buffer).await {
                    let packet = &buffer[..length];
                    if !passes(packet) {
                        continue;
                    }
                    // RTP and not RTCP (RFC 5761 section 4), big enough for a piece of a picture.
                    let is_media =
                        length > 400 && (128..192).contains(&packet[0]) && !(192..=223).contains(&packet[1]);
                    if is_media {
                        media += 1;
                        let every = every.load(Ordering::Relaxed);
                        if every != 0 && media.is_multiple_of(every) {
                            lost.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    }
                    if !blocked.load(Ordering::Relaxed) && to.send_to(packet, target).await.is_err() {
                        return;
                    }
                }
            })
        };
        let tasks = [forward(&near_a, &near_b, a), forward(&near_b, &near_a, b)];
        Self { towards_a, towards_b, lose_every, lost, blocked, tasks }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The address in a host candidate on 127.0.0.1.
fn loopback_address(event: &PeerEvent) -> Option<SocketAddr> {
    let PeerEvent::CandidateGathered(candidate) = event else {
        return None;
    };
    let words: Vec<&str> = candidate.candidate.split(' ').collect();
    (words[4] == "127.0.0.1").then(|| format!("{}:{}", words[4], words[5]).parse().expect("an address"))
}

/// The same candidate, at the relay.
fn through(event: PeerEvent, at: SocketAddr) -> PeerEvent {
    let PeerEvent::CandidateGathered(mut candidate) = event else {
        return event;
    };
    let mut words: Vec<String> = candidate.candidate.split(' ').map(str::to_owned).collect();
    words[5] = at.port().to_string();
    candidate.candidate = words.join(" ");
    PeerEvent::CandidateGathered(candidate)
}

/// Two ends that know each other only through a relay.
async fn connected_through_relay() -> (End, End, Relay) {
    connected_through_relay_that(Arc::new(|_| true), None).await
}

/// The same through a relay that lets pass only this. `b` sends its picture as soon as it may.
async fn connected_through_relay_that(
    passes: Passes,
    mut picture: Option<EncodedFrame>,
) -> (End, End, Relay) {
    let (mut a, mut b) = (End::open(1), End::open(2));
    a.command(Command::CreateOffer { ice_restart: false });
    let (mut of_a, mut of_b) = (None, None);
    let mut relay = None;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !(a.is_connected() && b.is_connected()) {
        tokio::select! {
            Some((_, event)) = a.events.recv() => match event {
                PeerEvent::CandidateGathered(_) => of_a = loopback_address(&event).map(|at| (at, event)).or(of_a),
                event => carry(&mut a, &b, event),
            },
            Some((_, event)) = b.events.recv() => match event {
                PeerEvent::CandidateGathered(_) => of_b = loopback_address(&event).map(|at| (at, event)).or(of_b),
                event => carry(&mut b, &a, event),
            },
            () = tokio::time::sleep_until(deadline) => panic!("no connection\n{:?}\n{:?}", a.seen, b.seen),
        }
        if b.is_connected()
            && let Some(picture) = picture.take()
        {
            b.video_out.send(picture).await.expect("the sender runs");
        }
        if relay.is_none()
            && let (Some((at_a, _)), Some((at_b, _))) = (&of_a, &of_b)
        {
            relay = Some(Relay::between(*at_a, *at_b, Arc::clone(&passes)).await);
        }
        if let Some(relay) = &relay
            && a.seen.contains(&PeerEvent::AnswerApplied)
        {
            if let Some((_, event)) = of_a.take() {
                carry(&mut a, &b, through(event, relay.towards_a));
            }
            if let Some((_, event)) = of_b.take() {
                carry(&mut b, &a, through(event, relay.towards_b));
            }
        }
    }
    (a, b, relay.expect("they met through the relay"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_repaired_and_pictures_complete() {
    let (a, b, relay) = connected_through_relay().await;
    relay.lose_every.store(5, Ordering::Relaxed);
    for number in 1..40 {
        let picture = frame(number, 6_000, number == 1);
        let sent = picture.data.clone();
        a.video_out.send(picture).await.expect("the sender runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
        // The last packet of a picture is noticed missing when the next one comes.
        a.video_out.send(frame(1_000 + number, 100, false)).await.expect("the sender runs");
        let packets = receive_picture(&b, number * 3000).await;
        assert_eq!(reassemble(&packets), &sent[..], "picture {number}");
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (lost, stats) = (u64::from(relay.lost.load(Ordering::Relaxed)), a.peer.stats());
    println!("lost {lost}, sent {} of which repairs {}", stats.video_packets_sent, stats.video_retransmitted);
    assert!(lost >= 30, "the path lost only {lost}");
    assert!(stats.video_retransmitted >= lost / 2, "{stats:?}");
    // How many are asked for twice depends on how late the threads are; that nothing is asked for after it has come is
    // shown in virtual time (`network::rules`).
    assert_eq!(b.peer.stats().video_packets_lost, 0);
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_a_restart_or_its_end_mends_it() {
    let (mut a, mut b, relay) = connected_through_relay().await;
    relay.blocked.store(true, Ordering::Relaxed);
    super::pair::signal_until(&mut a, &mut b, "noticing the outage", |a, b| {
        !a.is_connected() && !b.is_connected()
    })
    .await;
    relay.blocked.store(false, Ordering::Relaxed);
    super::pair::signal_until(&mut a, &mut b, "recovering", |a, b| a.is_connected() && b.is_connected())
        .await;
    let picture = frame(7, 9_000, true);
    a.video_out.send(picture.clone()).await.expect("the sender runs");
    assert_eq!(reassemble(&receive_picture(&b, 21_000).await), &picture.data[..]);
    a.peer.close().await;
    b.peer.close().await;
}

/// The crate's own repetitions carry numbers of their own, and none of them would ever pass here.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_succeeds_of_which_everything_is_lost_the_first_time() {
    let before = Mutex::new(HashSet::new());
    // DTLS, by the first octet (RFC 7983 section 7).
    let passes = move |packet: &[u8]| {
        !(20..64).contains(&packet[0])
            || !before.lock().expect("no test panics with it").insert(packet.to_vec())
    };
    // The answering side is ready first, and what it says then comes before the other has its keys.
    let picture = frame(7, 6_000, true);
    let (a, b, _relay) = connected_through_relay_that(Arc::new(passes), Some(picture.clone())).await;
    assert_eq!(reassemble(&receive_picture(&a, 21_000).await), &picture.data[..]);
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomination_needs_no_answer() {
    const USE_CANDIDATE: [u8; 4] = [0x00, 0x25, 0x00, 0x00];
    let nominations = Mutex::new(HashSet::new());
    let passes = move |packet: &[u8]| {
        let Some(transaction) = packet.get(8..20) else { return true };
        let mut nominations = nominations.lock().expect("no test panics with it");
        match packet[..2] {
            [0x00, 0x01] if packet.windows(4).any(|octets| octets == USE_CANDIDATE) => {
                nominations.insert(transaction.to_vec());
                true
            }
            [0x01, 0x01] => !nominations.contains(transaction),
            _ => true,
        }
    };
    let (a, b, _relay) = connected_through_relay_that(Arc::new(passes), None).await;
    a.peer.close().await;
    b.peer.close().await;
}
