//! Addresses that are public and those that are not, in all their forms.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn is_reached(reach: &Reach, address: &str, is_plain: bool) -> bool {
    reach.check(address.parse().unwrap(), is_plain).is_ok()
}

/// Addresses of our own network, of this machine, and of no machine.
const INSIDE: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "64:ff9b:1:2:3:4:a00:1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "3fff::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "3ffe::1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::1",
];

#[test]
fn only_addresses_of_the_public_internet_are_reached_and_only_with_tls() {
    let reach = Reach::default();
    for address in INSIDE {
        assert!(!is_reached(&reach, address, false), "{address}");
    }
    for address in PUBLIC {
        assert!(is_reached(&reach, address, false), "{address}");
        assert!(!is_reached(&reach, address, true), "{address} without TLS");
    }
}

#[test]
fn a_network_that_is_allowed_is_reached_in_every_form_also_without_tls() {
    let networks = ["127.0.0.0/8", "fd00::/16"].map(|net| net.parse().unwrap());
    let reach = Reach::with_allowed(networks.to_vec());
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"] {
        assert!(is_reached(&reach, address, true), "{address}");
    }
    for address in INSIDE.iter().filter(|address| !address.contains("127")) {
        let is_it = address.contains("7f00");
        assert_eq!(is_reached(&reach, address, false), is_it, "{address}");
    }
}
