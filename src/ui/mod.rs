//! The window: draws a [`Snapshot`] and turns clicks and keys into [`Intent`]s.
//!
//! eframe drives it (or `egui_kittest`, in tests); the engine feeds it through an [`EngineHandle`]. It keeps only
//! what is the window's own: drafts, open panels, textures. It never blocks, never waits for the engine, never
//! converts pixels, and knows nothing of the network or of devices. When nothing happens it paints nothing.
//!
//! Reading order: `window` (one frame, from snapshot to outbox), `people`, `chat`, `call_view`, `toolbar`,
//! `dialogs`, then the small ones.
//!
//! [`Snapshot`]: crate::engine::Snapshot
//! [`Intent`]: crate::engine::Intent

mod actions;
mod bidi;
mod call_view;
mod chat;
mod clock;
mod dialogs;
mod fonts;
mod icons;
mod keys;
mod notices;
mod outbox;
mod people;
mod plain;
mod remote_view;
mod screen;
mod self_view;
mod settings;
mod sign_in;
mod signal;
mod sound_settings;
mod source;
mod texture;
mod theme;
mod toolbar;
mod widgets;
mod window;

use crate::engine::EngineHandle;
use eframe::egui::{Context, IconData, Ui, ViewportBuilder};
use std::time::Duration;
pub use window::Window;

/// Delay of a repaint that another thread asks for. Asking for one at once makes egui paint two frames per request
/// (59 a second for a 30 fps picture); asking for it a little later makes it paint one.
const REPAINT_DELAY: Duration = Duration::from_millis(1);

/// How the window opens.
#[derive(Clone, Debug)]
pub struct WindowOptions {
    /// In the title bar.
    pub title: String,
    /// Width and height of the content, points.
    pub size: [f32; 2],
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self { title: "Ahoy".into(), size: [1080.0, 720.0] }
    }
}

/// Wakes the window up after a new snapshot was published; callable from any thread, never blocks.
pub type Repaint = Box<dyn Fn() + Send + Sync>;

/// The window cannot be shown, or broke.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// No display, no OpenGL, or the windowing system gave up.
    #[error("the window cannot be shown: {0} (is there a display, and does it offer OpenGL?)")]
    Toolkit(#[from] eframe::Error),
}

/// The window as eframe wants it.
pub struct App {
    window: Window,
    screen: Option<screen::Screen>,
    /// Held for its thread, which ends with the window.
    fonts: Option<fonts::SystemFontLoader>,
}

impl App {
    /// A window for this engine.
    pub fn new(engine: EngineHandle) -> Self {
        Self { window: Window::new(engine), screen: None, fonts: None }
    }
}

impl eframe::App for App {
    /// What a call is shown on; everything else paints its own ground.
    fn clear_color(&self, _visuals: &eframe::egui::Visuals) -> [f32; 4] {
        theme::STAGE.to_normalized_gamma_f32()
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.window.ui(ui);
    }

    fn on_exit(&mut self, gl: Option<&eframe::glow::Context>) {
        if let (Some(screen), Some(gl)) = (self.screen.take(), gl) {
            screen.destroy(gl);
        }
    }
}

/// Shows the window until the user closes it and the engine has ended. Must be called on the main thread.
///
/// `on_ready` gets the function to call after each new snapshot.
///
/// # Errors
/// If there is no display, no OpenGL, or the windowing system fails.
pub fn run(
    engine: EngineHandle,
    options: WindowOptions,
    on_ready: impl FnOnce(Repaint) + 'static,
) -> Result<(), WindowError> {
    let viewport = ViewportBuilder::default()
        .with_title(&options.title)
        .with_app_id("ahoy")
        .with_icon(icon())
        .with_inner_size(options.size)
        .with_min_inner_size([560.0, 400.0]);
    let native = eframe::NativeOptions {
        viewport,
        system_font_fallback: false,
        dithering: false,
        ..Default::default()
    };
    eframe::run_native(
        "ahoy",
        native,
        Box::new(move |creation| {
            prepare(&creation.egui_ctx);
            let mut app = App::new(engine);
            app.screen = creation.gl.as_deref().and_then(screen::Screen::new);
            app.window.set_screen(app.screen.clone());
            app.fonts = Some(fonts::add_system_fonts(&creation.egui_ctx));
            let ctx = creation.egui_ctx.clone();
            on_ready(Box::new(move || ctx.request_repaint_after(REPAINT_DELAY)));
            Ok(Box::new(app))
        }),
    )?;
    Ok(())
}

/// Gives a context the window's style and fonts. [`run`] does it; a test harness does it before the first frame.
pub fn prepare(ctx: &Context) {
    fonts::install(ctx);
    theme::apply(ctx);
}

/// The mark, 128×128, as the desktop shows it.
fn icon() -> IconData {
    eframe::icon_data::from_png_bytes(include_bytes!("../../assets/ahoy.png")).unwrap_or_else(|error| {
        tracing::warn!(%error, "the icon in this program is damaged");
        IconData::default()
    })
}
