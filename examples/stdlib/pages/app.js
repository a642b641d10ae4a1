// Runs an automation without leaving the page. Without this script the form
// works too, and shows the JSON.
for (const form of document.querySelectorAll("[data-automation]")) {
  const outcome = form.closest("section").querySelector("[data-outcome]");
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
