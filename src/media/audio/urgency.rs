//! Real-time scheduling for the threads that sound waits for.
//!
//! Each of them calls [`claim`] once, when it starts. They work for a fraction of a millisecond and then wait, but a
//! thread of ordinary priority that shares its processor with a compiler is woken tens of milliseconds late, which is
//! heard. Where the system gives no such priority the threads stay ordinary, and the cushions (`pace`, `pulse::ahead`)
//! have to make up for it.

/// Asks the system to run the calling thread before all ordinary ones. Never waits for the answer: on desktops a
/// service has to be asked for it, and sound does not stand still meanwhile.
pub(super) fn claim() {
    #[cfg(target_os = "linux")]
    linux::claim();
}

#[cfg(target_os = "linux")]
mod linux {
    #![expect(unsafe_code, reason = "calls into the C library")]

    use std::io::Error;
    use zbus::blocking::Connection;
    use zbus::blocking::proxy::Builder;
    use zbus::proxy::CacheProperties;

    /// Of 1 to 99. What PulseAudio's own threads have: higher would make the server wait for its clients.
    const PRIORITY: u8 = 5;
    /// RealtimeKit, which gives a user's programs what only root may take, on the system's message bus.
    const SERVICE: &str = "org.freedesktop.RealtimeKit1";
    const PATH: &str = "/org/freedesktop/RealtimeKit1";

    /// What went wrong at the service.
    #[derive(Debug, thiserror::Error)]
    enum Denied {
        #[error("the service for real-time scheduling refused or is not there: {0}")]
        Service(#[from] zbus::Error),
        #[error("the process could not limit itself as the service demands: {0}")]
        Limit(#[from] Error),
    }

    pub(super) fn claim() {
        if schedule().is_ok() {
            return;
        }
        // SAFETY: it only tells the calling thread's number.
        let thread = unsafe { libc::gettid() };
        let asking = std::thread::Builder::new().name("audio-urgency".into()).spawn(move || {
            if let Err(reason) = ask(thread) {
                tracing::info!(%reason, "sound is not scheduled in real time: it may stutter while other programs work");
            }
        });
        if let Err(error) = asking {
            tracing::info!(%error, "the system gave no thread to ask for real-time scheduling");
        }
    }

    /// Takes it, as root or within `RLIMIT_RTPRIO` one may. What the thread starts does not inherit it.
    fn schedule() -> Result<(), Error> {
        let parameters = libc::sched_param { sched_priority: PRIORITY.into() };
        // SAFETY: `parameters` lives through the call, which only reads it; 0 is the calling thread.
        match unsafe {
            libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters)
        } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }

    /// Asks the service, which wants the whole process to bear a limit first: a real-time thread that computes for so
    /// long without ever waiting is ended by the kernel, and the process with it. Ours wait every few milliseconds.
    fn ask(thread: libc::pid_t) -> Result<(), Denied> {
        // It knows no `GetAll`, by which they would be cached.
        let service: zbus::blocking::Proxy<'_> = Builder::new(&Connection::system()?)
            .destination(SERVICE)?
            .path(PATH)?
            .interface(SERVICE)?
            .cache_properties(CacheProperties::No)
            .build()?;
        let longest: i64 = service.get_property("RTTimeUSecMax")?;
        limit(longest.unsigned_abs())?;
        service.call_method("MakeThreadRealtime", &(thread as u64, u32::from(PRIORITY)))?;
        Ok(())
    }

    /// Limits the process to this, microseconds, if it is not limited to less.
    fn limit(longest: libc::rlim_t) -> Result<(), Error> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` lives through both calls; the first one writes it, the second one reads it.
        let done = unsafe {
            libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) == 0 && {
                limit.rlim_max = limit.rlim_max.min(longest);
                limit.rlim_cur = limit.rlim_cur.min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) == 0
            }
        };
        if done { Ok(()) } else { Err(Error::last_os_error()) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_that_claims_it_runs_before_ordinary_ones_and_what_it_starts_does_not() {
            // SAFETY: it only tells the calling thread's policy.
            let policy = || unsafe { libc::sched_getscheduler(0) };
            let (allowed, own, started) = std::thread::scope(|scope| {
                let urgent = scope.spawn(|| {
                    let allowed = schedule();
                    (allowed, policy(), std::thread::scope(|scope| scope.spawn(policy).join()))
                });
                urgent.join().expect("it does not panic")
            });
            assert_eq!(started.expect("it does not panic"), libc::SCHED_OTHER);
            match allowed {
                Ok(()) => assert_eq!(own & !libc::SCHED_RESET_ON_FORK, libc::SCHED_RR),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
                    assert_eq!(own, libc::SCHED_OTHER);
                }
            }
        }
    }
}
