//! The guest page: its web server, and a handle on one guest that has joined.

use super::browser::Browser;
use super::eventually;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("page.html");

/// Serves the guest page on loopback, which browsers trust with camera and microphone.
pub(crate) struct PageServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PageServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let serve = move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                // A browser that goes away in the middle of a request concerns nobody.
                stream.and_then(answer).ok();
            }
        };
        let thread = Builder::new().name("page-server".into()).spawn(serve).unwrap();
        Self { address, stopping, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = [0; 4096];
    let length = stream.read(&mut request)?;
    let (status, body) = match request[..length].starts_with(b"GET / ") {
        true => ("200 OK", PAGE),
        false => ("204 No Content", ""),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// One open page, in whatever browser.
pub(crate) trait Tab: Send {
    /// Evaluates an expression in the page; a promise is waited for.
    ///
    /// # Errors
    /// The exception that it threw.
    fn evaluate(&mut self, expression: &str) -> Result<Value, String>;

    /// What the page threw, or logged as an error, so far.
    fn errors(&mut self) -> &[String];
}

/// A browser page that has joined the chat.
pub(crate) struct Guest {
    tab: Box<dyn Tab>,
    /// The name that the server granted.
    pub(crate) name: String,
}

impl Guest {
    /// Opens the page in `browser` and joins the server on that port of this machine.
    pub(crate) fn join(browser: &mut Browser, page: &PageServer, port: u16, name: &str) -> Self {
        Self::join_in(Box::new(browser.open(&page.url())), port, name)
    }

    /// Joins the server on that port of this machine with a page that is open already.
    pub(crate) fn join_in(mut tab: Box<dyn Tab>, port: u16, name: &str) -> Self {
        let granted = tab.evaluate(&format!("join({port}, {})", Value::from(name))).unwrap();
        Self { tab, name: granted.as_str().unwrap().to_owned() }
    }

    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        self.tab.evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Clicks on a user, as it were. Returns when the offer is on its way.
    pub(crate) fn invite(&mut self, peer: &str) {
        self.evaluate(&format!("invite({})", Value::from(peer)));
    }

    /// The same, but content to be the one who is called if the other side's offer has come before ours was made.
    pub(crate) fn invite_unless_called(&mut self, peer: &str) {
        let pardon = "error => { if (!error.message.includes('already open')) throw error; }";
        self.evaluate(&format!("invite({}).catch({pardon})", Value::from(peer)));
    }

    /// Has no other video codec (`video/VP8`, say) than this one from the next call on.
    pub(crate) fn use_only(&mut self, mime_type: &str) {
        self.evaluate(&format!("useOnly({})", Value::from(mime_type)));
    }

    /// Codecs of the pictures that it receives and sends, by its own statistics.
    ///
    /// # Panics
    /// If it does not do both within `patience`.
    pub(crate) fn codecs(&mut self, patience: Duration) -> (String, String) {
        eventually("the browser sends and receives pictures", patience, || {
            let figures = self.figures();
            Some((figures["received"].as_str()?.to_owned(), figures["sent"].as_str()?.to_owned()))
        })
    }

    pub(crate) fn hang_up(&mut self) {
        self.evaluate("hangUp()");
    }

    /// Says something to everyone, or to one user.
    pub(crate) fn say(&mut self, text: &str, to: Option<&str>) {
        self.evaluate(&format!("say({}, {})", Value::from(text), Value::from(to)));
    }

    /// Waits until `name` is among the users.
    pub(crate) fn wait_user(&mut self, name: &str) {
        self.wait_state("the other side is there", Duration::from_secs(20), |state| {
            state["users"].as_array().unwrap().iter().any(|user| user == name)
        });
    }

    /// Everything that the page knows of itself.
    pub(crate) fn state(&mut self) -> Value {
        self.evaluate("state()")
    }

    /// The browser's statistics of the present call.
    pub(crate) fn figures(&mut self) -> Value {
        self.evaluate("figures()")
    }

    /// Waits until the page's state satisfies `wanted`.
    ///
    /// # Panics
    /// With the whole state and the page's errors if it does not in time.
    pub(crate) fn wait_state(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        loop {
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            let name = &self.name;
            assert!(
                started.elapsed() < patience,
                "{name}: {what}: not within {patience:?}; {state}; errors: {:?}",
                self.tab.errors()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for `count` more pictures to be decoded, and to be shown.
    pub(crate) fn wait_pictures(&mut self, count: u64, patience: Duration) {
        let shown = self.state()["frames"].as_u64().unwrap();
        let decoded = self.figures()["framesDecoded"].as_u64().unwrap();
        self.wait_state("pictures are shown", patience, |state| {
            state["frames"].as_u64().unwrap() >= shown + count
        });
        eventually("pictures are decoded", patience, || {
            (self.figures()["framesDecoded"].as_u64()? >= decoded + count).then_some(())
        });
    }

    /// Waits for the end of the call and gives the reason.
    pub(crate) fn wait_ended(&mut self, patience: Duration) -> String {
        let state = self.wait_state("the call ends", patience, |state| {
            state["open"] == false && !state["ended"].is_null()
        });
        state["ended"].as_str().unwrap().to_owned()
    }

    /// Mean luma of the 13 squares of the remote picture, if there is one.
    pub(crate) fn squares(&mut self) -> Option<Vec<f64>> {
        serde_json::from_value(self.evaluate("squares()")).unwrap()
    }

    /// Root mean square of what is heard over the next `span`, 0 to 1 of full scale.
    pub(crate) fn level_heard(&mut self, span: Duration) -> f64 {
        let before = self.figures();
        std::thread::sleep(span);
        let after = self.figures();
        let grown = |key: &str| after[key].as_f64().unwrap() - before[key].as_f64().unwrap();
        let seconds = grown("audioSeconds");
        if seconds > 0.0 { (grown("audioEnergy") / seconds).sqrt() } else { 0.0 }
    }

    /// What the page threw, or logged as an error, so far.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        self.tab.errors().to_vec()
    }
}
