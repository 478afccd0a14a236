// Every page: the clock, and what follows the records.

import { follow } from "./live.js";

for (const one of document.querySelectorAll("[data-submit]")) {
  one.addEventListener("change", () => one.form.requestSubmit());
}
follow();
