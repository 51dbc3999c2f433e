//! What every answer says to the browser, in the manner of what Mozilla's Observatory looks for.

use crate::{Browser, Server, tokens};
use http::StatusCode;

const PAGES: [&str; 9] = [
    "/console",
    "/console/workers",
    "/console/store",
    "/console/sign-in",
    "/console/nowhere",
    "/console/destinations/none",
    "/console/destinations/none/pause",
    "/console/assets/0/console.css",
    "/console/assets",
];

#[tokio::test]
async fn every_answer_has_every_header_whatever_it_is() {
    for server in [Server::open(), Server::with(tokens())] {
        for path in PAGES {
            let page = Browser::new(&server).get(path).await;
            let policy = page.header("content-security-policy");
            let directives: Vec<&str> = policy.split("; ").collect();
            for directive in [
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'self'",
            ] {
                assert!(directives.contains(&directive), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
            assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
            assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(page.header("cross-origin-resource-policy"), "same-origin", "{path}");
            assert_eq!(page.header("cache-control"), "no-store", "{path}");
            if let Some(cookie) = page.headers.get("set-cookie") {
                let cookie = cookie.to_str().unwrap();
                assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{path}: {cookie}");
            }
        }
    }
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_hold_no_script_or_style_of_their_own() {
    let server = Server::open();
    let browser = Browser::new(&server);
    for path in PAGES {
        let text = browser.get(path).await.text;
        for (name, value) in attributes(&text) {
            assert!(!name.starts_with("on") && name != "style", "{path}: {name}={value}");
            if ["src", "href", "action", "formaction"].contains(&name) {
                assert!(value.starts_with("/console") || value.starts_with('#'), "{path}: {name}={value}");
            }
        }
        assert!(!text.contains("<style") && !text.contains("<iframe") && !text.contains("<script>"), "{path}");
    }
}

/// Every attribute of a page, with its value.
fn attributes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("=\"").zip(text.split("=\"").skip(1)).map(|(before, after)| {
        let name = before.rsplit([' ', '\n']).next().unwrap_or_default();
        (name, after.split('"').next().unwrap_or_default())
    })
}

#[tokio::test]
async fn the_style_is_kept_until_it_changes_and_another_version_of_it_is_not_there() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let page = browser.get("/console").await;
    let at = page.text.find("/console/assets/").unwrap();
    let style = attributes(&page.text).map(|(_, value)| value).find(|value| value.ends_with(".css")).unwrap();
    let found = browser.get(style).await;
    assert_eq!((found.status, found.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert!(found.header("cache-control").contains("immutable"));
    assert!(!found.text.contains("http") && !found.text.contains("@import"), "it loads something");
    assert!(page.text[at..].starts_with(style.rsplit_once('/').unwrap().0));
    let other = browser.get("/console/assets/0123456789abcdef/console.css").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}
