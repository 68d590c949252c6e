//! A connection leaves nothing behind: sockets, tasks and threads are gone when `close` returns.
#![cfg(feature = "desktop")]

use ahoy::call::{CallId, Connectivity};
use ahoy::media::ports::{SendControl, VideoCodec};
use ahoy::peer::{Command, Peer, PeerConfig, PeerEvent, PeerPorts, PeerTag};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const CYCLES: u64 = 50;

struct End {
    peer: Peer,
    events: mpsc::Receiver<(PeerTag, PeerEvent)>,
    connected: bool,
}

fn open(number: u64) -> End {
    let (_, video_out) = mpsc::channel(1);
    let (_, audio_out) = mpsc::channel(1);
    let (video_in, _) = std::sync::mpsc::sync_channel(1);
    let (audio_in, _) = mpsc::channel(1);
    let (_, feedback) = mpsc::channel(1);
    let control = Arc::new(SendControl::new(300_000));
    let ports = PeerPorts { video_out, audio_out, video_in, audio_in, feedback, control };
    let config = PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        max_bits_per_second: 2_000_000,
        video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
    };
    let (events_in, events) = mpsc::channel(256);
    let peer = Peer::open(PeerTag { call: CallId(number), generation: 0 }, config, ports, events_in);
    End { peer, events, connected: false }
}

fn carry(from: &mut End, to: &End, event: PeerEvent) {
    let command = match event {
        PeerEvent::OfferCreated(offer) => Command::ApplyOffer(offer),
        PeerEvent::OfferApplied => {
            from.peer.try_command(Command::CreateAnswer).expect("open");
            return;
        }
        PeerEvent::AnswerCreated(answer) => Command::ApplyAnswer(answer),
        PeerEvent::CandidateGathered(candidate) => Command::AddCandidate(candidate),
        PeerEvent::Connectivity(Connectivity::Connected) => {
            from.connected = true;
            return;
        }
        _ => return,
    };
    to.peer.try_command(command).expect("open");
}

async fn cycle(number: u64) {
    let (mut a, mut b) = (open(number), open(number));
    a.peer.try_command(Command::CreateOffer { ice_restart: false }).expect("open");
    tokio::time::timeout(Duration::from_secs(20), async {
        while !(a.connected && b.connected) {
            tokio::select! {
                Some((_, event)) = a.events.recv() => carry(&mut a, &b, event),
                Some((_, event)) = b.events.recv() => carry(&mut b, &a, event),
            }
        }
    })
    .await
    .expect("connected");
    a.peer.close().await;
    // Dropped without close: the safety net has to do the same, a little later.
    if number.is_multiple_of(5) {
        drop(b.peer);
        tokio::time::sleep(Duration::from_millis(200)).await;
    } else {
        b.peer.close().await;
    }
}

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).expect("proc").count()
}

#[test]
fn fifty_calls_leave_no_socket_task_or_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        cycle(1).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let (files, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
        for number in 0..CYCLES {
            cycle(number).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let tasks_after = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(count("/proc/self/fd"), files, "file descriptors");
        assert!(count("/proc/self/task") <= threads, "threads");
        assert!(tasks_after <= tasks, "tasks: {tasks} before, {tasks_after} after");
    });
}
