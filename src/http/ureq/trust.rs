//! Which authorities are trusted.

use std::sync::Arc;

use ::ureq::tls::{Certificate, RootCerts};

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
        Some(text) => {
            let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            let bundled = bundled.map(|der| Certificate::from_der(der.as_ref()).to_owned());
            Ok(RootCerts::Specific(Arc::new(bundled.chain(certificates(text)?).collect())))
        }
    }
}

fn certificates(text: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let refuse = |reason: &str| {
        Error::new(ErrorKind::Config, format!("the extra trust roots {reason}"))
            .advise("give PEM text with -----BEGIN CERTIFICATE----- blocks")
    };
    // A block that is cut off is skipped.
    let blocks = pem::parse_many(text).ok().filter(|blocks| blocks.len() == text.matches("-----BEGIN ").count());
    let blocks = blocks.ok_or_else(|| refuse("are damaged"))?;
    let certificates = blocks.iter().filter(|block| CERTIFICATE.contains(&block.tag()));
    let certificates: Vec<_> = certificates.map(|block| Certificate::from_der(block.contents()).to_owned()).collect();
    if certificates.is_empty() {
        return Err(refuse("hold no certificate"));
    }
    Ok(certificates)
}

/// The label of RFC 7468, section 5, and an older one that it lists.
const CERTIFICATE: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = include_str!("../../../tests/fixtures/keys/certificate.pem");

    #[test]
    fn certificates_are_found_among_other_text_and_blocks() {
        let older = AUTHORITY.replace(" CERTIFICATE-", " X509 CERTIFICATE-");
        let text = format!("subject=CN = a\n{AUTHORITY}\n-----BEGIN X-----\nAAAA\n-----END X-----\n{older}");
        assert_eq!(certificates(&text).unwrap().len(), 2);
        assert_eq!(certificates(&AUTHORITY.replace('\n', "\r\n")).unwrap().len(), 1);
    }

    #[test]
    fn a_certificate_that_is_cut_off_is_not_left_out() {
        let cut = &AUTHORITY[..AUTHORITY.len() / 2];
        for text in [cut.to_owned(), format!("{AUTHORITY}{cut}"), format!("{cut}\n{AUTHORITY}")] {
            assert!(certificates(&text).unwrap_err().to_string().contains("are damaged"), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_whole_certificate_is_refused() {
        for (text, reason) in [
            ("", "hold no certificate"),
            ("MIIB", "hold no certificate"),
            ("-----BEGIN X-----\nAAAA\n-----END X-----", "hold no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "are damaged"),
        ] {
            let error = certificates(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
    }
}
