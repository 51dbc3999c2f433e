"""Two tenants use one console: each does what it has to do, and neither sees anything of the other."""

import json
import urllib.parse

from scene import scene, until

# Everything of the other tenant has this in it, and nothing else has.
MARK = "bumblebee"
ROLES = ["publish", "read", "operate", "admin"]
SERVER = "\n".join(
    [f'[[server.token]]\nname = "boss"\ntoken = "a-token-of-the-boss"\nroles = {json.dumps(ROLES)}'] +
    [f'[[server.token]]\nname = "app"\ntenant = "{tenant}"\ntoken = "the-token-of-{tenant}"\nroles = {json.dumps(ROLES)}'
     for tenant in ("acme", MARK)] +
    ['[tenants]\nschemes = ["https", "http"]'])


def token(tenant):
    return f"the-token-of-{tenant}"


def crawl(browser):
    """Every page that a tenant can come to by links, with what its source says."""
    found, left = {}, ["/console"]
    while left:
        path = left.pop()
        if path in found or len(found) > 200:
            continue
        browser.go(path)
        found[path] = browser.driver.page_source
        for link in browser.all("a[href]"):
            target = urllib.parse.urlsplit(link.get_attribute("href"))
            if target.path.startswith("/console") and "sign-" not in target.path:
                left.append(target.path + (f"?{target.query}" if target.query else ""))
    return found


def two_tenants_see_only_their_own():
    with scene(SERVER) as (laneway, receiver, browser):
        receiver.answer(**{"order-7": (400, "no"), f"{MARK}-key": (400, MARK)})
        settings = {"url": receiver.url(), "reject": [400]}
        for tenant in ("acme", MARK):
            laneway.done("PUT", "/v1/destinations/shop", settings, token=token(tenant))
        for n in range(3):
            event = {"id": f"{MARK}-{n}", "type": f"{MARK}.paid", "key": f"{MARK}-key", "data": MARK}
            laneway.done("POST", "/v1/events", event, token=token(MARK))
        laneway.done("PUT", "/v1/destinations/crm", {"url": receiver.url("/crm")}, token="a-token-of-the-boss")

        # What one of them does every day: a destination, an event, a dead letter that goes out again.
        browser.sign_in(token("acme")).until_it_shows("acme:shop")
        assert not browser.has_link("Workers") and not browser.has_link("Tokens")
        browser.link("Send").fill(type="order.paid", id="e-1", key="order-7").button("Send").sees("e-1 is accepted")
        browser.go("/console/dead-letters").until_it_shows("e-1", "order-7")
        receiver.answer()
        browser.go("/console/keys?key=order-7").until_it_shows("Recover the key…")
        browser.link("Recover the key…").sees("Deliver 1 event again")
        browser.button("Deliver 1 event again")
        until("it came again", lambda: "e-1" in receiver.delivered())
        browser.go("/console/new").fill(name="second", url=receiver.url("/second")).button("Add")
        browser.until_it_shows("acme:second")

        pages = crawl(browser)
        assert len(pages) > 10, sorted(pages)
        for path, source in pages.items():
            assert MARK not in source and "crm" not in source, path
        # What the other one has is not there, by whatever address.
        for path in (f"/console/destinations/{MARK}:shop", f"/console/events/{MARK}-1",
                     f"/console/destinations/{MARK}:shop/edit"):
            browser.go(path)
            assert "Not found" in browser.heading() or "no " in browser.text(), (path, browser.text())
            assert f"{MARK}.paid" not in browser.driver.page_source, path
        for path in ("/console/workers", "/console/tokens", "/console/store"):
            browser.go(path).sees("for whoever runs the server")
        browser.go().button("Sign out")

        browser.sign_in(token(MARK)).until_it_shows(f"{MARK}:shop")
        assert "acme" not in browser.driver.page_source
        browser.go("/console/dead-letters").until_it_shows(f"{MARK}-1")
        browser.button("Sign out")
        browser.sign_in("a-token-of-the-boss").until_it_shows("acme:shop", f"{MARK}:shop", "crm")


ALL = (
    two_tenants_see_only_their_own,
)
