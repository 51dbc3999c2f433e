// The console's only script: it keeps what is shown up to date, and reads links that sign in. Without it, every page works
// as it is.
"use strict";

(() => {
  // A link's secret stands where no server and no other page is told of it. It does not stay in the address either.
  const form = document.getElementById("enter");
  const secret = location.hash.slice(1);
  if (location.pathname === "/console/enter") {
    // Another link, where one was opened before: without a change before the # a browser would load nothing.
    addEventListener("hashchange", () => {
      if (location.hash.startsWith("#lwp_")) location.replace(`${location.pathname}?${Date.now()}${location.hash}`);
    });
  }
  if (!form || !secret.startsWith("lwp_")) return;
  history.replaceState(null, "", location.pathname);
  form.querySelector("#link").value = secret;
  form.submit();
})();

(() => {
  const state = document.getElementById("live");
  const parts = () => document.querySelectorAll("[data-live]");
  if (!state || parts().length === 0) return;
  // How long to wait before a stream is asked for again that was refused.
  const AGAIN = 15000;
  let source = null;
  let asking = false;
  let asked = Date.now();
  let waiting = null;
  let isLeaving = false;

  // The server says once why a session has ended. A second load would take the place of the page that says it.
  const leave = () => {
    if (isLeaving) return;
    isLeaving = true;
    source?.close();
    location.reload();
  };

  // Where a page takes many look-ups, it says how many seconds lie between two.
  const every = () => Math.max(0, ...Array.from(parts(), (part) => Number(part.dataset.every ?? 0))) * 1000;
  const isOpen = () => source !== null && source.readyState === EventSource.OPEN;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };

  // What somebody is about to use is not changed under their hands.
  const isInUse = (part) => {
    const chosen = document.getSelection();
    return part.contains(document.activeElement)
      || part.querySelector("details[open], input:checked") !== null
      || (chosen !== null && !chosen.isCollapsed && part.contains(chosen.anchorNode));
  };

  const show = (page) => {
    for (const part of parts()) {
      const now = page.getElementById(part.id);
      if (now !== null && now.innerHTML !== part.innerHTML && !isInUse(part)) part.replaceWith(document.importNode(now, true));
    }
  };

  const ask = async () => {
    if (asking || isLeaving || document.hidden) return;
    asking = true;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "x-laneway-live": "yes" }, redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") return leave();
      if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (!answer.ok) say("Not live: the server cannot say what there is now");
      // Without the stream nobody says when there is something new.
      else say(isOpen() ? "Live" : "Not live: the server keeps as many pages up to date as it can. It is tried again");
    } catch {
      say("Not live: the server does not answer");
    } finally {
      asking = false;
    }
  };

  const open = () => {
    if (source !== null || isLeaving || document.hidden) return;
    source = new EventSource("/console/live");
    source.addEventListener("changed", () => {
      if (Date.now() - asked >= every() || !state.textContent.startsWith("Live")) ask();
    });
    source.addEventListener("ended", leave);
    source.addEventListener("error", () => {
      say("Not live: the server does not answer");
      // One that is closed for good was refused: the session has ended, or too many pages are open.
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      ask();
      clearTimeout(waiting);
      waiting = setTimeout(open, AGAIN);
    });
  };

  // A page that nobody sees takes no connection: a browser has six of them for a server.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(waiting);
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      open();
    }
  });
  open();
})();
