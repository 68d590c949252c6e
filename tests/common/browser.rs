//! A real Chromium, headless, with a fake camera and microphone, driven by the DevTools protocol.

use super::devtools::DevTools;
use super::eventually;
use super::page::{self, Tab as _};
use super::process::{Guarded, log_file};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Names under which distributions install it.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser process with its own profile.
pub(crate) struct Browser {
    process: Guarded,
    devtools: DevTools,
    port: u16,
    _profile: TempDir,
}

/// One open page.
pub(crate) struct Tab {
    devtools: DevTools,
    errors: Vec<String>,
}

impl Browser {
    /// Starts a browser whose fake camera shows `clip` (Y4M), or Chromium's own test picture.
    pub(crate) fn start(clip: Option<&Path>) -> Self {
        let mut devices = vec!["--use-fake-device-for-media-stream=fps=30".to_owned()];
        devices.extend(clip.map(|clip| format!("--use-file-for-fake-video-capture={}", clip.display())));
        Self::start_with(&devices, &[])
    }

    /// Starts a browser without fake devices, with the sound card that its environment names.
    pub(crate) fn start_with_sound_card(environment: &[(&str, String)]) -> Self {
        Self::start_with(&[], environment)
    }

    fn start_with(arguments: &[String], environment: &[(&str, String)]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let log = profile.path().join("chromium.log");
        let mut command = Command::new(program());
        command
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-extensions",
                "--disable-background-networking",
                "--disable-background-timer-throttling",
                "--disable-backgrounding-occluded-windows",
                "--disable-renderer-backgrounding",
                "--disable-component-update",
                "--disable-domain-reliability",
                "--disable-sync",
                "--metrics-recording-only",
                "--password-store=basic",
                "--use-mock-keychain",
                "--use-fake-ui-for-media-stream",
                "--autoplay-policy=no-user-gesture-required",
                // Candidates as plain addresses: mDNS names would need a resolver on the network.
                "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate",
                "--remote-debugging-address=127.0.0.1",
                "--remote-debugging-port=0",
                "--window-size=1400,1000",
            ])
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(log_file(&log))
            .stderr(log_file(&log));
        command.arg("about:blank");
        let mut process = Guarded::spawn(&mut command);

        // Two lines: the port, and the path of the browser's own target.
        let address_file = profile.path().join("DevToolsActivePort");
        let (port, path) = eventually("Chromium starts", Duration::from_secs(60), || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("Chromium ended at once ({status}): {}", std::fs::read_to_string(&log).unwrap());
            }
            let text = std::fs::read_to_string(&address_file).ok()?;
            let (port, path) = text.trim().split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.to_owned()))
        });
        let devtools = DevTools::connect(&format!("ws://127.0.0.1:{port}{path}"));
        Self { process, devtools, port, _profile: profile }
    }

    /// Opens a page in a window of its own, so that it is drawn as a visible one.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        let target = self
            .devtools
            .command("Target.createTarget", json!({"url": "about:blank", "newWindow": true}))
            .unwrap();
        let id = target["targetId"].as_str().unwrap();
        let mut devtools = DevTools::connect(&format!("ws://127.0.0.1:{}/devtools/page/{id}", self.port));
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            devtools.command(domain, json!({})).unwrap();
        }
        devtools.command("Page.navigate", json!({"url": url})).unwrap();
        let mut tab = Tab { devtools, errors: Vec::new() };
        eventually("the page loads", Duration::from_secs(20), || {
            let ready = tab.evaluate("location.href !== 'about:blank' && document.readyState === 'complete'");
            (ready == Ok(Value::Bool(true))).then_some(())
        });
        tab
    }

    /// The process id of the browser, the first of its processes.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl page::Tab for Tab {
    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let result = self.devtools.command(
            "Runtime.evaluate",
            json!({
                "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
            }),
        )?;
        if let Some(exception) = result.get("exceptionDetails") {
            let thrown = &exception["exception"]["description"];
            return Err(thrown.as_str().map_or_else(|| exception.to_string(), str::to_owned));
        }
        Ok(result["result"].get("value").cloned().unwrap_or(Value::Null))
    }

    fn errors(&mut self) -> &[String] {
        for event in self.devtools.take_events() {
            let params = &event["params"];
            let error = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" if params["type"] == "error" => Some(params["args"].to_string()),
                "Log.entryAdded" if params["entry"]["level"] == "error" => Some(params["entry"].to_string()),
                _ => None,
            };
            self.errors.extend(error);
        }
        &self.errors
    }
}

impl Tab {
    /// Saves what the page looks like as PNG, base64 as the protocol gives it.
    pub(crate) fn screenshot_base64(&mut self) -> String {
        let shot = self.devtools.command("Page.captureScreenshot", json!({"format": "png"})).unwrap();
        shot["data"].as_str().unwrap().to_owned()
    }
}

/// The browser that is installed.
pub(crate) fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| PROGRAMS.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .expect("Chromium is not installed: scripts/test installs it")
}
