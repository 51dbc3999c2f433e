"""What holds for every page: who sees what, that nothing from outside does harm, and that everyone can use them."""

import html.parser
import http.client
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import time
import urllib.parse

from selenium.common.exceptions import NoAlertPresentException

from scene import DESKTOP, PHONE, scene, until

HERE = pathlib.Path(__file__).parent
TOKENS = {"boss": ["publish", "read", "operate", "admin"], "reader": ["read"], "publisher": ["publish"],
          "operator": ["read", "operate"]}
SERVER = "\n".join(
    f'[[server.token]]\nname = "{name}"\ntoken = "a-token-of-the-{name}"\nroles = {json.dumps(roles)}'
    for name, roles in TOKENS.items())


def token(name):
    return f"a-token-of-the-{name}"


def each_role_sees_what_it_may_do():
    with scene(SERVER) as (laneway, receiver, browser):
        receiver.answer(k=(400, "no"), h=(500, "no"))
        boss = token("boss")
        settings = {"url": receiver.url(), "reject": [400], "retry": {"initial": "10m"}}
        laneway.done("PUT", "/v1/destinations/shop", settings, token=boss)
        for key in ("k", "h"):
            laneway.done("POST", "/v1/events", {"id": f"e-{key}", "type": "t", "key": key}, token=boss)
        shop = "/console/destinations/shop"
        # What each sees of what can be done; the last two are dead letters' and the form for events.
        offers = {
            "boss": {"Pause…", "Edit…", "Delete…", "New secret…", "Retry 1 event now", "Discard those chosen…", "Send"},
            "operator": {"Pause…", "Retry 1 event now", "Discard those chosen…"},
            "reader": set(),
        }
        for name, offered in offers.items():
            browser.sign_in(token(name)).until_it_shows("failing")
            assert f"the token {name}" in browser.read("header")
            browser.go(shop).until_it_shows("Blocked keys", "500 Internal Server Error: no")
            seen = {it for it in offers["boss"] if browser.has_link(it) or browser.has_button(it)}
            browser.go("/console/dead-letters").until_it_shows("e-k")
            seen |= {it for it in offers["boss"] if browser.has_link(it) or browser.has_button(it)}
            assert seen == offered, (name, seen)
            for path, role in ((f"{shop}/delete", "admin"), (f"{shop}/pause", "operate"), ("/console/send", "publish")):
                browser.go(path)
                refused = browser.heading() == "The token does not open this"
                assert refused == (role not in TOKENS[name]), (name, path, browser.text())
            browser.go().button("Sign out").sees("You are signed out.")
        browser.sign_in(token("publisher"))
        browser.sees('needs one with the role "read"')
        browser.link("Send").fill(type="order.paid", id="e-3").button("Send").sees("The event e-3 is accepted")
        assert "shop" not in browser.driver.page_source


def a_session_ends_with_its_token():
    with scene(SERVER) as (laneway, receiver, browser):
        made = laneway.done("POST", "/v1/tokens", {"name": "guest", "roles": ["read"]}, token=token("boss"))["token"]
        browser.sign_in("lwt_nonsense")
        browser.sees("This token is not known.").fill(token=made).button("Sign in")
        assert browser.heading() == "Overview", browser.text()
        cookies = browser.driver.get_cookies()
        assert [(it["name"], it["httpOnly"], it["sameSite"]) for it in cookies] == [(f"laneway-{laneway.port}", True, "Lax")], cookies
        laneway.done("DELETE", "/v1/tokens/guest", token=token("boss"))
        browser.go("/console/workers").sees("Your session has ended.")
        assert browser.at() == "/console/sign-in?to=%2Fconsole%2Fworkers", browser.at()
        browser.fill(token=token("reader")).button("Sign in")
        assert browser.at() == "/console/workers"
        # A page that is open notices it by itself.
        made = laneway.done("POST", "/v1/tokens", {"name": "guest", "roles": ["read"]}, token=token("boss"))["token"]
        browser.button("Sign out").sign_in(made)
        until("the page is live", lambda: browser.read("#live") == "Live")
        laneway.done("DELETE", "/v1/tokens/guest", token=token("boss"))
        until("the page has gone", lambda: browser.at() == "/console/sign-in")
        browser.sees("Your session has ended.")


def a_token_is_made_used_and_revoked():
    with scene(SERVER) as (laneway, receiver, browser):
        browser.sign_in(token("boss")).link("Tokens").sees("boss", "yours", "the file", "No token was made or revoked")
        assert not browser.has_link("Revoke…"), "those of the file are removed there"
        browser.fill(name="Reports").button("Make 1 token").sees("Reports")
        assert browser.read("main [role=alert]"), "it says what is wrong with it"
        browser.fill(name="reports").button("Make 1 token")
        assert browser.read("main [role=alert]"), "it has no role"
        browser.choose("input[name=role][value=read]")
        browser.button("Make 1 token").sees("it is not shown again", "Its roles: read")
        made = browser.read("pre.secret")
        assert made.startswith("lwt_"), made
        assert laneway.ask("GET", "/v1/status", token=made)[0] == 200
        assert laneway.ask("POST", "/v1/events", {"type": "t"}, token=made)[0] == 403
        browser.link("Back to the tokens").sees("reports", "the interface", "the token boss", "made, with the roles read")
        assert made not in browser.driver.page_source
        browser.fill(name="reports")
        browser.choose("input[name=role][value=admin]")
        browser.button("Make 1 token").sees("reports")
        assert browser.read("main [role=alert]"), "there is one of the name"
        assert browser.attribute("input[name=role][value=admin]", "checked"), "what was chosen stays"
        browser.go("/console/tokens/boss/revoke").sees("in the configuration file")
        browser.go("/console/tokens/nobody/revoke").sees("No token has the name nobody.")
        browser.go("/console/tokens").link("Revoke…").sees("is refused from then on", "It opens: read.", "made by the token boss")
        browser.link("Cancel").link("Revoke…").button("Revoke 1 token").sees("The token reports is revoked.", "revoked")
        assert laneway.ask("GET", "/v1/status", token=made)[0] == 401
        assert not browser.has_link("Revoke…")
        # Whoever revokes the token that they are signed in with is told so, and is out.
        admin = laneway.done("POST", "/v1/tokens", {"name": "guest", "roles": ["read", "admin"]}, token=token("boss"))["token"]
        browser.button("Sign out").sign_in(admin).link("Tokens").link("Revoke…").sees("It is the one that you are signed in with")
        browser.button("Revoke 1 token").sees("Your session has ended.")


SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE = {
    "script": SCRIPT,
    "long": "x" * 1000,
    "right-to-left": "invoice\u202efdp.exe \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "template": "{{7*7}} ${7*7} </textarea></title><svg onload=alert(1)>",
    "spaces": "a  b\u00a0\u2028c",
}


def nothing_from_outside_does_harm():
    with scene() as (laneway, receiver, browser):
        receiver.answer(**{text: (400, SCRIPT + text) for text in HOSTILE.values()})
        laneway.done("PUT", "/v1/destinations/shop", {"url": receiver.url(), "reject": [400]})
        laneway.done("PUT", "/v1/destinations/held", {
            "url": receiver.url(), "on_give_up": "hold", "retry": {"initial": "10ms", "limit": "10ms"}})
        laneway.done("POST", "/v1/destinations/shop/pause", {"reason": SCRIPT})
        laneway.done("POST", "/v1/destinations/shop/resume", {})
        ids = {}
        for name, text in HOSTILE.items():
            ids[name] = f"{name} {text}"[:250]
            laneway.done("POST", "/v1/events", {"id": ids[name], "type": "t", "key": text, "source": text[:200],
                                                "subject": text, "attributes": {"note": text}, "data": {"text": text}})
        laneway.done("POST", "/v1/events", {"id": "large", "type": "t", "data": "<b>" + "y" * (256 * 1024 - 200)})
        binary = {"content-type": "application/octet-stream", "ce-specversion": "1.0", "ce-id": "binary",
                  "ce-source": "s", "ce-type": "t"}
        laneway.done("POST", "/v1/events", bytes(range(256)) * 40, headers=binary)
        browser.go("/console/destinations/shop").until_it_shows("Dead letters\n5")
        query = lambda path, **fields: path + "?" + "&".join(f"{name}={quoted(it)}" for name, it in fields.items())
        paths = ["/console", "/console/destinations/shop", "/console/destinations/held", "/console/destinations/shop/changes",
                 "/console/events", "/console/dead-letters", "/console/events/large", "/console/events/large?data=all",
                 "/console/events/binary", query("/console", search=SCRIPT), query("/console/dead-letters", key=SCRIPT),
                 query("/console/send", type=SCRIPT, data=SCRIPT), "/console/destinations/" + quoted(SCRIPT)]
        for name, text in HOSTILE.items():
            paths += ["/console/events/" + quoted(ids[name]), query("/console/keys", key=text),
                      query("/console/destinations/held/keys/skip", key="key:" + text),
                      query("/console/destinations/shop/keys/recover", key=text)]
        dead = laneway.done("GET", "/v1/dead-letters?destination=shop")["dead_letters"]
        paths += [f"/console/dead-letters/shop/{it['partition']}/{it['offset']}" for it in dead]
        for path in paths:
            for size in (DESKTOP, PHONE):
                browser.look(size)
                browser.go(path)
                assert browser.driver.title.endswith(" · Laneway"), (path, browser.driver.title)
                elements = "return [document.scripts.length, document.querySelectorAll('main img, main svg[onload], main b.x').length]"
                scripts, foreign = browser.driver.execute_script(elements)
                assert foreign == 0 and scripts <= 1, (path, scripts, foreign)
                width, shown = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
                assert width <= shown, f"{path} is {width} wide on a screen of {shown}"
                try:
                    raise AssertionError(f"{path}: {browser.driver.switch_to.alert.text}")
                except NoAlertPresentException:
                    pass
        complaints = [it for it in browser.complaints() if "the server responded with a status of 4" not in it]
        assert complaints == [], complaints
        browser.go("/console/events/binary").sees("000000  00 01 02 03", "It is no text.")
        browser.go("/console/events/" + quoted(ids["right-to-left"])).sees("invoice⟨U+202E⟩fdp.exe")
        browser.look(DESKTOP)
        browser.go("/console/events/" + quoted(ids["script"])).sees(SCRIPT)


def quoted(text):
    from urllib.parse import quote
    return quote(text, safe="")


def axe():
    """The checker of accessibility, as npm has it: installed once, from the list beside this file."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target")) / "test-npm"
    source = target / "node_modules/axe-core/axe.min.js"
    lock = HERE / "npm/package-lock.json"
    if not source.exists() or (target / "package-lock.json").read_text() != lock.read_text():
        target.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "npm" / name, target)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target, check=True,
                       stdout=subprocess.DEVNULL)
    return source.read_text()


def busy(laneway, receiver, browser):
    """A server on which everything that can be seen is to be seen; every page of it."""
    receiver.answer(**{"order-3": (500, "cannot parse the total"), "order-5": (400, "no such customer"),
                       "order-6": (503, "the database is away")})
    at = receiver.url
    for name, settings in {
        "archive": {"url": at("/archive")},
        "billing": {"url": at(), "types": ["order.*"], "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "reject": [400]},
        "ledger": {"url": at("/ledger"), "on_give_up": "hold", "retry": {"initial": "10ms", "limit": "10ms"}},
        "analytics": {"url": at("/analytics")},
    }.items():
        laneway.done("PUT", f"/v1/destinations/{name}", settings)
    laneway.done("POST", "/v1/destinations/analytics/pause", {"reason": "they move house"})
    for number in range(40):
        laneway.done("POST", "/v1/events", {
            "id": f"evt-{number}", "type": "order.placed" if number % 3 else "order.paid", "key": f"order-{number % 9}",
            "source": "shop", "subject": str(number), "data": {"total": number * 1.5, "currency": "EUR"}})
    replay = {"types": ["order.paid"]}
    laneway.done("PUT", "/v1/destinations/archive/replays/of-tuesday", replay)
    browser.go().until_it_shows("held", "failing", "paused")
    browser.go("/console/dead-letters").until_it_shows("evt-5", "evt-14")
    dead = laneway.done("GET", "/v1/dead-letters?destination=billing")["dead_letters"][0]
    return {
        "overview": "/console",
        "overview-nothing": "/console?search=nowhere",
        "destination": "/console/destinations/billing",
        "pause": "/console/destinations/billing/pause",
        "edit": "/console/destinations/billing/edit",
        "rotate": "/console/destinations/billing/rotate",
        "delete": "/console/destinations/billing/delete",
        "changes": "/console/destinations/analytics/changes",
        "replays": "/console/destinations/archive/replays",
        "skip": "/console/destinations/ledger/keys/skip?key=key%3Aorder-3",
        "recover": "/console/destinations/billing/keys/recover?key=order-5",
        "new": "/console/new",
        "events": "/console/events",
        "event": "/console/events/evt-3",
        "key": "/console/keys?key=order-3",
        "dead-letters": "/console/dead-letters?destination=billing",
        "dead-letter": f"/console/dead-letters/billing/{dead['partition']}/{dead['offset']}",
        "send": "/console/send",
        "workers": "/console/workers",
        "store": "/console/store",
        "no-tokens": "/console/tokens",
        "nothing": "/console/nothing",
    }


def tokens(laneway, browser):
    """Signs in as who may see them, and makes some; the pages of tokens."""
    for name, roles in (("reports", ["read"]), ("shop", ["publish"])):
        laneway.done("POST", "/v1/tokens", {"name": name, "roles": roles}, token=token("boss"))
    laneway.done("DELETE", "/v1/tokens/shop", token=token("boss"))
    browser.look(DESKTOP)
    browser.driver.delete_all_cookies()
    browser.sign_in(token("boss"))
    return {"tokens": "/console/tokens", "revoke": "/console/tokens/reports/revoke"}


# Of what axe looks for, what can differ between light and dark, and what can differ between a desktop and a phone.
COLOURS = {"runOnly": ["color-contrast"]}
SIZES = {"runOnly": ["target-size", "scrollable-region-focusable", "meta-viewport", "css-orientation-lock"]}
EVERYTHING = {}


def everyone_can_use_every_page():
    """No violation that axe finds, on any page, in light and dark, on a desktop and a phone. Everything is looked for in
    light on a desktop, elsewhere only what can differ there; in the long form everything everywhere."""
    checker = axe()
    found = []
    looks = [(DESKTOP, False, EVERYTHING), (DESKTOP, True, COLOURS), (PHONE, False, SIZES)]
    if os.environ.get("LANEWAY_TEST_LONG"):
        looks = [(size, dark, EVERYTHING) for size in (DESKTOP, PHONE) for dark in (False, True)]

    def check(browser, name, path):
        for size, dark, rules in looks:
            browser.look(size, dark)
            if not dark:
                browser.go(path)
                browser.driver.execute_script(checker)
            result = browser.driver.execute_async_script(
                "axe.run(document, arguments[0]).then(arguments[1], error => arguments[1](String(error)))",
                rules | {"resultTypes": ["violations"]})
            assert isinstance(result, dict), (name, result)
            checked = len(result["passes"])
            assert checked > 10 if rules is EVERYTHING else checked > 0, f"{name}: nothing was checked"
            for it in result["violations"]:
                found.append((name, size, dark, it["id"], it["help"], [node["html"] for node in it["nodes"]][:3]))

    with scene() as (laneway, receiver, browser):
        check(browser, "first run", "/console")
        for name, path in busy(laneway, receiver, browser).items():
            check(browser, name, path)
        # The plots begin with the second of their numbers.
        for name, path in (("overview with plots", "/console"), ("destination with plots", "/console/destinations/billing")):
            browser.go(path).until_it_has("#live")
            until("there are plots", lambda: browser.has(".plots") or browser.driver.refresh())
            check(browser, name, path)
    with scene(SERVER) as (laneway, receiver, browser):
        check(browser, "sign in", "/console/sign-in")
        browser.look(DESKTOP)
        browser.sign_in("wrong")
        browser.sign_in(token("publisher"))
        check(browser, "send", "/console/send")
        check(browser, "refused", "/console")
        for name, path in tokens(laneway, browser).items():
            check(browser, name, path)
    assert not found, "\n".join(map(str, found))


class Forms(html.parser.HTMLParser):
    """The forms of a page: where each goes, and the names of its fields with their values."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        it = dict(attributes)
        if tag == "form":
            self.found.append((it.get("method"), it["action"], {}))
        elif tag in ("input", "textarea", "select", "button") and it.get("name") and self.found:
            self.found[-1][2].setdefault(it["name"], []).append(it.get("value") or "")


ODD = ['"><x-mark a=1>', "' onfocus='x-mark", "", " ", "0", "-1", "1e999", "99999999999999999999", "\u202e\u0000\r\n", "{", "[1]",
       '{"url": {"a": "<x-mark>"}}', "../../v1/status", "all", "key:", "event:18446744073709551616", "%s%00", "\ufffd" * 50,
       "a" * 5000, "<x-mark>" * 500, "retry-all", "discard", "https://10.0.0.1/<x-mark>", "shop \u2028 <x-mark>"]


def no_form_is_too_odd():
    """Every form of every page, filled in with what nobody means: no error of the server, and no byte of it as markup."""
    with scene() as (laneway, receiver, browser):
        kinds, tried = fill_oddly(laneway, browser, busy(laneway, receiver, browser))
        assert kinds > 15 and tried > 120, (kinds, tried)
    with scene(SERVER) as (laneway, receiver, browser):
        kinds, tried = fill_oddly(laneway, browser, tokens(laneway, browser))
        assert kinds >= 3 and tried >= 16, (kinds, tried)


def fill_oddly(laneway, browser, paths):
    """Does so with the forms of these pages; how many there were, and how often one was sent."""
    dice = random.Random(7)
    cookie = "; ".join(f"{it['name']}={it['value']}" for it in browser.driver.get_cookies())

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection("localhost", laneway.port, timeout=60)
        headers = {"cookie": cookie, "origin": laneway.base, "content-type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, {it: headers[it] for it in headers if body is not None or it == "cookie"})
        answer = connection.getresponse()
        text, to = answer.read().decode(), answer.headers.get("location")
        connection.close()
        assert answer.status < 500, (method, path, body and body[:500], answer.status, text[:2000])
        assert "<x-mark" not in text and '"><x' not in text, (method, path, body and body[:500])
        return text, to

    forms = [form for path in paths.values() for form in Forms(ask("GET", path)[0]).found]
    kinds = {(method, action.split("?")[0], *fields): (method, action, fields) for method, action, fields in forms}
    tried = 0
    for method, action, fields in kinds.values():
        if action == "/console/sign-out":
            continue
        for _ in range(8):
            filled = {name: dice.choice([*ODD, *values]) for name, values in fields.items() if dice.random() < 0.9}
            if "ask" in fields and dice.random() < 0.5:
                # What follows once it was asked.
                filled["do"] = filled.pop("ask", "retry")
            if "csrf" in fields:
                filled["csrf"] = fields["csrf"][0]
            # What is no UTF-8 comes too.
            body = urllib.parse.urlencode(filled).replace("%EF%BF%BD", "%ff")
            if method == "post":
                _, to = ask("POST", action, body)
                if to:
                    ask("GET", to)
            else:
                ask("GET", action + "?" + body)
            tried += 1
    return len(kinds), tried


def pictures():
    """Makes the pictures of docs/console, in the folder LANEWAY_PICTURES: each page in light and dark, on a desktop and a
    phone. Not a test: it is asked for by its name."""
    folder = pathlib.Path(os.environ["LANEWAY_PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    with scene() as (laneway, receiver, browser):
        picture(browser, folder, "first-run", "/console")
        every = busy(laneway, receiver, browser)
        for name, path in every.items():
            picture(browser, folder, name, path)
        # Again those with plots, once these have something to show.
        for number in range(300):
            laneway.done("POST", "/v1/events", {"type": "order.placed", "key": f"order-{number % 30}", "data": {"n": number}})
            time.sleep(0.3 + 0.25 * math.sin(number / 20))
        for name in ("overview", "destination"):
            picture(browser, folder, name, every[name])
    with scene(SERVER) as (laneway, receiver, browser):
        picture(browser, folder, "sign-in", "/console/sign-in")
        for name, path in tokens(laneway, browser).items():
            picture(browser, folder, name, path)


def picture(browser, folder, name, path):
    """All four in one, somewhat smaller."""
    import io

    from PIL import Image

    shots = []
    for size in (DESKTOP, PHONE):
        for dark in (False, True):
            browser.look(size, dark)
            browser.go(path)
            if browser.driver.execute_script("return document.querySelector('[data-live]') !== null"):
                until("it is live", lambda: browser.read("#live") == "Live")
            shots.append(Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())))
    browser.look(DESKTOP)
    height = max(shot.height for shot in shots)
    sheet = Image.new("RGB", (sum(shot.width for shot in shots) + 20 * (len(shots) - 1), height), "#808080")
    along = 0
    for shot in shots:
        sheet.paste(shot, (along, 0))
        along += shot.width + 20
    small = sheet.resize((sheet.width * 6 // 10, sheet.height * 6 // 10), Image.Resampling.LANCZOS)
    small.save(folder / f"{name}.webp", quality=70, method=6)


ALL = (
    each_role_sees_what_it_may_do,
    a_session_ends_with_its_token,
    a_token_is_made_used_and_revoked,
    nothing_from_outside_does_harm,
    no_form_is_too_odd,
    everyone_can_use_every_page,
)
