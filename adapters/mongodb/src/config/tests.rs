use super::*;

const TIMEOUT: Duration = Duration::from_secs(15);

fn parse(url: &str) -> Result<MongoConfig, String> {
    MongoConfig::parse(url, Mode::Insert, TIMEOUT).map_err(|error| error.to_string())
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
    ] {
        let error = parse(url).expect_err(url);
        assert!(error.contains(said), "{url}: {error}");
    }
    assert!(MongoConfig::parse("mongodb://h/d/c", Mode::Insert, Duration::ZERO).is_err());
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
