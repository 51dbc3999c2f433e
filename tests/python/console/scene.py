"""A Laneway of the test's own, a receiver that does as it is told, and a Chromium that looks at the console."""

import contextlib
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

# How long something that is to come about may take: a busy machine is slow.
PATIENCE = 60
DESKTOP, PHONE = (1280, 900), (390, 844)


def until(what, look):
    """Looks again and again until there is something, and returns it."""
    end = time.monotonic() + PATIENCE
    while True:
        # A page that is being left, or has been changed meanwhile, is looked at again.
        with contextlib.suppress(WebDriverException):
            found = look()
            if found:
                return found
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for: {what}")
        time.sleep(0.05)


def free_port():
    """A port that nobody else gets, and the socket that keeps it so: bound, never listening, and shared with Laneway."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return kept, kept.getsockname()[1]


class Receiver:
    """Takes deliveries. `answers` says what an event's key, or its id, is answered with; 200 otherwise."""

    def __init__(self):
        self.taken, self.answers, self.lock = [], {}, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                # As CloudEvents writes them in headers.
                key, event = (urllib.parse.unquote(self.headers.get(it, "")) for it in ("ce-partitionkey", "ce-id"))
                with outer.lock:
                    status, said = outer.answers.get(event) or outer.answers.get(key) or (200, "thanks")
                    outer.taken.append({"path": self.path, "id": event, "key": key, "status": status, "body": body,
                                        "redrive": self.headers.get("laneway-redrive")})
                said = said.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/hooks"):
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def delivered(self, path="/hooks"):
        with self.lock:
            return [it["id"] for it in self.taken if it["status"] == 200 and it["path"] == path]

    def answer(self, **answers):
        with self.lock:
            self.answers = {name: value for name, value in answers.items()}


class Laneway:
    """The real binary in a folder of its own."""

    def __init__(self, folder, server=""):
        self.folder = pathlib.Path(folder)
        self.kept, self.port = free_port()
        self.base = f"http://localhost:{self.port}"
        config = f'[server]\nlisten = "127.0.0.1:{self.port}"\n{server}\n[egress]\nallow = ["127.0.0.0/8"]\n'
        (self.folder / "laneway.toml").write_text(config)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([os.environ["LANEWAY_BIN"], "serve"], cwd=self.folder, env=variables,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until("Laneway is ready", self.ready)
        except BaseException:
            self.process.kill()
            raise

    def ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError):
            return self.ask("GET", "/readyz")[0] == 200

    def ask(self, method, path, body=None, token=None, headers=None):
        """One request of the interface: the status, and what was answered."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, method=method, data=data)
        for name, value in ({"content-type": "application/json"} | (headers or {})).items():
            request.add_header(name, value)
        if token:
            request.add_header("authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def done(self, method, path, body=None, **more):
        status, answer = self.ask(method, path, body, **more)
        assert status in (200, 201, 202), (method, path, status, answer)
        return answer

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, (self.folder / "log").read_text()
        log = (self.folder / "log").read_text()
        assert '"level":"ERROR"' not in log, log


class Browser:
    """A Chromium at the console. A page that is brought up to date has other elements afterwards, so that nothing here
    gives one away: what is asked for is found, read and let go of, and found again where it went in between."""

    def __init__(self, base, script=True):
        self.base = base
        self.profile = tempfile.TemporaryDirectory(prefix="laneway-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                     "disable-component-update", "disable-sync", "disable-dev-shm-usage",
                     f"user-data-dir={self.profile.name}"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if not script:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(PATIENCE)
        self.look(DESKTOP)

    def look(self, size, dark=False):
        """As on a screen of that size, in light or dark."""
        width, height = size
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def go(self, path="/console"):
        self.driver.get(self.base + path)
        return self

    def at(self):
        return self.driver.current_url.removeprefix(self.base)

    def read(self, css, what=lambda element: element.text):
        """What there is to be read of the first such element."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return what(self.driver.find_element(By.CSS_SELECTOR, css))
            except StaleElementReferenceException:
                assert time.monotonic() < end, f"{css} at {self.at()} does not stay while it is read"

    def attribute(self, css, name):
        return self.read(css, lambda element: element.get_attribute(name))

    def text(self):
        return self.read("main")

    def heading(self):
        return self.read("h1")

    def has(self, css):
        return bool(self.driver.find_elements(By.CSS_SELECTOR, css))

    def links(self):
        """Where all links of the page lead to, as they are at one moment."""
        return self.driver.execute_script("return Array.from(document.querySelectorAll('a[href]'), link => link.href)")

    def sees(self, *texts):
        shown = self.text()
        for text in texts:
            assert text in shown, f"{text!r} is not in {self.at()}:\n{shown}"
        return self

    def until_it_shows(self, *texts):
        """Loads the page again until it shows all of that."""
        def look():
            if all(text in self.text() for text in texts):
                return True
            self.driver.refresh()
        until(f"{texts} at {self.at()}, which shows:\n{self.text()}", look)
        return self

    def click(self, by, what):
        """Clicks what leads to another page, and waits until that is there."""
        self.mark()

        def clicked():
            # Where the page is brought up to date in between, it is another element, and is looked for again.
            self.driver.find_element(by, what).click()
            return True
        until(f"{what} is clicked", clicked)
        complete = "return document.readyState === 'complete'"
        until("the next page is there", lambda: not self.is_marked() and self.driver.execute_script(complete))
        return self

    def mark(self):
        """From now on `is_marked` tells whether this page is still there, or was loaded again."""
        self.driver.execute_script("window.marked = true")

    def is_marked(self):
        return self.driver.execute_script("return window.marked === true")

    def link(self, text):
        return self.click(By.LINK_TEXT, text)

    def until_it_has(self, css):
        """Loads the page again until it has such an element."""
        until(f"{css} at {self.at()}", lambda: self.has(css) or self.driver.refresh())
        return self

    def has_link(self, text):
        return bool(self.driver.find_elements(By.LINK_TEXT, text))

    def button(self, text):
        return self.click(By.XPATH, f"//button[normalize-space()='{text}']")

    def has_button(self, text):
        return bool(self.driver.find_elements(By.XPATH, f"//button[normalize-space()='{text}']"))

    def fill(self, **fields):
        for name, value in fields.items():
            def filled():
                field = self.driver.find_element(By.NAME, name)
                field.clear()
                field.send_keys(value)
                return True
            until(f"{name} is filled in", filled)
        return self

    def choose(self, css):
        """Chooses a box."""
        def chosen():
            box = self.driver.find_element(By.CSS_SELECTOR, css)
            if not box.is_selected():
                box.click()
            return self.read(css, lambda element: element.is_selected())
        until(f"{css} is chosen", chosen)
        return self

    def is_open(self, css):
        return self.attribute(css, "open") is not None

    def fold(self, css, wide):
        """Opens what is folded up, or folds up what is open."""
        def folded():
            if self.is_open(css) != wide:
                self.driver.find_element(By.CSS_SELECTOR, f"{css} summary").click()
            return self.is_open(css) == wide
        until(f"{css} is {'open' if wide else 'folded up'}", folded)
        return self

    def sign_in(self, token):
        self.go("/console")
        assert self.at().startswith("/console/sign-in"), self.at()
        self.fill(token=token).button("Sign in")
        return self

    def complaints(self):
        """What the browser has complained about: violations of the policy, errors of a script, what could not be had."""
        return [it["message"] for it in self.driver.get_log("browser") if it["level"] in ("SEVERE", "WARNING")]

    def stop(self):
        self.driver.quit()
        self.profile.cleanup()


@contextlib.contextmanager
def scene(server="", script=True):
    """All three; a failure shows what the browser saw."""
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="laneway-console-", ignore_cleanup_errors=True))
        laneway = Laneway(folder, server)
        ends.callback(laneway.process.kill)
        receiver = Receiver()
        ends.callback(receiver.server.shutdown)
        browser = Browser(laneway.base, script)
        ends.callback(browser.stop)
        try:
            yield laneway, receiver, browser
            laneway.stop()
        except BaseException:
            with contextlib.suppress(Exception):
                print(f"--- the browser was at {browser.at()}, and saw\n{browser.text()}", flush=True)
            raise

