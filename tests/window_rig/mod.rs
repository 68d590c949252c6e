//! A window in a harness, its engine played by the test.
#![allow(unreachable_pub)] // Shared by test files, each of which is a crate of its own.

use ahoy::engine::{
    CallStats, CallView, ChatLine, Connection, Direction, EngineHandle, EnginePort, INTENT_CAPACITY, Intent,
    Phase, Picture, Snapshot,
};
use ahoy::ui::{self, Window};
use eframe::egui::{Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

pub struct Rig {
    pub harness: Harness<'static, Window>,
    port: EnginePort,
    engine: EngineHandle,
}

impl Rig {
    pub fn new(snapshot: Snapshot) -> Self {
        Self::sized(snapshot, 1080.0, 720.0)
    }

    pub fn sized(snapshot: Snapshot, width: f32, height: f32) -> Self {
        let (engine, port) = EngineHandle::pair();
        port.snapshots.send_replace(Arc::new(snapshot));
        let window = Window::new(engine.clone());
        let harness = Harness::builder()
            .with_size(vec2(width, height))
            .with_max_steps(40)
            .allow_missing_glyphs()
            .with_context_setup(ui::prepare)
            .build_ui_state(|ui, window: &mut Window| window.ui(ui), window);
        let mut rig = Self { harness, port, engine };
        rig.run();
        rig
    }

    /// Frames until nothing moves.
    pub fn run(&mut self) {
        self.harness.run();
    }

    /// Changes what the engine shows.
    pub fn show(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.engine.snapshot());
        change(&mut snapshot);
        self.port.snapshots.send_replace(Arc::new(snapshot));
        self.run();
    }

    /// What the window has sent since the last question.
    pub fn sent(&mut self) -> Vec<Intent> {
        std::iter::from_fn(|| self.port.intents.try_recv().ok()).collect()
    }

    pub fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.run();
    }

    pub fn is_disabled(&self, label: &str) -> bool {
        self.harness.get_by_label(label).accesskit_node().is_disabled()
    }

    pub fn key(&mut self, key: Key) {
        self.harness.key_press(key);
        self.run();
    }

    pub fn key_with(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.run();
    }

    pub fn clear_focused_field(&mut self) {
        self.run();
        self.key_with(Modifiers::COMMAND, Key::A);
        self.key(Key::Backspace);
    }

    pub fn type_message(&mut self, text: &str) {
        self.harness.get_by_label("Message").focus();
        self.run();
        self.harness.get_by_label("Message").type_text(text);
        self.run();
    }

    /// Lets the window's clock run.
    pub fn pass_time(&mut self, seconds: f64) {
        let now = self.harness.ctx.input(|input| input.time);
        self.harness.input_mut().time = Some(now + seconds);
        self.harness.step();
        self.run();
    }

    pub fn fill_engine(&self) {
        for _ in 0..INTENT_CAPACITY {
            assert!(self.engine.try_send(Intent::RefreshDevices).is_ok());
        }
    }

    pub fn drain_filling(&mut self) {
        for _ in 0..INTENT_CAPACITY {
            assert_eq!(self.port.intents.try_recv(), Ok(Intent::RefreshDevices));
        }
    }
}

/// Online as `ada`, with these users.
pub fn online(users: &[&str]) -> Snapshot {
    Snapshot {
        connection: Connection::Online {
            name: "ada".into(),
            server: "ws://example.org:6503".into(),
            hosting: None,
        },
        users: Arc::new(users.iter().map(|user| (*user).to_owned()).collect()),
        ..Snapshot::default()
    }
}

pub fn call_with(peer: &str, direction: Direction, phase: Phase) -> CallView {
    CallView {
        number: 1,
        remote_frames: Default::default(),
        local_frames: Default::default(),
        peer: peer.into(),
        direction,
        phase,
        connected_at: matches!(phase, Phase::Connected | Phase::Reconnecting).then(Instant::now),
        microphone_muted: false,
        camera_muted: false,
        has_camera: true,
        has_microphone: true,
        remote_microphone_muted: false,
        remote_camera_muted: false,
        remote_picture: Picture::default(),
        local_picture: Picture::default(),
        sound_levels: Default::default(),
        volume: 1.0,
        stats: Arc::new(CallStats::default()),
    }
}

pub fn line(from: &str, to: Option<&str>, text: &str) -> ChatLine {
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    ChatLine { number: 0, from: from.into(), to: to.map(str::to_owned), text: text.into(), at }
}
