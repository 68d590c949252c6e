//! A headless participant (`ahoy agent`) as a child process: commands in, JSON lines out.

use super::process::{self, Guarded, log_file};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long an agent may take to start and sign in on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What to start an agent with. Everything that is left out is as the program's own default.
#[derive(Clone, Default)]
pub(crate) struct Options {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    namespace: Option<String>,
    /// Instead of the one built with the tests.
    program: Option<PathBuf>,
}

impl Options {
    /// Test pattern and tone, every call accepted.
    pub(crate) fn lively() -> Self {
        Self::default().with("--camera", "pattern").with("--microphone", "tone").with("--accept", "always")
    }

    /// Gives an option, in place of an earlier value of the same.
    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        match self.arguments.iter().position(|argument| argument == option) {
            Some(at) => self.arguments[at + 1] = value.to_owned(),
            None => self.arguments.extend([option.to_owned(), value.to_owned()]),
        }
        self
    }

    pub(crate) fn with_flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Runs it in that network namespace.
    pub(crate) fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn with_program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running agent.
pub(crate) struct Agent {
    process: Guarded,
    stdin: Option<ChildStdin>,
    log: Arc<EventLog>,
    /// Events before this one have been waited for already.
    cursor: usize,
    reader: Option<JoinHandle<()>>,
    folder: TempDir,
    /// The name that the server granted.
    pub(crate) name: String,
}

/// What the agent has said so far, in order.
#[derive(Default)]
struct EventLog {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    events: Vec<Value>,
    closed: bool,
}

impl Agent {
    /// Starts an agent and waits until it has signed in.
    pub(crate) fn start(server: &str, name: &str, options: Options) -> Self {
        let mut agent = Self::launch(server, name, options);
        agent.name = agent.wait_connected();
        agent
    }

    /// Starts an agent without waiting for anything.
    pub(crate) fn launch(server: &str, name: &str, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = options.program.unwrap_or_else(|| env!("CARGO_BIN_EXE_ahoy").into());
        let mut command = process::command(options.namespace.as_deref(), &program);
        command
            .args(["agent", "--server", server, "--name", name])
            .args(&options.arguments)
            .envs(options.environment)
            // The settings of whoever runs the tests stay out of them.
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(&folder.path().join("agent.log")));
        let mut process = Guarded::spawn(&mut command);
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().unwrap();
        let log = Arc::new(EventLog::default());
        let written = Arc::clone(&log);
        let reader =
            Builder::new().name(format!("agent-{name}")).spawn(move || written.fill(stdout)).unwrap();
        Self { process, stdin, log, cursor: 0, reader: Some(reader), folder, name: name.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    // ---- Commands

    /// Writes one line to the agent.
    pub(crate) fn send_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the agent was told to quit");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap_or_else(|error| {
            panic!("{} does not read: {error}\n{}", self.name, self.story());
        });
    }

    pub(crate) fn send(&mut self, command: Value) {
        self.send_line(&command.to_string());
    }

    pub(crate) fn call(&mut self, peer: &str) {
        self.send(json!({"command": "call", "peer": peer}));
    }

    pub(crate) fn accept(&mut self) {
        self.send(json!({"command": "accept"}));
    }

    pub(crate) fn decline(&mut self) {
        self.send(json!({"command": "decline"}));
    }

    pub(crate) fn hang_up(&mut self) {
        self.send(json!({"command": "hang-up"}));
    }

    pub(crate) fn message(&mut self, text: &str, to: Option<&str>) {
        self.send(match to {
            Some(to) => json!({"command": "message", "text": text, "to": to}),
            None => json!({"command": "message", "text": text}),
        });
    }

    pub(crate) fn mute(&mut self, audio: bool, video: bool) {
        self.send(json!({"command": "mute", "audio": audio, "video": video}));
    }

    pub(crate) fn report_frames(&mut self, on: bool) {
        self.send(json!({"command": "frames", "on": on}));
    }

    /// Asks the agent to end and gives its exit code.
    pub(crate) fn quit(&mut self) -> i32 {
        self.send(json!({"command": "quit"}));
        self.stdin = None;
        let status = self.process.wait_for_end(Duration::from_secs(10));
        let Some(status) = status else { panic!("{} does not quit\n{}", self.name, self.story()) };
        status.code().unwrap_or(-1)
    }

    /// Ends the agent by SIGKILL, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.process.crash();
    }

    // ---- Events

    /// Forgets what has been said so far: the next wait looks at what comes from now on.
    pub(crate) fn skip(&mut self) {
        self.cursor = self.log.lines.lock().unwrap().events.len();
    }

    /// Waits for the next event that satisfies `wanted`; those before it are skipped.
    ///
    /// # Panics
    /// With all that the agent said if it does not come in time.
    pub(crate) fn wait(&mut self, what: &str, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_quietly(patience, wanted).unwrap_or_else(|| {
            panic!("{}: {what}: not within {patience:?}\n{}", self.name, self.story());
        })
    }

    /// Like [`Self::wait`], but gives `None` when it does not come in time, and skips nothing then.
    pub(crate) fn wait_quietly(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let deadline = Instant::now() + patience;
        let mut lines = self.log.lines.lock().unwrap();
        let mut at = self.cursor;
        loop {
            while let Some(event) = lines.events.get(at) {
                at += 1;
                if wanted(event) {
                    self.cursor = at;
                    return Some(event.clone());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                return None;
            }
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits until the agent has signed in and gives the name that it was granted.
    pub(crate) fn wait_connected(&mut self) -> String {
        let event = self.wait("signs in", START_PATIENCE, |event| event["event"] == "connected");
        event["name"].as_str().unwrap().to_owned()
    }

    /// Waits until `name` is among the users.
    pub(crate) fn wait_user(&mut self, name: &str) {
        let there = |event: &Value| {
            event["event"] == "users"
                && event["users"].as_array().is_some_and(|users| users.iter().any(|u| u == name))
        };
        // It may have come before something that was waited for since.
        if !self
            .log
            .lines
            .lock()
            .unwrap()
            .events
            .iter()
            .rev()
            .find(|e| e["event"] == "users")
            .is_some_and(&there)
        {
            self.wait(&format!("sees {name}"), START_PATIENCE, there);
        }
    }

    /// Waits until the call is in `state`.
    ///
    /// # Panics
    /// At once if the call ends instead.
    pub(crate) fn wait_call(&mut self, state: &str, patience: Duration) -> Value {
        let event = self.wait(&format!("call is {state}"), patience, |event| {
            event["event"] == "call" && (event["state"] == state || event["state"] == "ended")
        });
        assert_eq!(event["state"], state, "{}: call ended instead\n{}", self.name, self.story());
        event
    }

    /// Waits until the newest call is connected and shows a picture, whatever became of those before it; then skips
    /// to the present.
    pub(crate) fn wait_in_call(&mut self, patience: Duration, others_story: impl Fn() -> String) {
        let deadline = Instant::now() + patience;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let of_newest =
                lines.events.rsplit(|event| event["state"] == "ringing").next().unwrap_or_default();
            let has = |wanted: &dyn Fn(&Value) -> bool| of_newest.iter().any(wanted);
            let up =
                has(&|event| event["state"] == "connected") && has(&|event| event["event"] == "first-frame");
            if up && !has(&|event| event["state"] == "ended") {
                self.cursor = lines.events.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                drop(lines);
                let (mine, others) = (self.story(), others_story());
                panic!("{}: is in no call after {patience:?}\n{mine}\nthe other side:\n{others}", self.name);
            }
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits until no call is open.
    pub(crate) fn wait_idle(&mut self, patience: Duration) {
        let state = |events: &[Value]| events.iter().rfind(|event| event["event"] == "call").cloned();
        let deadline = Instant::now() + patience;
        let mut lines = self.log.lines.lock().unwrap();
        while state(&lines.events).is_some_and(|call| call["state"] != "ended") {
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                drop(lines);
                panic!("{}: is still in a call after {patience:?}\n{}", self.name, self.story());
            }
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for the end of the call and gives the reason.
    pub(crate) fn wait_ended(&mut self, patience: Duration) -> String {
        self.wait_call("ended", patience)["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the first decoded remote frame of the present call.
    pub(crate) fn wait_first_frame(&mut self, patience: Duration) -> Value {
        self.wait("first remote frame", patience, |event| event["event"] == "first-frame")
    }

    /// Waits for statistics that satisfy `wanted`.
    pub(crate) fn wait_stats(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.wait(what, patience, |event| event["event"] == "stats" && wanted(event))
    }

    /// Waits for one more `frame` event of that side and gives the luma of its 13 squares.
    pub(crate) fn wait_squares(&mut self, side: &str, patience: Duration) -> Vec<f64> {
        let event = self.wait("a frame is reported", patience, |event| {
            event["event"] == "frame" && event["side"] == side
        });
        serde_json::from_value(event["luma"].clone()).unwrap()
    }

    /// All events of that kind so far.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.log.lines.lock().unwrap().events.iter().filter(|event| event["event"] == kind).cloned().collect()
    }

    /// What the agent said, without the repetitive part, and the end of its log: for failure messages.
    pub(crate) fn story(&self) -> String {
        // A panic while the lock is held must not hide the story.
        let lines = match self.log.lines.try_lock() {
            Ok(lines) => lines.events.clone(),
            Err(_) => Vec::new(),
        };
        let mut story = String::new();
        for event in lines.iter().filter(|event| event["event"] != "frame" && event["event"] != "stats") {
            story.push_str(&format!("  {event}\n"));
        }
        if let Some(stats) = lines.iter().rfind(|event| event["event"] == "stats") {
            story.push_str(&format!("  last figures: {stats}\n"));
        }
        let log = std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(60).collect();
        story.push_str("  log:\n");
        for line in tail.iter().rev() {
            story.push_str(&format!("    {line}\n"));
        }
        story
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The process first: its end closes the pipe that the reader waits on.
        self.process.kill().ok();
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

impl EventLog {
    fn fill(&self, stdout: ChildStdout) {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            let event =
                serde_json::from_str(&line).unwrap_or_else(|_| json!({"event": "not-json", "line": line}));
            self.lines.lock().unwrap().events.push(event);
            self.grown.notify_all();
        }
        self.lines.lock().unwrap().closed = true;
        self.grown.notify_all();
    }
}
