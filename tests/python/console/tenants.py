"""Two tenants use one console: each does what it has to do, and neither sees anything of the other."""

import datetime
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
    ['[tenants]\nschemes = ["https", "http"]\negress_allow = ["127.0.0.0/8"]'])


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
        for link in browser.links():
            target = urllib.parse.urlsplit(link)
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
        assert not browser.has_link("Workers") and browser.has_link("Tokens")
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
        for path in ("/console/workers", "/console/store"):
            browser.go(path).sees("for whoever runs the server")
        # Its own tokens it makes and revokes itself.
        browser.go("/console/tokens").fill(name="mine")
        browser.choose("input[value=read]")
        browser.button("Make 1 token").sees("Give it to whoever is to use it now")
        browser.go("/console/tokens").sees("acme:app", "acme:mine")
        assert MARK not in browser.driver.page_source and "boss" not in browser.text(), browser.text()
        browser.go("/console/tokens/acme:mine/revoke").button("Revoke 1 token").sees("The token acme:mine is revoked.")
        browser.go().button("Sign out")

        browser.sign_in(token(MARK)).until_it_shows(f"{MARK}:shop")
        assert "acme" not in browser.driver.page_source
        browser.go("/console/dead-letters").until_it_shows(f"{MARK}-1")
        browser.button("Sign out")
        browser.sign_in("a-token-of-the-boss").until_it_shows("acme:shop", f"{MARK}:shop", "crm")


def link(laneway, tenant, **asked):
    """A link to that tenant's console: where it leads to, and when it expires."""
    made = laneway.done("POST", "/v1/portal-links", {"tenant": tenant} | asked, token="a-token-of-the-boss")
    assert made["url"].startswith(f"{laneway.base}/console/enter#lwp_"), made
    return made["url"].removeprefix(laneway.base), datetime.datetime.fromisoformat(made["expires"])


def two_tenants_come_by_links():
    with scene(SERVER) as (laneway, receiver, browser):
        for tenant in ("acme", MARK):
            laneway.done("PUT", "/v1/destinations/shop", {"url": receiver.url()}, token=token(tenant))
            event = {"id": f"{tenant}-1", "type": f"{tenant}.paid", "key": "k", "data": tenant}
            laneway.done("POST", "/v1/events", event, token=token(tenant))
        of_acme, of_other = link(laneway, "acme")[0], link(laneway, MARK)[0]

        # To open a link signs nobody in: first it says whose console that is.
        browser.go(of_acme)
        until("it asks", lambda: browser.heading() == "Sign in to acme?")
        assert browser.at() == "/console/enter", "the secret stays in no address"
        browser.go()
        assert browser.heading() == "Sign in", browser.heading()
        browser.go(of_acme)
        until("it asks", lambda: browser.heading() == "Sign in to acme?")
        browser.sees("what is acme’s, and nothing else").button("Sign in to acme").until_it_shows("acme:shop")
        assert "a link of the token boss, until" in browser.read("header")
        assert not browser.has_link("Tokens") and not browser.has_link("Workers")
        pages = crawl(browser)
        assert len(pages) > 8, sorted(pages)
        for path, source in pages.items():
            assert MARK not in source and "lwp_" not in source, path
        for path in ("/console/tokens", "/console/workers"):
            browser.go(path)
            assert browser.heading() == "The token does not open this", path
        browser.go("/console/destinations/acme:shop").button("Send a test event").sees("200")

        # That of somebody else takes no session's place before it is wanted.
        browser.go(of_other)
        until("it asks", lambda: browser.heading() == f"Sign in to {MARK}?")
        browser.sees("You are signed in with a link of the token boss now. That session ends.")
        browser.go().until_it_shows("acme:shop")
        browser.go(of_other)
        until("it asks", lambda: browser.heading() == f"Sign in to {MARK}?")
        browser.button(f"Sign in to {MARK}").until_it_shows(f"{MARK}:shop")
        for path, source in crawl(browser).items():
            assert "acme" not in source, path

        # When all links of a tenant are ended, whoever came by one is out, and the page says so by itself.
        browser.go()
        laneway.done("DELETE", f"/v1/portal-links?tenant={MARK}", token="a-token-of-the-boss")
        until("the session has ended", lambda: browser.heading() == "Sign in")
        browser.sees("This link was ended")
        browser.go(of_other)
        until("it says so", lambda: browser.heading() == "This link was ended")
        browser.go(of_acme)
        until("that of the other stands", lambda: browser.heading() == "Sign in to acme?")

        # A session ends when its link expires: not before, and soon after.
        short, expires = link(laneway, "acme", lasts="8s")
        browser.go(short)
        until("it asks", lambda: browser.heading() == "Sign in to acme?")
        browser.button("Sign in to acme")
        assert browser.heading() == "Overview", browser.text()
        until("the session has ended", lambda: browser.heading() == "Sign in")
        late = (datetime.datetime.now(datetime.UTC) - expires).total_seconds()
        assert 0 <= late < 10, late
        browser.sees("This link has expired")
        browser.go(short)
        until("it says so", lambda: browser.heading() == "This link has expired")
        browser.sees("Ask whoever sent it to you for another one.")
        assert not [it for it in browser.complaints() if "410" not in it and "403" not in it]

    # Without a script it is pasted.
    with scene(SERVER, script=False) as (laneway, _, browser):
        laneway.done("PUT", "/v1/destinations/shop", {"url": "https://hooks.acme.example/"}, token=token("acme"))
        path = link(laneway, "acme")[0]
        browser.go(path).fill(link=path.split("#")[1]).button("Go on").button("Sign in to acme")
        browser.until_it_shows("acme:shop")


ALL = (
    two_tenants_see_only_their_own,
    two_tenants_come_by_links,
)
