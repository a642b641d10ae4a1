// "Connect your account" from a script: see docs/pages.md.

/** @typedef {"connected" | "cancelled" | "failed"} Outcome */

// The routes are beside this file, under any prefix.
const routes = new URL("..", import.meta.url);

// In the language of the request, when it is served.
const words = { lang: "en", dir: "ltr", wait: "One moment…", failed: "That did not work.", end: "You can close this window." };

/**
 * Connects an account, or signs in again to the one with the id connection. Call it in
 * the click, before awaiting anything, or the popup is blocked. A closed popup is
 * "cancelled"; one that "failed" stays and says why. Without a popup the browser leaves
 * this page, and ends at the local path returnTo.
 *
 * A page in a frame always opens a window. If the frame is another site's, the window
 * shows the connect page, and when it closes the user's status tells the outcome, as far
 * as the frame may know it.
 *
 * @param {{ popup?: boolean, returnTo?: string, application?: string, connection?: string, label?: string }} [options]
 * @returns {Promise<Outcome>}
 */
export async function connect({ popup = false, returnTo, application, connection, label } = {}) {
  const framed = globalThis.top !== globalThis.self;
  const win = popup || framed ? openWindow() : null;
  if (framed && !win) return "failed"; // The frame cannot come back from the hosted page.
  const route = new URL(application ? `connect/${encodeURIComponent(application)}` : "connect", routes).href;
  const [before, start] = await Promise.all([
    signIns(route),
    json(route, { return_to: returnTo, popup: !!win, connection, label }),
  ]);
  const look = async () => {
    const after = await signIns(route);
    return before && after?.some((signIn) => !before.includes(signIn)) ? "connected" : "cancelled";
  };
  if (win?.closed) return "cancelled";
  if (!start.redirectUrl) {
    if (win && framed && ["framed", "not_signed_in"].includes(start.error)) {
      const page = new URL(route);
      if (returnTo) page.searchParams.set("return_to", returnTo);
      return end(win, { redirectUrl: page.href, popup: crypto.randomUUID() }, look);
    }
    if (win) say(win, `${start.message ?? words.failed} ${words.end}`);
    return "failed";
  }
  if (win) return end(win, start, look);
  location.assign(start.redirectUrl);
  return new Promise((resolve) => {
    // The back button may bring this page back.
    addEventListener("pageshow", async ({ persisted }) => persisted && resolve(await look()));
  });
}

function openWindow() {
  const left = screenX + outerWidth / 2 - 240;
  const win = open("", "_blank", `popup,width=480,height=720,left=${left},top=${screenY + 60}`);
  if (!win || win.closed) return null;
  win.opener = null; // What it shows later gets no hold of this page.
  say(win, words.wait);
  return win;
}

/** @param {Window} win @param {string} text */
function say({ document: { documentElement: root, body } }, text) {
  root.lang = words.lang;
  root.dir = words.dir;
  root.style.cssText = "color-scheme:light dark;font:1.1rem/1.6 system-ui;padding:2rem";
  body.textContent = text;
}

/** @param {string} url @param {object} [body] */
async function json(url, body) {
  const headers = { "Content-Type": "application/json" };
  try {
    return await (await fetch(url, body && { method: "POST", headers, body: JSON.stringify(body) })).json();
  } catch {
    return {};
  }
}

/** Identifies each sign-in. @param {string} route */
async function signIns(route) {
  const { connections } = await json(`${route}/status`);
  return connections?.map(({ identityId, connectedAt }) => identityId + connectedAt);
}

/**
 * @param {Window} win @param {{ redirectUrl: string, popup: string }} start
 * @param {() => Promise<Outcome>} look @returns {Promise<Outcome>}
 */
function end(win, start, look) {
  return new Promise((resolve) => {
    const channel = new BroadcastChannel(`connect-${start.popup}`);
    // A window whose page cuts itself off looks closed, too (COOP). Unless it was
    // seen abroad before, wait for the person to come back here, or 15 minutes.
    let abroad = false, away = false, ticks = 0, gone = 0;
    const timer = setInterval(async () => {
      const here = document.hasFocus();
      away ||= !here;
      ticks++;
      try {
        if (!win.closed) void win.location.href;
      } catch {
        abroad = true;
      }
      if (!win.closed || !(abroad || (away && here) || ticks > 1800)) gone = 0;
      else if (++gone === 3) finish(await look()); // Its last word had time to come.
    }, 500);
    /** @param {Outcome} outcome */
    function finish(outcome) {
      clearInterval(timer);
      channel.onmessage = null;
      if (outcome !== "failed") {
        channel.postMessage("close");
        win.close();
      }
      resolve(outcome);
    }
    channel.onmessage = ({ origin, data }) => {
      if (origin === location.origin && ["connected", "cancelled", "failed"].includes(data)) finish(data);
    };
    win.location.replace(start.redirectUrl);
  });
}
