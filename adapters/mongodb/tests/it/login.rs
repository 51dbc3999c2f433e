//! TLS and authentication by way of the URL, against a real server of the test's own.

use crate::events::{COLLECTION, LONG, deliver, event, retry_reason, sink_at};
use laneway_domain::Outcome;
use laneway_mongodb::Mode;
use laneway_servers::mongodb::{MongoOptions, MongoServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(2);
const PASSWORD: &str = "hunter2-and-more";

async fn outcome(url: &str, timeout: Duration) -> Outcome {
    let sink = sink_at(url, Mode::Insert, timeout);
    let shown = format!("{sink:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    deliver(&sink, &[event("e", "k", 1)]).await.remove(0)
}

#[tokio::test]
async fn the_urls_user_logs_in_and_another_is_told_so_without_the_password() {
    let login = Some(("laneway".to_owned(), PASSWORD.to_owned()));
    let options = MongoOptions { login, ..MongoOptions::default() };
    let Some(server) = MongoServer::own_or_skip("authentication", options).await else { return };
    let url = server.url(COLLECTION, "");
    assert_eq!(outcome(&url, LONG).await, Outcome::Delivered);
    let wrong = url.replace(PASSWORD, "hunter2-wrong");
    let nobody = url.replace(&format!("laneway:{PASSWORD}@"), "");
    let elsewhere = url.replace("authSource=admin", "authSource=other");
    for (url, said) in [
        (&wrong, "check user, password and authSource"),
        (&elsewhere, "check user, password"),
        (&nobody, "needs the role readWrite"),
    ] {
        let outcome = outcome(url, SHORT).await;
        let reason = retry_reason(&outcome);
        assert!(reason.contains(said) && !reason.contains("hunter2"), "{reason}");
    }
}

fn write(folder: &Path, name: &str, pem: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, pem).unwrap();
    path
}

/// An authority's certificate, and one that it issued for 127.0.0.1, with its key.
fn issued(folder: &Path, name: &str) -> [PathBuf; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    [
        write(folder, &format!("{name}-certificate.pem"), &certificate.pem()),
        write(folder, &format!("{name}-key.pem"), &key.serialize_pem()),
        write(folder, &format!("{name}-authority.pem"), &issuer.pem()),
    ]
}

#[tokio::test]
async fn tls_is_spoken_and_a_certificate_of_another_authority_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let files = issued(folder.path(), "server");
    let [_, _, stranger] = issued(folder.path(), "stranger");
    let options = MongoOptions { tls: Some(files.clone()), ..MongoOptions::default() };
    let Some(server) = MongoServer::own_or_skip("TLS", options).await else { return };
    let url = server.url(COLLECTION, "");
    assert_eq!(outcome(&url, LONG).await, Outcome::Delivered);
    let other = url.replace(files[2].to_str().unwrap(), stranger.to_str().unwrap());
    let missing = url.replace("server-authority", "no-such-file");
    let plain = url.split('?').next().unwrap().to_owned();
    for (url, said) in [(&other, "certificate"), (&missing, "the TLS options"), (&plain, "MongoDB")] {
        let outcome = outcome(url, SHORT).await;
        assert!(retry_reason(&outcome).contains(said), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_a_retry() {
    for url in ["mongodb://no-such-host.invalid/d/c", "mongodb+srv://no-such-host.invalid/d/c"] {
        let outcome = outcome(url, SHORT).await;
        assert!(
            retry_reason(&outcome).contains("MongoDB") || retry_reason(&outcome).contains("looked up"),
            "{outcome:?}"
        );
    }
}
