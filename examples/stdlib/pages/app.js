import { connect } from "/connect/connect.js";

/** @param {Element} element */
const outcomeOf = (element) => element.closest("section").querySelector("[data-outcome]");

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

// Connects in a popup. Where popups are blocked the browser leaves this page, and
// comes back.
for (const button of document.querySelectorAll("[data-popup]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const outcome = await connect({
      popup: true,
      application: button.dataset.popup || undefined,
      returnTo: "/dashboard?connected=true",
    });
    if (outcome === "connected") location.assign("/dashboard?connected=true");
    else outcomeOf(button).textContent = outcome === "cancelled" ? "Nothing was connected." : "That did not work. Try again.";
  });
}

// What htmx does with hx-post and an answer that has HX-Redirect.
for (const button of document.querySelectorAll("[hx-post]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const response = await fetch(button.getAttribute("hx-post"), { method: "POST", headers: { "HX-Request": "true" } });
    const to = response.headers.get("HX-Redirect");
    if (to) location.assign(to);
    else outcomeOf(button).textContent = "That did not work. Try again.";
  });
}
