//! Which authorities are trusted.

use std::sync::Arc;

use ::ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::error::{Error, ErrorKind};

pub(super) fn roots(extra: Option<&str>) -> Result<RootCerts, Error> {
    match extra {
        None if cfg!(feature = "platform-verifier") => Ok(RootCerts::PlatformVerifier),
        None => Ok(RootCerts::WebPki),
        Some(_) if cfg!(feature = "platform-verifier") => {
            let reason = "extra roots cannot be combined with the roots of the operating system";
            Err(Error::new(ErrorKind::Config, reason)
                .advise("add the certificate to the system's store, or build without the feature platform-verifier"))
        }
        Some(pem) => {
            let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            let bundled = bundled.map(|der| Certificate::from_der(der.as_ref()).to_owned());
            Ok(RootCerts::Specific(Arc::new(bundled.chain(certificates(pem)?).collect())))
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let refuse = |reason: &str| {
        Error::new(ErrorKind::Config, format!("the extra trust roots {reason}"))
            .advise("give PEM text with -----BEGIN CERTIFICATE----- blocks")
    };
    let items: Result<Vec<_>, _> = parse_pem(pem.as_bytes()).collect();
    let items = items.map_err(|_| refuse("are damaged"))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(refuse("hold no certificate"));
    }
    Ok(certificates)
}
