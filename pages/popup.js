
{
  // Tells the page that opened this popup how it ended; see connect.js.
  const button = document.querySelector("[data-connect-close]");
  if (button) {
    button.hidden = false;
    button.onclick = () => {
      close();
      button.hidden = true; // Where that is not allowed: the person does it.
    };
  }
  const { popup, outcome } = document.currentScript.dataset;
  const channel = new BroadcastChannel(`connect-${popup}`);
  channel.onmessage = () => close(); // Heard.
  channel.postMessage(outcome);
}
