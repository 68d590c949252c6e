//! What concerns the process as a whole: log, stop signals, panics, exit codes.

use std::io::Write;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Exit codes beyond 0 (well) and 2 (wrong arguments), after BSD's `sysexits.h`.
pub mod exit_code {
    /// Something that is needed is not there: a display, the server's port.
    pub const UNAVAILABLE: u8 = 69;
    /// A fault in this program.
    pub const SOFTWARE: u8 = 70;
}

/// Starts the log on stderr. `RUST_LOG` wins over `-v`; each `-v` shows one level more, from warnings on.
pub fn start_log(verbosity: u8) {
    let level = match verbosity {
        0 => "ahoy=warn",
        1 => "ahoy=info",
        2 => "ahoy=debug",
        _ => "ahoy=trace,rtc=debug,webrtc=debug",
    };
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("error,{level}")));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// What ends the program from outside: SIGINT and SIGTERM, Ctrl+C elsewhere. Counts from the moment it is made.
pub struct StopSignal {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// Starts to watch; inside a tokio runtime.
    ///
    /// # Errors
    /// If the operating system does not let us.
    pub fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for it.
    pub async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl+C cannot be received");
            std::future::pending::<()>().await;
        }
    }
}

/// Makes the allocator use one arena for all threads; to be called before the first of them starts.
///
/// glibc gives every thread an arena of its own, and of all but the first it never returns the free end, however
/// much it is: between calls that was 20 to 40 MB of nothing. Threads do not wait for one another here, since what
/// is allocated often comes from each thread's own cache, and pictures from their pool.
pub fn share_one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a call into the C library")]
    // SAFETY: mallopt only stores a number; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets the allocator return to the system what it keeps for later. After a call that is tens of megabytes of
/// pictures and packets, and the next call may be hours away.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a call into the C library")]
    // SAFETY: malloc_trim may be called at any time from any thread; it locks each arena while it works on it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes a panic readable: what happened, where, and a report in a file. The thread then unwinds as usual, so that
/// whatever it held (devices among them) is dropped.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let what = panic.payload_as_str().unwrap_or("no message");
        let report = format!(
            "Ahoy {} met a fault of its own.\n\nthread: {}\nplace: {place}\nmessage: {what}\nsystem: {} {}\n\n{}\n",
            env!("CARGO_PKG_VERSION"),
            thread.name().unwrap_or("unnamed"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            std::backtrace::Backtrace::force_capture(),
        );
        let file = std::env::temp_dir().join(format!("ahoy-fault-{}.txt", std::process::id()));
        let kept = write_report(&file, &report);
        // A panic while stderr is gone must not become a panic in the hook.
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "ahoy: a fault of its own in {place}: {what}").ok();
        match kept {
            Ok(()) => writeln!(stderr, "ahoy: the report is in {}", file.display()).ok(),
            Err(error) => writeln!(stderr, "ahoy: the report could not be kept ({error}):\n{report}").ok(),
        };
    }));
}

fn write_report(file: &PathBuf, report: &str) -> std::io::Result<()> {
    std::fs::write(file, report)
}
