//! TLS on the way in, with the real binary, and curl as somebody else's client; and behind proxies.

use laneway_tests::effort::skipped;
use laneway_tests::ports;
use laneway_tests::server::{Installation, Running, Settings};
use laneway_tls::{Authority, Certified};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "a-token-of-the-file-for-everything";
/// How long a process may take to start, or to see that a certificate was renewed (it looks every 10 s).
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(100);

fn write(folder: &Path, name: &str, (chain, key): &Certified) {
    fs::write(folder.join(format!("{name}.key")), key).unwrap();
    fs::write(folder.join(format!("{name}.pem")), chain).unwrap();
}

fn settings(lines: &str) -> Settings {
    let server = format!(
        "tokens = [\"{TOKEN}\"]\n[server.tls]\ncertificate = \"file:server.pem\"\nkey = \"file:server.key\"\n{lines}"
    );
    let shop = "[[server.token]]\nname = \"shop\"\ncertificate = \"shop.internal\"\nroles = [\"publish\"]";
    let rest = if lines.is_empty() { String::new() } else { shop.to_owned() };
    Settings { rest, ..Settings::default().server(&server) }
}

/// Waits until this is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come about in {PATIENCE:?}");
        std::thread::sleep(GLANCE);
    }
}

/// What an operator does on the server's own machine: the configuration says where it is and which certificate it has.
fn started(installation: &Installation) -> Running {
    let server = installation.begin();
    until("the server", || installation.run(&["ready"]).status.success());
    server
}

/// The status and the body that curl gets, or what it says of the connection.
fn curl(installation: &Installation, arguments: &[&str], path: &str) -> Result<(u16, String), String> {
    let url = format!("https://{}{path}", installation.address());
    let mut command = Command::new("curl");
    command.current_dir(installation.folder()).args(["-sS", "-w", "\n%{http_code}"]);
    let output = command.args(arguments).arg(url).output().expect("curl runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(err.into_owned());
    }
    let (body, status) = out.rsplit_once('\n').expect("curl writes the status last");
    Ok((status.parse().expect("a status"), body.to_owned()))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A server that has a certificate of the first authority, takes those of the second from clients, and knows a shop.
fn installed(lines: &str) -> (Installation, Authority, Authority) {
    let (ours, clients) = (Authority::new(), Authority::new());
    let installation = Installation::new(&settings(&format!("client_ca = \"file:clients.pem\"\n{lines}")));
    let folder = installation.folder();
    write(folder, "server", &ours.certificate(&["127.0.0.1"]));
    write(folder, "shop", &clients.certificate(&["shop.internal"]));
    fs::write(folder.join("clients.pem"), clients.pem()).unwrap();
    fs::write(folder.join("ca.pem"), ours.pem()).unwrap();
    (installation, ours, clients)
}

#[test]
fn clients_are_known_by_certificates_and_certificates_are_renewed() {
    let (installation, ours, clients) = installed("");
    let folder = installation.folder();
    write(folder, "nobody", &clients.certificate(&["nobody.internal"]));
    write(folder, "stranger", &ours.certificate(&["shop.internal"]));
    let server = started(&installation);

    let event = ["--cacert", "ca.pem", "--json", r#"{"type":"t"}"#];
    let sent = |who: &[&str]| curl(&installation, &[&event[..], who].concat(), "/v1/events").map(|(status, _)| status);
    assert_eq!(sent(&[]), Ok(401));
    assert_eq!(sent(&["--cert", "shop.pem", "--key", "shop.key"]), Ok(202));
    assert_eq!(sent(&["--cert", "nobody.pem", "--key", "nobody.key"]), Ok(401));
    assert_eq!(sent(&["-H", &format!("authorization: Bearer {TOKEN}")]), Ok(202));
    assert!(sent(&["--cert", "stranger.pem", "--key", "stranger.key"]).is_err(), "another authority's certificate");
    // It is somebody with a role, as a token is.
    let shop = ["--cacert", "ca.pem", "--cert", "shop.pem", "--key", "shop.key"];
    assert_eq!(curl(&installation, &shop, "/v1/status").unwrap().0, 403);
    let protocol = Command::new("curl")
        .current_dir(folder)
        .args(["-sS", "--cacert", "ca.pem", "-o", "/dev/null", "-w", "%{http_version}"])
        .arg(format!("https://{}/healthz", installation.address()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&protocol.stdout), "2", "by ALPN");
    // Whoever forgets TLS is told.
    let plain = Command::new("curl").arg("-sS").arg(format!("http://{}/healthz", installation.address())).output();
    let plain = String::from_utf8_lossy(&plain.unwrap().stdout).into_owned();
    assert!(plain.contains("write https://"), "{plain}");

    // From elsewhere, a command trusts whom it is told to.
    let url = format!("https://{}", installation.address());
    let status = |flags: &[&str]| {
        installation.run_with(
            &[&["status", "--server", &url, "--token", TOKEN], flags].concat(),
            &[("SSL_CERT_FILE", "clients.pem")],
        )
    };
    assert!(status(&["--ca", "ca.pem"]).status.success());
    let untrusted = told(&status(&[]));
    assert!(untrusted.contains("certificate") && untrusted.contains("--ca"), "{untrusted}");

    // Another authority signs a new certificate, which counts without anybody telling the process.
    let next = Authority::new();
    fs::write(folder.join("ca.pem"), next.pem()).unwrap();
    write(folder, "server", &next.certificate(&["127.0.0.1"]));
    until("the renewed certificate", || sent(&["--cert", "shop.pem", "--key", "shop.key"]) == Ok(202));
    // What cannot be used changes nothing.
    fs::write(folder.join("server.key"), "broken").unwrap();
    until("the error", || {
        installation.stdout().contains("cannot be used") || installation.stderr().contains("cannot be used")
    });
    assert_eq!(sent(&["--cert", "shop.pem", "--key", "shop.key"]), Ok(202));
    server.stop();
}

#[test]
fn nobody_gets_in_without_a_certificate_where_one_is_required() {
    let (installation, ..) = installed("require_client = true");
    let server = installation.begin();
    let with = ["ready", "--client-certificate", "shop.pem", "--client-key", "shop.key"];
    until("the server", || installation.run(&with).status.success());
    let refused = told(&installation.run(&["ready"]));
    assert!(refused.contains("certificate"), "{refused}");
    let trusting = ["--cacert", "ca.pem"];
    assert!(curl(&installation, &trusting, "/healthz").is_err());
    let shop = ["--cacert", "ca.pem", "--cert", "shop.pem", "--key", "shop.key"];
    assert_eq!(curl(&installation, &shop, "/healthz").unwrap().0, 200);
    server.stop();
}

#[test]
fn what_is_wrong_with_certificates_is_told_before_anything_starts() {
    let ours = Authority::new();
    let installation = Installation::new(&settings(""));
    let folder = installation.folder();
    let (chain, _) = ours.certificate(&["127.0.0.1"]);
    let (_, other_key) = ours.certificate(&["127.0.0.1"]);
    let refused = || told(&installation.run(&["check"]));
    assert!(refused().contains("cannot read the secret's file \"server.pem\""), "{}", refused());
    write(folder, "server", &(chain, other_key));
    assert!(refused().contains("server.tls.key: is not the key of the certificate's first entry"), "{}", refused());
    write(folder, "server", &ours.certificate(&["127.0.0.1"]));
    installation.configure(&settings("require_client = true"));
    assert!(refused().contains("server.tls.require_client: has no effect"), "{}", refused());
    installation.configure(&settings("# Nobody signs for clients."));
    assert!(refused().contains("certificate: has no effect without server.tls.client_ca"), "{}", refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_a_door_of_their_own() {
    let operators = ports::free();
    let door = format!("operator_listen = \"{operators}\"");
    let installation = Installation::new(&Settings::default().server(&door));
    let server = installation.start().await;
    let asked = |address: std::net::SocketAddr, path: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        let output = command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]).args(more);
        let output = output.arg(format!("http://{address}{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let event = ["--json", r#"{"type":"t"}"#];
    for (path, more, for_producers) in [
        ("/healthz", &[][..], "200"),
        ("/readyz", &[], "200"),
        ("/openapi.json", &[], "200"),
        ("/v1/events", &event, "202"),
        ("/v1/status", &[], "404"),
        ("/v1/destinations", &[], "404"),
        ("/metrics", &[], "404"),
        ("/console", &[], "404"),
    ] {
        assert_eq!(asked(installation.address(), path, more), for_producers, "{path}");
        let everything = if for_producers == "404" { "200" } else { for_producers };
        assert_eq!(asked(operators, path, more), everything, "{path}");
    }
    // Events that may not be listed here may be sent here.
    assert_eq!(asked(installation.address(), "/v1/events", &[]), "405");
    // Commands on this machine find the door.
    assert!(installation.run(&["status"]).status.success());
    server.stop();
}

/// A proxy that ends with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Option<Proxy> {
    let log = fs::File::create(folder.join("proxy.log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("HOME", folder).env("XDG_DATA_HOME", folder);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    child.map(Proxy).ok()
}

/// The file of `deploy/proxy`, with the places of the test in it.
fn configuration(name: &str, installation: &Installation, port: u16) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/proxy").join(name);
    let folder = installation.folder().display();
    let text = fs::read_to_string(file).unwrap();
    text.replace("127.0.0.1:8080", &installation.address().to_string())
        .replace("/etc/laneway", &folder.to_string())
        .replace("laneway.example:8443", &format!("https://127.0.0.1:{port}"))
        .replace("listen 8443", &format!("listen 127.0.0.1:{port}"))
}

async fn works_behind(name: &str, begin: impl FnOnce(&Installation, u16) -> Option<Proxy>) {
    let ours = Authority::new();
    let boss = format!("[[server.token]]\nname = \"boss\"\ntoken = \"{TOKEN}\"\nroles = [\"publish\", \"admin\"]");
    let installation = Installation::new(&Settings { rest: boss, ..Settings::default() });
    let folder = installation.folder();
    write(folder, "server", &ours.certificate(&["127.0.0.1"]));
    fs::write(folder.join("ca.pem"), ours.pem()).unwrap();
    let server = installation.start().await;
    let port = ports::free().port();
    let Some(_proxy) = begin(&installation, port) else { return skipped(&format!("{name} is not here")) };
    let authorization = format!("authorization: Bearer {TOKEN}");
    let through = |arguments: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command.current_dir(folder).args(["-sS", "--cacert", "ca.pem", "-w", "\n%{http_code} %{http_version}"]);
        let url = format!("https://127.0.0.1:{port}{path}");
        let output = command.args(["-H", &authorization]).args(arguments).arg(url).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let log = || fs::read_to_string(folder.join("proxy.log")).unwrap_or_default();
    until(&format!("{name}: {}", log()), || through(&[], "/healthz").ends_with("200 2"));
    // A batch beyond what nginx takes by default.
    let line = format!("{{\"type\":\"t\",\"data\":\"{}\"}}\n", "x".repeat(200_000));
    fs::write(folder.join("batch"), line.repeat(20)).unwrap();
    let batch = ["-H", "content-type: application/x-ndjson", "--data-binary", "@batch"];
    let said = through(&batch, "/v1/events/batch");
    assert!(said.ends_with("202 2"), "{name}: {said}\n{}", log());
    // The proxy's word counts, not the client's.
    let link = ["-H", "x-forwarded-proto: http", "--json", r#"{"tenant":"acme"}"#];
    let said = through(&link, "/v1/portal-links");
    assert!(said.contains(&format!("https://127.0.0.1:{port}/console")), "{name}: {said}\n{}", log());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_behind_nginx_as_that_is_configured_in_the_repository() {
    works_behind("nginx", |installation, port| {
        let (folder, site) = (installation.folder(), configuration("nginx.conf", installation, port));
        let text = format!(
            "pid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path body;\n\
             proxy_temp_path proxy;\nfastcgi_temp_path f;\nuwsgi_temp_path u;\nscgi_temp_path s;\n{site}}}\n"
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let prefix = folder.display().to_string();
        run(
            folder,
            "nginx",
            &["-p", &prefix, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off;"],
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_behind_caddy_as_that_is_configured_in_the_repository() {
    works_behind("Caddy", |installation, port| {
        let (folder, site) = (installation.folder(), configuration("Caddyfile", installation, port));
        let text = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}");
        fs::write(folder.join("Caddyfile"), text).unwrap();
        run(folder, "caddy", &["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
    })
    .await;
}
