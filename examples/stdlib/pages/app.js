// Runs the automation without leaving the page. Without this script the form
// works too, and shows the JSON.
const form = document.querySelector("[data-automation]");
const outcome = document.querySelector("[data-outcome]");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  outcome.textContent = "Opening a browser session…";
  try {
    const response = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" } });
    const body = await response.json();
    outcome.textContent = response.ok ? `Browser session ${body.sessionId} is open and signed in.` : body.message;
  } catch {
    outcome.textContent = "The app cannot be reached. Try again in a moment.";
  } finally {
    button.disabled = false;
  }
});
