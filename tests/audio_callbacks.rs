//! What runs when a sound device calls never allocates, locks or logs: watched while sound flows through a real server.
#![cfg(target_os = "linux")]
// A test says what it needs by failing, and what it measured by printing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]
#![allow(unsafe_code, reason = "an allocator that counts is unsafe by its nature")]

mod sound_rig;

use ahoy::config::SpeakerChoice;
use ahoy::media::event::DeviceKind;
use sound_rig::{Looped, add_cards, run_apart, start_server, tone};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The thread that is watched (0: none), and what it did meanwhile.
static WATCHED: AtomicI32 = AtomicI32::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LOGS: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn is_watched() -> bool {
    let watched = WATCHED.load(Ordering::Relaxed);
    // SAFETY: takes nothing, gives a number and cannot fail.
    watched != 0 && unsafe { libc::gettid() } == watched
}

fn count(counter: &AtomicU64) {
    if is_watched() {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(&ALLOCATIONS);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Counts every line of log, of every level.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        count(&LOGS);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        count(&LOGS);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn thread_named(wanted: &str) -> i32 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let found: Vec<i32> = tasks
        .filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == wanted)
        })
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect();
    assert_eq!(found.len(), 1, "threads named {wanted}: {found:?}");
    found[0]
}

#[test]
fn the_thread_of_the_devices_allocates_and_logs_nothing_while_sound_flows() {
    run_apart("the_thread_of_the_devices_allocates_and_logs_nothing_while_sound_flows", |folder| {
        tracing::subscriber::set_global_default(Log).unwrap();
        let server = start_server(folder);
        add_cards();
        let mut looped = Looped::start("spare_mic", "spare");
        looped.expect_both_opened();
        let _player = tone("inject", folder);
        std::thread::sleep(Duration::from_secs(3));

        let before = looped.session.stats();
        WATCHED.store(thread_named("audio-pulse"), Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(4));
        let (allocations, logs) = (ALLOCATIONS.load(Ordering::Relaxed), LOGS.load(Ordering::Relaxed));
        let after = looped.session.stats();
        eprintln!("{allocations} allocations, {logs} lines of log in 4 s");
        assert_eq!((allocations, logs), (0, 0));
        assert!(after.sent_samples > before.sent_samples + 96_000, "no sound came from the microphone");
        assert!(after.received_samples > before.received_samples + 96_000, "no sound went to the speaker");

        // That it would have been seen: opening a stream does allocate there.
        looped.session.set_speaker(SpeakerChoice::Device("bus".into()));
        looped.expect_opened(DeviceKind::Speaker);
        assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the watch is blind");
        looped.stop_in_time();
        drop(server);
    });
}

/// Locks leave no trace to count, so the source is read: the ends of the rings that devices call know none.
#[test]
fn the_ends_that_devices_call_know_no_lock_no_log_and_no_panic() {
    let source = include_str!("../src/media/audio/ring.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    for word in [
        "Mutex", "RwLock", "Condvar", "Once::", "Lazy", "lock()", "tracing", "println", "unwrap()",
        "expect(", "panic!",
    ] {
        assert!(!code.contains(word), "ring.rs: {word}");
    }
    // Who reads a `OnceLock` waits for nobody; who fills it may. That is done twice, and not by those ends.
    let fills = |code: &str| code.matches(".set(").count() + code.matches("get_or_").count();
    let ends = ["impl CaptureWriter {", "impl PlaybackReader {"].map(|start| {
        let end = code.split(start).nth(1).unwrap();
        end.split("\n}\n").next().unwrap()
    });
    assert_eq!((fills(code), fills(ends[0]), fills(ends[1])), (2, 0, 0));
}
