use super::*;
use laneway_egress::corpus::*;

const TIMEOUT: Duration = Duration::from_secs(15);

fn parse(url: &str) -> Result<MongoConfig, String> {
    MongoConfig::parse(url, Mode::Insert, TIMEOUT, &EgressPolicy::default()).map_err(|error| error.to_string())
}

#[test]
fn the_last_part_of_the_path_is_the_collection_and_the_rest_is_the_drivers() {
    let config = parse("mongodb://me:p%40ss@a:27018,b/shop/orders.paid?replicaSet=rs0&tls=true").unwrap();
    assert_eq!((config.database.as_str(), config.collection.as_str()), ("shop", "orders.paid"));
    assert_eq!(config.to_string(), "mongodb://a:27018,b/shop/orders.paid");
    assert_eq!(config.connection.default_database.as_deref(), Some("shop"));
    assert_eq!(config.connection.replica_set.as_deref(), Some("rs0"));
    let credential = config.connection.credential.unwrap();
    assert_eq!(credential.password.as_deref(), Some("p@ss"));
}

#[test]
fn what_makes_the_driver_read_this_machine_is_known() {
    for (options, reads) in [
        ("", false),
        ("?tls=true", false),
        ("?authMechanism=SCRAM-SHA-1", false),
        ("?authMechanism=SCRAM-SHA-256&authSource=admin", false),
        ("?tls=true&tlsCAFile=/ca.pem", true),
        ("?tls=true&tlsCertificateKeyFile=/key.pem", true),
        ("?authMechanism=MONGODB-X509&tls=true", true),
    ] {
        let config = parse(
            &format!("mongodb://u:p@h/d/c{options}")
                .replace("u:p@", if options.contains("X509") { "u@" } else { "u:p@" }),
        );
        assert_eq!(config.unwrap().reads_this_machine().is_some(), reads, "{options}");
    }
    let oidc = "mongodb://h/d/c?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s";
    assert!(parse(oidc).unwrap().reads_this_machine().is_some());
}

#[test]
fn names_are_percent_decoded() {
    let config = parse("mongodb://h/d%C3%A9/a%2Fb").unwrap();
    assert_eq!((config.database.as_str(), config.collection.as_str()), ("dé", "a/b"));
}

#[test]
fn srv_is_not_looked_up_before_the_first_attempt() {
    let config = parse("mongodb+srv://cluster.example.invalid/shop/orders").unwrap();
    assert_eq!(config.to_string(), "mongodb+srv://cluster.example.invalid/shop/orders");
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let long = format!("mongodb://h/{}/c", "x".repeat(64));
    let long_too = format!("mongodb://h/d/{}", "x".repeat(254));
    for (url, said) in [
        ("http://h/d/c", "is not a MongoDB URL"),
        ("mongodb:h/d/c", "is not a MongoDB URL"),
        ("mongodb:///d/c", "has no host"),
        ("mongodb://h", "must name a database and a collection"),
        ("mongodb://h/d", "must name a database and a collection"),
        ("mongodb://h/d/", "must name a database and a collection"),
        ("mongodb://h//c", "must name a database and a collection"),
        ("mongodb://h/d/c/e", "more than a database and a collection"),
        ("mongodb://h/a.b/c", "has '.' in the database's name"),
        ("mongodb://h/d/a$b", "has '$' in the collection's name"),
        ("mongodb://h/d/system.users", "begins with \"system.\""),
        (&long, "more than 63 bytes"),
        (&long_too, "more than 255 bytes"),
        ("mongodb://h:x/d/c", "cannot be used"),
        ("mongodb://h/d/c?socketTimeoutMS=5", "set the destination's timeout"),
        ("mongodb+srv://a,b/d/c", "exactly one host"),
        ("mongodb://h/d/c?proxyHost=p", "asks for a proxy"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/d/c", "Unix socket"),
        ("mongodb://h,x.sock/d/c", "Unix socket"),
        ("mongodb://256.0.0.1/d/c", "\"256.0.0.1\", which is no host"),
    ] {
        let error = parse(url).expect_err(url);
        assert!(error.contains(said), "{url}: {error}");
    }
    assert!(MongoConfig::parse("mongodb://h/d/c", Mode::Insert, Duration::ZERO, &EgressPolicy::default()).is_err());
}

#[test]
fn a_weaker_write_concern_is_refused() {
    for option in ["w=0", "w=1", "w=3", "w=somewhere", "journal=false", "w=majority&journal=false"] {
        let error = parse(&format!("mongodb://h/d/c?{option}")).expect_err(option);
        assert!(error.contains("remove"), "{option}: {error}");
    }
    for option in ["w=majority", "journal=true", "retryWrites=true&w=majority", "wtimeoutMS=100"] {
        assert!(parse(&format!("mongodb://h/d/c?{option}")).is_ok(), "{option}");
    }
}

#[test]
fn nothing_that_is_printed_has_the_credentials() {
    let url = "mongodb://someone:hunter2@h/d/c?authMechanism=PLAIN&authMechanismProperties=TOKEN:quux1";
    let config = parse(url).unwrap();
    for shown in [format!("{config:?}"), config.to_string(), format!("{config:#?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("someone") && !shown.contains("quux1"), "{shown}");
    }
    assert_eq!(config.redactor.excerpt("no: hunter2\n\u{7}for quux1"), "no: [secret] for [secret]");
}

#[test]
fn no_mistake_in_a_url_gives_its_password_away() {
    for url in [
        "mongodb://me:hunter2?x@h/d/c",
        "mongodb://me:hunter2/x@h/d/c",
        "mongodb://me:hunter2:x@h/d/c",
        "mongodb://me:hunter2%zz@h/d/c",
        "mongodb://me:hunter2%@h/d/c",
        "mongodb://h/d/c?hunter2",
        "mongodb://me:x@h/d/c?authMechanism=hunter2",
        "mongodb://me:x@h/d/c?authMechanism=PLAIN&authMechanismProperties=hunter2",
        "mongodb://me:hunter2@h:port/d/c",
        "mongodb://me:hunter2@/d/c",
        "mongodb://me:hunter2@h",
        "mongodb://me:hunter2@h/d/c?w=1",
        "me:hunter2@h/d/c",
    ] {
        let error = parse(url).expect_err(url);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn no_spelling_of_a_forbidden_address_is_taken() {
    let mut count = 0;
    for (host, url) in hosts(BLOCKED_ADDRESSES, BLOCKED_URLS) {
        for url in [format!("mongodb://{host}/d/c"), format!("mongodb://h.example,{host}:27018/d/c"), url] {
            let error = parse(&url).expect_err(&url);
            assert!(error.contains("egress.allow"), "{url}: {error}");
            count += 1;
        }
    }
    assert!(count >= 500, "{count}");
    for (host, url) in hosts(PERMITTED_ADDRESSES, PERMITTED_URLS) {
        for url in [format!("mongodb://{host}/d/c"), url] {
            parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }
}

/// The corpus' addresses, and its URLs' hosts as they were written, each with a MongoDB URL that has a user.
fn hosts(addresses: &str, urls: &str) -> Vec<(String, String)> {
    let address = |text: &str| match text.parse() {
        Ok(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => text.to_owned(),
    };
    let written = |url: &str| {
        // Only what a MongoDB URL can be told of in the same way: a scheme, two slashes, maybe a user, a host.
        let rest = url.strip_prefix("http://")?;
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        let host = authority.rsplit('@').next()?;
        let port = host.rfind(':').filter(|colon| !host[*colon..].contains(']'));
        Some(host[..port.unwrap_or(host.len())].to_owned()).filter(|host| !host.is_empty())
    };
    let all = words(addresses).map(address).chain(words(urls).filter_map(written));
    all.map(|host| (host.clone(), format!("mongodb://me:secret@{host}:27017/d/c?tls=true"))).collect()
}

#[test]
fn what_the_operator_opens_is_taken() {
    let open = EgressPolicy::allowing(["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()]);
    let parse = |url| MongoConfig::parse(url, Mode::Insert, TIMEOUT, &open);
    assert!(parse("mongodb://10.0.0.1,127.1:27018/d/c").is_ok());
    let error = parse("mongodb://10.0.0.1,192.168.0.1/d/c").unwrap_err().to_string();
    assert_eq!(
        error,
        "192.168.0.1 may not be connected to: it is a private address (RFC 1918); an operator can open it with \
         egress.allow = [\"192.168.0.0/16\"]"
    );
}
