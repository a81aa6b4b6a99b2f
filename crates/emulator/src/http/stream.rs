//! The two kinds of connections: plain, and with TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::reader::ReadDeadline;

/// A connection whose reads end at a deadline.
pub(crate) enum Stream {
    Plain(TimedSocket),
    Tls(Box<StreamOwned<ServerConnection, TimedSocket>>),
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        // Responses are written in one piece; waiting to fill a packet would only delay them.
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        // The reader of requests sets a deadline before it reads.
        let socket = TimedSocket { socket, deadline: Instant::now() };
        let Some(config) = tls else {
            return Ok(Self::Plain(socket));
        };
        let mut connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(TLS_BUFFER));
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Ends TLS in order, so that its client can tell a complete response from a cut one.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    /// Ends a connection of which something is still unread. Closing it at once would send a reset, and on a reset the
    /// client's system throws away the response that is on its way.
    pub(crate) fn linger(&mut self) -> io::Result<()> {
        self.finish()?;
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        };
        socket.socket.shutdown(Shutdown::Write)?;
        socket.deadline = Instant::now() + LINGER_TIMEOUT;
        io::copy(&mut socket.take(MAX_LINGER_BYTES), &mut io::sink())?;
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl ReadDeadline for Stream {
    fn set_read_deadline(&mut self, deadline: Instant) {
        match self {
            Self::Plain(socket) => socket.deadline = deadline,
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }
}

/// A socket with one deadline for all reads together: a timeout for each read would let a client send a byte at a time
/// for ever.
pub(crate) struct TimedSocket {
    socket: TcpStream,
    deadline: Instant,
}

impl Read for TimedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        self.socket.read(buffer)
    }
}

impl Write for TimedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A client that takes nothing for so long is gone, and its thread is wanted elsewhere.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Enough for a client on this machine to read the response and close.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// What a client can have on its way before it sees the response: the buffers of two sockets, generously.
const MAX_LINGER_BYTES: u64 = 16 << 20;
/// Landed rows are written in blocks of megabytes; this bounds the encrypted copy of them in memory.
const TLS_BUFFER: usize = 256 * 1024;
