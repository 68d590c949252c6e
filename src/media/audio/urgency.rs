//! Real-time scheduling for the threads that sound waits for.
//!
//! Each of them calls [`claim`] once, when it starts. They work for a fraction of a millisecond and then wait, but a
//! thread of ordinary priority that shares its processor with a compiler is woken tens of milliseconds late, which is
//! heard. Where the system gives no such priority the threads stay ordinary, and the cushions (`pace`, `pulse::ahead`)
//! have to make up for it.
//!
//! Such a thread must never wait by spinning for an ordinary one, which does not run meanwhile if both share a processor.
//! A receiver of `std::sync::mpsc` does just that when a sender was interrupted in the middle of sending, until the kernel
//! stops it (after 0.95 s, by default; under the limit that the service demands the whole program ends after 0.2 s); one of
//! `tokio::sync::mpsc` sleeps. So what comes to these threads comes through the latter, or through the rings.

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
        use crate::media::audio::ports::AudioPorts;
        use crate::media::ports::{ReceivedPacket, SendControl};
        use std::sync::Arc;
        use std::time::{Duration, Instant};
        use tokio::sync::mpsc;

        /// Binds the calling thread to one processor, for all callers the same.
        fn share_a_processor() {
            // SAFETY: `set` is plain data for which all zeros is valid; it lives through both calls, the first one writes it
            // and the second one reads it.
            let bound = unsafe {
                let mut set = std::mem::zeroed::<libc::cpu_set_t>();
                let size = size_of::<libc::cpu_set_t>();
                assert_eq!(libc::sched_getaffinity(0, size, &raw mut set), 0);
                let first = (0..libc::CPU_SETSIZE as usize).find(|&number| libc::CPU_ISSET(number, &set));
                libc::CPU_ZERO(&mut set);
                libc::CPU_SET(first.expect("it runs somewhere"), &mut set);
                libc::sched_setaffinity(0, size, &raw const set)
            };
            assert_eq!(bound, 0);
        }

        fn packet(timestamp: u32) -> ReceivedPacket {
            ReceivedPacket {
                arrived: Instant::now(),
                sequence: timestamp as u16,
                timestamp,
                marker: false,
                ssrc: 1,
                codec: None,
                payload: bytes::Bytes::new(),
                capture_ntp: None,
            }
        }

        /// Takes what comes, now and then, in real time and on the sender's processor. `None` where that is not allowed.
        fn take(mut ports: AudioPorts, all: u32) -> Option<u32> {
            share_a_processor();
            schedule().ok()?;
            let deadline = Instant::now() + Duration::from_secs(15);
            let mut taken = 0;
            while taken < all && Instant::now() < deadline {
                while ports.packets.try_recv().is_ok() {
                    taken += 1;
                }
                std::thread::sleep(Duration::from_micros(20));
            }
            Some(taken)
        }

        #[test]
        fn packets_go_on_coming_after_their_sender_was_interrupted_in_the_middle_of_one() {
            const PACKETS: u32 = 2_000_000;
            // So many fit in that the sender never waits for room, and is interrupted at any place of its work.
            let (sender, packets) = mpsc::channel(PACKETS as usize);
            let (out, _sent) = mpsc::channel(1);
            let ports = AudioPorts { out, packets, control: Arc::new(SendControl::new(0)) };
            let taken = std::thread::scope(|scope| {
                let taking = scope.spawn(|| take(ports, PACKETS));
                scope.spawn(move || {
                    share_a_processor();
                    for number in 0..PACKETS {
                        // If every interruption costs a second, it needs half a minute; else a few seconds.
                        (0..20).for_each(|_| std::hint::spin_loop());
                        if sender.blocking_send(packet(number)).is_err() {
                            break;
                        }
                    }
                });
                taking.join().expect("it does not panic")
            });
            assert!(taken.is_none_or(|taken| taken == PACKETS), "{taken:?} in 15 s");
        }

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
