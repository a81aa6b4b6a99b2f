//! The listener: a thread for each connection, all of them gone when it stops.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustls::ServerConfig;

use crate::http::connection;
use crate::http::stream::Stream;
use crate::service::Service;

/// A listener that accepts until it is stopped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    open: Arc<Open>,
    accepting: Option<JoinHandle<()>>,
}

/// The connections that are being served.
#[derive(Debug, Default)]
struct Open {
    connections: Mutex<Connections>,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    stopping: bool,
    next: u64,
    sockets: HashMap<u64, TcpStream>,
}

impl Server {
    /// Takes the port, and a free one for 0. Nothing is served yet.
    pub(crate) fn bind(port: u16) -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
    }

    pub(crate) fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        service: Arc<Service>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let accepting = {
            let (service, open) = (Arc::clone(&service), Arc::clone(&open));
            thread::Builder::new()
                .name("emulator-accept".to_owned())
                .spawn(move || accept(&listener, tls.as_ref(), &service, &open))?
        };
        Ok(Self { address, service, open, accepting: Some(accepting) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In this order: a response that waits must not go out after all.
        self.open.close_all();
        self.service.stop();
        // Accepting blocks; one more connection makes it look around.
        let _ = TcpStream::connect_timeout(&self.address, LONGEST_GOODBYE);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.open.wait_until_empty();
    }
}

impl Open {
    /// Gives the connection a number, unless the server stops or is full.
    fn enter(&self, stream: &TcpStream) -> Option<u64> {
        let mut connections = self.connections.lock();
        if connections.stopping || connections.sockets.len() >= MAX_CONNECTIONS {
            return None;
        }
        let number = connections.next;
        connections.next += 1;
        connections.sockets.insert(number, stream.try_clone().ok()?);
        Some(number)
    }

    fn leave(&self, number: u64) {
        let mut connections = self.connections.lock();
        connections.sockets.remove(&number);
        if connections.sockets.is_empty() {
            self.emptied.notify_all();
        }
    }

    fn close_all(&self) {
        let mut connections = self.connections.lock();
        connections.stopping = true;
        for socket in connections.sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn wait_until_empty(&self) {
        let mut connections = self.connections.lock();
        while !connections.sockets.is_empty() {
            if self.emptied.wait_for(&mut connections, LONGEST_GOODBYE).timed_out() {
                return;
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.connections.lock().stopping
    }
}

/// Leaves also when the thread ends in a panic.
struct Place {
    open: Arc<Open>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.leave(self.number);
    }
}

fn accept(listener: &TcpListener, tls: Option<&Arc<ServerConfig>>, service: &Arc<Service>, open: &Arc<Open>) {
    while !open.is_stopping() {
        let Ok((socket, _)) = listener.accept() else {
            // Mostly a lack of file descriptors, which only time can mend.
            thread::sleep(AFTER_FAILED_ACCEPT);
            continue;
        };
        let Some(number) = open.enter(&socket) else {
            continue;
        };
        let place = Place { open: Arc::clone(open), number };
        let Ok(stream) = Stream::new(socket, tls) else {
            continue;
        };
        let service = Arc::clone(service);
        let serving = move || {
            // The connection ends with its error: there is nobody to tell.
            let _ = connection::serve(stream, &service);
            drop(place);
        };
        let name = "emulator-connection".to_owned();
        drop(thread::Builder::new().name(name).spawn(serving));
    }
}

const MAX_CONNECTIONS: usize = 2_000;
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(20);
const LONGEST_GOODBYE: Duration = Duration::from_secs(5);
