use std::net::IpAddr;

/// The hosts that are reached without a proxy, as NO_PROXY lists them.
///
/// Read as curl reads it: names and addresses, separated by commas or white space; a name stands for itself and all names
/// below it, with or without a dot before or after it; ranges of addresses; `*` for all hosts. Ports (`a.example:8443`) and
/// `*.a.example` are understood too, as other programs understand them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bypass {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    host: Hosts,
    /// Any if `None`.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// In lower case, without dots at its ends.
    Named(String),
    /// Addresses whose first bits are those of this one.
    Range(IpAddr, u32),
}

impl Bypass {
    /// An entry that makes no sense matches nothing.
    pub(crate) fn parse(list: &str) -> Bypass {
        let entries = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        Bypass { entries: entries.filter_map(Entry::parse).collect() }
    }

    /// Whether the list has `*`.
    pub(crate) fn is_for_all(&self) -> bool {
        self.entries.iter().any(|entry| entry.host == Hosts::All && entry.port.is_none())
    }

    /// `host` is that of a URL: in lower case, an IPv6 address in brackets.
    pub(crate) fn covers(&self, host: &str, port: u16) -> bool {
        let host = unbracketed(host).trim_end_matches('.');
        let address: Option<IpAddr> = host.parse().ok();
        self.entries.iter().any(|entry| {
            let is_host = match &entry.host {
                Hosts::All => true,
                Hosts::Named(name) => {
                    address.is_none() && host.strip_suffix(name.as_str()).is_some_and(is_end_of_labels)
                }
                Hosts::Range(start, bits) => address.is_some_and(|address| is_within(address, *start, *bits)),
            };
            is_host && entry.port.is_none_or(|only| only == port)
        })
    }
}

impl Entry {
    fn parse(entry: &str) -> Option<Entry> {
        if let Some(host) = Hosts::parse(entry) {
            return Some(Entry { host, port: None });
        }
        let (host, port) = entry.rsplit_once(':')?;
        Some(Entry { host: Hosts::parse(host)?, port: Some(port.parse().ok()?) })
    }
}

impl Hosts {
    fn parse(entry: &str) -> Option<Hosts> {
        if entry == "*" {
            return Some(Hosts::All);
        }
        let plain = unbracketed(entry);
        if let Ok(address) = plain.parse() {
            return Some(Hosts::Range(address, width(address)));
        }
        if let Some((start, bits)) = plain.split_once('/') {
            let (start, bits) = (unbracketed(start).parse().ok()?, bits.parse().ok()?);
            return (bits <= width(start)).then_some(Hosts::Range(start, bits));
        }
        let name = entry.strip_prefix("*.").unwrap_or(entry).trim_matches('.');
        let is_name = !name.is_empty() && !name.contains([':', '/', '*', '[']);
        is_name.then(|| Hosts::Named(name.to_ascii_lowercase()))
    }
}

/// What precedes the name: nothing, or labels and a dot.
fn is_end_of_labels(before: &str) -> bool {
    before.is_empty() || before.ends_with('.')
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// In bits.
fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

fn is_within(address: IpAddr, start: IpAddr, bits: u32) -> bool {
    let differing = match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) => (address.to_bits() ^ start.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(start)) => (address.to_bits() ^ start.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(list: &str, host: &str) -> bool {
        Bypass::parse(list).covers(host, 443)
    }

    #[test]
    fn names_are_read_as_curl_reads_them() {
        for list in [
            "a.example",
            "A.EXAMPLE",
            "example",
            ".example",
            "example.",
            ".example.",
            "a.example.",
            ".a.example",
            "x,a.example",
            "x a.example",
            "x\ta.example",
            " a.example , x",
            "*",
            "*.example",
            "x,*",
        ] {
            assert!(covers(list, "a.example") && covers(list, "a.example."), "{list}");
        }
        for list in [
            "",
            ".",
            ",",
            "b.example",
            "xa.example",
            "a.exampl",
            "a",
            "b.a.example",
            "x;a.example",
            "*a.example",
            "10.1",
        ] {
            assert!(!covers(list, "a.example"), "{list}");
        }
        assert!(!covers("a.example", "xa.example") && covers("a.example", "x.a.example"));
    }

    #[test]
    fn addresses_are_read_one_by_one_and_as_ranges() {
        for list in ["10.1.2.3", "10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "10.1.2.0/24", "x,10.1.0.0/16"] {
            assert!(covers(list, "10.1.2.3"), "{list}");
        }
        for list in ["10.1", "1.2.3", "2.3", "10.0.0.0/16", "10.1.2.3/33", "10.0.0.0/x", "::/0", "10.1.2.3/"] {
            assert!(!covers(list, "10.1.2.3"), "{list}");
        }
        for list in ["fd00::1", "[fd00::1]", "fd00:0::1", "fd00::/8", "[fd00::]/8"] {
            assert!(covers(list, "[fd00::1]"), "{list}");
        }
        assert!(!covers("fe00::/8", "[fd00::1]") && !covers("10.0.0.0/8", "a.example"));
    }

    #[test]
    fn a_port_narrows_an_entry() {
        for list in ["a.example:8443", ".example:8443", "*:8443"] {
            assert!(Bypass::parse(list).covers("a.example", 8443), "{list}");
            assert!(!Bypass::parse(list).covers("a.example", 443), "{list}");
        }
        assert!(Bypass::parse("[fd00::1]:8443").covers("[fd00::1]", 8443));
        assert!(Bypass::parse("10.1.2.3:443").covers("10.1.2.3", 443));
        assert!(!covers("a.example:x", "a.example") && !covers("a.example:99999", "a.example"));
        assert!(Bypass::parse("*").is_for_all() && !Bypass::parse("*:8443").is_for_all());
    }
}
