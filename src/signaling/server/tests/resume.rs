//! Sessions that outlive their connections.

use super::super::session::{ABSENCE, Departure, KEPT_TEXTS, MAX_ABSENT};
use super::{DATE, Scene};
use serde_json::{Value, json};
use std::time::Duration;

impl Scene {
    /// A client that can come back signs in.
    fn lasting(&mut self, id: u64, name: &str) -> String {
        self.connect(id);
        let features = ["presence", "undeliverable", "resume"];
        self.say(id, &json!({"type": "username", "name": name, "features": features}).to_string());
        let said = self.take(id);
        let session = said.iter().find(|message| message["type"] == "session").unwrap();
        session["token"].as_str().unwrap().into()
    }

    /// It comes back on another connection, having received so many texts in its session.
    fn back(&mut self, id: u64, name: &str, token: &str, received: u64) -> Vec<Value> {
        self.connect(id);
        self.forget();
        let resume = json!({"token": token, "received": received});
        let features = ["presence", "undeliverable", "resume"];
        let hello = json!({"type": "username", "name": name, "features": features, "resume": resume});
        self.say(id, &hello.to_string());
        self.take(id)
    }

    fn tell(&mut self, id: u64, target: &str, text: &str) {
        self.say(id, &json!({"type": "message", "text": text, "target": target}).to_string());
    }

    fn users(&self) -> Vec<&str> {
        self.registry.users().collect()
    }
}

fn texts(said: &[Value]) -> Vec<&str> {
    said.iter().filter_map(|message| message["text"].as_str()).collect()
}

#[test]
fn somebody_whose_connection_is_lost_stays_and_nobody_notices() {
    for departure in [Departure::Silent, Departure::Ended] {
        let mut scene = Scene::new();
        scene.page(1, "alice");
        let token = scene.lasting(2, "bob");
        scene.forget();
        scene.lose(2, departure);
        scene.wait(ABSENCE - Duration::from_millis(1));
        assert_eq!(scene.users(), ["alice", "bob"]);
        let said = scene.back(3, "bob", &token, 1);
        assert_eq!(said[0], json!({"type": "session", "token": token, "resumed": true, "received": 0}));
        assert_eq!(said[1], json!({"type": "userlist", "users": ["alice", "bob"]}));
        assert_eq!(said.len(), 2);
        assert!(scene.take(1).is_empty());
        scene.wait(ABSENCE * 2);
        assert_eq!(scene.users(), ["alice", "bob"]);
    }
}

#[test]
fn a_goodbye_is_a_goodbye() {
    let mut scene = Scene::new();
    let token = scene.lasting(2, "bob");
    scene.disconnect(2);
    assert!(scene.users().is_empty());
    let said = scene.back(3, "bob", &token, 0);
    assert_eq!(said[0]["resumed"], false);
    assert_ne!(said[0]["token"], token.as_str());
}

#[test]
fn what_is_said_meanwhile_waits_and_comes_once_and_in_order() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    let token = scene.lasting(2, "bob");
    // bob received the list and "1"; "2" was lost with the connection.
    scene.tell(1, "bob", "1");
    scene.tell(1, "bob", "2");
    scene.lose(2, Departure::Silent);
    scene.tell(1, "bob", "3");
    scene.say(1, &json!({"type": "message", "text": "4"}).to_string());
    let said = scene.back(3, "bob", &token, 2);
    assert_eq!(texts(&said), ["2", "3", "4"]);
    assert_eq!(said.last().unwrap()["type"], "userlist");
    // Lost again before anything arrived: it comes again.
    scene.lose(3, Departure::Silent);
    assert_eq!(texts(&scene.back(4, "bob", &token, 2)), ["2", "3", "4"]);
    // And again, with all of it received: nothing comes twice. Texts 1 to 4 and three lists.
    scene.lose(4, Departure::Silent);
    assert!(texts(&scene.back(5, "bob", &token, 7)).is_empty());
}

#[test]
fn the_server_says_how_much_of_theirs_it_has() {
    let mut scene = Scene::new();
    let token = scene.lasting(2, "bob");
    for number in 0..3 {
        scene.tell(2, "nobody", &number.to_string());
    }
    scene.say(2, "not even JSON");
    scene.lose(2, Departure::Silent);
    assert_eq!(scene.back(3, "bob", &token, 0)[0]["received"], 4);
}

#[test]
fn the_second_connection_with_the_token_replaces_the_first() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    let token = scene.lasting(2, "bob");
    let said = scene.back(3, "bob", &token, 1);
    assert_eq!((said[0]["resumed"].as_bool(), scene.closed.as_slice()), (Some(true), &[2][..]));
    // The last words of the first are nobody's, and its end changes nothing.
    scene.tell(2, "alice", "ghost");
    scene.lose(2, Departure::Ended);
    assert!(scene.take(1).iter().all(|message| message["text"] != "ghost"));
    assert_eq!(scene.users(), ["alice", "bob"]);
    scene.tell(1, "bob", "to the second");
    assert_eq!(texts(&scene.take(3)), ["to the second"]);
}

#[test]
fn who_does_not_come_back_leaves_and_who_wrote_is_told() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    scene.lasting(2, "bob");
    scene.lose(2, Departure::Silent);
    scene.tell(1, "bob", "are you there?");
    scene.tell(1, "bob", "hello?");
    scene.forget();
    scene.wait(ABSENCE);
    let left = json!({"type": "user-left", "name": "bob", "date": DATE});
    let undeliverable = json!({"type": "undeliverable", "of": "message", "target": "bob"});
    assert_eq!(scene.take(1), [left, undeliverable]);
}

#[test]
fn the_name_of_a_program_that_is_gone_is_free_and_that_of_a_silent_one_is_not() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    let token = scene.lasting(2, "bob");
    scene.lose(2, Departure::Silent);
    scene.lasting(3, "bob");
    assert_eq!(scene.users(), ["alice", "bob", "bob1"]);
    scene.back(4, "bob", &token, 0);
    scene.lose(4, Departure::Ended);
    scene.forget();
    scene.lasting(5, "bob");
    assert_eq!(scene.users(), ["alice", "bob1", "bob"]);
    assert_eq!(scene.kinds(1), ["user-left", "user-joined"], "whoever spoke with the old one knows");
    assert_eq!(scene.back(6, "bob", &token, 0)[0]["resumed"], false, "a newcomer now");
}

#[test]
fn what_waits_is_bounded_and_the_sender_told() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    let token = scene.lasting(2, "bob");
    scene.lose(2, Departure::Silent);
    scene.forget();
    for number in 0..KEPT_TEXTS + 3 {
        scene.tell(1, "bob", &number.to_string());
    }
    // The user list of the signing in is kept, too.
    assert_eq!(scene.kinds(1), ["undeliverable"; 4]);
    let said = scene.back(3, "bob", &token, 1);
    assert_eq!(texts(&said).len(), KEPT_TEXTS - 1);
}

#[test]
fn whether_somebody_is_there_is_answered_and_does_not_wait() {
    let mut scene = Scene::new();
    scene.ahoy(1, "alice");
    let token = scene.lasting(2, "bob");
    scene.lose(2, Departure::Ended);
    scene.forget();
    scene.say(1, &json!({"type": "path-check", "answer": false, "target": "bob"}).to_string());
    assert_eq!(scene.take(1), [json!({"type": "undeliverable", "of": "path-check", "target": "bob"})]);
    let said = scene.back(3, "bob", &token, 1);
    assert!(said.iter().all(|message| message["type"] != "path-check"));
}

#[test]
fn those_who_are_awaited_are_bounded() {
    let mut scene = Scene::new();
    for id in 0..MAX_ABSENT as u64 + 2 {
        scene.lasting(id, &format!("u{id}"));
        scene.wait(Duration::from_millis(1));
        scene.lose(id, Departure::Silent);
    }
    assert_eq!(scene.users().len(), MAX_ABSENT);
    assert!(!scene.users().contains(&"u1"));
}

#[test]
fn a_page_hears_nothing_of_sessions() {
    let mut scene = Scene::new();
    scene.page(1, "page");
    assert_eq!(scene.kinds(1), ["id", "userlist"]);
    let token = scene.lasting(2, "bob");
    scene.forget();
    scene.lose(2, Departure::Silent);
    scene.back(3, "bob", &token, 0);
    assert!(scene.take(1).is_empty());
    scene.lose(1, Departure::Silent);
    assert_eq!(scene.users(), ["bob"], "a page that is lost is gone");
}
