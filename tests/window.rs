//! The window, driven by accessible labels over hand-made snapshots: no engine, no network, no display.

mod window_rig;

use ahoy::engine::{
    Connection, Direction, EndedCall, IceServer, Intent, Notice, Phase, Question, RingtoneVolume, Settings,
    Severity, Snapshot, SoundLevels, SoundProcessing, SoundTest, TestedSound,
};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use std::sync::Arc;
use window_rig::{Rig, call_with, line, online};

#[test]
fn joining_signs_in_under_the_name_and_server_that_were_typed() {
    let mut rig = Rig::new(Snapshot::default());
    let name = rig.harness.get_by_label("Your name");
    name.focus();
    rig.clear_focused_field();
    rig.harness.get_by_label("Your name").type_text("  ada ");
    rig.run();
    rig.harness.get_by_label("Server").focus();
    rig.run();
    rig.harness.get_by_label("Server").type_text("example.org:6503");
    rig.run();
    rig.click("Join");
    assert_eq!(rig.sent(), [Intent::SignIn { name: "ada".into(), server: "example.org:6503".into() }]);
}

#[test]
fn enter_in_a_sign_in_field_joins() {
    let mut snapshot = Snapshot::default();
    Arc::make_mut(&mut snapshot.settings).name = "grace".into();
    let mut rig = Rig::new(snapshot);
    rig.harness.get_by_label("Server").focus();
    rig.run();
    rig.key(eframe::egui::Key::Enter);
    assert_eq!(rig.sent(), [Intent::SignIn { name: "grace".into(), server: String::new() }]);
}

#[test]
fn while_connecting_nothing_can_be_joined_twice_but_it_can_be_cancelled() {
    let connection = Connection::Connecting { server: "ws://example.org:6503".into() };
    let mut rig = Rig::new(Snapshot { connection, ..Snapshot::default() });
    assert!(rig.harness.query_by_label("Join").is_none());
    rig.click("Cancel");
    assert_eq!(rig.sent(), [Intent::SignOut]);
}

#[test]
fn a_click_on_a_name_calls() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    rig.click("Call bob");
    assert_eq!(rig.sent(), [Intent::Call { peer: "bob".into() }]);
}

#[test]
fn a_click_on_ones_own_name_is_refused_kindly_and_sends_nothing() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    rig.click("ada (you)");
    assert!(rig.harness.query_by_label_contains("talk to yourself").is_some());
    rig.click("OK");
    assert!(rig.harness.query_by_label_contains("talk to yourself").is_none());
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_click_on_a_name_during_a_call_says_that_one_is_open() {
    let mut snapshot = online(&["ada", "bob", "eve"]);
    snapshot.call = Some(call_with("bob", Direction::Outgoing, Phase::Connected));
    let mut rig = Rig::new(snapshot);
    rig.click("Call eve");
    assert!(rig.harness.query_by_label_contains("already have one open, with bob").is_some());
    assert_eq!(rig.sent(), []);
}

#[test]
fn hang_up_is_disabled_until_there_is_a_call() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    assert!(rig.is_disabled("Hang up"));
    rig.click("Hang up");
    assert_eq!(rig.sent(), []);
    for (direction, phase) in [
        (Direction::Outgoing, Phase::Ringing),
        (Direction::Incoming, Phase::Connecting),
        (Direction::Incoming, Phase::Connected),
        (Direction::Outgoing, Phase::Reconnecting),
    ] {
        rig.show(|snapshot| snapshot.call = Some(call_with("bob", direction, phase)));
        assert!(!rig.is_disabled("Hang up"), "{phase:?}");
        rig.click("Hang up");
        assert_eq!(rig.sent(), [Intent::HangUp], "{phase:?}");
    }
    rig.show(|snapshot| snapshot.call = None);
    assert!(rig.is_disabled("Hang up"));
}

#[test]
fn a_ringing_call_can_be_answered_in_two_ways_or_declined() {
    for (label, intent) in [
        ("Decline", Intent::Decline),
        ("Answer without video", Intent::Answer { video: false }),
        ("Answer", Intent::Answer { video: true }),
    ] {
        let mut snapshot = online(&["ada", "bob"]);
        snapshot.call = Some(call_with("bob", Direction::Incoming, Phase::Ringing));
        let mut rig = Rig::new(snapshot);
        assert!(rig.harness.query_by_label("bob is calling.").is_some());
        rig.click(label);
        assert_eq!(rig.sent(), [intent]);
    }
}

#[test]
fn the_question_whether_to_only_watch_is_asked_and_answered() {
    for (label, reply) in [("Join and only watch", true), ("Cancel", false)] {
        let mut snapshot = online(&["ada", "bob"]);
        snapshot.question = Some(Question::WatchOnly { peer: "bob".into() });
        let mut rig = Rig::new(snapshot);
        let words = "Unable to open your call because no camera and/or microphone were found.";
        assert!(rig.harness.query_by_label(words).is_some());
        rig.click(label);
        assert_eq!(rig.sent(), [Intent::Reply(reply)]);
    }
}

#[test]
fn enter_sends_what_was_typed_to_everyone_and_empties_the_field() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    rig.type_message("hello there");
    rig.key(eframe::egui::Key::Enter);
    assert_eq!(rig.sent(), [Intent::Message { text: "hello there".into(), to: None }]);
    rig.key(eframe::egui::Key::Enter);
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_private_message_goes_to_one_user_until_the_address_is_taken_away() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    rig.harness.get_by_label("Call bob").hover();
    rig.run();
    rig.click("Message bob privately");
    rig.type_message("psst");
    rig.click("Send");
    assert_eq!(rig.sent(), [Intent::Message { text: "psst".into(), to: Some("bob".into()) }]);
    rig.click("Write to everyone");
    rig.type_message("hi all");
    rig.click("Send");
    assert_eq!(rig.sent(), [Intent::Message { text: "hi all".into(), to: None }]);
}

#[test]
fn the_chat_marks_what_was_said_privately() {
    let mut snapshot = online(&["ada", "bob"]);
    snapshot.chat = Arc::new(vec![line("bob", Some("ada"), "secret"), line("ada", Some("bob"), "also")]);
    let rig = Rig::new(snapshot);
    assert!(rig.harness.query_by_label("privately").is_some());
    assert!(rig.harness.query_by_label("privately to bob").is_some());
}

#[test]
fn notices_are_dismissed_by_a_click_and_information_leaves_by_itself() {
    let mut snapshot = online(&["ada"]);
    snapshot.notices = Arc::new(vec![Notice { number: 7, severity: Severity::Error, text: "broken".into() }]);
    let mut rig = Rig::new(snapshot);
    rig.pass_time(60.0);
    assert_eq!(rig.sent(), []);
    rig.click("Dismiss");
    assert_eq!(rig.sent(), [Intent::DismissNotice(7)]);
    rig.show(|snapshot| {
        let notice = Notice { number: 8, severity: Severity::Info, text: "good to know".into() };
        snapshot.notices = Arc::new(vec![notice]);
    });
    assert!(rig.harness.query_by_label("good to know").is_some());
    rig.pass_time(4.0);
    assert_eq!(rig.sent(), []);
    rig.pass_time(3.0);
    assert_eq!(rig.sent(), [Intent::DismissNotice(8)]);
    assert!(rig.harness.query_by_label("good to know").is_none());
}

#[test]
fn a_click_that_finds_the_engine_busy_is_sent_as_soon_as_there_is_room() {
    let mut rig = Rig::new(online(&["ada", "bob"]));
    rig.fill_engine();
    rig.click("Call bob");
    rig.drain_filling();
    assert_eq!(rig.sent(), []);
    rig.run();
    assert_eq!(rig.sent(), [Intent::Call { peer: "bob".into() }]);
}

#[test]
fn keys_work_in_a_call_and_are_ignored_while_typing() {
    let mut snapshot = online(&["ada", "bob"]);
    snapshot.call = Some(call_with("bob", Direction::Outgoing, Phase::Connected));
    let mut rig = Rig::new(snapshot);
    rig.key(Key::M);
    rig.key(Key::V);
    rig.key_with(Modifiers::COMMAND, Key::D);
    rig.key_with(Modifiers::COMMAND, Key::E);
    let both = [Intent::MuteMicrophone(true), Intent::MuteCamera(true)];
    assert_eq!(rig.sent(), [both.clone(), both].concat());
    rig.click("Show chat");
    rig.type_message("m");
    rig.key(Key::M);
    rig.key(Key::V);
    rig.key(Key::Space);
    assert_eq!(rig.sent(), []);
}

#[test]
fn the_space_bar_talks_while_it_is_held_and_the_microphone_is_off() {
    let mut snapshot = online(&["ada", "bob"]);
    let mut call = call_with("bob", Direction::Outgoing, Phase::Connected);
    call.microphone_muted = true;
    snapshot.call = Some(call);
    let mut rig = Rig::new(snapshot);
    rig.harness.key_down(Key::Space);
    rig.run();
    assert_eq!(rig.sent(), [Intent::MuteMicrophone(false)]);
    rig.show(|snapshot| snapshot.call.as_mut().unwrap().microphone_muted = false);
    assert_eq!(rig.sent(), []);
    rig.harness.key_up(Key::Space);
    rig.run();
    assert_eq!(rig.sent(), [Intent::MuteMicrophone(true)]);
}

#[test]
fn hostile_names_and_messages_are_shown_as_plain_text_at_every_size() {
    let zalgo = format!("z{}o", "\u{316}\u{301}".repeat(3000));
    let hostile = [
        "a".repeat(10_000),
        "\u{202e}evil \u{0}\u{1b}[2J\u{7}".to_owned(),
        zalgo,
        "\n".repeat(5000),
        "مرحبا بالعالم ".repeat(300),
        "👨\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈".repeat(200),
        "<b>bold</b> **x** [y](javascript:z)".to_owned(),
        String::new(),
    ];
    for (width, height) in [(700.0, 450.0), (1920.0, 1080.0)] {
        let mut snapshot = online(&["ada"]);
        snapshot.users = Arc::new(hostile.to_vec());
        snapshot.chat = Arc::new(hostile.iter().map(|text| line(text, Some(text), text)).collect());
        let mut rig = Rig::sized(snapshot, width, height);
        for text in &hostile {
            rig.show(|snapshot| {
                snapshot.chat = Arc::new(vec![line("bob", None, text)]);
                snapshot.call = Some(call_with(text, Direction::Incoming, Phase::Ringing));
            });
            rig.show(|snapshot| snapshot.call = Some(call_with(text, Direction::Incoming, Phase::Connected)));
            rig.show(|snapshot| snapshot.call = None);
        }
        rig.show(|snapshot| snapshot.chat = Arc::new(vec![line("bob", None, &hostile[6])]));
        assert!(rig.harness.query_all_by_label(&hostile[6]).next().is_some());
    }
}

#[test]
fn how_a_call_ended_is_shown_until_dismissed_and_offers_to_call_again() {
    let mut snapshot = online(&["ada", "bob"]);
    let ended = EndedCall {
        number: 1,
        direction: Direction::Outgoing,
        peer: "bob".into(),
        reason: "bob did not answer.".into(),
        duration: None,
    };
    snapshot.ended = Some(ended);
    let mut rig = Rig::new(snapshot);
    assert!(rig.harness.query_by_label("bob did not answer.").is_some());
    rig.click("Call again");
    assert_eq!(rig.sent(), [Intent::Call { peer: "bob".into() }]);
    rig.click("Dismiss how the call ended");
    assert!(rig.harness.query_by_label("bob did not answer.").is_none());
}

#[test]
fn the_settings_add_a_server_only_when_it_is_one() {
    let mut rig = Rig::sized(online(&["ada"]), 1000.0, 1300.0);
    rig.click("Settings");
    rig.harness.get_by_label("Server URL").focus();
    rig.run();
    rig.harness.get_by_label("Server URL").type_text("example.org");
    rig.run();
    rig.click("Add");
    assert_eq!(rig.sent(), []);
    assert!(rig.harness.query_by_label_contains("must begin with stun: or turn:").is_some());
    rig.harness.get_by_label("Server URL").focus();
    rig.clear_focused_field();
    rig.harness.get_by_label("Server URL").type_text("stun:example.org");
    rig.run();
    rig.click("Add");
    let server: IceServer = "stun:example.org".parse().unwrap();
    let expected = Settings { ice_servers: vec![server], ..Settings::default() };
    assert_eq!(rig.sent(), [Intent::ChangeSettings(Box::new(expected))]);
}

#[test]
fn speaking_while_muted_is_noticed_and_only_then() {
    const HINT: &str = "Your microphone is off. Hold Space to talk, or press M.";
    let mut call = call_with("bob", Direction::Outgoing, Phase::Connected);
    let levels = call.sound_levels.clone();
    let speaking = SoundLevels { microphone: 0.1, speaker: 0.0, speaking: true };
    levels.publish(speaking);
    let mut rig = Rig::new(Snapshot { call: Some(call.clone()), ..online(&["ada", "bob"]) });
    assert!(rig.harness.query_by_label(HINT).is_none(), "the microphone is on");
    call.microphone_muted = true;
    rig.show(|snapshot| snapshot.call = Some(call));
    assert!(rig.harness.query_by_label(HINT).is_some());
    levels.publish(SoundLevels { speaking: false, ..speaking });
    rig.pass_time(4.0);
    assert!(rig.harness.query_by_label(HINT).is_none(), "nobody speaks");
}

#[test]
fn the_settings_switch_the_processing_and_try_out_the_devices() {
    let mut rig = Rig::new(online(&["ada"]));
    rig.click("Settings");
    rig.click("Noise suppression");
    let sound_processing = SoundProcessing { noise_suppression: false, ..SoundProcessing::default() };
    let changed = Settings { sound_processing, ..Settings::default() };
    assert_eq!(rig.sent(), [Intent::ChangeSettings(Box::new(changed))]);
    rig.click("Play a tone");
    rig.click("Record and hear yourself");
    rig.click("Ring");
    let tests = [TestedSound::Speaker, TestedSound::Microphone, TestedSound::Ringtone];
    assert_eq!(rig.sent(), tests.map(Intent::TestSound));
    rig.show(|snapshot| snapshot.sound_test.publish(SoundTest::Recording { level: 0.1, progress: 0.5 }));
    assert!(rig.harness.query_by_label("Say something…").is_some());
    rig.click("Stop");
    assert_eq!(rig.sent(), [Intent::TestSound(TestedSound::Stop)]);
    assert_eq!(RingtoneVolume::percent(150).as_percent(), 100);
}
