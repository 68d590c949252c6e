//! The system calls that the standard library does not offer.

#![allow(unsafe_code, reason = "network namespaces and TUN devices exist only as raw system calls")]

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// Moves this thread, and whatever it starts from now on, into a network namespace.
pub(super) fn enter_network(namespace: &File) -> Result<()> {
    // SAFETY: no memory is passed; the descriptor is open for as long as the borrow lasts.
    let done = unsafe { libc::setns(namespace.as_fd().as_raw_fd(), libc::CLONE_NEWNET) };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Makes a file of `/dev/net/tun` the other end of a new TUN device of that name: whole IP packets, no header before.
pub(super) fn make_tun(file: &File, name: &str) -> Result<()> {
    let too_long = || Error::other(format!("{name} is too long for a network device"));
    // SAFETY: all zeros is a valid `ifreq`: octets and a union of plain numbers, addresses and null pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last octet stays zero and ends the name.
    let room = &mut request.ifr_name[..libc::IFNAMSIZ - 1];
    let room = room.get_mut(..name.len()).ok_or_else(too_long)?;
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives until the call returns.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Waits until one of the two can be read, at most that long.
pub(super) fn wait_readable(files: [BorrowedFd<'_>; 2], patience: Duration) -> Result<()> {
    let mut polled =
        files.map(|file| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let patience = libc::timespec {
        tv_sec: patience.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(patience.subsec_nanos()),
    };
    // SAFETY: both pointers are to values that live until the call returns, and the count is the array's.
    let ready = unsafe { libc::ppoll(polled.as_mut_ptr(), 2, &raw const patience, std::ptr::null()) };
    if ready >= 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Lets this thread run before all ordinary ones, so that a busy machine does not become a slow link. It needs little
/// of a processor and waits most of the time. Says whether it was allowed.
pub(super) fn hurry() -> bool {
    // SAFETY: all zeros is a valid `sched_param`: plain numbers.
    let mut urgency: libc::sched_param = unsafe { std::mem::zeroed() };
    // The least urgent of the real-time priorities comes before everything that has none.
    urgency.sched_priority = 1;
    // SAFETY: the pointer is to a value that lives until the call returns; 0 means the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const urgency) == 0 }
}
