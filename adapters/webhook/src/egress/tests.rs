//! The corpus: every line is an address (as a resolver may answer it) or a URL (as a destination
//! may be written), and what the guard has to say.

use super::*;

/// Not permitted, unless opened: addresses.
const BLOCKED_ADDRESSES: &str = "
    0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255
    10.0.0.0 10.0.0.1 10.255.255.255 10.96.0.1
    100.64.0.0 100.64.0.1 100.100.100.200 100.127.255.255
    127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255
    168.63.129.16
    169.254.0.0 169.254.0.1 169.254.169.253 169.254.169.254 169.254.170.2 169.254.255.255
    172.16.0.0 172.16.0.1 172.17.0.1 172.31.255.255
    192.0.0.0 192.0.0.1 192.0.0.170 192.0.0.192 192.0.0.255
    192.0.2.0 192.0.2.1 192.0.2.255
    192.88.99.0 192.88.99.1 192.88.99.255
    192.168.0.0 192.168.0.1 192.168.1.1 192.168.255.255
    198.18.0.0 198.18.0.1 198.19.255.255
    198.51.100.0 198.51.100.7 198.51.100.255
    203.0.113.0 203.0.113.7 203.0.113.255
    224.0.0.0 224.0.0.1 232.1.1.1 239.255.255.250 239.255.255.255
    240.0.0.0 240.0.0.1 250.1.2.3 255.255.255.254 255.255.255.255
    :: ::1 ::2 ::ffff ::1.2.3.4 ::8.8.8.8 ::127.0.0.1 ::169.254.169.254 ::0a00:1
    ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::ffff:100.64.0.1 ::ffff:127.0.0.1 ::ffff:127.255.0.1
    ::ffff:168.63.129.16 ::ffff:169.254.169.254 ::ffff:172.16.0.1 ::ffff:192.0.2.1
    ::ffff:192.168.0.1 ::ffff:198.18.0.1 ::ffff:224.0.0.1 ::ffff:240.0.0.1
    ::ffff:255.255.255.255 ::ffff:a00:1 ::ffff:7f00:1
    ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::fffe:8.8.8.8 ::1:0:0:0:1
    64:ff9b::0.0.0.0 64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::169.254.169.254
    64:ff9b::192.168.1.1 64:ff9b::100.64.0.1 64:ff9b::224.0.0.1 64:ff9b::255.255.255.255
    64:ff9b:1:: 64:ff9b:1::8.8.8.8 64:ff9b:1::10.0.0.1 64:ff9b:1:ffff:ffff:ffff:ffff:ffff
    64:ff9b:2::1 64:ff9b:0:0:0:1:808:808 64::1
    100:: 100::1 100::ffff:ffff:ffff:ffff 100:0:0:1::1 200::1 1fff::1
    2001:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:a00:1::f7f7:f7f7
    2001:0:0808:0808::80ff:fffe 2001:1::1 2001:2::1 2001:2:0:ffff:: 2001:3::1 2001:4:112::1
    2001:5::1 2001:10::1 2001:20::1 2001:2f:ffff:: 2001:30::1 2001:1ff:ffff::1
    2001:db8:: 2001:db8::1 2001:db8:ffff:ffff::1
    2002:: 2002:7f00:1:: 2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1 2002:c0a8:101::1
    2002:808:808::1 2002:ffff:ffff::
    2600::5efe:10.0.0.1 2600::5efe:169.254.169.254 2600:0:0:0:200:5efe:127.0.0.1
    3fff:: 3fff::1 3fff:fff:ffff::1
    4000::1 5f00:: 5f00::1 5f00:ffff::1 6000::1 8000::1 a000::1 e000::1
    fc00:: fc00::1 fd00::1 fd00:ec2::254 fd12:3456:789a:1::1 fdff:ffff::1
    fe00::1 fe80:: fe80::1 fe80::a9fe:a9fe fe80::5efe:10.0.0.1 febf:ffff::1
    fec0:: fec0::1 feff::1
    ff00:: ff01::1 ff02::1 ff02::fb ff05::1:3 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
";

/// Permitted: the public internet, up to the edges of the ranges above.
const PERMITTED_ADDRESSES: &str = "
    1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34
    100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0
    172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0
    192.31.196.1 192.52.193.1 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.48.1
    198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
    2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1
    2400:cb00::1 2600:: 2606:4700:4700::1111 2620:fe::fe 2a00:1450::1 2c0f::1
    3ffe:ffff::1 3fff:1000::1 3ffd::1 2600::5efe:8.8.8.8
    ::ffff:8.8.8.8 ::ffff:1.1.1.1 ::ffff:808:808 ::ffff:223.255.255.255
    64:ff9b::8.8.8.8 64:ff9b::1.1.1.1 64:ff9b::808:808
";

/// URLs whose host is a forbidden address, however it is written.
const BLOCKED_URLS: &str = "
    http://127.0.0.1/ http://127.0.0.1:8080/hook https://127.0.0.1/ HTTP://127.0.0.1/
    http://127.1/ http://127.0.1/ http://127/ http://0/ http://0.0/ http://0x0/ http://00/
    http://2130706433/ http://2130706433:80/ http://017700000001/ http://0x7f000001/ http://0X7F000001/
    http://0x7f.0.0.1/ http://0x7f.1/ http://0177.0.0.1/ http://0177.1/ http://127.0x1/ http://127.0.0x0.01/
    http://00000177.0.0.1/ http://0x7f.0x0.0x0.0x1/ http://0177.0x0.0.1/ http://127.0.0.1./ http://127.1./
    http://10.1/ http://167772161/ http://0xa.1/ http://012.0.0.1/ http://012.1/
    http://2852039166/ http://0xa9fea9fe/ http://0xa9.0xfe.0xa9.0xfe/ http://0251.0376.0251.0376/
    http://169.254.43518/ http://169.16689662/ http://169.254.169.254/latest/meta-data/
    http://192.168.1/ http://3232235777/ http://0xc0a80101/ http://0300.0250.1.1/
    http://172.16.1/ http://2886729729/ http://4294967295/ http://0xffffffff/
    http://user@127.0.0.1/ http://user:pass@127.0.0.1/ http://8.8.8.8@127.0.0.1/
    http://example.com@127.0.0.1/ http://example.com:80@127.0.0.1/ http://example.com%40@127.0.0.1/
    http://127.0.0.1?@example.com/ http://127.0.0.1#@example.com/ http://127.0.0.1\\@example.com/
    http:\\\\127.0.0.1\\ http:127.0.0.1/ http:/127.0.0.1/ http:///127.0.0.1/ http:////127.0.0.1/
    http://%31%32%37.0.0.1/ http://127%2E0%2E0%2E1/ http://１２７.0.0.1/ http://127。0。0。1/ http://①②⑦.0.0.1/
    http://ⅰ27.0.0.1.example@127.0.0.1/ http://１27.1/ http://0ｘ7f.1/
    http://[::1]/ http://[::]/ http://[0:0:0:0:0:0:0:1]/ http://[0000::0001]/ http://[::127.0.0.1]/
    http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[0:0:0:0:0:ffff:127.0.0.1]/ http://[::FFFF:7F00:0001]/
    http://[::ffff:a9fe:a9fe]/ http://[::ffff:169.254.169.254]/
    http://[64:ff9b::7f00:1]/ http://[64:ff9b::169.254.169.254]/ http://[64:ff9b:1::1.1.1.1]/
    http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/ http://[2001::1]/
    http://[fe80::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/ http://[ff02::1]/
    http://user@[::1]:8080/ http://[::1]:80@[::1]/
";

/// URLs that have no host that could be connected to: refused before the guard is asked.
const UNREADABLE_URLS: &str = "
    http://[fe80::1%25eth0]/ http://[fe80::1%eth0]/ http://[::1%251]/ http://[::1 http://::1/ http://[127.0.0.1]/
    http://256.0.0.1/ http://127.0.0.0.1/ http://127.0.0.1.1/ http://4294967296/ http://0x100000000/ http://1.2.3.256/
    http://127.0.0.08/ http://127.0.0.09/ http://[::ffff:127.0.0.256]/ http://[1::2::3]/
";

/// URLs that the guard lets through: public addresses, and names, which are resolved later.
const PERMITTED_URLS: &str = "
    http://8.8.8.8/ http://134744072/ http://0x08080808/ http://010.8.8.8/ http://8.8.2056/ https://1.1.1.1/
    http://127.0.0.1@8.8.8.8/ http://8.8.8.8?127.0.0.1 http://8.8.8.8/127.0.0.1 http://8.8.8.8#@127.0.0.1/
    http://[2606:4700:4700::1111]/ http://[::ffff:8.8.8.8]/ http://[64:ff9b::8.8.8.8]/
    http://localhost/ http://127.0.0.1.nip.io/ http://example.com/ http://xn--bcher-kva.example/ http://0x7f.0.0.0xg/ http://127.0.0.a/
";

fn words(corpus: &str) -> impl Iterator<Item = &str> {
    corpus.split_whitespace()
}

fn addresses(corpus: &str) -> impl Iterator<Item = IpAddr> {
    words(corpus).map(|text| text.parse().unwrap_or_else(|_| panic!("{text}")))
}

fn judged(policy: &EgressPolicy, url: &str) -> Result<(), Blocked> {
    policy.check_literal(&Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
}

#[test]
fn the_corpus_is_as_large_as_was_asked_for() {
    let all = [BLOCKED_ADDRESSES, PERMITTED_ADDRESSES, BLOCKED_URLS, UNREADABLE_URLS, PERMITTED_URLS];
    assert!(all.into_iter().flat_map(words).count() >= 300);
}

#[test]
fn no_address_off_the_public_internet_is_permitted() {
    let policy = EgressPolicy::default();
    for address in addresses(BLOCKED_ADDRESSES) {
        let blocked = policy.check(address).expect_err(&address.to_string());
        let text = blocked.to_string();
        assert!(text.starts_with(&address.to_string()) && text.contains("egress.allow"), "{text}");
    }
}

#[test]
fn every_public_address_is_permitted() {
    for address in addresses(PERMITTED_ADDRESSES) {
        assert_eq!(EgressPolicy::default().check(address), Ok(()), "{address}");
    }
}

#[test]
fn no_spelling_hides_an_address() {
    for url in words(BLOCKED_URLS) {
        assert!(judged(&EgressPolicy::default(), url).is_err(), "{url}");
    }
    for url in words(UNREADABLE_URLS) {
        assert!(Url::parse(url).is_err(), "{url}");
    }
    for url in words(PERMITTED_URLS) {
        assert_eq!(judged(&EgressPolicy::default(), url), Ok(()), "{url}");
    }
}

#[test]
fn what_the_error_says_would_open_an_address_does_open_it() {
    for address in addresses(BLOCKED_ADDRESSES) {
        // An address that carries others may need one range for each of them.
        let mut policy = EgressPolicy::default();
        for _ in 0..4 {
            if let Err(blocked) = policy.check(address) {
                policy.allow.push(blocked.open);
            }
        }
        assert_eq!(policy.check(address), Ok(()), "{address} with {:?}", policy.allow);
    }
}

#[test]
fn what_is_opened_opens_nothing_else() {
    let loopback = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    for open in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"] {
        assert_eq!(loopback.check(open.parse().unwrap()), Ok(()), "{open}");
    }
    for closed in ["10.0.0.1", "::1", "169.254.169.254", "2002:7f00:1::1", "::127.0.0.1"] {
        assert!(loopback.check(closed.parse().unwrap()).is_err(), "{closed}");
    }
}

#[test]
fn opening_a_tunnel_does_not_open_what_is_behind_it() {
    let tunnels = ["2002::/16", "2001::/32", "64:ff9b:1::/48", "::/96", "::ffff:0:0/96", "64:ff9b::/96"];
    let policy = EgressPolicy::allowing(tunnels.map(|range| range.parse().unwrap()));
    for closed in [
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:808:808::80ff:fffe", // client 127.0.0.1
        "2001:0:7f00:1::f7f7:f7f7",  // server 127.0.0.1
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
    ] {
        assert!(policy.check(closed.parse().unwrap()).is_err(), "{closed}");
    }
    for open in ["2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "::8.8.8.8", "64:ff9b:1::1"] {
        assert_eq!(policy.check(open.parse().unwrap()), Ok(()), "{open}");
    }
}

#[test]
fn an_error_names_the_address_what_it_is_and_the_setting() {
    let blocked = EgressPolicy::default().check("::ffff:169.254.169.254".parse().unwrap()).unwrap_err();
    let expected = "::ffff:169.254.169.254 may not be connected to: it is the cloud metadata address; \
                    an operator can open it with egress.allow = [\"169.254.169.254/32\"]";
    assert_eq!(blocked.to_string(), expected);
}
