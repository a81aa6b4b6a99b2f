//! Why a certificate is not accepted, and the cure, by the text of the TLS library: it passes no better type on.

use crate::error::clean;

/// What is wrong with the certificate, after "the server's certificate", and what to do. `None` if the text is not about one.
pub(super) fn problem(text: &str) -> Option<(String, &'static str)> {
    let (_, problem) = text.split_once("invalid peer certificate: ")?;
    Some(match problem {
        _ if problem.contains("UnknownIssuer") => {
            let what = "is not from a trusted authority (UnknownIssuer): add that authority with extra_roots, or ca_file in a \
                        profile";
            (what.into(), "check that no proxy has replaced the certificate")
        }
        _ if problem.contains("CaUsedAsEndEntity") => (
            "is that of an authority (CA:TRUE), which no server may use as its own (CaUsedAsEndEntity)".into(),
            "make one with CA:FALSE (openssl req -x509 -addext basicConstraints=critical,CA:FALSE), or one that the authority \
             signs",
        ),
        _ if problem.starts_with("certificate expired") => {
            (format!("has expired{}", distance(problem)), "renew the certificate, or set this machine's clock right")
        }
        _ if problem.starts_with("certificate not valid yet") => {
            (format!("is not valid yet{}", distance(problem)), "set this machine's clock right, or wait")
        }
        _ if problem.starts_with("certificate not valid for name") => (
            format!("is of another name: {}", clean(problem)),
            "write a name of the certificate in the URL, or get one for this name",
        ),
        _ if problem.contains("UnsupportedCertVersion") => {
            ("is of an outdated version (UnsupportedCertVersion)".into(), "make one of version 3")
        }
        _ if problem.contains("extended key usage") || problem.contains("InvalidPurpose") => {
            (format!("is not for servers: {}", clean(problem)), "make one that allows serverAuth")
        }
        _ if problem.contains("Revoked") => ("was revoked".into(), "get a new certificate for the server"),
        _ => (format!("is not accepted: {}", clean(problem)), "check the server's certificates"),
    })
}

/// How long ago, or how far off, from the number of seconds in the text.
fn distance(problem: &str) -> String {
    let words = problem.rsplit_once('(').and_then(|(_, last)| last.strip_suffix(')')).unwrap_or_default();
    let (number, rest) = words.split_once(" seconds ").unwrap_or_default();
    let rest = if rest == "ago" { " ago" } else { "" };
    match number.parse::<u64>() {
        Ok(seconds @ 0..DAYS) => format!(" ({seconds} s{rest})"),
        Ok(seconds) => format!(" ({} days{rest})", seconds / DAY),
        Err(_) => String::new(),
    }
}

/// In seconds.
const DAY: u64 = 24 * 3600;

/// From here on the number of days says more than that of seconds.
const DAYS: u64 = 2 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_certificate_has_a_cure() {
        for (text, what, cure) in [
            ("UnknownIssuer", "is not from a trusted authority (UnknownIssuer): add", "no proxy"),
            ("Other(OtherError(CaUsedAsEndEntity))", "is that of an authority (CA:TRUE)", "CA:FALSE"),
            (
                "certificate expired: verification time 200000 (UNIX), but certificate is not valid after 20000 (180000 \
                 seconds ago)",
                "has expired (2 days ago)",
                "renew",
            ),
            ("Expired", "is not accepted: Expired", "check"),
            (
                "certificate not valid yet: verification time 5 (UNIX), but certificate is not valid before 65 (60 seconds \
                 in future)",
                "is not valid yet (60 s)",
                "clock",
            ),
            (
                "certificate not valid for name \"a.example\"; certificate is only valid for DnsName(\"b.example\")",
                "is of another name: certificate not valid for name \"a.example\"",
                "in the URL",
            ),
            ("Other(OtherError(UnsupportedCertVersion))", "is of an outdated version", "version 3"),
            ("certificate does not allow extended key usage for X", "is not for servers", "serverAuth"),
            ("Revoked", "was revoked", "new"),
            ("BadSignature", "is not accepted: BadSignature", "check"),
        ] {
            let (problem, advice) = problem(&format!("invalid peer certificate: {text}")).unwrap();
            assert!(problem.starts_with(what) && advice.contains(cure), "{problem}; {advice}");
        }
        assert_eq!(problem("received fatal alert: HandshakeFailure"), None);
    }
}
