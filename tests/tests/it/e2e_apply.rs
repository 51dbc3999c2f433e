//! A set of destinations that lives in a file, laid over a running server with `laneway destinations apply`.

use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::Value;

/// Writes the file and applies it; what was printed, and whether it succeeded.
fn applied(installation: &Installation, file: &str, flags: &[&str]) -> (Vec<String>, String, bool) {
    let path = installation.folder().join("destinations.toml");
    std::fs::write(&path, file).expect("it can be written");
    let path = path.to_string_lossy().into_owned();
    let output = installation
        .run_with(&[&["destinations", "apply", path.as_str()], flags].concat(), &[("A_TOKEN", "a-secret-of-the-file")]);
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    (lines, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.success())
}

fn shown(installation: &Installation, name: &str) -> Option<Value> {
    let output = installation.run(&["destinations", "show", name]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_says_what_destinations_there_are() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let url = receiver.url();
    let installation = Installation::new(&Settings::destinations(&[webhook("own", &url, "")]));
    let server = installation.start().await;
    let table = |name: &str, lines: &str| format!("[[destination]]\nname = '{name}'\nurl = '{url}/a-path'\n{lines}\n");

    let both = table("a", "bearer = 'env:A_TOKEN'") + &table("b", "types = ['x']");
    let made = || vec!["+ a".to_owned(), "+ b".to_owned()];
    let (said, _, good) = applied(&installation, &both, &["--dry-run"]);
    assert_eq!((said, good), (made(), true));
    assert_eq!(shown(&installation, "a"), None, "it was only asked");
    let (said, _, good) = applied(&installation, &both, &[]);
    assert_eq!((said, good), (made(), true));
    assert_eq!(shown(&installation, "a").expect("it is there")["settings"]["bearer"], "…");

    // What is not shown is compared too: only the server can say that nothing differs.
    let (said, _, good) = applied(&installation, &both, &["--dry-run"]);
    assert_eq!((said, good), (vec!["nothing to change".to_owned()], true));
    let other = both.replacen("/a-path", "/another-path", 1).replace("'x'", "'x', 'y'");
    let (said, _, good) = applied(&installation, &other, &[]);
    assert_eq!((said, good), (vec!["~ a: changed url".to_owned(), "~ b: changed types".to_owned()], true));

    // One mistake, and nothing is done of the others either.
    let mistake = table("a", "rate = 7") + &table("b", "types = ['x']\nordering = 'none'") + &table("c", "");
    let (said, why, good) = applied(&installation, &mistake, &[]);
    assert!(!good && said.len() == 1 && said[0].starts_with("! b: ordering cannot be changed"), "{said:?}");
    assert!(why.contains("nothing was changed: one destination"), "{why}");
    assert_eq!(shown(&installation, "a").expect("it is there")["settings"]["rate"], Value::Null);
    assert_eq!(shown(&installation, "c"), None);

    // One of the server's own file.
    let (said, _, good) = applied(&installation, &table("own", "rate = 7"), &[]);
    assert!(!good && said[0].contains("--adopt"), "{said:?}");
    let (said, why, good) = applied(&installation, &table("own", "rate = 7"), &["--adopt"]);
    assert_eq!((said, good), (vec!["~ own: taken over from the configuration file".to_owned()], true));
    assert!(why.contains("2 destinations are not in the file, and stay"), "{why}");

    // What the file does not name is deleted only if that is said, twice.
    let (_, why, good) = applied(&installation, &table("own", "rate = 7"), &["--prune"]);
    assert!(!good && why.contains("Delete 2 of them (a, b)"), "{why}");
    let series = async |name: &str| {
        let page = server.client().get("/metrics").await.expect("an answer").text();
        page.lines().filter(|line| line.contains(&format!("destination=\"{name}\""))).count()
    };
    assert!(series("a").await > 0 && series("own").await > 0);
    let (said, _, good) = applied(&installation, &table("own", "rate = 7"), &["--prune", "--yes"]);
    assert_eq!((said, good), (vec!["- a".to_owned(), "- b".to_owned()], true));
    assert_eq!((shown(&installation, "a"), shown(&installation, "b")), (None, None));
    assert_eq!(series("a").await, 0, "a destination that is gone leaves no series");
    assert!(series("own").await > 0);
    server.stop();
}
