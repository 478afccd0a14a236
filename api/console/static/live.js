// Follows the server: one stream tells that something has changed, the parts of the page are then asked for.

import { tell, tick } from "./clock.js";
import { t } from "./texts.js";

const AGAIN_MS = 3000;
const SPREAD_MS = 250;
const link = document.getElementById("link");
const tags = new Map();

let source = null;
let gate = null;
let busy = false;
let seen = null;
let wanted = null;

/** Let a function look at each change first; it says whether the parts of the page are to be asked for. */
export function lookFirst(look) {
  gate = look;
  if (wanted === null && seen !== null) wanted = seen;
  work();
}
/** Ask for something of this page's scope as it is at a version; null where it is what is there already. */
export async function ask(path, version, accept) {
  const query = new URLSearchParams(location.search);
  query.set("version", version);
  const headers = { Accept: accept };
  if (tags.has(path)) headers["If-None-Match"] = tags.get(path);
  const answer = await fetch(`${path}?${query}`, { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  tags.set(path, answer.headers.get("ETag"));
  return answer;
}

/** Start to follow, for as long as the page can be seen: a browser has few connections for all its tabs. */
export function follow() {
  const known = document.querySelector("[data-tag]");
  for (const one of document.querySelectorAll("[data-live]")) {
    if (known) tags.set(one.dataset.live, known.dataset.tag);
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : connect()));
  addEventListener("pagehide", leave);
  if (!document.hidden) connect();
}

function connect() {
  if (source !== null) return;
  say("connecting");
  source = new EventSource("/live");
  source.addEventListener("open", () => say("on"));
  source.addEventListener("now", heard);
  source.addEventListener("error", lost);
}

function leave() {
  source?.close();
  source = null;
}

function heard(event) {
  const { now, version } = JSON.parse(event.data);
  say("on");
  tell(now);
  seen = wanted = version;
  setTimeout(work, Math.random() * SPREAD_MS);
}

async function lost() {
  say("off");
  if (source === null || source.readyState !== EventSource.CLOSED) return;
  leave();
  setTimeout(again, AGAIN_MS * (1 + Math.random()));
}

async function again() {
  if (document.hidden || source !== null) return;
  try {
    const me = await fetch("/api/v1/me", { cache: "no-store" });
    if (me.status === 401) location.reload();
  } catch {
    // The server is away; the stream finds out when it is back.
  }
  connect();
}

async function work() {
  if (busy || wanted === null) return;
  busy = true;
  const version = wanted;
  wanted = null;
  try {
    if (gate === null || (await gate(version, tags))) await refresh(version);
  } catch {
    wanted ??= version;
    setTimeout(work, AGAIN_MS);
    return;
  } finally {
    busy = false;
  }
  if (wanted !== null) work();
}

async function refresh(version) {
  const paths = new Set([...document.querySelectorAll("[data-live]")].map((one) => one.dataset.live));
  for (const path of paths) {
    const answer = await ask(path, version, "text/html");
    if (answer !== null) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  }
}

/** Put in the parts that are different; what had the focus keeps it. */
function swap(fresh) {
  tick(fresh);
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (old === null) {
      document.querySelector("[data-tag]")?.append(part);
    } else if (!same(old, part)) {
      const focus = focused(old);
      const scrolled = [...old.querySelectorAll(".scrolls")].map((one) => [one.scrollLeft, one.scrollTop]);
      old.replaceWith(part);
      [...part.querySelectorAll(".scrolls")].forEach((one, n) => one.scrollTo(...(scrolled[n] ?? [0, 0])));
      if (focus) part.querySelector(focus)?.focus({ preventScroll: true });
    }
  }
}

function same(old, fresh) {
  return old.isEqualNode(fresh);
}

function focused(old) {
  const one = document.activeElement;
  if (!old.contains(one)) return null;
  if (one.id) return `#${CSS.escape(one.id)}`;
  return one.hasAttribute("href") ? `[href="${CSS.escape(one.getAttribute("href"))}"]` : `.${one.className}`;
}

function say(state) {
  if (link === null || link.className === state) return;
  link.className = state;
  link.textContent = t(`live.${state}`);
}
