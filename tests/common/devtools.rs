//! A minimal client of the Chrome DevTools Protocol: one WebSocket to one target, commands in, events kept.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// One command must be answered within this; promises that are awaited in the page have their own patience.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one DevTools target.
pub(crate) struct DevTools {
    runtime: Runtime,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    events: Vec<Value>,
}

impl DevTools {
    /// Connects to the target's WebSocket address.
    pub(crate) fn connect(address: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = runtime
            .block_on(connect_async_with_config(address, Some(limits), true))
            .unwrap_or_else(|error| panic!("no DevTools at {address}: {error}"));
        Self { runtime, socket, last_id: 0, events: Vec::new() }
    }

    /// Sends a command and gives its result, keeping the events that come before it.
    ///
    /// # Errors
    /// The protocol's error message.
    pub(crate) fn command(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.command_within(COMMAND_PATIENCE, method, params)
    }

    /// Like [`Self::command`], with a patience of the caller's.
    pub(crate) fn command_within(
        &mut self,
        patience: Duration,
        method: &str,
        params: Value,
    ) -> Result<Value, String> {
        self.last_id += 1;
        let id = self.last_id;
        let text = json!({"id": id, "method": method, "params": params}).to_string();
        self.runtime.block_on(self.socket.send(Message::text(text))).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + patience;
        loop {
            let message = self.receive(deadline).ok_or_else(|| format!("{method}: no reply"))??;
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(message["result"].clone()),
                };
            }
            self.events.push(message);
        }
    }

    /// Takes the events that have come so far.
    pub(crate) fn take_events(&mut self) -> Vec<Value> {
        while let Some(Ok(message)) = self.receive(Instant::now() + Duration::from_millis(1)) {
            self.events.push(message);
        }
        std::mem::take(&mut self.events)
    }

    fn receive(&mut self, deadline: Instant) -> Option<Result<Value, String>> {
        loop {
            let socket = &mut self.socket;
            let next = self
                .runtime
                .block_on(async { tokio::time::timeout_at(deadline.into(), socket.next()).await })
                .ok()?;
            match next {
                Some(Ok(Message::Text(text))) => {
                    return Some(serde_json::from_str(&text).map_err(|error| error.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(Err(error.to_string())),
                None => return Some(Err("the browser closed the connection".into())),
            }
        }
    }
}
