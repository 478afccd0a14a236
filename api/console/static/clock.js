// The clock that the server tells. A wall clock runs on between two tellings, a replay's stands still.

import { language, span, t } from "./texts.js";

const body = document.body;
const replayed = body.dataset.replayed === "yes";
const shown = document.getElementById("clock");
const timeZone = body.dataset.zone;
const toTheSecond = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
const toTheMinute = new Intl.DateTimeFormat(language, {
  timeZone, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

let toldMs = body.dataset.now === "" ? null : Number(body.dataset.now);
let heardAt = performance.now();

/** Take over the time that the server has told [ms]; null while a replay has not begun. */
export function tell(ms) {
  if (ms === null) return;
  toldMs = ms;
  heardAt = performance.now();
  tick();
}

/** Return the installation's time [ms], null where it is not known. */
export function now() {
  if (toldMs === null) return null;
  return replayed ? toldMs : toldMs + performance.now() - heardAt;
}

/** Write a moment [ms] to the minute, in the company's zone. */
export function moment(ms) {
  return toTheMinute.format(ms);
}

/** Bring every running clock under an element to the time. */
export function tick(root = document) {
  const at = now();
  if (at === null) return;
  if (shown) write(shown, toTheSecond.format(at));
  for (const one of root.querySelectorAll("time[data-due]")) due(one, Number(one.dataset.due) - at);
  for (const one of root.querySelectorAll("time[data-since]")) {
    write(one, t("live.lasts", { span: span(at - Number(one.dataset.since)) }));
  }
}

function due(one, left) {
  const late = left < 0;
  write(one, t(late ? "live.late" : "live.left", { span: span(Math.abs(left), true) }));
  one.closest(".deadline")?.classList.toggle("late", late);
}

function write(one, text) {
  if (one.textContent !== text) one.textContent = text;
}

if (!replayed) setInterval(tick, 1000);
tick();
