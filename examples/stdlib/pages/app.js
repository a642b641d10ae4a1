import { connect } from "/connect/connect.js";

/** @param {Element} element */
const outcomeOf = (element) => element.closest("[data-place]").querySelector("[data-outcome]");

// Runs an automation without leaving the page. Without this script the form
// works too, and shows the JSON.
for (const form of document.querySelectorAll("[data-automation]")) {
  const outcome = outcomeOf(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    outcome.textContent = "Opening a browser session…";
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      const body = await response.json();
      outcome.textContent = response.ok ? `Browser session ${body.sessionId} is open and signed in.` : body.message;
    } catch {
      outcome.textContent = "The app cannot be reached. Try again in a moment.";
    } finally {
      button.disabled = false;
    }
  });
}

// The forms that connect work by themselves. These are two other ways.
const ways = {
  // Where popups are blocked the browser leaves this page, and comes back.
  async popup(form) {
    const { connection, label, return_to: returnTo } = Object.fromEntries(new FormData(form));
    const application = form.dataset.connect || undefined;
    const outcome = await connect({ popup: true, application, connection, label, returnTo });
    if (outcome === "connected") location.assign(returnTo);
    else outcomeOf(form).textContent = outcome === "cancelled" ? "Nothing was changed." : "That did not work. Try again.";
  },

  // What htmx does with hx-post: an answer with HX-Redirect leads on, an error is a
  // piece of markup.
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
