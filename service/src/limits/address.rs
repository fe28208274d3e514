//! Where a request comes from: the peer, or whom a proxy of ours says it speaks for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap};

/// A client's address, as far as limits tell clients apart: an IPv4 address, or the network of 64
/// bits that one customer gets of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// `ROUNDTABLE_TRUSTED_PROXIES`: those whose word about a client's address is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// An address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Proxies {
    /// The client of a request.
    ///
    /// The headers are read from their end, where the nearest proxy writes, past all proxies of
    /// ours: what stands before the first other address was written by somebody unknown. A proxy
    /// has to write `X-Forwarded-For`, or else `Forwarded` (RFC 7239) and no `X-Forwarded-For`.
    pub fn client(&self, headers: &HeaderMap, extensions: &Extensions) -> Client {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        // Without a connection, as in tests of routes, all are one.
        let mut client = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).to_canonical();
        for hop in forwarded(headers).into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            match hop {
                Some(address) => client = address,
                // A name or a secret of the proxy before: that one is known, and no further.
                None => break,
            }
        }
        client.into()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
    }
}

/// The addresses that the headers name, the farthest first.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let list = |name: &str| {
        let values = headers.get_all(name).iter();
        values.flat_map(|value| value.to_str().unwrap_or_default().split(','))
    };
    if headers.contains_key("x-forwarded-for") {
        return list("x-forwarded-for").map(node).collect();
    }
    let of_pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| node(value))?
    };
    list("forwarded").map(|element| element.split(';').find_map(of_pair)).collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `"[2001:db8::1]:80"`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

impl Network {
    fn holds(self, other: IpAddr) -> bool {
        let same = |own: u128, other: u128, of: u8| {
            let shift = u32::from(of - self.bits);
            own.checked_shr(shift) == other.checked_shr(shift)
        };
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ()))?;
        (bits <= most).then_some(Self { address, bits }).ok_or(())
    }
}

/// Addresses and networks, with commas between them: `127.0.0.1, 10.0.0.0/8, fd00::/8`.
impl FromStr for Proxies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, ()>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn client(proxies: &str, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut extensions = Extensions::new();
        let peer: IpAddr = peer.parse().unwrap();
        extensions.insert(ConnectInfo(SocketAddr::from((peer, 4000))));
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(pair).collect();
        proxies.parse::<Proxies>().unwrap().client(&headers, &extensions).to_string()
    }

    #[test]
    fn who_is_no_proxy_of_ours_is_not_believed() {
        for header in [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9")] {
            assert_eq!(client("", "203.0.113.5", &[header]), "203.0.113.5");
            assert_eq!(client("10.0.0.0/8", "203.0.113.5", &[header]), "203.0.113.5");
            assert_eq!(client("10.0.0.0/8", "10.2.3.4", &[header]), "192.0.2.9");
        }
    }

    #[test]
    fn what_a_client_wrote_before_the_proxy_is_not_believed() {
        let ours = "10.0.0.1,10.0.0.2";
        for (header, from) in [
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.5")][..], "203.0.113.5"),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.5")], "203.0.113.5"),
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.5, 10.0.0.2")], "203.0.113.5"),
            (&[("x-forwarded-for", "1.1.1.1, unknown")], "10.0.0.1"),
            (&[("x-forwarded-for", "")], "10.0.0.1"),
            (&[("x-forwarded-for", "2.2.2.2"), ("forwarded", "for=1.1.1.1")], "2.2.2.2"),
            (
                &[("forwarded", "for=1.1.1.1, proto=http;For=\"[2001:db8:1:2::9]:80\"")],
                "2001:db8:1:2::",
            ),
            (&[("forwarded", "for=_hidden")], "10.0.0.1"),
        ] {
            assert_eq!(client(ours, "10.0.0.1", header), from, "{header:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_ipv4_is_itself_however_it_comes() {
        assert_eq!(client("", "2001:db8:0:7:1:2:3:4", &[]), "2001:db8:0:7::");
        assert_eq!(client("", "2001:db8:0:7::ffff", &[]), "2001:db8:0:7::");
        assert_ne!(client("", "2001:db8:0:8::1", &[]), "2001:db8:0:7::");
        assert_eq!(client("", "::ffff:192.0.2.1", &[]), "192.0.2.1");
        let header = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(client("127.0.0.1", "::ffff:127.0.0.1", &header), "192.0.2.7");
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        for wrong in ["localhost", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/8;"] {
            assert!(wrong.parse::<Proxies>().is_err(), "{wrong}");
        }
        let all = client("0.0.0.0/0,::/0", "198.51.100.1", &[("x-forwarded-for", "192.0.2.1")]);
        assert_eq!(all, "192.0.2.1");
    }
}
