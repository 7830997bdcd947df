//! Which addresses may be connected to. No server-side request forgery: what a document names is not where flaggate goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::Host;

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nobody is ever called there: link-local, where clouds serve credentials, multicast, reserved.
    Forbidden,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// Anywhere else.
    Public,
}

/// Addresses at which clouds serve metadata, credentials among them, that no other rule forbids.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether a listed host may be called at this address. `networks` are the inner ones that names may lead to.
pub(super) fn may_connect<S: AsRef<str>>(host: &Host<S>, address: IpAddr, networks: &[IpNet]) -> bool {
    let address = embedded(address);
    let is_inside = || networks.iter().any(|network| network.contains(&address));
    match place(address) {
        Place::Forbidden => false,
        Place::Public => true,
        Place::Loopback => is_itself(host, address) || is_localhost(host) || is_inside(),
        Place::Private => is_itself(host, address) || is_inside(),
    }
}

fn is_itself<S>(host: &Host<S>, address: IpAddr) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(listed) => IpAddr::V4(*listed) == address,
        Host::Ipv6(listed) => embedded(IpAddr::V6(*listed)) == address,
    }
}

fn is_localhost<S: AsRef<str>>(host: &Host<S>) -> bool {
    matches!(host, Host::Domain(name) if name.as_ref() == "localhost" || name.as_ref().ends_with(".localhost"))
}

/// The IPv4 address within an IPv6 one, where packets would go to: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let parts = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn place(address: IpAddr) -> Place {
    if METADATA.contains(&address) {
        return Place::Forbidden;
    }
    match address {
        IpAddr::V4(v4) => place_v4(v4),
        IpAddr::V6(v6) => place_v6(v6),
    }
}

/// IANA: IPv4 special-purpose address registry.
fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        // This network, link-local, protocol assignments, documentation, 6to4 relays, multicast, reserved and broadcast.
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _] => Place::Forbidden,
        [127, ..] => Place::Loopback,
        // Private use, shared by carriers, benchmarks.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18 | 19, ..] => Place::Private,
        _ => Place::Public,
    }
}

/// IANA: IPv6 special-purpose address registry.
fn place_v6(address: Ipv6Addr) -> Place {
    if address.is_loopback() {
        return Place::Loopback;
    }
    match address.segments() {
        // Unspecified, discarded, local NAT64, Teredo and other protocol assignments, documentation, segment routing.
        [0, ..]
        | [0x64, 0xff9b, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 0..=0x1ff | 0xdb8, ..]
        | [0x3fff | 0x5f00, ..] => Place::Forbidden,
        [0xfc00..=0xfdff, ..] => Place::Private,
        // Only 2000::/3 is given to anybody: the rest is link-local, site-local, multicast or reserved.
        [0x2000..=0x3fff, ..] => Place::Public,
        _ => Place::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_places() {
        for (addresses, expected) in [
            (
                "0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 198.51.100.7 \
                 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 :: fe80::1 febf::1 fec0::1 ff02::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 2001:db8::1 \
                 2001::1 64:ff9b:1::1 100::1 ::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1 \
                 ::ffff:0.0.0.0 4000::1",
                Place::Forbidden,
            ),
            ("127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::", Place::Loopback),
            (
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 198.18.0.1 fc00::1 fd12::1 ::ffff:10.0.0.1 \
                 64:ff9b::10.0.0.1",
                Place::Private,
            ),
            (
                "1.1.1.1 172.32.0.1 100.128.0.1 192.1.0.1 2606:4700::1111 2a00::1 ::ffff:1.1.1.1 2002:101:101::1",
                Place::Public,
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(place(embedded(address.parse().unwrap())), expected, "{address}");
            }
        }
    }

    #[test]
    fn what_is_inside_has_to_be_listed() {
        let check = |host: &str, address: &str, networks: &[&str], expected: bool| {
            let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
            let found = may_connect(&Host::parse(host).unwrap(), address.parse().unwrap(), &networks);
            assert_eq!(found, expected, "{host} {address} {networks:?}");
        };
        check("hooks.example", "1.1.1.1", &[], true);
        check("hooks.example", "10.0.0.1", &[], false);
        check("hooks.example", "10.0.0.1", &["10.0.0.0/8"], true);
        check("hooks.example", "::ffff:10.0.0.1", &["10.0.0.0/8"], true);
        check("hooks.example", "127.0.0.1", &[], false);
        check("localhost", "127.0.0.1", &[], true);
        check("localhost", "::1", &[], true);
        check("localhost", "10.0.0.1", &[], false);
        check("localhost.example", "127.0.0.1", &[], false);
        check("127.0.0.1", "127.0.0.1", &[], true);
        check("127.0.0.1", "127.0.0.2", &[], false);
        check("[::ffff:127.0.0.1]", "127.0.0.1", &[], true);
        check("10.1.1.1", "10.1.1.1", &[], true);
        check("[fd12::1]", "fd12::1", &[], true);
        check("169.254.169.254", "169.254.169.254", &["0.0.0.0/0"], false);
        check("[fe80::1]", "fe80::1", &["::/0"], false);
    }
}
