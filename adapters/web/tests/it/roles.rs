//! What each role sees: what it may not do is not offered.

use crate::{BOSS, Browser, OPERATOR, PUBLISHER, READER, Server, named, tokens};
use http::StatusCode;
use laneway_domain::DestinationStatus;

#[tokio::test]
async fn each_role_sees_what_it_may_do() {
    let server = Server::with(tokens());
    server.tells(vec![DestinationStatus::idle(named("billing"), true)]);
    for (token, overview, test) in
        [(BOSS, 200, true), (OPERATOR, 200, true), (READER, 200, false), (PUBLISHER, 403, false)]
    {
        let browser = Browser::signed_in(&server, token).await;
        assert_eq!(browser.get("/console").await.status.as_u16(), overview, "{token}");
        assert_eq!(browser.get("/console/workers").await.status.as_u16(), overview, "{token}");
        let page = browser.get("/console/destinations/billing").await;
        assert_eq!(page.status.as_u16(), overview, "{token}");
        assert_eq!(page.text.contains("Send a test event"), test, "{token}");
        let asks = if test { StatusCode::OK } else { StatusCode::FORBIDDEN };
        for path in ["pause", "keys/skip?key=all"] {
            let path = format!("/console/destinations/billing/{path}");
            assert_eq!(browser.get(&path).await.status, asks, "{token} {path}");
        }
        // Whoever may not look is told what is missing, and not what there is.
        assert_eq!(page.text.contains("billing.example"), overview == 200, "{token}");
    }
}

/// Pages that ask what is to be done, and the roles of those who may do it.
const ASKS: [(&str, &[&str]); 9] = [
    ("/console/new", &[BOSS]),
    ("/console/destinations/billing/edit", &[BOSS]),
    ("/console/destinations/billing/delete", &[BOSS]),
    ("/console/destinations/billing/rotate", &[BOSS]),
    ("/console/destinations/billing/pause", &[BOSS, OPERATOR]),
    ("/console/destinations/billing/keys/recover?key=a", &[BOSS, OPERATOR]),
    ("/console/send", &[BOSS, PUBLISHER]),
    ("/console/tokens", &[BOSS]),
    ("/console/tokens/shop/revoke", &[BOSS]),
];

#[tokio::test]
async fn what_a_role_may_not_do_it_is_not_even_asked() {
    let server = Server::with(tokens());
    server.tells(vec![DestinationStatus::idle(named("billing"), true)]);
    for token in [BOSS, OPERATOR, READER, PUBLISHER] {
        let browser = Browser::signed_in(&server, token).await;
        for (path, may) in ASKS {
            let page = browser.get(path).await;
            // (Destinations cannot be changed over this server at all: 501.)
            assert_eq!(page.status == StatusCode::FORBIDDEN, !may.contains(&token), "{token} {path}: {}", page.status);
        }
        let links = browser.get("/console/sign-in").await;
        assert_eq!(links.status, StatusCode::SEE_OTHER, "{token} is signed in");
    }
    for (token, offered) in [
        (BOSS, &["Overview", "Events", "Dead letters", "Send", "Workers", "Tokens"][..]),
        (OPERATOR, &["Overview", "Events", "Dead letters", "Workers"]),
        (PUBLISHER, &["Send"]),
    ] {
        let page = Browser::signed_in(&server, token).await.get("/console/nowhere").await;
        for name in ["Overview", "Events", "Dead letters", "Send", "Workers", "Tokens"] {
            assert_eq!(page.text.contains(&format!(">{name}</a>")), offered.contains(&name), "{token} {name}");
        }
    }
}

#[tokio::test]
async fn what_a_process_cannot_do_is_not_offered_there() {
    for (server, offered) in [(Server::open(), true), (Server::that_only_delivers(), false)] {
        let browser = Browser::new(&server);
        assert_eq!(browser.get("/console").await.text.contains(">Send</a>"), offered);
        assert_eq!(browser.get("/console/send").await.status == StatusCode::OK, offered);
    }
}
