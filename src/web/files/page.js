// Keeps a page up to date. Without it all works but that.
"use strict";
(() => {
  const LINES_MAX = 5000;
  const PAUSE_MS = 1000;
  let running = false;
  let again = false;
  let logs = null;

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
    const focus = place(part);
    if (focus === "stay" || part.innerHTML === next.innerHTML) return;
    part.replaceWith(next);
    const found = focus === "self" ? next : focus && next.querySelector(focus);
    if (found) found.focus();
  }

  // Asks for the page once more, and takes over the parts of it that have changed.
  async function refresh() {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const parts = document.querySelectorAll("[data-part]");
      if (!answer.ok || parts.length === 0) { location.reload(); return; }
      for (const part of parts) {
        const next = page.getElementById(part.id);
        if (next) put(part, document.adoptNode(next));
      }
      renew(page);
      follow();
    } catch {
      // The server is away: the stream of changes says when it is back.
    }
    setTimeout(() => { running = false; if (again) { again = false; refresh(); } }, PAUSE_MS);
  }

  // Another attempt has another log.
  function renew(page) {
    const log = document.querySelector("[data-log]");
    const next = page.querySelector("[data-log]");
    const attempt = (of) => of.dataset.log.split("&")[0];
    if (!log || !next || !next.dataset.log || attempt(log) === attempt(next)) return;
    if (logs) logs.close();
    log.closest("section").replaceWith(document.adoptNode(next.closest("section")));
  }

  // Adds lines to a log as they are written.
  function follow() {
    const log = document.querySelector("[data-log]");
    if (!log || !log.dataset.log || log.dataset.open) return;
    log.dataset.open = "1";
    let lines = log.textContent.split("\n").length;
    const source = new EventSource(log.dataset.log);
    logs = source;
    const add = (text) => {
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.append(text + "\n");
      lines += 1;
      if (lines > LINES_MAX) { log.firstChild.remove(); lines -= 1; }
      if (atEnd) log.scrollTop = log.scrollHeight;
    };
    log.scrollTop = log.scrollHeight;
    source.addEventListener("line", (event) => add(event.data));
    source.addEventListener("note", (event) => add(event.data));
    source.addEventListener("end", () => source.close());
  }

  if (document.body.dataset.live) {
    const source = new EventSource(document.body.dataset.live);
    const news = document.getElementById("news");
    source.addEventListener("change", refresh);
    source.addEventListener("open", () => { news.textContent = ""; });
    source.addEventListener("error", () => { news.textContent = "No longer live: connecting again …"; });
  }
  follow();
})();
