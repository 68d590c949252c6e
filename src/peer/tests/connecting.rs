//! Coming up, media both ways, and going away.

use super::pair::{End, connected, frame, reassemble, receive_picture, signal_until, sound};
use crate::media::ports::VideoCodec;
use crate::peer::{Command, PeerEvent};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_connect_and_agree_on_what_they_verify() {
    let (a, b) = connected().await;
    let verified = |end: &End| {
        end.seen.iter().find_map(|event| match event {
            PeerEvent::Verified(hash) => Some(*hash),
            _ => None,
        })
    };
    assert!(verified(&a).is_some());
    assert_eq!(verified(&a), verified(&b));
    for end in [&a, &b] {
        assert!(end.seen.contains(&PeerEvent::RemoteTracks { audio: true, video: true }));
        assert_eq!(end.control.video_codec(), Some(VideoCodec::H264));
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_sound_arrive_unchanged_in_both_directions() {
    let (a, b) = connected().await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        for number in 1..20 {
            let picture = frame(number, 3_000 * number as usize, number == 1);
            let sent = picture.data.clone();
            from.video_out.send(picture).await.expect("the sender runs");
            let packets = receive_picture(to, number * 3000).await;
            assert_eq!(reassemble(&packets), &sent[..]);
            assert!(packets[0].capture_ntp.is_some());
        }
        for number in 0..10 {
            from.audio_out.send(sound(number)).await.expect("the sender runs");
            let got = to.hear().await;
            assert_eq!(got.payload, sound(number).data);
            assert_eq!((got.timestamp, got.marker), (number * 960, number == 0));
        }
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_is_quick() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let (mut a, mut b) = (End::open(1), End::open(2));
        let start = Instant::now();
        a.command(Command::CreateOffer { ice_restart: false });
        signal_until(&mut a, &mut b, "connecting", |a, b| a.is_connected() && b.is_connected()).await;
        times.push(start.elapsed());
        a.peer.close().await;
        b.peer.close().await;
    }
    times.sort();
    println!("connected after {:?} (median), {:?} (worst)", times[10], times[19]);
    // About 0.1 s on an idle machine; this bound only catches a wait that should not be there.
    assert!(times[10].as_millis() < 1000, "median {:?}", times[10]);
}
