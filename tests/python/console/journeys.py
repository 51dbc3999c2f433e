"""From a symptom to its cure, as somebody goes it."""

from scene import scene, until


def event(laneway, id, key, type="order.placed", **more):
    laneway.done("POST", "/v1/events", {"id": id, "type": type, "key": key, "data": {"id": id}} | more)


def from_nothing_to_a_first_delivery(script=True):
    with scene(script=script) as (laneway, receiver, browser):
        browser.go().sees("A first delivery", "There is no destination yet", f"curl -X PUT {laneway.base}/v1/destinations")
        browser.link("add a destination")
        # What is wrong is told beside its field, and nothing that was written is lost.
        browser.fill(name="shop", url="http://10.0.0.1/hooks", rate="many").button("Add")
        browser.sees("is no number")
        browser.fill(rate="").button("Add")
        browser.sees("10.0.0.1")
        browser.fill(url=receiver.url()).button("Add")
        assert browser.heading() == "shop", browser.text()
        browser.sees("shop is made.", "Every partition follows it")
        browser.link("Send")
        browser.fill(type="order.placed", key="order-7", id="evt-1", data='{"total": 12.50}').button("Send")
        browser.sees("The event evt-1 is accepted")
        assert browser.at().startswith("/console/events/evt-1?at="), browser.at()
        browser.until_it_shows("delivered", "200").sees('{"total": 12.50}')
        assert receiver.delivered() == ["evt-1"]
        assert receiver.taken[0]["body"] == b'{"total": 12.50}'
        browser.link("Overview")
        assert "A first delivery" not in browser.text(), browser.text()


def the_same_without_a_script():
    from_nothing_to_a_first_delivery(script=False)
    a_blocked_key_is_found_and_mended(script=False)


def a_blocked_key_is_found_and_mended(script=True):
    with scene(script=script) as (laneway, receiver, browser):
        receiver.answer(**{"order-8": (500, "no such warehouse")})
        laneway.done("PUT", "/v1/destinations/billing", {"url": receiver.url(), "retry": {"initial": "10m"}})
        laneway.done("PUT", "/v1/destinations/archive", {"url": receiver.url("/archive"), "retry": {"initial": "10m"}})
        for number in range(1, 4):
            event(laneway, f"a{number}", "order-7")
            event(laneway, f"b{number}", "order-8")
        browser.go().until_it_shows("failing", "no such warehouse")
        # What needs somebody comes first.
        assert browser.read("tbody tr th a") in ("billing", "archive")
        browser.link("billing").until_it_shows("Blocked keys", "order-8").sees("500 Internal Server Error: no such warehouse")
        browser.link("order-8")
        assert browser.heading() == "Key order-8"
        browser.sees("Where it stands", "blocked", "waiting", "b1", "b2", "b3")
        browser.link("b2").sees("It waits for b1")
        browser.link("b1").sees("no such warehouse")
        receiver.answer()
        for destination in ("archive", "billing"):
            browser.go("/console/destinations/" + destination).until_it_shows("Retry 1 event now").button("Retry 1 event now")
            browser.sees(f"The failed event of key:order-8 is attempted at {destination} now.")
        until("everything is delivered", lambda: len(receiver.delivered()) == 6 and len(receiver.delivered("/archive")) == 6)
        assert [id for id in receiver.delivered() if id.startswith("b")] == ["b1", "b2", "b3"]
        browser.go("/console/keys?key=order-8").until_it_shows("It is blocked at none of the destinations.")


def a_held_key_is_skipped():
    with scene() as (laneway, receiver, browser):
        receiver.answer(b1=(500, "never"))
        settings = {"url": receiver.url(), "on_give_up": "hold", "retry": {"initial": "10ms", "limit": "10ms"}}
        laneway.done("PUT", "/v1/destinations/billing", settings)
        event(laneway, "b1", "order-8")
        event(laneway, "b2", "order-8")
        browser.go("/console/destinations/billing").until_it_shows("held").link("Skip…")
        assert browser.heading() == "Skip the failed event?", browser.text()
        browser.sees("That is one event.", "has failed", "never", "2 events wait for billing in all.").button("Skip 1 event")
        browser.sees("it is a dead letter, and the key goes on")
        until("the next one is delivered", lambda: receiver.delivered() == ["b2"])


def a_dead_letter_is_recovered_with_its_successors():
    with scene() as (laneway, receiver, browser):
        receiver.answer(b2=(400, "<b>bad total</b>"))
        laneway.done("PUT", "/v1/destinations/billing", {"url": receiver.url(), "reject": [400]})
        for number in range(1, 5):
            event(laneway, f"b{number}", "order-8")
        until("the others are delivered", lambda: receiver.delivered() == ["b1", "b3", "b4"])
        browser.go().until_it_shows("dead letters").link("Dead letters")
        browser.until_it_shows("b2").sees("<b>bad total</b>").link("b2")
        assert browser.heading() == "Dead letter b2 at billing"
        browser.sees('{"id": "b2"}', "Its last failures")
        receiver.answer()
        browser.link("Recover its key…")
        browser.sees("goes back to its first dead letter", "3 events").button("Deliver 3 events again")
        browser.sees("is delivered again at billing")
        until("all are delivered again", lambda: receiver.delivered() == ["b1", "b3", "b4", "b2", "b3", "b4"])
        assert [it["redrive"] for it in receiver.taken[-3:]] == ["true"] * 3
        browser.go("/console/dead-letters").until_it_shows("There are no dead letters.")
        browser.go("/console/destinations/billing/replays").until_it_has(".way .badge.good").sees("3 events are delivered again")


def dead_letters_are_chosen_counted_retried_and_discarded():
    with scene() as (laneway, receiver, browser):
        receiver.answer(**{f"e{number}": (400, "bad") for number in range(6)})
        laneway.done("PUT", "/v1/destinations/billing", {"url": receiver.url(), "reject": [400]})
        for number in range(6):
            event(laneway, f"e{number}", f"order-{number}")
        browser.go("/console/dead-letters").until_it_shows(*(f"e{number}" for number in range(6)))
        browser.button("Retry those chosen…").sees("No dead letter was chosen.")
        receiver.answer()
        for id in ("e1", "e4"):
            browser.choose(f"input[aria-label='Choose {id} at billing']")
        browser.button("Retry those chosen…").sees("beside the order")
        assert browser.heading() == "Retry 2 dead letters?"
        browser.button("Retry 2 dead letters").sees("2 dead letters are attempted once more.")
        until("they are delivered", lambda: sorted(receiver.delivered()) == ["e1", "e4"])
        until("they are gone", lambda: not browser.go("/console/dead-letters?destination=billing").has_link("e1"))
        browser.fill(type="invoice.*").button("Filter").sees("No dead letter is like that.")
        browser.fill(type="order.*", status="400", key="order-3").button("Filter")
        browser.button("Discard all of the filter…")
        assert browser.heading() == "Discard 1 dead letter?"
        browser.link("Cancel").button("Discard all of the filter…").button("Discard 1 dead letter")
        browser.sees("1 dead letter is discarded.")
        until("it is counted", lambda: laneway.done("GET", "/v1/status")["destinations"][0]["dead_letters"] == 3)


def a_destination_lives_and_dies():
    with scene() as (laneway, receiver, browser):
        browser.go("/console/new").fill(name="shop", url=receiver.url(), types="order.*").button("Add")
        browser.sees("A test event is 1 event of Laneway's own", "0 events wait for shop in all, and a test touches none").button("Send a test event").sees("The receiver took the test event with status 200", "It said: thanks")
        browser.link("Pause…").sees("Nothing is lost").fill(reason="they move house").button("Pause shop")
        browser.sees("shop is paused.").until_it_shows("paused by an operator: they move house")
        event(laneway, "e1", "a")
        browser.until_it_shows("Waiting\n1")
        assert not browser.has_link("Pause…") and not receiver.delivered()[1:], receiver.delivered()
        browser.go("/console/destinations/shop").sees("1 event waits for shop in all", "Resuming delivers them in their order.").button("Resume").sees("shop is resumed")
        until("what waited is delivered", lambda: "e1" in receiver.delivered())

        browser.go("/console/destinations/shop").link("Edit…")
        assert browser.attribute("#types", "value") == "order.*"
        browser.sees("0 events wait for it now", "counts for events that are accepted after the change")
        laneway.done("PATCH", "/v1/destinations/shop", {"rate": 100})
        browser.fill(types="invoice.*").button("Save").sees("Somebody else has made or changed it meanwhile.")
        browser.go("/console/destinations/shop/edit").fill(types="invoice.*").button("Save").sees("shop is changed.")
        settings = laneway.done("GET", "/v1/destinations/shop")["settings"]
        assert (settings["types"], settings["rate"]) == (["invoice.*"], 100), settings
        browser.link("who changed what").sees("types")

        browser.go("/console/destinations/shop").link("New secret…").button("Make a new secret")
        secret = browser.read("pre.secret")
        assert secret.startswith("whsec_"), secret
        browser.link("Back to shop")
        assert secret not in browser.driver.page_source

        laneway.done("POST", "/v1/destinations/shop/pause", {})
        for number in range(3):
            event(laneway, f"i{number}", f"k{number}", "invoice.paid")
        browser.until_it_shows("Waiting\n3").link("Delete…").sees("3 waiting events", "0 dead letters").button("Delete shop")
        browser.sees("shop is deleted, and 3 events were dropped for it.")
        assert browser.at() == "/console", browser.at()
        assert laneway.ask("GET", "/v1/destinations/shop")[0] == 404


def events_are_replayed():
    with scene() as (laneway, receiver, browser):
        laneway.done("PUT", "/v1/destinations/shop", {"url": receiver.url()})
        for number in range(4):
            event(laneway, f"e{number}", "a", "order.placed" if number % 2 else "order.paid")
        until("all are delivered", lambda: len(receiver.delivered()) == 4)
        browser.go("/console/destinations/shop").link("Replay…").sees("Nothing is replayed")
        browser.fill(types="order.*x,").button("Count them…").sees("0 events")
        browser.go("/console/destinations/shop/replays")
        browser.fill(**{"from": "yesterday"}).button("Count them…").sees("yesterday")
        browser.fill(**{"from": ""}).fill(types="order.paid").button("Count them…")
        browser.sees("2 events would be delivered to shop once more").button("Deliver 2 events again")
        browser.sees("has begun.").until_it_has(".way .badge.good")
        until("they are delivered again", lambda: receiver.delivered() == ["e0", "e1", "e2", "e3", "e0", "e2"])
        browser.button("Forget").sees("has ended.").until_it_shows("Nothing is replayed")


def what_is_shown_is_kept_up_to_date():
    with scene() as (laneway, receiver, browser):
        receiver.answer(**{"order-8": (500, "no such warehouse")})
        laneway.done("PUT", "/v1/destinations/billing", {"url": receiver.url(), "retry": {"initial": "10m"}})
        browser.go()
        until("it says so", lambda: browser.read("#live") == "Live")
        browser.mark()
        event(laneway, "b1", "order-8")
        # Nobody loads the page again.
        until("the overview shows it", lambda: "no such warehouse" in browser.text())
        assert browser.heading() == "Overview" and browser.is_marked()
        browser.link("billing")
        until("it is live", lambda: browser.read("#live") == "Live")
        browser.fold("#last details", wide=True).mark()
        event(laneway, "b2", "order-7")
        until("the numbers change", lambda: "1 a minute" in browser.text() or len(receiver.delivered()) == 1)
        event(laneway, "b3", "order-8")
        until("the numbers change", lambda: "Waiting\n2" in browser.text())
        # What somebody reads is not taken away.
        assert browser.is_open("#last details") and browser.is_marked()
        browser.fold("#last details", wide=False)
        browser.driver.execute_script("document.activeElement.blur()")
        until("the attempts are shown", lambda: "b2" in browser.read("#last"))
        receiver.answer()
        browser.button("Retry 1 event now")
        until("it is mended", lambda: "everything is delivered as it comes" in browser.text())
        assert browser.complaints() == []
        laneway.process.terminate()
        assert laneway.process.wait(8) == 0, "it waited for a page that is open"
        until("it says so", lambda: browser.read("#live").startswith("Not live"))
        laneway.stop = lambda: None


ALL = (
    from_nothing_to_a_first_delivery,
    the_same_without_a_script,
    a_blocked_key_is_found_and_mended,
    a_held_key_is_skipped,
    a_dead_letter_is_recovered_with_its_successors,
    dead_letters_are_chosen_counted_retried_and_discarded,
    a_destination_lives_and_dies,
    events_are_replayed,
    what_is_shown_is_kept_up_to_date,
)
