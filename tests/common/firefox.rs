//! A real Firefox, headless, with a fake camera and microphone, driven by WebDriver BiDi.

use super::devtools::DevTools;
use super::eventually;
use super::page;
use super::process::{Guarded, log_file};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Names under which distributions install it.
const PROGRAMS: [&str; 2] = ["firefox-esr", "firefox"];
/// How long the browser may take to start on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// What it says on standard error once it listens.
const LISTENING: &str = "WebDriver BiDi listening on ";

/// Fake devices that need no permission, candidates as plain addresses and on loopback, sound without a click, and
/// nothing from the network: no update, no telemetry, and not the download of a codec.
const PREFERENCES: &str = r#"
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.peerconnection.ice.default_address_only", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.gmp-manager.url", "http://127.0.0.1:9/");
user_pref("media.gmp-gmpopenh264.enabled", false);
user_pref("media.gmp-provider.enabled", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.aboutConfig.showWarning", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("remote.prefs.recommended", true);
user_pref("dom.ipc.processPrelaunch.enabled", false);
user_pref("gfx.canvas.accelerated", false);
"#;

/// A browser process with its own profile, and one page in it.
pub(crate) struct Firefox {
    _process: Guarded,
    session: Arc<Mutex<DevTools>>,
    context: String,
    _profile: TempDir,
}

/// The page.
pub(crate) struct Tab {
    session: Arc<Mutex<DevTools>>,
    context: String,
    errors: Vec<String>,
}

impl Firefox {
    /// Starts a browser whose fake camera shows a colour that changes.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        std::fs::write(profile.path().join("user.js"), PREFERENCES).unwrap();
        let log = profile.path().join("firefox.log");
        let mut command = Command::new(program());
        command
            .args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"])
            .arg(profile.path())
            .arg("about:blank")
            .env("HOME", profile.path())
            .env("MOZ_DISABLE_CONTENT_SANDBOX", "1")
            .stdin(Stdio::null())
            .stdout(log_file(&log))
            .stderr(log_file(&log));
        let mut process = Guarded::spawn(&mut command);
        let address = eventually("Firefox starts", START_PATIENCE, || {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some(status) = process.try_wait().unwrap() {
                panic!("Firefox ended at once ({status}): {text}");
            }
            let line = text.lines().find_map(|line| Some(line.split_once(LISTENING)?.1.trim().to_owned()));
            line.filter(|_| text.ends_with('\n'))
        });
        let mut session = DevTools::connect(&format!("{address}/session"));
        session.command_within(START_PATIENCE, "session.new", json!({"capabilities": {}})).unwrap();
        session.command("session.subscribe", json!({"events": ["log.entryAdded"]})).unwrap();
        let tree = session.command("browsingContext.getTree", json!({})).unwrap();
        let context = tree["contexts"][0]["context"].as_str().unwrap().to_owned();
        Self { _process: process, session: Arc::new(Mutex::new(session)), context, _profile: profile }
    }

    /// Opens an address in the browser's one page.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        let parameters = json!({"context": self.context, "url": url, "wait": "complete"});
        self.session.lock().unwrap().command("browsingContext.navigate", parameters).unwrap();
        Tab { session: Arc::clone(&self.session), context: self.context.clone(), errors: Vec::new() }
    }
}

impl page::Tab for Tab {
    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        // The protocol has a notation of its own for values; as text they need none.
        let expression = format!("(async () => JSON.stringify((await ({expression})) ?? null))()");
        let result = self.session.lock().unwrap().command(
            "script.evaluate",
            json!({
                "expression": expression, "target": {"context": self.context}, "awaitPromise": true,
                "userActivation": true,
            }),
        )?;
        if result["type"] != "success" {
            return Err(result["exceptionDetails"]["text"].to_string());
        }
        let text = result["result"]["value"].as_str().ok_or_else(|| result.to_string())?;
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn errors(&mut self) -> &[String] {
        for event in self.session.lock().unwrap().take_events() {
            let entry = &event["params"];
            if event["method"] == "log.entryAdded" && entry["level"] == "error" {
                self.errors.push(entry["text"].to_string());
            }
        }
        &self.errors
    }
}

/// The browser that is installed.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| PROGRAMS.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .expect("Firefox is not installed: scripts/test installs it")
}
