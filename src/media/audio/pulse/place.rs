//! Where the sound server listens: the socket on this machine that its clients look for, in their order
//! (PulseAudio's manual page `pulseaudio`, section "Environment variables", and PipeWire's, which follows it).
//!
//! Asked by `server` when it connects. It opens nothing.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The socket, if there is one.
pub(super) fn socket() -> Option<PathBuf> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let folder = |name| variable(name).map(PathBuf::from);
    candidates(
        variable("PULSE_SERVER").as_deref(),
        folder("PULSE_RUNTIME_PATH"),
        folder("XDG_RUNTIME_DIR").or_else(own_runtime_folder),
    )
    .into_iter()
    .find(|path| path.exists())
}

/// Where systems keep it for a program that was started without the variables of a session.
fn own_runtime_folder() -> Option<PathBuf> {
    let user = Path::new("/proc/self").metadata().ok()?.uid();
    Some(format!("/run/user/{user}").into())
}

/// Places to look at, best first. Who names servers wants no other; those on other machines are not for us.
fn candidates(named: Option<&str>, pulse: Option<PathBuf>, session: Option<PathBuf>) -> Vec<PathBuf> {
    let Some(named) = named else {
        let session = session.map(|folder| folder.join("pulse"));
        return pulse.into_iter().chain(session).map(|folder| folder.join("native")).collect();
    };
    let local = |server: &str| {
        // "{machine}unix:/path" is for that machine alone.
        let bare = server.rsplit_once('}').map_or(server, |(_, bare)| bare);
        let path = bare.strip_prefix("unix:").unwrap_or(bare);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    named.split_whitespace().filter_map(local).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(named: Option<&str>, pulse: Option<&str>, session: Option<&str>) -> Vec<String> {
        let all = candidates(named, pulse.map(PathBuf::from), session.map(PathBuf::from));
        all.into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_server_that_is_named_is_the_only_one_and_only_local_ones_count() {
        let both = (Some("/run/pulse"), Some("/run/user/7"));
        assert_eq!(found(None, both.0, both.1), ["/run/pulse/native", "/run/user/7/pulse/native"]);
        assert_eq!(found(None, None, None), [""; 0]);
        assert_eq!(found(Some("unix:/tmp/a"), both.0, both.1), ["/tmp/a"]);
        assert_eq!(found(Some("/tmp/a"), None, None), ["/tmp/a"]);
        let list = "{8f2c}unix:/tmp/a tcp:far.example:4713 far.example /tmp/b";
        assert_eq!(found(Some(list), both.0, both.1), ["/tmp/a", "/tmp/b"]);
        assert_eq!(found(Some("tcp:127.0.0.1:4713"), both.0, both.1), [""; 0]);
    }
}
