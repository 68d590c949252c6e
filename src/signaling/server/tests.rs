//! The registry in scenarios: no sockets, no clock.

mod resume;

use super::registry::{Closing, MAX_CONNECTIONS, Output, Registry};
use super::session::{ConnectionId, Departure};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const DATE: u64 = 1_700_000_000_000;

/// A registry and what it sent to whom.
struct Scene {
    registry: Registry,
    inbox: HashMap<u64, Vec<Value>>,
    closed: Vec<u64>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { registry: Registry::new(), inbox: HashMap::new(), closed: Vec::new(), now: Instant::now() }
    }

    fn collect(&mut self) {
        while let Some((ConnectionId(id), output)) = self.registry.poll_output() {
            match output {
                Output::Text(text) => {
                    self.inbox.entry(id).or_default().push(serde_json::from_str(&text).unwrap());
                }
                Output::Close(Closing::Full | Closing::Replaced) => self.closed.push(id),
            }
        }
    }

    fn connect(&mut self, id: u64) {
        self.registry.handle_connect(ConnectionId(id), format!("token {id}"), DATE);
        self.collect();
    }

    fn disconnect(&mut self, id: u64) {
        self.lose(id, Departure::Closed);
    }

    fn lose(&mut self, id: u64, departure: Departure) {
        self.registry.handle_disconnect(ConnectionId(id), departure, DATE, self.now);
        self.collect();
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.registry.handle_timeout(DATE, self.now);
        self.collect();
    }

    fn say(&mut self, id: u64, text: &str) {
        self.registry.handle_text(ConnectionId(id), text, DATE);
        self.collect();
    }

    /// A page written after the article signs in.
    fn page(&mut self, id: u64, name: &str) {
        self.connect(id);
        self.say(id, &json!({"type": "username", "name": name, "id": id, "date": DATE}).to_string());
    }

    /// A client with Ahoy's extensions signs in.
    fn ahoy(&mut self, id: u64, name: &str) {
        self.connect(id);
        let features = ["presence", "undeliverable"];
        self.say(id, &json!({"type": "username", "name": name, "features": features}).to_string());
    }

    /// What this connection was sent since the last call.
    fn take(&mut self, id: u64) -> Vec<Value> {
        self.inbox.remove(&id).unwrap_or_default()
    }

    /// The types of what this connection was sent since the last call.
    fn kinds(&mut self, id: u64) -> Vec<String> {
        self.take(id).iter().map(|message| message["type"].as_str().unwrap().into()).collect()
    }

    fn forget(&mut self) {
        self.inbox.clear();
    }
}

#[test]
fn a_page_is_numbered_then_listed() {
    let mut scene = Scene::new();
    scene.connect(1);
    assert_eq!(scene.take(1), [json!({"type": "id", "id": 1, "date": DATE})]);
    scene.say(1, r#"{"type":"username","name":"alice","id":1,"date":5}"#);
    assert_eq!(scene.take(1), [json!({"type": "userlist", "users": ["alice"]})]);
    scene.page(2, "bob");
    assert_eq!(
        scene.take(1),
        [
            json!({"type": "userlist", "users": ["alice", "bob"]}),
            json!({"type": "username", "name": "bob", "date": DATE})
        ]
    );
    scene.disconnect(2);
    assert_eq!(scene.take(1), [json!({"type": "userlist", "users": ["alice"]})]);
}

#[test]
fn a_taken_name_gets_a_number_before_the_list() {
    let mut scene = Scene::new();
    scene.page(1, "bob");
    scene.connect(2);
    scene.forget();
    scene.say(2, r#"{"type":"username","name":"bob","id":2}"#);
    assert_eq!(
        scene.take(2),
        [
            json!({"type": "rejectusername", "id": 2, "name": "bob1"}),
            json!({"type": "userlist", "users": ["bob", "bob1"]})
        ]
    );
    scene.disconnect(1);
    scene.page(3, "bob");
    assert_eq!(scene.registry.users().collect::<Vec<_>>(), ["bob1", "bob"]);
}

#[test]
fn clients_with_presence_get_changes_and_pages_get_lists() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    scene.page(2, "bob");
    assert_eq!(
        scene.take(1)[1..],
        [
            json!({"type": "userlist", "users": ["alice"]}),
            json!({"type": "user-joined", "name": "bob", "date": DATE})
        ]
    );
    scene.forget();
    scene.ahoy(3, "carol");
    assert_eq!(scene.kinds(1), ["user-joined"]);
    assert_eq!(scene.kinds(2), ["userlist", "username"]);
    assert_eq!(scene.take(3)[1], json!({"type": "userlist", "users": ["alice", "bob", "carol"]}));
    scene.disconnect(3);
    assert_eq!(scene.take(1), [json!({"type": "user-left", "name": "carol", "date": DATE})]);
    assert_eq!(scene.kinds(2), ["userlist"]);
}

#[test]
fn a_target_is_the_only_one_to_hear() {
    let mut scene = Scene::new();
    (1..=3).for_each(|id| scene.page(id, &format!("user {id}")));
    scene.forget();
    scene.say(1, r#"{"type":"new-ice-candidate","target":"user 2","candidate":{"candidate":"x"},"deep":[1,{"a":null}]}"#);
    assert_eq!(
        scene.take(2),
        [
            json!({"type": "new-ice-candidate", "name": "user 1", "target": "user 2", "candidate": {"candidate": "x"},
                "deep": [1, {"a": null}]})
        ]
    );
    assert!(scene.inbox.is_empty());
}

#[test]
fn chat_comes_back_to_its_sender_whole_and_stamped() {
    let mut scene = Scene::new();
    scene.page(1, "alice");
    scene.page(2, "bob");
    scene.forget();
    scene.say(1, r#"{"type":"message","text":"1 < 2 <b>&amp;","name":"bob","id":1,"date":5}"#);
    let expected = json!({"type": "message", "text": "1 < 2 <b>&amp;", "name": "alice", "id": 1, "date": 5});
    assert_eq!(scene.take(1), std::slice::from_ref(&expected));
    assert_eq!(scene.take(2), [expected]);
    scene.say(1, r#"{"type":"message","text":"undated","target":""}"#);
    assert_eq!(
        scene.take(2),
        [json!({"type": "message", "text": "undated", "name": "alice", "target": "", "date": DATE})]
    );
}

#[test]
fn a_broadcast_hang_up_reaches_the_others_only() {
    let mut scene = Scene::new();
    (1..=3).for_each(|id| scene.page(id, &format!("user {id}")));
    scene.forget();
    scene.say(1, r#"{"type":"hang-up","name":"user 1","target":null}"#);
    assert_eq!(
        (scene.kinds(1).len(), scene.kinds(2), scene.kinds(3)),
        (0, vec!["hang-up".into()], vec!["hang-up".into()])
    );
}

#[test]
fn unknown_types_reach_everyone() {
    let mut scene = Scene::new();
    scene.page(1, "alice");
    scene.page(2, "bob");
    scene.forget();
    scene.say(1, r#"{"type":"wave","hand":"left"}"#);
    let expected = json!({"type": "wave", "hand": "left", "name": "alice"});
    assert_eq!(scene.take(1), std::slice::from_ref(&expected));
    assert_eq!(scene.take(2), [expected]);
}

#[test]
fn a_missing_target_is_told_to_those_who_asked_for_it() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    scene.page(2, "bob");
    scene.forget();
    let offer = r#"{"type":"video-offer","target":"nobody","sdp":{}}"#;
    scene.say(1, offer);
    assert_eq!(scene.take(1), [json!({"type": "undeliverable", "target": "nobody", "of": "video-offer"})]);
    scene.say(2, offer);
    assert!(scene.inbox.is_empty());
}

#[test]
fn bad_messages_are_answered_to_their_sender_alone() {
    let mut scene = Scene::new();
    scene.page(1, "mallory");
    scene.page(2, "bystander");
    scene.forget();
    for text in [
        "",
        "{",
        "nonsense",
        "[]",
        "7",
        "null",
        "\"text\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":""}"#,
        r#"{"type":"message","text":"x","target":7}"#,
        r#"{"type":"message","text":"x","target":["bystander"]}"#,
        r#"{"type":"message","text":"x","target":{}}"#,
        r#"{"type":"message","text":"x","target":false}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"message","text":null}"#,
        r#"{"type":"userlist","users":[]}"#,
        r#"{"type":"id","id":9,"target":"bystander"}"#,
        r#"{"type":"rejectusername","name":"x","target":"bystander"}"#,
        r#"{"type":"user-left","name":"bystander"}"#,
        r#"{"type":"undeliverable","target":"bystander"}"#,
        r#"{"type":"error","message":"x"}"#,
    ] {
        scene.say(1, text);
        assert_eq!(scene.kinds(1), ["error"], "{text}");
        assert!(scene.inbox.is_empty(), "{text}");
    }
    scene.registry.handle_binary(ConnectionId(1));
    scene.collect();
    assert_eq!(scene.kinds(1), ["error"]);
    scene.say(1, r#"{"type":"message","text":"still here"}"#);
    assert_eq!(scene.kinds(2), ["message"]);
}

#[test]
fn nothing_is_relayed_before_signing_in() {
    let mut scene = Scene::new();
    scene.page(1, "bystander");
    scene.connect(2);
    scene.forget();
    for text in [
        r#"{"type":"message","text":"x"}"#,
        r#"{"type":"hang-up","target":"bystander"}"#,
        r#"{"type":"wave"}"#,
    ] {
        scene.say(2, text);
        assert_eq!(scene.kinds(2), ["error"]);
    }
    scene.say(1, r#"{"type":"message","text":"not for strangers"}"#);
    assert_eq!(scene.kinds(1), ["message"]);
    assert!(scene.inbox.is_empty());
}

#[test]
fn a_second_login_changes_nothing() {
    let mut scene = Scene::new();
    scene.page(1, "alice");
    scene.page(2, "bystander");
    scene.forget();
    scene.say(1, r#"{"type":"username","name":"bystander"}"#);
    let answers = scene.take(1);
    assert_eq!(answers[0], json!({"type": "rejectusername", "id": 1, "name": "alice"}));
    assert_eq!((answers.len(), &answers[1]["type"]), (2, &json!("error")));
    scene.say(1, r#"{"type":"username","name":"alice"}"#);
    assert_eq!(scene.kinds(1), ["rejectusername"]);
    assert!(scene.inbox.is_empty());
    assert_eq!(scene.registry.users().collect::<Vec<_>>(), ["alice", "bystander"]);
}

#[test]
fn odd_names_are_cleaned_and_told() {
    let mut scene = Scene::new();
    let long = "n".repeat(10_000);
    for (id, wish, granted) in [
        (1, "", "guest"),
        (2, "  ", "guest1"),
        (3, "\u{202e}bob\n", "bob"),
        (4, long.as_str(), &long[..64]),
        (5, long.as_str(), &format!("{}1", &long[..63])),
    ] {
        scene.page(id, wish);
        let answers = scene.take(id);
        assert_eq!(answers[1], json!({"type": "rejectusername", "id": id, "name": granted}), "{wish}");
    }
    scene.connect(6);
    for name in ["7", "null", "{}", "[]"] {
        scene.forget();
        scene.say(6, &format!(r#"{{"type":"username","name":{name}}}"#));
        assert_eq!(scene.kinds(6), ["error"]);
    }
    scene.say(6, r#"{"type":"username","name":"at last"}"#);
    assert_eq!(scene.kinds(6), ["userlist"]);
}

#[test]
fn one_connection_too_many_is_closed_and_later_there_is_room() {
    let mut scene = Scene::new();
    for id in 0..MAX_CONNECTIONS as u64 {
        scene.connect(id);
    }
    assert!(scene.closed.is_empty());
    scene.connect(5000);
    assert_eq!(scene.closed, [5000]);
    assert!(scene.take(5000).is_empty());
    scene.disconnect(5000);
    scene.disconnect(7);
    scene.connect(5001);
    assert_eq!(scene.kinds(5001), ["id"]);
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u64),
    Disconnect(u64, Departure),
    Say(u64, String),
    Wait(u64),
}

fn text() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("a".to_string()),
        Just("b".into()),
        Just("a1".into()),
        Just(" a".into()),
        any::<String>()
    ];
    let kind = prop_oneof![
        Just("username"),
        Just("username"),
        Just("message"),
        Just("hang-up"),
        Just("video-offer"),
        Just("userlist"),
        Just("x")
    ];
    prop_oneof![
        1 => any::<String>(),
        8 => (kind, name.clone(), name.clone(), any::<bool>()).prop_map(|(kind, name, target, whole)| {
            let features: &[&str] = if whole { &["presence", "undeliverable", "resume"] } else { &[] };
            let resume = json!({"token": "token 1000", "received": 1});
            json!({
                "type": kind, "name": name, "target": target, "text": "t", "features": features, "resume": resume
            })
            .to_string()
        }),
        2 => (any::<bool>(), name).prop_map(|(number, name)| {
            let target = if number { json!(7) } else { json!(null) };
            json!({"type": "message", "text": name, "target": target}).to_string()
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let departure = prop::sample::select(vec![Departure::Closed, Departure::Ended, Departure::Silent]);
    prop_oneof![
        2 => (0..6_u64).prop_map(Step::Connect),
        1 => (0..6_u64, departure).prop_map(|(id, departure)| Step::Disconnect(id, departure)),
        1 => (0..30_u64).prop_map(Step::Wait),
        8 => (0..6_u64, text()).prop_map(|(id, text)| Step::Say(id, text)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_names_are_unique_and_targets_private(steps in prop::collection::vec(step(), 0..120)) {
        let mut scene = Scene::new();
        // Which connections stand for which number of the steps: a connection's id is never used again.
        let (mut current, mut next) = (HashMap::new(), 1000);
        for step in steps {
            scene.forget();
            match step {
                Step::Connect(slot) => {
                    if let Some(old) = current.insert(slot, next) {
                        scene.disconnect(old);
                    }
                    scene.connect(next);
                    next += 1;
                }
                Step::Disconnect(slot, departure) => {
                    let Some(old) = current.remove(&slot) else { continue };
                    scene.lose(old, departure);
                    prop_assert!(!scene.inbox.contains_key(&old));
                }
                Step::Wait(seconds) => scene.wait(Duration::from_secs(seconds)),
                Step::Say(slot, text) => {
                    let id = current.get(&slot).copied().unwrap_or(slot);
                    let before: Vec<String> = scene.registry.users().map(String::from).collect();
                    scene.say(id, &text);
                    let message: Value = serde_json::from_str(&text).unwrap_or_default();
                    let target = message["target"].as_str().unwrap_or_default();
                    if !target.is_empty() && message["type"] != "username" {
                        for (receiver, messages) in &scene.inbox {
                            for received in messages.iter().filter(|_| *receiver != id) {
                                prop_assert!(before.iter().any(|name| name == target));
                                prop_assert_eq!(&received["target"], target);
                                prop_assert_eq!(scene.inbox.len(), 1);
                            }
                        }
                    }
                }
            }
            let names: Vec<&str> = scene.registry.users().collect();
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            let open = current.values().filter(|id| !scene.closed.contains(id)).count();
            prop_assert_eq!(scene.registry.connections(), open);
            prop_assert!(names.len() as u64 <= next - 1000);
        }
    }
}
