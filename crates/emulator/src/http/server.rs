//! The listener: one thread for each connection, all of them ended when the server is dropped.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustls::ServerConfig;

use crate::http::connection;
use crate::http::handler::Handler;
use crate::http::stream::Stream;

/// A listener that accepts connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    handler: Arc<dyn Handler>,
    connections: Arc<Connections>,
    accept_thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the port, or a free one for 0, on loopback only. Nothing is accepted yet.
    pub(crate) fn bind(port: u16) -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
    }

    pub(crate) fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = Arc::new(Connections::default());
        let accept_thread = {
            let (handler, connections) = (Arc::clone(&handler), Arc::clone(&connections));
            thread::Builder::new()
                .name("emulator-accept".to_owned())
                .spawn(move || accept(&listener, tls.as_ref(), &handler, &connections))?
        };
        Ok(Self { address, handler, connections, accept_thread: Some(accept_thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Sockets first: a response that is held back by a delay must not go out when the delay is cut short.
        self.connections.close_all();
        self.handler.stop();
        // `accept` blocks and has no timeout; one more connection wakes it up, and it sees that the server stops.
        let _ = TcpStream::connect_timeout(&self.address, STOP_TIMEOUT);
        if let Some(thread) = self.accept_thread.take() {
            let _ = thread.join();
        }
        self.connections.wait_until_none();
    }
}

/// The open connections, so that stopping can close them and wait for their threads.
#[derive(Debug, Default)]
struct Connections {
    open: Mutex<OpenConnections>,
    none_left: Condvar,
}

#[derive(Debug, Default)]
struct OpenConnections {
    stopping: bool,
    next_id: u64,
    sockets: HashMap<u64, TcpStream>,
}

impl Connections {
    /// Registers a connection and returns its id; `None` when the server stops or has too many.
    fn add(&self, stream: &TcpStream) -> Option<u64> {
        let mut open = self.open.lock();
        if open.stopping || open.sockets.len() >= MAX_CONNECTIONS {
            return None;
        }
        let id = open.next_id;
        open.next_id += 1;
        // A second handle of the same socket: its thread blocks in a read, which only a shutdown from here ends.
        open.sockets.insert(id, stream.try_clone().ok()?);
        Some(id)
    }

    fn remove(&self, id: u64) {
        let mut open = self.open.lock();
        open.sockets.remove(&id);
        if open.sockets.is_empty() {
            self.none_left.notify_all();
        }
    }

    /// Shuts every socket down and lets no further connection in.
    fn close_all(&self) {
        let mut open = self.open.lock();
        open.stopping = true;
        for socket in open.sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn wait_until_none(&self) {
        let mut open = self.open.lock();
        while !open.sockets.is_empty() {
            if self.none_left.wait_for(&mut open, STOP_TIMEOUT).timed_out() {
                return;
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.open.lock().stopping
    }
}

/// Removes its connection when the thread ends, also by a panic.
struct ConnectionGuard {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.remove(self.id);
    }
}

fn accept(
    listener: &TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    handler: &Arc<dyn Handler>,
    connections: &Arc<Connections>,
) {
    while !connections.is_stopping() {
        let Ok((socket, _)) = listener.accept() else {
            thread::sleep(ACCEPT_RETRY_DELAY);
            continue;
        };
        let Some(id) = connections.add(&socket) else {
            continue;
        };
        let guard = ConnectionGuard { connections: Arc::clone(connections), id };
        let Ok(stream) = Stream::new(socket, tls) else {
            continue;
        };
        let handler = Arc::clone(handler);
        let serve = move || {
            // A connection that fails just ends; its client sees that by itself.
            let _ = connection::serve(stream, &*handler);
            drop(guard);
        };
        // When no thread can be started, the closure is dropped, and with it the connection and its guard.
        drop(thread::Builder::new().name("emulator-connection".to_owned()).spawn(serve));
    }
}

/// Each costs a thread and a file descriptor, of which many systems allow a process 1,024 to 4,096.
const MAX_CONNECTIONS: usize = 2_000;
/// `accept` fails mostly for want of file descriptors, which only time can mend. Without a pause it would spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(20);
/// Threads end at once when their sockets are shut down, unless one is busy with a large body.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
