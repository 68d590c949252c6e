//! The frames of the native protocol: a header of 20 octets, then a command or a piece of a stream.
//!
//! Driven by `link`. The buffers keep what they have grown to, so that the flow of sound allocates nothing.

use pulseaudio::protocol::{self, Command, DESCRIPTOR_SIZE, Descriptor, DescriptorFlags, ProtocolError};
use std::io::{self, Read, Write};

/// Room for what arrives at once: a second of sound. Grows for longer lists of devices.
const INBOX: usize = 256 * 1024;
/// The longest message that is believed. A list of a hundred devices has some hundred thousand octets.
const LONGEST: usize = 16 * 1024 * 1024;
/// What may wait for a server that does not read: a second of sound. When full, no more sound is taken from the ring,
/// and commands fail.
const OUTBOX: usize = 256 * 1024;
/// Octets in a sample, `f32` little-endian.
pub(super) const SAMPLE: usize = 4;
/// Samples handled at once.
pub(super) const AT_ONCE: usize = 4800;

/// What arrived and has not been read yet.
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; INBOX], start: 0, end: 0 }
    }

    /// Reads once. True if there may be more.
    ///
    /// # Errors
    /// The connection broke, or was closed by the server.
    pub(super) fn fill(&mut self, socket: &mut impl Read) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match socket.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.end += count;
                // Fewer than there was room for: the socket is empty.
                Ok(self.end == self.buffer.len())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next whole message: its channel (`u32::MAX` for a command) and what it carries.
    ///
    /// # Errors
    /// It is longer than any server would send.
    pub(super) fn next(&mut self) -> Result<Option<(u32, &[u8])>, ProtocolError> {
        let waiting = &self.buffer[self.start..self.end];
        if waiting.len() < DESCRIPTOR_SIZE {
            return Ok(None);
        }
        let descriptor = protocol::read_descriptor(&mut &waiting[..DESCRIPTOR_SIZE])?;
        let length = descriptor.length as usize;
        if length > LONGEST {
            return Err(ProtocolError::Invalid(format!("a message of {length} octets")));
        }
        let Some(body) = waiting.get(DESCRIPTOR_SIZE..DESCRIPTOR_SIZE + length) else { return Ok(None) };
        self.start += DESCRIPTOR_SIZE + length;
        Ok(Some((descriptor.channel, body)))
    }
}

/// What is to be sent.
pub(super) struct Outbox {
    buffer: Vec<u8>,
    sent: usize,
    command: Vec<u8>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::with_capacity(OUTBOX), sent: 0, command: Vec::with_capacity(1024) }
    }

    /// Whether so many octets of sound still fit.
    pub(super) fn has_room(&self, octets: usize) -> bool {
        self.buffer.len() - self.sent + octets + DESCRIPTOR_SIZE <= OUTBOX
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.buffer.len()
    }

    /// Queues a command.
    ///
    /// # Errors
    /// It cannot be written down, or the server reads nothing any more.
    pub(super) fn command(
        &mut self,
        sequence: u32,
        command: &Command,
        version: u16,
    ) -> Result<(), ProtocolError> {
        self.command.clear();
        let length = protocol::encode_command_message(&mut self.command, sequence, command, version)?;
        if !self.has_room(length) {
            return Err(ProtocolError::Timeout);
        }
        self.make_room();
        self.buffer.extend_from_slice(&self.command[..length]);
        Ok(())
    }

    /// Queues a piece of a stream.
    pub(super) fn sound(&mut self, channel: u32, samples: &[f32]) {
        self.make_room();
        let descriptor = Descriptor {
            length: (samples.len() * SAMPLE) as u32,
            channel,
            offset: 0,
            flags: DescriptorFlags::empty(),
        };
        let mut header = [0; DESCRIPTOR_SIZE];
        protocol::encode_descriptor(&mut header, &descriptor);
        self.buffer.extend_from_slice(&header);
        for sample in samples {
            self.buffer.extend_from_slice(&sample.to_le_bytes());
        }
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.sent < self.buffer.len() {
            match socket.write(&self.buffer[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.sent = 0;
        Ok(())
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.sent);
        self.sent = 0;
    }
}

/// Octets of a stream as samples, a piece at a time.
pub(super) fn for_samples(octets: &[u8], scratch: &mut [f32], mut take: impl FnMut(&[f32])) {
    for piece in octets.chunks(scratch.len() * SAMPLE) {
        let mut count = 0;
        for (sample, bytes) in scratch.iter_mut().zip(piece.chunks_exact(SAMPLE)) {
            *sample = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            count += 1;
        }
        take(&scratch[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut outbox = Outbox::new();
        outbox.command(7, &Command::GetServerInfo, 35).unwrap();
        outbox.sound(3, &[0.5, -0.25]);
        let mut wire = Vec::new();
        outbox.flush(&mut wire).unwrap();
        for cut in 1..wire.len() {
            let (mut inbox, mut found) = (Inbox::new(), Vec::new());
            for mut part in [&wire[..cut], &wire[cut..]] {
                while !part.is_empty() {
                    inbox.fill(&mut part).unwrap();
                    while let Some((channel, body)) = inbox.next().unwrap() {
                        found.push((channel, body.to_vec()));
                    }
                }
            }
            assert_eq!(found.len(), 2, "cut at {cut}");
            assert_eq!((found[0].0, found[1].0), (u32::MAX, 3));
            let mut samples = Vec::new();
            for_samples(&found[1].1, &mut [0.0; 1], |piece| samples.extend_from_slice(piece));
            assert_eq!(samples, [0.5, -0.25]);
        }
        assert!(Inbox::new().fill(&mut io::empty()).is_err(), "the end is told");
    }

    #[test]
    fn a_message_that_no_server_sends_is_refused_and_a_full_outbox_takes_no_more() {
        let mut inbox = Inbox::new();
        inbox.fill(&mut &[0xFF; 20][..]).unwrap();
        assert!(inbox.next().is_err());
        let mut outbox = Outbox::new();
        while outbox.has_room(AT_ONCE * SAMPLE) {
            outbox.sound(1, &[0.0; AT_ONCE]);
        }
        let capacity = outbox.buffer.capacity();
        assert_eq!(capacity, OUTBOX, "it never grows");
        while outbox.command(1, &Command::GetServerInfo, 35).is_ok() {}
        assert_eq!(outbox.buffer.capacity(), capacity);
    }
}
