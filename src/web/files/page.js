// Keeps a page up to date. Without it all works but that.
"use strict";
(() => {
  const LINES_MAX = 5000;
  const PAUSE_MS = 1000;
  const PAUSE_MAX_MS = 10000;
  const AWAY = "No longer live: connecting again …";
  const news = document.getElementById("news");
  const pause = (failures) => Math.min(PAUSE_MS * 2 ** failures, PAUSE_MAX_MS);
  let running = false;
  let again = false;
  let failures = 0;
  // The stream of changes, and the log that is followed with its own.
  let changes = null;
  let followed = null;

  // A stream of events. Browsers connect again by themselves, but not after an answer that is none, such as that of
  // a proxy whose server is away. It is closed while the tab is hidden: a browser has six connections to a server
  // for all of its tabs.
  function stream(address, events) {
    let source = null;
    let timer = 0;
    let failed = 0;
    function shut() {
      clearTimeout(timer);
      if (source) source.close();
      source = null;
    }
    function open() {
      clearTimeout(timer);
      if (source || document.hidden) return;
      const own = new EventSource(address());
      source = own;
      for (const name of Object.keys(events)) own.addEventListener(name, events[name]);
      own.addEventListener("open", () => { failed = 0; });
      own.addEventListener("error", () => {
        if (own !== source || own.readyState !== EventSource.CLOSED) return;
        shut();
        timer = setTimeout(open, pause(failed));
        failed += 1;
      });
    }
    return { open, shut };
  }

  // Where the keyboard is within a part, as far as it can be found again in the new one.
  function place(part) {
    const at = document.activeElement;
    if (!at || !part.contains(at)) return null;
    if (at === part) return "self";
    if (at.matches("input, select, textarea")) return "stay";
    const link = at.closest("a[href]");
    if (link) return `a[href="${CSS.escape(link.getAttribute("href"))}"]`;
    const form = at.closest("form");
    return form ? `form[action="${CSS.escape(form.getAttribute("action"))}"] button` : null;
  }

  function put(part, next) {
    // What is followed has more than the page that was asked for.
    if (followed && part.contains(followed.log) && goesOn(next.querySelector("[data-log]"))) return;
    const focus = place(part);
    if (focus === "stay" || part.innerHTML === next.innerHTML) return;
    part.replaceWith(next);
    const found = focus === "self" ? next : focus && next.querySelector(focus);
    if (found) found.focus();
  }

  // Asks for the page once more, and takes over the parts of it that have changed. While the server is away the
  // old page stays.
  async function refresh() {
    if (document.hidden) return;
    if (running) { again = true; return; }
    running = true;
    let page = null;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.status < 500) {
        if (!answer.ok || !document.querySelector("[data-part]")) { location.reload(); return; }
        page = new DOMParser().parseFromString(await answer.text(), "text/html");
      }
    } catch {
      // No answer is one of these as well.
    }
    if (page) {
      take(page);
      if (failures > 0) news.textContent = "";
      failures = 0;
    } else {
      news.textContent = AWAY;
      failures += 1;
    }
    setTimeout(() => {
      running = false;
      if (again || !page) { again = false; refresh(); }
    }, page ? PAUSE_MS : pause(failures));
  }

  function take(page) {
    document.body.dataset.live = page.body.dataset.live || document.body.dataset.live;
    const log = page.querySelector("[data-log]");
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = page.getElementById(part.id);
      if (next) put(part, document.adoptNode(next));
    }
    renew(log);
    follow();
    // A stream may have ended before its log, with the server's own.
    if (followed && goesOn(log)) followed.stream.open();
  }

  const attempt = (log) => log.dataset.log.split("&")[0];

  // Whether the log that is followed is still written to, as a new page says.
  const goesOn = (next) => !!next && !!next.dataset.log && attempt(next) === attempt(followed.log);

  // Another attempt has another log.
  function renew(next) {
    const log = document.querySelector("[data-log]");
    if (!log || !next || !next.dataset.log || attempt(log) === attempt(next)) return;
    log.closest("section").replaceWith(document.adoptNode(next.closest("section")));
  }

  // Adds lines to a log as they are written.
  function follow() {
    const log = document.querySelector("[data-log]");
    if (followed && followed.log === log) return;
    if (followed) followed.stream.shut();
    followed = null;
    if (!log || !log.dataset.log) return;
    let lines = log.textContent.split("\n").length;
    let address = log.dataset.log;
    const add = (event) => {
      if (event.lastEventId) {
        address = `${address.split("&after=")[0]}&after=${encodeURIComponent(event.lastEventId)}`;
      }
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.append(event.data + "\n");
      lines += 1;
      if (lines > LINES_MAX) { log.firstChild.remove(); lines -= 1; }
      if (atEnd) log.scrollTop = log.scrollHeight;
    };
    log.scrollTop = log.scrollHeight;
    const source = stream(() => address, { line: add, note: add, end: () => source.shut() });
    followed = { log, stream: source };
    source.open();
  }

  if (document.body.dataset.live) {
    changes = stream(() => document.body.dataset.live, {
      change: refresh,
      open: () => { news.textContent = ""; },
      error: (event) => {
        news.textContent = AWAY;
        // It was answered with something else: the page itself may say what.
        if (event.target.readyState === EventSource.CLOSED) refresh();
      },
    });
    changes.open();
  }
  document.addEventListener("visibilitychange", () => {
    if (!changes) return;
    if (document.hidden) {
      changes.shut();
      if (followed) followed.stream.shut();
    } else {
      changes.open();
      // Which opens the log again as well, if there is more to come.
      refresh();
    }
  });
  follow();
})();
