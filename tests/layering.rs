//! The borders between the rooms of `src`, read from the sources themselves.
//!
//! * The sans-IO rooms know no runtime, no window, no network, no sound library, and no clock: time is a parameter.
//! * `ui` sees the engine's `Intent` and `Snapshot`, and nothing behind them.
//! * No two top-level rooms need each other, not even by a detour.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files and folders below `src` that do no I/O.
const SANS_IO: [&str; 19] = [
    "call",
    "protocol.rs",
    "protocol",
    "signaling/server/registry.rs",
    "signaling/server/session.rs",
    "signaling/client/ledger.rs",
    "peer/path.rs",
    "signaling/server/rate.rs",
    "media/audio/playout.rs",
    "media/audio/playout",
    "media/sync",
    "media/video/presentation.rs",
    "media/video/reassembly.rs",
    "media/video/reassembly",
    "media/video/timing.rs",
    "peer/chain/gaps.rs",
    "peer/chain/reordering.rs",
    "peer/fec",
    "peer/rate",
];

/// Crates that a sans-IO room does without.
const IO_CRATES: [&str; 12] = [
    "tokio",
    "tokio_tungstenite",
    "futures_util",
    "egui",
    "eframe",
    "webrtc",
    "rtc",
    "cpal",
    "nokhwa",
    "v4l",
    "openh264",
    "opus",
];

/// Ways into the world that a sans-IO room does without.
const IO_PATHS: [&[&str]; 10] = [
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["std", "net"],
    &["std", "fs"],
    &["std", "thread"],
    &["std", "process"],
    &["std", "env"],
    &["thread", "spawn"],
    &["thread", "sleep"],
    &["rand", "rng"],
];

/// A source file without its comments, its text literals and its test modules, cut into identifiers and marks.
struct Source {
    path: PathBuf,
    /// Path of modules from the crate's root, the file's own last.
    modules: Vec<String>,
    tokens: Vec<String>,
}

#[test]
fn the_rooms_without_io_know_no_runtime_no_library_of_devices_and_no_clock() {
    let sources = sources();
    let mut faults = Vec::new();
    for room in SANS_IO {
        let members: Vec<_> = sources.iter().filter(|source| source.path.starts_with(room)).collect();
        assert!(!members.is_empty(), "src/{room} is gone: correct the list in this test");
        for source in members {
            for name in IO_CRATES {
                if source.names_crate(name) {
                    faults.push(format!("src/{} uses {name}", source.path.display()));
                }
            }
            for path in IO_PATHS {
                if source.has_path(path) {
                    faults.push(format!("src/{} uses {}", source.path.display(), path.join("::")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_window_sees_nothing_behind_the_engine() {
    let allowed = ["ui", "engine"];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.modules[0] == "ui") {
        for room in source.rooms_used() {
            if !allowed.contains(&room.as_str()) {
                faults.push(format!("src/{} reaches for {room}", source.path.display()));
            }
        }
        for name in ["tokio", "webrtc", "rtc", "cpal", "nokhwa", "openh264", "opus", "tokio_tungstenite"] {
            if source.names_crate(name) {
                faults.push(format!("src/{} uses {name}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_two_rooms_need_each_other() {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let room = source.modules[0].clone();
        // The binaries and the map of the house stand outside of it.
        if !["lib", "main", "bin"].contains(&room.as_str()) {
            needs.entry(room).or_default().extend(source.rooms_used());
        }
    }
    assert!(needs.len() > 5, "{needs:?}");
    for (room, used) in &mut needs {
        used.remove(room);
    }
    // Whatever stands at the bottom is taken away, again and again; a circle has no bottom.
    loop {
        let bottom: Vec<String> =
            needs.iter().filter(|(_, used)| used.is_empty()).map(|(room, _)| room.clone()).collect();
        if bottom.is_empty() {
            break;
        }
        for room in bottom {
            needs.remove(&room);
            needs.values_mut().for_each(|used| {
                used.remove(&room);
            });
        }
    }
    assert!(needs.is_empty(), "these need each other: {needs:?}");
}

#[test]
fn the_reader_of_sources_is_not_fooled() {
    let source = Source::read(
        PathBuf::from("call/state.rs"),
        r##"
        //! tokio::spawn
        use crate::{protocol::Signal, engine::{Intent as Wish, self}};
        /* cpal::x /* nested */ egui::y */
        const TEXT: &str = "webrtc::z // \" crate::ui::a";
        const RAW: &str = r#"rtc:: " crate::media"#;
        const LETTER: (char, char) = ('"', '\'');
        fn f<'a>(x: &'a str) -> std::time::Instant { super::super::peer::g(x); ::tokio::h(); Instant::now() }
        #[cfg(test)]
        mod tests { use crate::signaling; fn g() { let x = '}'; } }
        fn tail() { crate::config::h() }
        "##,
    );
    let used: Vec<_> = source.rooms_used().into_iter().collect();
    assert_eq!(used, ["config", "engine", "peer", "protocol"]);
    assert!(source.names_crate("tokio") && source.has_path(&["Instant", "now"]));
    for name in ["cpal", "egui", "webrtc", "rtc"] {
        assert!(!source.names_crate(name), "{name}");
    }
}

/// All sources but the test files.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "tests" || name.ends_with("_tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source::read(path.strip_prefix(&root).unwrap().to_owned(), &text));
            }
        }
    }
    found
}

impl Source {
    fn read(path: PathBuf, text: &str) -> Self {
        let mut modules: Vec<String> =
            path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if modules.last().is_some_and(|last| last == "mod") {
            modules.pop();
        }
        Self { path, modules, tokens: without_tests(tokens(text)) }
    }

    /// Whether the identifiers stand in a row, joined by `::`.
    fn has_path(&self, path: &[&str]) -> bool {
        let wanted: Vec<&str> = path.iter().flat_map(|part| ["::", part]).skip(1).collect();
        self.tokens.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Whether a path begins with that crate.
    fn names_crate(&self, name: &str) -> bool {
        let before = |at: usize| at.checked_sub(1).map(|at| self.tokens[at].as_str());
        (0..self.tokens.len()).any(|at| {
            let next = self.tokens.get(at + 1).map(String::as_str);
            // `tokio::x` and `::tokio::x`, but not `crate::tokio::x`; and `use tokio;`.
            self.tokens[at] == name
                && match before(at) {
                    Some("::") => before(at - 1).is_none_or(|token| !is_word(token)) && next == Some("::"),
                    Some("use") => true,
                    _ => next == Some("::"),
                }
        })
    }

    /// The top-level modules that the file's paths lead to.
    fn rooms_used(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let climbed = self.climb_to_root(at);
            at += 1;
            let Some(behind) = climbed else { continue };
            at = behind;
            match self.tokens.get(behind).map(String::as_str) {
                Some("{") => rooms.extend(self.heads_of_group(behind)),
                Some(word) if is_word(word) => {
                    rooms.insert(word.to_owned());
                }
                _ => {}
            }
        }
        rooms
    }

    /// If a path that starts at `at` leads to the crate's root (`crate::`, or `super::` often enough): where it
    /// goes on.
    fn climb_to_root(&self, at: usize) -> Option<usize> {
        let joined = |at: usize| self.tokens.get(at + 1).is_some_and(|token| token == "::");
        if self.tokens[at] == "crate" && joined(at) {
            return Some(at + 2);
        }
        let mut behind = at;
        let mut climbed = 0;
        while self.tokens.get(behind).is_some_and(|token| token == "super") && joined(behind) {
            climbed += 1;
            behind += 2;
        }
        (climbed > 0 && climbed == self.modules.len()).then_some(behind)
    }

    /// First words of the paths in the group that opens at `open`.
    fn heads_of_group(&self, open: usize) -> Vec<String> {
        let mut heads = Vec::new();
        let mut depth = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                word if depth == 1 && is_word(word) && ["{", ","].contains(&self.tokens[at - 1].as_str()) => {
                    heads.push(word.to_owned());
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        heads
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::` and single marks; comments, texts and letters left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            letter_or_lifetime(rest)
        } else if is_word(rest) {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".into());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().unwrap().len_utf8();
        }
    }
    text.len()
}

/// Length of a raw text literal (`r"…"`, `br#"…"#`), if one begins here.
fn raw_text(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let content = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end)? + end.len();
    Some(text.len() - content.len() + length)
}

fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == mark {
            return at + mark.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// `'x'` and `'\n'` are letters; `'a` is a lifetime, of which only the mark is skipped.
fn letter_or_lifetime(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 1,
    }
}

/// Leaves out what stands behind `#[cfg(test)]`, up to the end of its block or statement.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&mark.map(str::to_owned)) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += mark.len();
        let mut depth = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let ended = depth == 0 && ["}", ";"].contains(&tokens[at].as_str());
            at += 1;
            if ended {
                break;
            }
        }
    }
    kept
}
