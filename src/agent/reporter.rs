//! Compares each snapshot with what was reported before, and reports the difference.
//!
//! Snapshots are the newest ones only, so several changes may come at once; the steps of a call are then reported
//! one by one, as if each had been seen.

use super::frames;
use super::output::Output;
use crate::engine::{CallStats, CallView, Connection, Direction, EndedCall, Phase, Severity, Snapshot};
use serde_json::{Value, json};
use std::sync::Arc;

/// What has been reported so far.
pub(super) struct Reporter {
    output: Output,
    connection: Connection,
    users: Arc<Vec<String>>,
    chat: u64,
    notices: u64,
    call: Option<ReportedCall>,
    ended: u64,
    stats: Arc<CallStats>,
}

struct ReportedCall {
    number: u64,
    peer: String,
    direction: Direction,
    phase: Phase,
}

impl Reporter {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            connection: Connection::SignedOut,
            users: Arc::default(),
            chat: 0,
            notices: 0,
            call: None,
            ended: 0,
            stats: Arc::default(),
        }
    }

    pub(super) fn report(&mut self, snapshot: &Snapshot) {
        self.connection(&snapshot.connection);
        if snapshot.users != self.users {
            self.users = Arc::clone(&snapshot.users);
            self.output.event("users", json!({ "users": *self.users }));
        }
        for line in snapshot.chat.iter().filter(|line| line.number > self.chat) {
            self.output.event("message", json!({ "from": line.from, "to": line.to, "text": line.text }));
        }
        self.chat = snapshot.chat.last().map_or(self.chat, |line| line.number);
        for notice in snapshot.notices.iter().filter(|notice| notice.number > self.notices) {
            if notice.severity != Severity::Info {
                self.output.error(&notice.text);
            }
        }
        self.notices = snapshot.notices.last().map_or(self.notices, |notice| notice.number);
        if let Some(ended) = &snapshot.ended {
            self.ended(ended);
        }
        if let Some(call) = &snapshot.call {
            self.call(call);
        }
    }

    fn connection(&mut self, connection: &Connection) {
        if *connection == self.connection {
            return;
        }
        match connection {
            Connection::Online { name, .. } => {
                let same =
                    matches!(&self.connection, Connection::Online { name: before, .. } if before == name);
                if !same {
                    self.output.event("connected", json!({ "name": name }));
                }
            }
            Connection::Reconnecting { reason, .. } => {
                self.output.event("disconnected", json!({ "reason": reason }));
            }
            Connection::SignedOut | Connection::Connecting { .. } => {}
        }
        self.connection = connection.clone();
    }

    fn call(&mut self, call: &CallView) {
        let before =
            self.call.as_ref().filter(|before| before.number == call.number).map(|before| before.phase);
        if before.is_none()
            && let Err(error) = frames::watch(call, &self.output)
        {
            self.output.error(&format!("the pictures cannot be watched: {error}"));
        }
        for &phase in steps(before, call.phase) {
            self.call_event(&call.peer, call.direction, phase_name(phase), &Value::Null);
        }
        self.call = Some(ReportedCall {
            number: call.number,
            peer: call.peer.clone(),
            direction: call.direction,
            phase: call.phase,
        });
        if !Arc::ptr_eq(&call.stats, &self.stats) && *call.stats != CallStats::default() {
            self.stats = Arc::clone(&call.stats);
            match serde_json::to_value(&*call.stats) {
                Ok(Value::Object(mut fields)) => {
                    fields.insert("peer".into(), json!(call.peer));
                    self.output.event("stats", Value::Object(fields));
                }
                Ok(_) | Err(_) => tracing::error!("the figures are no JSON object"),
            }
        }
    }

    fn ended(&mut self, ended: &EndedCall) {
        if ended.number <= self.ended {
            return;
        }
        self.ended = ended.number;
        // A call that ended before its first step was seen (declined at once) still rang.
        let (peer, direction) = match self.call.take_if(|call| call.number == ended.number) {
            Some(call) => (call.peer, call.direction),
            None => {
                self.call_event(&ended.peer, ended.direction, phase_name(Phase::Ringing), &Value::Null);
                (ended.peer.clone(), ended.direction)
            }
        };
        self.call_event(&peer, direction, "ended", &json!(ended.reason));
    }

    fn call_event(&self, peer: &str, direction: Direction, state: &str, reason: &Value) {
        let direction = match direction {
            Direction::Incoming => "incoming",
            Direction::Outgoing => "outgoing",
        };
        let fields = json!({ "peer": peer, "direction": direction, "state": state, "reason": reason });
        self.output.event("call", fields);
    }
}

/// The steps from one phase of a call to another, the last included.
fn steps(before: Option<Phase>, now: Phase) -> &'static [Phase] {
    use Phase::{Connected, Connecting, Reconnecting, Ringing};
    match (before, now) {
        (None, Ringing) => &[Ringing],
        (None, Connecting) => &[Ringing, Connecting],
        (None, Connected) => &[Ringing, Connecting, Connected],
        (None, Reconnecting) => &[Ringing, Connecting, Connected, Reconnecting],
        (Some(Ringing), Connected) => &[Connecting, Connected],
        (Some(Ringing), Reconnecting) => &[Connecting, Connected, Reconnecting],
        (Some(Connecting), Reconnecting) => &[Connected, Reconnecting],
        (Some(before), now) if before == now => &[],
        (Some(_), Ringing) => &[Ringing],
        (Some(_), Connecting) => &[Connecting],
        (Some(_), Connected) => &[Connected],
        (Some(_), Reconnecting) => &[Reconnecting],
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Ringing => "ringing",
        Phase::Connecting => "connecting",
        Phase::Connected => "connected",
        Phase::Reconnecting => "reconnecting",
    }
}
