"""The console: what dispatchers, stations and a wall screen look at, as pages that the server renders.

A page is plain HTML that works without a script; small modules of our own make it live. Nothing comes from another
host, nothing is built beforehand, and no process remembers anything about a page that is open somewhere.

How a page is added
-------------------
1. **Route.** A function in a module beside `pages` (or in it), on an `APIRouter` that `create_app` includes::

       @router.get("/visits", include_in_schema=False)
       def visits(request: Request, console: Backed, person: Signed) -> Response:
           return page(request, "visits.html", visits=...)

   `Backed` (`api.console.backing`) gives the records, the store, the standard, the zone and the clock. A function
   that is not `async` runs in a thread, and may look into the records.
2. **Who may see it.** One line in `api.access.PAGES`; without it the application does not start. Where the entry is
   `Stations.CONFINED`, the route itself shows no other station than `person.may_see`.
3. **Template.** A file in `templates/` that begins with ``{% extends "base.html" %}`` and fills the blocks ``title``,
   ``main`` and, where it has scripts, ``modules``. Every page may use

   * ``t("key", name=value)``: a text, and ``t_of("state", state)`` for one whose last part is worked out;
   * ``when(ms)``, ``span(ms)``, ``temp(celsius)``: a moment in the company's zone, a length of time, a temperature;
   * ``static("file.js")``: the address of a file in `static/`, which changes when any of them does;
   * ``person``, ``now_ms``, ``company_name``, ``lang``, ``path``.

   The policy of content allows no inline script and no style attribute: classes stand in `static/console.css`. What a
   script is to know stands in ``data-`` attributes. A name that no context gives is an error, not an empty place.
4. **Texts.** Every word that is shown stands in `texts.yaml`, in Chinese and in English. `tests/api/test_texts.py`
   finds keys without a text and texts without a use. Scripts see the texts of `texts.FOR_SCRIPTS` only.
5. **Entry in the navigation.** `NAVIGATION` in `render`: path and key of its text.
6. **Live.** A running clock is ``<time data-due="ms">``; `static/clock.js` ticks it by the clock that the server tells.
   A part that follows the records is an element with an `id` and ``data-live="/live/visits.html"``: when something has
   changed, `static/live.js` asks that address once for all such elements and puts in the ones that are different. The
   address answers with those elements and nothing else; `page` with a template that extends nothing makes it.
   What is dear to make is made once for all who see the same: `Kept` in `api.console.live`, under `version_of`.
7. **In a browser.** `tests/browser/visits.py` serves an application and opens windows; `barriers` says what axe-core
   finds. A page is done when there are none in both languages, on a wall, a desk and a telephone.
"""
