//! Settings that cannot be used are refused when the sink is made, and say which they are.

use crate::events::{SECRET, config};
use laneway_webhook::{Credentials, Secret, TlsOptions, WebhookConfig, WebhookSink};
use std::time::Duration;

fn refusal(config: WebhookConfig) -> String {
    let text = WebhookSink::new(config).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    text
}

fn base() -> WebhookConfig {
    config("https://h.example/")
}

#[test]
fn a_url_that_cannot_be_used_is_refused() {
    for url in ["", "h.example", "/hooks", "ftp://h.example/", "http://", "http://[fe80::1%25eth0]/", "http://h:99999/"]
    {
        assert!(refusal(WebhookConfig { url: url.into(), ..base() }).starts_with("url: "), "{url}");
    }
}

#[test]
fn an_address_that_is_not_permitted_is_refused_at_once_in_any_spelling() {
    for url in
        ["http://10.0.0.1/", "http://0x7f.1/", "http://2130706433/", "http://[::ffff:10.0.0.1]/", "http://u@[::1]/"]
    {
        let text = refusal(WebhookConfig::new(url));
        assert!(text.contains("egress.allow"), "{url}: {text}");
    }
}

#[test]
fn a_header_that_is_not_the_operators_to_set_is_refused() {
    for name in ["Host", "content-type", "Webhook-Id", "ce-x", "laneway-attempt", "transfer-encoding", "a b", ""] {
        let text = refusal(WebhookConfig { headers: vec![(name.into(), Secret::new("hunter2"))], ..base() });
        assert!(text.starts_with(&format!("header {name:?}")), "{text}");
    }
    refusal(WebhookConfig { headers: vec![("x".into(), Secret::new("hunter2\r\nx: y"))], ..base() });
}

#[test]
fn credentials_are_given_once() {
    let bearer = || Some(Credentials::Bearer(Secret::new("hunter2")));
    let header = vec![("Authorization".into(), Secret::new("hunter2"))];
    refusal(WebhookConfig { credentials: bearer(), headers: header.clone(), ..base() });
    refusal(WebhookConfig { credentials: bearer(), ..config("https://me:hunter2@h.example/") });
    refusal(WebhookConfig { headers: header.clone(), ..config("https://me:hunter2@h.example/") });
    let colon = Credentials::Basic { user: "a:b".into(), password: Secret::new("hunter2") };
    refusal(WebhookConfig { credentials: Some(colon), ..base() });
    refusal(WebhookConfig { credentials: Some(Credentials::Bearer(Secret::new("hunter2\n"))), ..base() });
    WebhookSink::new(WebhookConfig { headers: header, ..base() }).unwrap();
}

#[test]
fn other_settings_are_checked_too() {
    assert!(refusal(WebhookConfig { timeout: Duration::ZERO, ..base() }).starts_with("timeout"));
    for status in [200, 299, 600, 0] {
        assert!(refusal(WebhookConfig { reject: vec![422, status], ..base() }).contains(&status.to_string()));
    }
    let secrets = vec![Secret::new(SECRET), Secret::new("hunter2")];
    assert!(refusal(WebhookConfig { secrets, ..base() }).starts_with("secret 2"));
}

#[test]
fn tls_settings_that_cannot_be_read_are_named() {
    let with = |tls| WebhookConfig { tls, ..base() };
    for ca in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(refusal(with(TlsOptions { ca: Some(ca.into()), client_certificate: None })).starts_with("tls.ca"));
    }
    let client_certificate = Some(("x".to_owned(), Secret::new("hunter2")));
    assert!(refusal(with(TlsOptions { ca: None, client_certificate })).starts_with("tls.certificate"));
}
