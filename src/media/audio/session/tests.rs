//! Sessions joined in memory, with files as devices.

use super::*;
use crate::media::event::{DeviceKind, MEDIA_EVENT_CAPACITY, MediaEvent};
use crate::media::ports::{
    AUDIO_RECEIVE_CAPACITY, AUDIO_SEND_CAPACITY, EncodedAudio, ReceivedPacket, SendControl,
};
use std::path::Path;
use tokio::sync::mpsc;

struct End {
    session: AudioSession,
    events: mpsc::Receiver<MediaEvent>,
    control: Arc<SendControl>,
}

fn choice(microphone: MicrophoneChoice, speaker: SpeakerChoice) -> SoundChoice {
    SoundChoice { microphone, speaker, ..SoundChoice::default() }
}

/// A session whose packets go to itself, as a perfect network would bring them.
fn looped(microphone: MicrophoneChoice, speaker: SpeakerChoice) -> (End, JoinHandle<u64>) {
    let (out, mut sent) = mpsc::channel::<EncodedAudio>(AUDIO_SEND_CAPACITY);
    let (deliver, packets) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
    let (news, events) = mpsc::channel(MEDIA_EVENT_CAPACITY);
    let control = Arc::new(SendControl::new(0));
    let ports = AudioPorts { out, packets, control: Arc::clone(&control) };
    let session = AudioSession::start(choice(microphone, speaker), ports, news, Latest::new()).unwrap();
    let wire = std::thread::Builder::new()
        .name("wire".into())
        .spawn(move || {
            let mut sequence = 0u16;
            while let Some(packet) = sent.blocking_recv() {
                let received = ReceivedPacket {
                    arrived: Instant::now(),
                    sequence,
                    timestamp: packet.rtp_timestamp,
                    marker: packet.talk_spurt,
                    ssrc: 1,
                    codec: None,
                    payload: packet.data,
                    capture_ntp: None,
                };
                sequence = sequence.wrapping_add(1);
                if deliver.blocking_send(received).is_err() {
                    break;
                }
            }
            u64::from(sequence)
        })
        .unwrap();
    (End { session, events, control }, wire)
}

fn read(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (48_000, 1));
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect()
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

fn wait(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited 10 s in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_tone_goes_through_codec_and_playout_into_a_file_and_mute_is_instant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let began = Instant::now();
    let (mut end, wire) = looped(MicrophoneChoice::Tone, SpeakerChoice::File(path.clone()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(end.session.stats().sent_packets, 0, "nothing leaves before the gate opens");
    let opened = began.elapsed();
    end.control.set_sending(true);
    wait(|| end.session.stats().received_packets > 60);
    let (stats, sending) = (end.session.stats(), began.elapsed() - opened);
    assert!(u128::from(stats.sent_packets) <= sending.as_millis() / 20 + 10, "{stats:?} in {sending:?}");
    assert!((stats.sent_level_since(&AudioStats::default()) - 0.1).abs() < 0.01, "{stats:?}");
    end.session.set_muted(true);
    wait(|| end.session.stats().sent_level == 0.0 && end.session.stats().received_level < 1e-3);
    end.session.set_muted(false);
    wait(|| end.session.stats().received_level > 0.05);
    end.session.stop();
    let lasted = began.elapsed().as_secs_f64();
    assert!(wire.join().unwrap() > 60);
    let heard = read(&path);
    let seconds = heard.len() as f64 / 48_000.0;
    assert!((seconds - lasted).abs() < 1.0, "{seconds} s of {lasted} s are in the file");
    let begun = heard.iter().position(|s| s.abs() > 0.01).unwrap() as f64 / 48_000.0;
    let after = begun - opened.as_secs_f64();
    assert!((-0.05..1.0).contains(&after), "sound begins {after} s after the gate opened");
    let like_the_tone = heard.chunks(24_000).filter(|half_second| (rms(half_second) - 0.1).abs() < 0.01);
    assert!(like_the_tone.count() > 0, "no half second is like the tone that was sent");
    while let Ok(event) = end.events.try_recv() {
        assert!(matches!(event, MediaEvent::Opened { .. }), "{event:?}");
    }
}

#[test]
fn a_missing_file_is_told_and_another_choice_is_used_at_once() {
    let (mut end, wire) = looped(MicrophoneChoice::File("/nowhere/x.wav".into()), SpeakerChoice::None);
    end.control.set_sending(true);
    let mut told = None;
    wait(|| {
        told = end.events.try_recv().ok();
        told.is_some()
    });
    assert!(matches!(told, Some(MediaEvent::Lost { kind: DeviceKind::Microphone, .. })), "{told:?}");
    end.session.set_microphone(MicrophoneChoice::Tone);
    wait(|| end.session.stats().received_level > 0.05);
    end.session.set_microphone(MicrophoneChoice::None);
    wait(|| end.session.stats().received_level == 0.0);
    end.session.stop();
    wire.join().unwrap();
}

#[test]
fn the_echo_sends_back_what_came_about_a_second_later() {
    // The tone's end sends to the echo's end and the other way round.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("back.wav");
    let (out_a, sent_a) = mpsc::channel::<EncodedAudio>(AUDIO_SEND_CAPACITY);
    let (out_b, sent_b) = mpsc::channel::<EncodedAudio>(AUDIO_SEND_CAPACITY);
    let (to_a, packets_a) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
    let (to_b, packets_b) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
    let (news, _events) = mpsc::channel(MEDIA_EVENT_CAPACITY);
    let control = Arc::new(SendControl::new(0));
    control.set_sending(true);
    let wire = |mut sent: mpsc::Receiver<EncodedAudio>, deliver: mpsc::Sender<ReceivedPacket>| {
        std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || {
                for sequence in 0.. {
                    let Some(packet) = sent.blocking_recv() else { break };
                    let received = ReceivedPacket {
                        arrived: Instant::now(),
                        sequence,
                        timestamp: packet.rtp_timestamp,
                        marker: false,
                        ssrc: 1,
                        codec: None,
                        payload: packet.data,
                        capture_ntp: None,
                    };
                    if deliver.blocking_send(received).is_err() {
                        break;
                    }
                }
            })
            .unwrap()
    };
    let threads = [wire(sent_a, to_b), wire(sent_b, to_a)];
    let start = |out, packets, microphone, speaker| {
        let ports = AudioPorts { out, packets, control: Arc::clone(&control) };
        AudioSession::start(choice(microphone, speaker), ports, news.clone(), Latest::new()).unwrap()
    };
    let caller = start(out_a, packets_a, MicrophoneChoice::Tone, SpeakerChoice::File(path.clone()));
    let echo = start(out_b, packets_b, MicrophoneChoice::Echo, SpeakerChoice::None);
    std::thread::sleep(Duration::from_millis(3500));
    caller.stop();
    echo.stop();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let heard = read(&path);
    let begun = heard.iter().position(|s| s.abs() > 0.02).unwrap() as f64 / 48_000.0;
    assert!((1.0..2.5).contains(&begun), "the echo began at {begun} s");
    assert!(rms(&heard[(begun * 48_000.0) as usize..]) > 0.03);
}
