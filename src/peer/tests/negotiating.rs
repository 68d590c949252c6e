//! Renegotiation, rollback, ICE restart, and descriptions that are not ours.

use super::pair::{
    End, PATIENCE, carry, connected, frame, offer, reassemble, receive_picture, signal_for, signal_until,
    sound,
};
use crate::call::Connectivity;
use crate::media::ports::Feedback;
use crate::peer::{Command, PeerEvent};
use std::time::{Duration, Instant};

fn count(end: &End, wanted: impl Fn(&PeerEvent) -> bool) -> usize {
    end.seen.iter().filter(|event| wanted(event)).count()
}

fn answers_applied(end: &End) -> usize {
    count(end, |event| matches!(event, PeerEvent::AnswerApplied))
}

fn failures(end: &End) -> Vec<&PeerEvent> {
    end.seen.iter().filter(|event| matches!(event, PeerEvent::OperationFailed { .. })).collect()
}

/// Sends a keyframe each way and compares.
async fn exchange(a: &End, b: &End, number: u32) {
    for (from, to) in [(a, b), (b, a)] {
        let picture = frame(number, 9_000, true);
        let sent = picture.data.clone();
        from.video_out.send(picture).await.expect("the sender runs");
        let packets = receive_picture(to, number * 3000).await;
        assert_eq!(reassemble(&packets), &sent[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_can_renegotiate_and_media_goes_on() {
    let (mut a, mut b) = connected().await;
    exchange(&a, &b, 1).await;
    b.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "the callee's re-offer", |_, b| answers_applied(b) == 1).await;
    exchange(&a, &b, 2).await;
    a.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "the caller's re-offer", |a, _| answers_applied(a) == 2).await;
    exchange(&a, &b, 3).await;
    assert!(failures(&a).is_empty() && failures(&b).is_empty(), "{:?} {:?}", failures(&a), failures(&b));
    // The DTLS roles stay what they were: the caller is the client.
    for event in &a.seen {
        if let PeerEvent::AnswerCreated(answer) = event {
            assert!(answer.sdp.contains("a=setup:active") && !answer.sdp.contains("a=setup:passive"));
        }
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ice_restart_from_either_side_keeps_the_call() {
    let (mut a, mut b) = connected().await;
    exchange(&a, &b, 1).await;
    a.command(Command::CreateOffer { ice_restart: true });
    signal_until(&mut a, &mut b, "the caller's restart", |a, b| {
        answers_applied(a) == 2 && a.is_connected() && b.is_connected()
    })
    .await;
    signal_for(&mut a, &mut b, Duration::from_millis(500)).await;
    signal_until(&mut a, &mut b, "reconnecting", |a, b| a.is_connected() && b.is_connected()).await;
    exchange(&a, &b, 2).await;
    b.command(Command::CreateOffer { ice_restart: true });
    signal_until(&mut a, &mut b, "the callee's restart", |_, b| answers_applied(b) == 1).await;
    signal_for(&mut a, &mut b, Duration::from_millis(500)).await;
    signal_until(&mut a, &mut b, "reconnecting", |a, b| a.is_connected() && b.is_connected()).await;
    exchange(&a, &b, 3).await;
    assert!(failures(&a).is_empty() && failures(&b).is_empty(), "{:?} {:?}", failures(&a), failures(&b));
    // New credentials were used.
    let fragments = |end: &End| {
        let mut all: Vec<String> = end
            .seen
            .iter()
            .filter_map(|event| match event {
                PeerEvent::CandidateGathered(candidate) => candidate.username_fragment.clone(),
                _ => None,
            })
            .collect();
        all.dedup();
        all.len()
    };
    assert!(fragments(&a) >= 2, "{}", fragments(&a));
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_offer_makes_room_for_the_other_sides() {
    let (mut a, mut b) = (End::open(1), End::open(2));
    a.command(Command::CreateOffer { ice_restart: false });
    let deadline = Instant::now() + PATIENCE;
    // Keep what a says to itself: its offer is lost to glare.
    loop {
        assert!(Instant::now() < deadline);
        if let Ok(Some((_, event))) = tokio::time::timeout(Duration::from_millis(100), a.events.recv()).await
        {
            let offered = matches!(event, PeerEvent::OfferCreated(_));
            a.seen.push(event);
            if offered {
                break;
            }
        }
    }
    a.command(Command::Rollback);
    b.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "connecting after glare", |a, b| a.is_connected() && b.is_connected()).await;
    assert_eq!(count(&a, |event| *event == PeerEvent::RolledBack), 1);
    exchange(&a, &b, 1).await;
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyframe_asked_for_on_one_side_is_wanted_on_the_other() {
    let (mut a, mut b) = connected().await;
    exchange(&a, &b, 1).await;
    assert!(!a.control.take_keyframe_wish(), "the first picture was a keyframe: a second one is waste");
    b.feedback.send(Feedback::RequestKeyframe).await.expect("the peer listens");
    let deadline = Instant::now() + PATIENCE;
    while !a.control.take_keyframe_wish() {
        assert!(Instant::now() < deadline, "the wish did not arrive");
        signal_for(&mut a, &mut b, Duration::from_millis(10)).await;
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_what_was_sent_and_tell_the_route() {
    let (mut a, mut b) = connected().await;
    exchange(&a, &b, 1).await;
    signal_for(&mut a, &mut b, Duration::from_millis(2_500)).await;
    for stats in [a.peer.stats(), b.peer.stats()] {
        assert!(stats.video_packets_sent >= 8 && stats.video_octets_sent > 9_000, "{stats:?}");
        assert!(stats.video_packets_received >= 8 && stats.video_packets_lost == 0, "{stats:?}");
        assert!(matches!(stats.route, Some("host" | "prflx")), "{stats:?}");
        assert!(stats.rtt_ms.is_some(), "{stats:?}");
        assert!(stats.estimate_bits_per_second >= 30_000.0, "{stats:?}");
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_gate_opens() {
    let (mut a, mut b) = connected().await;
    a.control.set_sending(false);
    for number in 0..5 {
        a.video_out.send(frame(number, 2_000, true)).await.expect("the sender runs");
        a.audio_out.send(sound(number)).await.expect("the sender runs");
    }
    signal_for(&mut a, &mut b, Duration::from_millis(300)).await;
    assert!(b.video_in.try_recv().is_err() && b.audio_in.lock().await.try_recv().is_err());
    a.control.set_sending(true);
    exchange(&a, &b, 9).await;
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_descriptions_and_candidates_fail_politely() {
    let mut end = End::open(1);
    let long = format!("v=0\r\n{}", "a=mid:x\r\n".repeat(20_000));
    let hostile = [
        "",
        "v=0",
        "\0\0\0",
        "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 999999\r\n",
        "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:\r\na=ssrc:\r\n",
        "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE\r\na=fingerprint:sha-256\r\na=ice-ufrag:\r\n",
        &long,
    ];
    for text in hostile {
        end.command(Command::ApplyOffer(offer(text)));
    }
    for candidate in
        ["", "candidate:", "candidate:1 1 udp 1 x 1 typ host", "candidate:1 1 udp 1 127.0.0.1 99999"]
    {
        end.command(Command::AddCandidate(crate::protocol::IceCandidate {
            candidate: candidate.into(),
            ..Default::default()
        }));
    }
    let mut finished = 0;
    while finished < hostile.len() {
        let next = tokio::time::timeout(PATIENCE, end.events.recv()).await;
        match next.expect("an event per command").expect("the peer lives").1 {
            PeerEvent::OfferApplied | PeerEvent::OperationFailed { .. } => finished += 1,
            PeerEvent::Connectivity(Connectivity::Failed) => panic!("the connection fell over"),
            _ => {}
        }
    }
    assert!(end.peer.try_command(Command::Rollback).is_ok(), "the task is gone");
    end.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_is_prompt_in_every_phase() {
    let quick = |start: Instant, phase: &str| {
        println!("closed in {:?} {phase}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "{phase}: {:?}", start.elapsed());
    };
    let start = Instant::now();
    End::open(1).peer.close().await;
    quick(start, "at once");

    let end = End::open(1);
    end.command(Command::CreateOffer { ice_restart: false });
    let start = Instant::now();
    end.peer.close().await;
    quick(start, "while offering");

    for milliseconds in [1, 5, 15, 30, 45, 60] {
        let (mut a, mut b) = (End::open(1), End::open(2));
        a.command(Command::CreateOffer { ice_restart: false });
        signal_for(&mut a, &mut b, Duration::from_millis(milliseconds)).await;
        let start = Instant::now();
        a.peer.close().await;
        b.peer.close().await;
        quick(start, "while connecting");
    }

    let (a, b) = connected().await;
    let start = Instant::now();
    a.peer.close().await;
    quick(start, "when connected");
    drop(b);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_without_our_video_codec_still_gets_sound() {
    let (mut a, mut b) = (End::open(1), End::open(2));
    a.command(Command::CreateOffer { ice_restart: false });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !(a.is_connected() && b.is_connected()) {
        tokio::select! {
            Some((_, event)) = a.events.recv() => {
                // The remote's browser has other codecs than ours.
                let event = match event {
                    PeerEvent::OfferCreated(mut offer) => {
                        offer.sdp = offer.sdp.replace("H264/90000", "VP9/90000").replace("VP8/90000", "AV1/90000");
                        let lines = offer.sdp.lines().filter(|line| !line.contains("profile-level-id"));
                        offer.sdp = lines.flat_map(|line| [line, "\r\n"]).collect();
                        PeerEvent::OfferCreated(offer)
                    }
                    other => other,
                };
                carry(&mut a, &b, event);
            }
            Some((_, event)) = b.events.recv() => carry(&mut b, &a, event),
            () = tokio::time::sleep_until(deadline) => panic!("no connection\n{:#?}\n{:#?}", a.seen, b.seen),
        }
    }
    assert_eq!(b.control.video_codec(), None, "{:?}", b.seen);
    b.audio_out.send(sound(0)).await.expect("the sender runs");
    a.hear().await;
    a.peer.close().await;
    b.peer.close().await;
}
