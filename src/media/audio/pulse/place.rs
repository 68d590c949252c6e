//! Where the sound server listens, and what it is shown by those whom it is to let in: the socket and the cookie on this
//! machine that its clients look for, in their order (PulseAudio's manual page `pulseaudio`, section "Environment
//! variables", and PipeWire's, which follows it).
//!
//! Asked by `server` when it connects.

use directories::BaseDirs;
use std::env;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Length of a cookie, octets (PulseAudio's `PA_NATIVE_COOKIE_LENGTH`). A server ends the connection of whoever shows fewer
/// or more.
const COOKIE: usize = 256;

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

/// The socket, if there is one.
pub(super) fn socket() -> Option<PathBuf> {
    let session = path("XDG_RUNTIME_DIR").or_else(own_runtime_folder);
    candidates(variable("PULSE_SERVER").as_deref(), path("PULSE_RUNTIME_PATH"), session)
        .into_iter()
        .find(|path| path.exists())
}

/// The cookie. Where there is none it is zeros, as PulseAudio's own library has it: servers let in programs of their own
/// user without looking at it, and PipeWire, which lets in whoever finds the socket, makes none.
pub(super) fn cookie() -> Vec<u8> {
    let own = BaseDirs::new();
    let own = own.as_ref().map(|folders| (folders.config_dir(), folders.home_dir()));
    let files = cookie_files(path("PULSE_COOKIE"), own);
    files.iter().find_map(|file| read_cookie(file)).unwrap_or_else(|| vec![0; COOKIE])
}

/// Places to look at, best first. `own`: the user's folders, of configuration and home.
fn cookie_files(named: Option<PathBuf>, own: Option<(&Path, &Path)>) -> Vec<PathBuf> {
    let own = own.map(|(config, home)| [config.join("pulse/cookie"), home.join(".pulse-cookie")]);
    named.into_iter().chain(own.into_iter().flatten()).collect()
}

/// The cookie in that file, if it holds a whole one.
fn read_cookie(file: &Path) -> Option<Vec<u8>> {
    let mut cookie = vec![0; COOKIE];
    File::open(file).ok()?.read_exact(&mut cookie).ok()?;
    Some(cookie)
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

    #[test]
    fn the_cookie_is_looked_for_where_the_servers_own_library_does() {
        let files = |named: Option<&str>, own: Option<(&str, &str)>| {
            let own = own.map(|(config, home)| (Path::new(config), Path::new(home)));
            let all = cookie_files(named.map(PathBuf::from), own);
            all.into_iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(files(None, Some(("/x", "/h"))), ["/x/pulse/cookie", "/h/.pulse-cookie"]);
        assert_eq!(files(Some("/c"), Some(("/x", "/h"))), ["/c", "/x/pulse/cookie", "/h/.pulse-cookie"]);
        assert_eq!(files(None, None), [""; 0]);
    }

    #[test]
    fn half_a_cookie_is_none_and_more_than_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookie");
        assert_eq!(read_cookie(&file), None);
        for (length, whole) in [(0, false), (COOKIE - 1, false), (COOKIE, true), (COOKIE + 1, true)] {
            std::fs::write(&file, vec![7; length]).unwrap();
            assert_eq!(read_cookie(&file), whole.then(|| vec![7; COOKIE]), "{length} octets");
        }
    }
}
