import { connect } from "/connect/connect.js";

/** @param {Element} element */
const outcomeOf = (element) => element.closest("[data-place]").querySelector("[data-outcome]");

// Runs an automation without leaving the page. If this script does not run, the form
// leads to a page with the result.
for (const form of document.querySelectorAll("[data-automation]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    show(form, { progress: "Opening a browser session…" });
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      let last = {};
      for await (const update of updates(response)) show(form, (last = update));
      if (last.progress) throw new Error("the response is incomplete");
    } catch {
      show(form, { message: "The app cannot be reached. Try again in a moment." });
    } finally {
      button.disabled = false;
    }
  });
}

/** Yields the JSON values of a response, one per line, as they arrive. @param {Response} response */
async function* updates(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    text += value ?? "";
    const lines = text.split("\n");
    text = done ? "" : lines.pop();
    for (const line of lines) if (line.trim()) yield JSON.parse(line);
    if (done) return;
  }
}

/** Shows the progress or the result of a run. @param {HTMLFormElement} form */
function show(form, { progress, inbox, sessionId, error, message }) {
  const place = form.closest("[data-place]");
  const result = place.querySelector("[data-inbox]");
  result.hidden = !inbox;
  result.replaceChildren();
  if (inbox) {
    const list = document.createElement("ul");
    for (const subject of inbox.subjects) list.append(Object.assign(document.createElement("li"), { textContent: subject }));
    result.append(list, Object.assign(new Image(), { src: inbox.screenshot, alt: `Screenshot: ${inbox.title}` }));
    progress = `${inbox.title}. Letters: ${inbox.subjects.length}. The browser session has ended.`;
  }
  if (error === "needs_sign_in") {
    Object.assign(place.querySelector("[data-badge]"), { className: "badge off", textContent: "Needs a new sign-in" });
  }
  place.querySelector("[data-outcome]").textContent =
    progress ?? message ?? `Browser session ${sessionId} is open and signed in.`;
}

// The forms connect without this script. These are two other ways.
const ways = {
  // If the browser blocks the popup, connect leaves this page and comes back to it.
  async popup(form) {
    const { connection, label, return_to: returnTo } = Object.fromEntries(new FormData(form));
    const application = form.dataset.connect || undefined;
    const outcome = await connect({ popup: true, application, connection, label, returnTo });
    if (outcome === "connected") location.assign(returnTo);
    else outcomeOf(form).textContent = outcome === "cancelled" ? "Nothing was changed." : "The account could not be connected. Try again.";
  },

  // What htmx does with hx-post: it follows HX-Redirect, and inserts an error as markup.
  async htmx(form) {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", headers: { "HX-Request": "true" }, body });
    const to = response.headers.get("HX-Redirect");
    if (to) location.assign(to);
    else outcomeOf(form).innerHTML = await response.text();
  },
};

document.querySelector("[data-ways]").hidden = false;
for (const form of document.querySelectorAll("[data-connect]")) {
  form.addEventListener("submit", (event) => {
    const way = ways[document.querySelector("[name=way]:checked").value];
    if (!way) return;
    event.preventDefault();
    way(form);
  });
}
