//! Who is online: whole lists and changes, kept as one list in the server's order.

/// The list of users.
#[derive(Debug, Default)]
pub(super) struct Presence {
    users: Vec<String>,
}

impl Presence {
    /// A whole list; a name that comes twice counts once.
    pub(super) fn handle_list(&mut self, users: Vec<String>) -> &[String] {
        self.users.clear();
        for user in users {
            self.handle_joined(user);
        }
        &self.users
    }

    /// Someone signed in.
    pub(super) fn handle_joined(&mut self, user: String) -> &[String] {
        if !self.users.contains(&user) {
            self.users.push(user);
        }
        &self.users
    }

    /// Someone left.
    pub(super) fn handle_left(&mut self, user: &str) -> &[String] {
        self.users.retain(|other| other != user);
        &self.users
    }
}
