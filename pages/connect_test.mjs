// Tests of connect.js and popup.js as they are served, in Node.js: windows,
// channels, the network and time are fakes. TestModuleRunsInNode runs them, with
// the two files in SERVED.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import test from "node:test";

const served = process.env.SERVED;
const { connect } = await import(pathToFileURL(`${served}/tools/connect/connect.mjs`).href);
const popupScript = readFileSync(`${served}/popup.js`, "utf8");

// A world is what a page has around it. What happens in it is noted in log.
function world({ blocked, framed, start = { redirectUrl: "https://hosted.test/?token=t", popup: "id" }, status = [{ connected: false, connections: [] }] } = {}) {
  const w = { log: [], focus: true, channels: [], listeners: [], posts: [], closed: [], origin: "https://app.test", start, status };
  w.win = {
    closed: false,
    opener: {},
    abroad: false,
    document: { documentElement: { style: {} }, body: {} },
    location: {
      get href() {
        if (w.win.abroad) throw new Error("SecurityError");
        return "about:blank";
      },
      replace(url) {
        w.log.push("navigate");
        w.at = { url, opener: w.win.opener, listening: w.channels.some((c) => c.onmessage) };
      },
    },
    close() {
      w.win.closed = true;
    },
  };
  class Channel {
    constructor(name) {
      this.name = name;
      w.channels.push(this);
    }
    postMessage(data) {
      w.closed.push(data);
    }
  }
  const globals = {
    open: (...args) => {
      w.log.push("open");
      w.opened = args;
      return blocked === "null" ? null : blocked === "closed" ? { closed: true } : w.win;
    },
    fetch: async (url, options = {}) => {
      w.log.push("fetch");
      if (options.method === "POST") {
        w.posts.push({ url, headers: options.headers, body: JSON.parse(options.body) });
        await w.onStart?.();
        if (w.start instanceof Error) throw w.start;
        return { json: async () => w.start };
      }
      w.asked = url;
      const answer = w.status.length > 1 ? w.status.shift() : w.status[0];
      if (answer instanceof Error) throw answer;
      return { json: async () => answer };
    },
    BroadcastChannel: Channel,
    location: { origin: w.origin, assign: (url) => (w.left = url) },
    document: { hasFocus: () => w.focus },
    addEventListener: (type, listener) => w.listeners.push({ type, listener }),
    setInterval: (f) => (w.tick = f),
    clearInterval: () => (w.stopped = true),
    top: framed ? {} : globalThis,
    self: globalThis,
    screenX: 0,
    screenY: 0,
    outerWidth: 1000,
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  w.ticks = async (n = 1) => {
    for (let i = 0; i < n && !w.stopped; i++) await w.tick();
  };
  // say is a message on the popup's channel, from this origin unless another is named.
  w.say = (data, origin = w.origin) => w.channels[0].onmessage?.({ data, origin });
  // begin starts, and comes back when the popup is at the hosted page.
  w.begin = async (options = { popup: true }) => {
    let outcome = "open";
    w.promise = connect(options).then((o) => (outcome = o));
    await settled();
    w.outcome = () => settled().then(() => outcome);
    return w;
  };
  return w;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const connected = (...at) => ({ connected: true, connections: at.map((connectedAt) => ({ identityId: "i", connectedAt })) });

test("the popup is opened in the click, before anything is waited for", async () => {
  const w = world();
  const promise = connect({ popup: true });
  assert.deepEqual(w.log.slice(0, 1), ["open"]);
  assert.equal(w.opened[0], "");
  assert.equal(w.opened[1], "_blank", "no page can name it beforehand");
  await settled();
  w.say("connected");
  await promise;
});

test("the token is minted by a JSON post, and the popup goes to the hosted page without a hold of this one", async () => {
  const w = await world().begin({ popup: true, returnTo: "/reports" });
  assert.equal(w.posts.length, 1);
  assert.match(w.posts[0].url, /\/tools\/connect$/, "beside the module, under any prefix");
  assert.equal(w.posts[0].headers["Content-Type"], "application/json");
  assert.deepEqual(w.posts[0].body, { return_to: "/reports", popup: true });
  assert.deepEqual(w.at, { url: "https://hosted.test/?token=t", opener: null, listening: true });
  assert.equal(w.channels[0].name, "connect-id");
  assert.match(w.asked, /\/tools\/connect\/status$/);
  w.say("failed");
});

test("in a frame a window opens unasked, and shows the connect page where the frame keeps no cookies", async () => {
  for (const error of ["framed", "not_signed_in"]) {
    const w = await world({ framed: true, start: { error, message: "No." } }).begin({ returnTo: "/reports", application: "calendar" });
    assert.equal(w.left, undefined, "the frame stays");
    const url = new URL(w.at.url);
    assert.match(url.pathname, /\/tools\/connect\/calendar$/);
    assert.equal(url.search, "?return_to=%2Freports");
    assert.notEqual(w.channels[0].name, "connect-undefined");
    w.status = [connected("now")];
    w.win.closed = true;
    w.focus = false;
    await w.ticks(1);
    w.focus = true;
    await w.ticks(4);
    assert.equal(await w.outcome(), "connected");
  }
});

test("in a frame whose windows are blocked nothing begins", async () => {
  const w = world({ framed: true, blocked: "null" });
  assert.equal(await connect({ popup: true }), "failed");
  assert.deepEqual(w.posts, []);
  assert.equal(w.left, undefined);
});

test("one account of several is named by its id, and a new one by its label", async () => {
  const w = await world().begin({ popup: true, connection: "c1", label: "work" });
  assert.deepEqual(w.posts[0].body, { popup: true, connection: "c1", label: "work" });
  w.say("failed");
});

test("an application has routes of its own, and no name leads elsewhere", async () => {
  let w = await world().begin({ popup: true, application: "calendar" });
  assert.match(w.posts[0].url, /\/tools\/connect\/calendar$/);
  assert.match(w.asked, /\/tools\/connect\/calendar\/status$/);
  w.say("failed");
  w = await world().begin({ popup: true, application: "../a/b?c" });
  assert.match(w.posts[0].url, /\/tools\/connect\/\.\.%2Fa%2Fb%3Fc$/);
  w.say("failed");
});

for (const outcome of ["connected", "cancelled"]) {
  test(`a popup that says ${outcome} is closed`, async () => {
    const w = await world().begin();
    w.say(outcome);
    assert.equal(await w.outcome(), outcome);
    assert.equal(w.win.closed, true);
    assert.deepEqual(w.closed, ["close"], "also where this page has no hold of it");
    assert.equal(w.stopped, true);
  });
}

test("a popup that says failed stays open", async () => {
  const w = await world().begin();
  w.say("failed");
  assert.equal(await w.outcome(), "failed");
  assert.equal(w.win.closed, false);
  assert.deepEqual(w.closed, []);
});

test("what another origin says is not believed, nor a word that is none of the three", async () => {
  const w = await world().begin();
  w.say("connected", "https://evil.test");
  w.say("connected", "null");
  for (const data of [undefined, null, "", "close", "success", ["connected"], { type: "identity-created", identityId: "i" }]) w.say(data);
  assert.equal(await w.outcome(), "open");
  assert.deepEqual(w.listeners, [], "the window's own messages are not listened to at all");
  w.say("cancelled");
  assert.equal(await w.outcome(), "cancelled");
});

test("a popup that is closed is cancelled, after its last word had time to come", async () => {
  const w = await world().begin();
  w.win.abroad = true;
  w.focus = false;
  await w.ticks(3);
  w.win.closed = true;
  await w.ticks(2);
  assert.equal(await w.outcome(), "open");
  await w.ticks();
  assert.equal(await w.outcome(), "cancelled");
});

test("the last word counts though the popup is gone", async () => {
  const w = await world().begin();
  w.win.abroad = true;
  await w.ticks();
  w.win.closed = true;
  await w.ticks(2);
  w.say("failed");
  await w.ticks(5);
  assert.equal(await w.outcome(), "failed");
});

test("when the word was lost, the user's status tells", async () => {
  for (const [before, after, want] of [
    [{ connected: false, connections: [] }, connected("2"), "connected"],
    [connected("1"), connected("2"), "connected"],
    [connected("1"), connected("1"), "cancelled"],
    [connected("1"), connected("1", "2"), "connected"],
    [connected("1", "2"), connected("1", "3"), "connected"],
    [connected("1", "2"), connected("2"), "cancelled"],
    [connected("1"), { connected: false, connections: [] }, "cancelled"],
    [connected("1"), new Error("offline"), "cancelled"],
    [new Error("offline"), { error: "not_signed_in" }, "cancelled"],
    [new Error("offline"), connected("1"), "cancelled"],
  ]) {
    const w = await world({ status: [before, after] }).begin();
    w.win.abroad = true;
    await w.ticks();
    w.win.closed = true;
    await w.ticks(3);
    assert.equal(await w.outcome(), want);
  }
});

test("a popup that cut itself off looks closed and is waited for", async () => {
  const w = await world().begin();
  w.win.closed = true;
  await w.ticks(5);
  assert.equal(await w.outcome(), "open", "this page had the focus from the first, which tells nothing");
  w.focus = false;
  await w.ticks(500);
  assert.equal(await w.outcome(), "open");
  w.say("connected");
  assert.equal(await w.outcome(), "connected");
});

test("a popup that cut itself off is over when the person has come back", async () => {
  const w = await world().begin();
  w.win.closed = true;
  w.focus = false;
  await w.ticks(10);
  w.focus = true;
  await w.ticks(2);
  w.focus = false;
  await w.ticks(10);
  assert.equal(await w.outcome(), "open", "a glance is no return");
  w.focus = true;
  await w.ticks(2);
  assert.equal(await w.outcome(), "open", "and glances do not add up");
  await w.ticks();
  assert.equal(await w.outcome(), "cancelled");
});

test("a popup that cut itself off is over after fifteen minutes", async () => {
  const w = await world().begin();
  w.win.closed = true;
  w.focus = false;
  await w.ticks(1800);
  assert.equal(await w.outcome(), "open");
  await w.ticks(5);
  assert.equal(await w.outcome(), "cancelled");
});

test("a popup that is open is waited for without end", async () => {
  const w = await world().begin();
  w.win.abroad = true;
  await w.ticks(5000);
  assert.equal(await w.outcome(), "open");
  w.say("connected");
});

test("a popup that is closed before the start was answered is cancelled", async () => {
  const w = world();
  w.onStart = () => (w.win.closed = true);
  await w.begin();
  assert.equal(await w.outcome(), "cancelled");
  assert.equal(w.at, undefined);
});

test("a start that is refused says so in the popup", async () => {
  for (const [start, text] of [
    [{ error: "not_signed_in", message: "Sign in first." }, "Sign in first. You can close this window."],
    [new Error("offline"), "That did not work. You can close this window."],
    [{}, "That did not work. You can close this window."],
  ]) {
    const w = await world({ start }).begin();
    assert.equal(await w.outcome(), "failed");
    assert.equal(w.win.document.body.textContent, text);
    assert.equal(w.win.document.documentElement.lang, "en");
    assert.equal(w.win.document.documentElement.dir, "ltr");
    assert.equal(w.win.closed, false);
    assert.equal(w.at, undefined);
  }
});

test("where popups are blocked, the browser leaves the page", async () => {
  for (const blocked of ["null", "closed"]) {
    const w = await world({ blocked }).begin({ popup: true, returnTo: "/reports" });
    assert.equal(w.left, "https://hosted.test/?token=t");
    assert.deepEqual(w.posts[0].body, { return_to: "/reports", popup: false });
    assert.equal(await w.outcome(), "open");
  }
});

test("without a popup none is opened", async () => {
  const w = world({ start: { redirectUrl: "https://hosted.test/" } });
  connect();
  await settled();
  assert.deepEqual(w.log, ["fetch", "fetch"]);
  assert.deepEqual(w.posts[0].body, { popup: false });
  assert.equal(w.left, "https://hosted.test/");
  const failing = await world({ start: { error: "x" } }).begin({});
  assert.equal(await failing.outcome(), "failed");
  assert.equal(failing.left, undefined);
});

test("the back button may bring the page back", async () => {
  for (const [after, want] of [[{ connected: false, connections: [] }, "cancelled"], [connected("2"), "connected"]]) {
    const w = await world({ status: [{ connected: false, connections: [] }, after] }).begin({});
    assert.deepEqual(w.listeners.map((l) => l.type), ["pageshow"]);
    await w.listeners[0].listener({ persisted: false });
    assert.equal(await w.outcome(), "open");
    await w.listeners[0].listener({ persisted: true });
    assert.equal(await w.outcome(), want);
  }
});

// runPopup runs popup.js in a last page with these data, and a button or none.
function runPopup(dataset, button) {
  const w = { sent: [], closes: 0 };
  class Channel {
    constructor(name) {
      w.name = name;
      w.channel = this;
    }
    postMessage(data) {
      w.sent.push(data);
    }
  }
  const document = { currentScript: { dataset }, querySelector: (s) => (s === "[data-connect-close]" ? button : null) };
  new Function("document", "BroadcastChannel", "close", popupScript)(document, Channel, () => w.closes++);
  return w;
}

test("the popup's last page says its word once, and closes when it was heard", () => {
  const w = runPopup({ popup: "id", outcome: "cancelled" }, null);
  assert.equal(w.name, "connect-id");
  assert.deepEqual(w.sent, ["cancelled"]);
  assert.equal(w.closes, 0, "what nobody heard stays to be read");
  w.channel.onmessage({ data: "close" });
  assert.equal(w.closes, 1);
});

test("the button of the popup's last page closes it", () => {
  const button = { hidden: true };
  const w = runPopup({ popup: "id", outcome: "failed" }, button);
  assert.equal(button.hidden, false);
  button.onclick();
  assert.equal(w.closes, 1);
});
