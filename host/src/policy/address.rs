//! Which addresses may be connected to. Public ones; every other class only where an upstream is granted it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// What an address is for, by the IANA special-purpose registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    Public,
    /// 127.0.0.0/8, ::1
    Loopback,
    /// RFC 1918, RFC 6598 (carrier NAT), RFC 4193 (unique local)
    Private,
    /// 169.254.0.0/16, fe80::/10
    LinkLocal,
    /// The addresses at which clouds hand out credentials.
    Metadata,
    /// Unspecified, multicast, broadcast, documentation, benchmarking, reserved: nothing to connect to.
    Reserved,
}

/// Instance metadata services: AWS, GCP and Azure (169.254.169.254), ECS tasks, EKS pods, Alibaba, Oracle, AWS over IPv6.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)];

impl AddressClass {
    /// The class of an address. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4) counts as itself.
    pub fn of(address: IpAddr) -> AddressClass {
        match address {
            IpAddr::V4(v4) => AddressClass::of_v4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => AddressClass::of_v4(v4),
                None => AddressClass::of_v6(v6),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> AddressClass {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            _ if METADATA_V4.contains(&address) => AddressClass::Metadata,
            (127, ..) => AddressClass::Loopback,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressClass::Private,
            (169, 254, _) => AddressClass::LinkLocal,
            (0, ..)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., ..) => AddressClass::Reserved,
            _ => AddressClass::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> AddressClass {
        let [a, b, ..] = address.segments();
        match a {
            _ if METADATA_V6.contains(&address) => AddressClass::Metadata,
            _ if address.is_loopback() => AddressClass::Loopback,
            0xfc00..=0xfdff => AddressClass::Private,
            0xfe80..=0xfebf => AddressClass::LinkLocal,
            // Global unicast is 2000::/3; of that, 2001::/23 is for protocols and 2001:db8::/32 for books.
            0x2001 if b < 0x0200 || b == 0x0db8 => AddressClass::Reserved,
            0x3fff if b < 0x1000 => AddressClass::Reserved,
            0x2000..=0x3fff => AddressClass::Public,
            _ => AddressClass::Reserved,
        }
    }

    fn word(self) -> &'static str {
        match self {
            AddressClass::Public => "public",
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Metadata => "metadata",
            AddressClass::Reserved => "reserved",
        }
    }
}

/// The IPv4 address that an IPv6 address leads to, if it does.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // Mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d), and NAT64 (64:ff9b::/96, 64:ff9b:1::/48).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(from(high, low)),
        // Compatible (::a.b.c.d), but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(from(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What the plan allows beyond public addresses: a class by its word, or a network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AddressRule {
    Class(AddressClass),
    Network(IpNet),
}

/// What an address rule may not be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither loopback, private, link-local or metadata, nor a network such as 10.1.0.0/16")]
pub struct ParseAddressRuleError(String);

impl FromStr for AddressRule {
    type Err = ParseAddressRuleError;

    fn from_str(text: &str) -> Result<AddressRule, ParseAddressRuleError> {
        use AddressClass::{LinkLocal, Loopback, Metadata, Private};
        let class = [Loopback, Private, LinkLocal, Metadata].into_iter().find(|class| class.word() == text);
        let network = || text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match class {
            Some(class) => Ok(AddressRule::Class(class)),
            None => network().map(AddressRule::Network).map_err(|_| ParseAddressRuleError(text.into())),
        }
    }
}

impl TryFrom<String> for AddressRule {
    type Error = ParseAddressRuleError;

    fn try_from(text: String) -> Result<AddressRule, ParseAddressRuleError> {
        text.parse()
    }
}

/// The addresses that an upstream may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<AddressRule>);

impl Allowed {
    /// Public addresses and what these rules add.
    pub fn new(rules: Vec<AddressRule>) -> Allowed {
        Allowed(rules)
    }

    /// Whether the address may be connected to; its class where not.
    ///
    /// # Errors
    /// The class that is not granted.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressClass> {
        let class = AddressClass::of(address);
        let plain = match address {
            IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        let granted = |rule: &AddressRule| match rule {
            AddressRule::Class(granted) => *granted == class,
            AddressRule::Network(network) => network.contains(&plain) || network.contains(&address),
        };
        if class == AddressClass::Public || self.0.iter().any(granted) { Ok(()) } else { Err(class) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_what_the_registries_say() {
        use AddressClass::*;
        for (address, expected) in [
            ("140.82.112.5", Public),
            ("2606:50c0:8000::153", Public),
            ("127.0.0.1", Loopback),
            ("127.255.1.1", Loopback),
            ("::1", Loopback),
            ("10.0.0.1", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("fd12:3456::1", Private),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("192.0.0.192", Metadata),
            ("fd00:ec2::254", Metadata),
            ("0.0.0.0", Reserved),
            ("255.255.255.255", Reserved),
            ("224.0.0.1", Reserved),
            ("198.18.0.1", Reserved),
            ("203.0.113.9", Reserved),
            ("::", Reserved),
            ("ff02::1", Reserved),
            ("2001:db8::1", Reserved),
        ] {
            assert_eq!(class(address), expected, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_still_itself() {
        for (address, expected) in [
            ("::ffff:127.0.0.1", AddressClass::Loopback),
            ("::ffff:169.254.169.254", AddressClass::Metadata),
            ("::10.0.0.1", AddressClass::Private),
            ("64:ff9b::a9fe:a9fe", AddressClass::Metadata),
            ("2002:7f00:1::", AddressClass::Loopback),
            ("::ffff:140.82.112.5", AddressClass::Public),
        ] {
            assert_eq!(class(address), expected, "{address}");
        }
    }

    #[test]
    fn only_what_is_granted_is_allowed_beyond_public() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let rules = ["loopback", "10.1.0.0/16", "169.254.9.9"];
        let allowed = Allowed::new(rules.into_iter().map(|rule| rule.parse().unwrap()).collect());
        for yes in ["140.82.112.5", "127.0.0.1", "10.1.2.3", "169.254.9.9", "::ffff:10.1.2.3"] {
            assert_eq!(allowed.check(ip(yes)), Ok(()), "{yes}");
        }
        assert_eq!(allowed.check(ip("10.2.0.1")), Err(AddressClass::Private));
        assert_eq!(allowed.check(ip("169.254.169.254")), Err(AddressClass::Metadata));
        assert_eq!(Allowed::default().check(ip("127.0.0.1")), Err(AddressClass::Loopback));
        assert!("public".parse::<AddressRule>().is_err() && "10.0.0.0/33".parse::<AddressRule>().is_err());
    }
}
