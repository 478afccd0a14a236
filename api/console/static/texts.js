// The texts that this page was given, in its language.

const told = JSON.parse(document.getElementById("texts").textContent);

export const language = document.body.dataset.lang;

/** Return a text with its values put in. */
export function t(key, values = {}) {
  return told[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Write a length of time [ms] as the server does; to the second where the last hour runs. */
export function span(ms, seconds = false) {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days > 0) return t("span.days", { days, hours });
  if (hours > 0) return t("span.hours", { hours, minutes });
  if (seconds) return `${minutes}:${String(whole % 60).padStart(2, "0")}`;
  return t("span.minutes", { minutes });
}

/** Write a temperature given in tenths of a degree. */
export function temp(tenths) {
  return t("temp.value", { temp: (tenths / 10).toFixed(1) });
}
