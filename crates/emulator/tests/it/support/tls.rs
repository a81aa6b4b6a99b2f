//! One exchange over TLS, trusting a single authority.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::response::Response;

/// Sends the bytes to a service of this name; `None` when its certificate is not trusted.
pub fn exchange(url: &str, ca_pem: &str, server: &'static str, request: &[u8]) -> Option<Response> {
    let der = pem::parse(ca_pem).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.contents().to_vec().into()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = rustls::ClientConnection::new(Arc::new(config), server.try_into().unwrap());
    let socket = TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
    let mut stream = BufReader::new(rustls::StreamOwned::new(tls.unwrap(), socket));
    stream.get_mut().write_all(request).ok()?;
    Response::read(&mut stream)
}
