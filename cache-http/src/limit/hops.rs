//! The address of a caller behind proxies, as far as it can be believed.
//!
//! ```text
//! X-Forwarded-For: whatever the caller says, 203.0.113.7, 10.0.0.2        peer: 10.0.0.1
//!                  ◄─── believed by nobody ──► written by   written by     is the first hop
//!                                              hop 2        hop 1
//! ```
//!
//! Each trusted hop adds, at the right, whom it was called by. So as many entries from the right are true as there are trusted
//! hops, and the last of those is the caller. What stands further left anybody may have written.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// How many proxies of one's own stand between callers and this service, each of which adds to `X-Forwarded-For` whom it was called
/// by.
///
/// The count has to be right, and nobody may reach the service around the proxies: one who does is himself taken for a hop, and
/// writes the addresses that are believed. If there are none, take [`Hops::NONE`]: the header is then not looked at.
///
/// ```
/// use cache_http::limit::Hops;
/// use http::HeaderMap;
/// use std::net::IpAddr;
/// let mut headers = HeaderMap::new();
/// headers.append("x-forwarded-for", "198.51.100.1, 203.0.113.7".parse()?);
/// headers.append("x-forwarded-for", "10.0.0.2".parse()?);
/// let peer: IpAddr = "10.0.0.1".parse()?;
/// let told = |hops: Hops| hops.caller(&headers, peer).to_string();
/// assert_eq!(told(Hops::NONE), "10.0.0.1");
/// assert_eq!(told(Hops::new(1)), "10.0.0.2");
/// assert_eq!(told(Hops::new(2)), "203.0.113.7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops(u8);

impl Hops {
    /// Callers come by themselves: the peer of the connection is the caller.
    pub const NONE: Self = Self(0);

    /// This many proxies, the peer of the connection being the first.
    pub const fn new(hops: u8) -> Self {
        Self(hops)
    }

    /// The address of the caller, given the headers of a request and the peer of its connection.
    ///
    /// Where the header has fewer entries than there are hops, or one of a hop is no address, the nearest hop whose entry is
    /// there has the last word, and the peer if there is none: that counts many callers as one, and never one as many.
    pub fn caller(self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let lines = headers.get_all("x-forwarded-for");
        let entries = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        entries.take(usize::from(self.0)).map_while(address).last().unwrap_or(peer).to_canonical()
    }
}

/// An entry of the header: an address, some write its port behind it.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_ascii();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    /// What is told of a request with these lines of the header.
    fn told(hops: u8, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(line).expect("legal"));
        }
        Hops::new(hops).caller(&headers, PEER.parse().expect("an address")).to_string()
    }

    /// What an attacker writes stands left of what the hops have written: `203.0.113.7` by the second, `10.0.0.2` by the first.
    #[test]
    fn nobody_chooses_his_own_address() {
        let table: [(u8, &[&[u8]], &str); 20] = [
            // Without proxies nothing that is said counts.
            (0, &[], PEER),
            (0, &[b"198.51.100.1"], PEER),
            (0, &[b"127.0.0.1, 10.0.0.1"], PEER),
            // With one, the rightmost counts, whatever stands before it.
            (1, &[b"203.0.113.7"], "203.0.113.7"),
            (1, &[b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (1, &[b"198.51.100.1", b"203.0.113.7"], "203.0.113.7"),
            (1, &[b"127.0.0.1,,, unknown, 203.0.113.7"], "203.0.113.7"),
            (1, &[b"\"203.0.113.9\", 203.0.113.7:4711"], "203.0.113.7"),
            (1, &[b"\xff\xfe, 203.0.113.7"], "203.0.113.7"),
            // With two, the second from the right.
            (2, &[b"203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (2, &[b"198.51.100.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (2, &[b"198.51.100.1", b"203.0.113.7", b"10.0.0.2"], "203.0.113.7"),
            (2, &[b"10.0.0.2, 10.0.0.2, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            // Who comes around the outer hop is still the one that the inner one has seen.
            (2, &[b"203.0.113.7"], "203.0.113.7"),
            (2, &[b"_hidden, 10.0.0.2"], "10.0.0.2"),
            // Where a hop has written nothing, all are counted as one.
            (1, &[], PEER),
            (1, &[b""], PEER),
            (1, &[b"198.51.100.1, unknown"], PEER),
            // However it is written.
            (1, &[b" [2001:db8::7]:4711 "], "2001:db8::7"),
            (1, &[b"[::ffff:203.0.113.7]"], "203.0.113.7"),
        ];
        for (hops, lines, expected) in table {
            let shown = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>();
            assert_eq!(told(hops, lines), expected, "{hops} hops, {shown:?}");
        }
    }

    #[test]
    fn a_long_header_is_looked_at_as_far_as_there_are_hops() {
        let long = "198.51.100.1,".repeat(100_000) + "203.0.113.7";
        assert_eq!(told(1, &[long.as_bytes()]), "203.0.113.7");
        assert_eq!(told(255, &[long.as_bytes()]), "198.51.100.1");
    }
}
