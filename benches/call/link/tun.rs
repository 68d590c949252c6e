//! A TUN device: the end of the emulated link that a namespace sees as its network interface.

use super::netns::Namespace;
use super::system;
use std::fs::File;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Largest packet. The device's own limit is 1500.
const PACKET: usize = 2048;

/// A device in a namespace; it goes when this is dropped.
pub(crate) struct Tun(File);

impl Tun {
    /// Makes a device with that address (`10.0.0.1/30`, say) and brings it up.
    ///
    /// Its name is that of a wired card: browsers take `tun0` for a private network and treat it as costly.
    pub(crate) fn create(namespace: &Namespace, address: &str) -> Result<Self> {
        const NAME: &str = "eth0";
        let file = namespace.run(|| {
            let options = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).clone();
            let file = options.open("/dev/net/tun")?;
            system::make_tun(&file, NAME).map(|()| file)
        })?;
        namespace.ip(&["addr", "add", address, "dev", NAME])?;
        namespace.ip(&["link", "set", NAME, "up"])?;
        Ok(Self(file))
    }

    /// The next packet that the namespace has sent, if there is one.
    pub(super) fn receive(&self) -> Result<Option<Vec<u8>>> {
        let mut packet = vec![0; PACKET];
        match (&self.0).read(&mut packet) {
            Ok(length) => {
                packet.truncate(length);
                Ok(Some(packet))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet to the namespace. The device never makes us wait: what it has no room for is lost, as on
    /// any network card.
    pub(super) fn deliver(&self, packet: &[u8]) -> Result<()> {
        match (&self.0).write(packet) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
