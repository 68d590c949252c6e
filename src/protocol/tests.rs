use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn offer(sdp: &str) -> Signal {
    let description = SessionDescription::new(SdpKind::Offer, sdp);
    Signal::Offer { description, extended: true }
}

fn signal(text: &str) -> Signal {
    match decode(text) {
        Ok(Incoming::Signal { signal, .. }) => signal,
        other => panic!("no signal: {other:?}"),
    }
}

#[test]
fn every_signal_survives_the_wire() {
    let candidate = IceCandidate {
        candidate: "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    };
    let mut answer = SessionDescription::new(SdpKind::Answer, "v=0\r\n");
    answer.answers = Some("- 7 1 IN IP4 192.0.2.7".into());
    let mut signals = vec![
        offer("v=0\r\n"),
        Signal::Answer(answer),
        Signal::Candidate(candidate),
        Signal::Candidate(IceCandidate::default()),
        Signal::HangUp(None),
        Signal::MediaState { audio: true, video: false },
        Signal::View { width: 832, height: 468 },
    ];
    use HangUpReason::*;
    signals.extend([Ended, Declined, Busy, NoAnswer, Cancelled, Failed].map(|why| Signal::HangUp(Some(why))));
    for sent in signals {
        let text = encode_signal("alice", "bob", &sent);
        let received = decode(&text).unwrap();
        let (from, target) = (Some("alice".into()), Some("bob".into()));
        assert_eq!(received, Incoming::Signal { from, target, signal: sent, date: None });
    }
}

#[test]
fn our_messages_have_the_fields_of_the_article() {
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(
        read(encode_signal("alice", "bob", &offer("v=0\r\n"))),
        json!({"type": "video-offer", "name": "alice", "target": "bob", "ahoy": 1,
               "sdp": {"type": "offer", "sdp": "v=0\r\n"}})
    );
    assert_eq!(
        read(encode_signal("alice", "bob", &Signal::HangUp(None))),
        json!({"type": "hang-up", "name": "alice", "target": "bob"})
    );
    assert_eq!(
        read(encode_message("alice", "hi", None, &json!(7), 5)),
        json!({"type": "message", "name": "alice", "text": "hi", "id": 7, "date": 5})
    );
}

#[test]
fn a_page_of_the_article_is_understood() {
    let offer_text =
        r#"{"name":"p","target":"us","type":"video-offer","sdp":{"type":"offer","sdp":"v=0\r\n"}}"#;
    assert!(matches!(signal(offer_text), Signal::Offer { extended: false, .. }));
    let candidate = r#"{"type":"new-ice-candidate","target":"us","candidate":{"candidate":
        "candidate:842163049 1 udp 1677729535 203.0.113.5 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0",
        "sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EsAw"}}"#;
    let Signal::Candidate(candidate) = signal(candidate) else { panic!("no candidate") };
    assert_eq!(candidate.sdp_mid.as_deref(), Some("0"));
    assert_eq!(candidate.username_fragment.as_deref(), Some("EsAw"));
    assert_eq!(
        decode(r#"{"name":"p","target":null,"type":"hang-up"}"#).unwrap(),
        Incoming::Signal { from: Some("p".into()), target: None, signal: Signal::HangUp(None), date: None }
    );
}

#[test]
fn null_and_empty_candidates_mean_the_end() {
    for candidate in ["null", r#""""#, r#"{"candidate":""}"#, "{}"] {
        let text = format!(r#"{{"type":"new-ice-candidate","candidate":{candidate}}}"#);
        assert_eq!(signal(&text), Signal::Candidate(IceCandidate::default()), "{candidate}");
    }
}

#[test]
fn a_reason_of_a_later_version_still_hangs_up() {
    for reason in [r#""out-of-milk""#, "7", "null", "{}"] {
        let text = format!(r#"{{"type":"hang-up","name":"p","reason":{reason}}}"#);
        assert_eq!(signal(&text), Signal::HangUp(None), "{reason}");
    }
}

#[test]
fn unusable_messages_are_errors() {
    for text in [
        "",
        "hello",
        "[]",
        "7",
        "null",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":""}"#,
        r#"{"type":"message","text":"x","target":7}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"message","text":7}"#,
        r#"{"type":"userlist"}"#,
        r#"{"type":"userlist","users":"bob"}"#,
        r#"{"type":"rejectusername"}"#,
        r#"{"type":"undeliverable"}"#,
        r#"{"type":"video-offer"}"#,
        r#"{"type":"video-offer","sdp":null}"#,
        r#"{"type":"video-offer","sdp":"nonsense"}"#,
        r#"{"type":"video-offer","sdp":{"type":"offer"}}"#,
        r#"{"type":"video-offer","sdp":{"type":"offer","sdp":7}}"#,
        r#"{"type":"video-offer","sdp":{"type":"answer","sdp":"v=0\r\n"}}"#,
        r#"{"type":"video-answer","sdp":{"type":"pranswer","sdp":"v=0\r\n"}}"#,
        r#"{"type":"new-ice-candidate"}"#,
        r#"{"type":"new-ice-candidate","candidate":7}"#,
        r#"{"type":"new-ice-candidate","candidate":["candidate:1 1 udp 1 a 1 typ host"]}"#,
        r#"{"type":"new-ice-candidate","candidate":{"candidate":"nonsense"}}"#,
        r#"{"type":"new-ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 70000 typ host"}}"#,
        r#"{"type":"new-ice-candidate","candidate":{"candidate":"candidate:1 0 udp 1 192.0.2.1 7 typ host"}}"#,
        r#"{"type":"new-ice-candidate","candidate":{"candidate":"","sdpMLineIndex":-1}}"#,
        r#"{"type":"media-state","audio":true}"#,
        r#"{"type":"media-state","audio":"yes","video":true}"#,
        r#"{"type":"view","width":832}"#,
        r#"{"type":"view","width":0,"height":468}"#,
        r#"{"type":"view","width":832,"height":-1}"#,
    ] {
        assert!(decode(text).is_err(), "accepted: {text}");
    }
    let deep = "[".repeat(200_000);
    assert!(decode(&format!(r#"{{"type":{deep}"#)).is_err());
}

#[test]
fn unknown_types_and_fields_are_no_errors() {
    assert_eq!(decode(r#"{"type":"wave","x":[1]}"#).unwrap(), Incoming::Other("wave".into()));
    assert_eq!(
        decode(r#"{"type":"userlist","users":["a","b",7],"more":true}"#).unwrap(),
        Incoming::Users(vec!["a".into(), "b".into()])
    );
}

#[test]
fn names_are_made_short_visible_and_honest() {
    for (wish, name) in [
        ("alice", "alice"),
        ("  Zoë  O'Neill\t", "Zoë O'Neill"),
        ("日本語", "日本語"),
        ("👩‍🚀", "👩‍🚀"),
        ("a\nb", "a b"),
        ("a\u{0}b\u{7f}", "ab"),
        ("\u{202e}ecila", "ecila"),
        ("al\u{200b}ice\u{feff}", "alice"),
        ("", "guest"),
        (" \t\n", "guest"),
        ("\u{200d}\u{fe0f}", "guest"),
        ("\u{3164}", "guest"),
    ] {
        assert_eq!(clean_name(wish), name, "{wish:?}");
    }
    assert_eq!(clean_name(&"x".repeat(10_000)), "x".repeat(MAX_NAME_CHARS));
    assert_eq!(numbered_name(&"x".repeat(64), 123), format!("{}123", "x".repeat(61)));
}

proptest! {
    #[test]
    fn decoding_never_panics(text in any::<String>()) {
        decode(&text).ok();
    }

    #[test]
    fn decoding_any_fields_never_panics(kind in "(video-offer|video-answer|new-ice-candidate|hang-up|message)",
                                        field in "(sdp|candidate|reason|text|target|name)", text in any::<String>()) {
        for value in [json!(text), json!({"candidate": text, "sdp": text, "type": "offer"}), json!([text]), json!(7)] {
            decode(&json!({"type": kind, field.as_str(): value}).to_string()).ok();
        }
    }

    #[test]
    fn cleaning_a_clean_name_changes_nothing(wish in any::<String>()) {
        let name = clean_name(&wish);
        prop_assert!((1..=MAX_NAME_CHARS).contains(&name.chars().count()));
        prop_assert!(!name.chars().any(char::is_control));
        prop_assert_eq!(clean_name(&name), name.clone());
        let numbered = numbered_name(&name, 4711);
        prop_assert!(numbered.chars().count() <= MAX_NAME_CHARS);
    }

    #[test]
    fn an_envelope_keeps_what_it_does_not_know(key in "[a-z]{1,8}", text in any::<String>(), number in any::<i64>()) {
        prop_assume!(!["type", "target"].contains(&key.as_str()));
        let message = json!({"type": "x", "target": "bob", key: {"deep": [text, number, null, {"a": false}]}});
        let envelope = Envelope::parse(&message.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&envelope.to_json()).unwrap(), message);
    }
}
