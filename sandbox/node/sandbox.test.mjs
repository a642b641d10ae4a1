// Automations in JavaScript against the sandbox, configured only by the environment:
// Anchor's own SDK opens the sessions, Playwright and Puppeteer drive them.
import assert from 'node:assert/strict';
import test from 'node:test';

import Anchorbrowser, { APIError, UnprocessableEntityError } from 'anchorbrowser';
import { chromium } from 'playwright';
import puppeteer from 'puppeteer-core';

const { ANCHOR_APP_URL: appURL, ANCHOR_APPLICATION_ID: applicationID, SANDBOX_SITE_URL: site } = process.env;
const anchor = new Anchorbrowser({ maxRetries: 0 }); // the environment has the rest

// connect signs in on the hosted page, and returns the identity.
async function connect(account, password) {
  const { data } = await anchor.applications.createIdentityToken(applicationID, { callbackUrl: 'https://app.example/callback' });
  const answer = await fetch(`${appURL}/identity/create`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ token: data.token, account, password, outcome: 'approve' }),
  });
  assert.equal(answer.status, 303, await answer.text());
  return new URL(answer.headers.get('location')).searchParams.get('identity_id');
}

async function open(id, more = {}) {
  const { data } = await anchor.sessions.create({ identities: [{ id }], ...more });
  return data;
}

test('Playwright reads the inbox', async () => {
  const session = await open(await connect('ada', 'ada-letters'), { session: { initial_url: `${site}/inbox` } });
  const browser = await chromium.connectOverCDP(session.cdp_url);
  const [page] = browser.contexts()[0].pages();
  assert.equal(page.url(), `${site}/inbox`);
  assert.deepEqual(await page.locator('.subject').allTextContents(), ['Your book is ready', 'Notes on the engine', 'Your order of Saturday']);
  await page.getByText('Your book is ready').click();
  await page.waitForURL(`${site}/inbox/1`);
  assert.ok((await page.screenshot()).length > 1000);

  const another = await browser.contexts()[0].newPage();
  await another.goto(`${site}/settings`);
  assert.equal(await another.locator('h1').textContent(), 'Settings of ada');
  await browser.close(); // It disconnects; the session continues.
  assert.equal((await anchor.sessions.retrieve(session.id)).data.status, 'running');
  assert.equal((await fetch(session.live_view_url)).status, 200);

  await anchor.sessions.delete(session.id);
  assert.equal((await anchor.sessions.retrieve(session.id)).data.status, 'ended');
  await assert.rejects(chromium.connectOverCDP(session.cdp_url));
  assert.equal((await fetch(session.live_view_url)).status, 404);
});

test('Puppeteer reads another inbox', async () => {
  const session = await open(await connect('grace', 'grace-letters'));
  const browser = await puppeteer.connect({ browserWSEndpoint: session.cdp_url, defaultViewport: null });
  const page = await browser.newPage();
  await page.goto(`${site}/inbox`);
  assert.deepEqual(await page.$$eval('.subject', (all) => all.map((e) => e.textContent)), ['We found the bug', 'Your ticket to New York']);
  assert.ok((await page.screenshot()).length > 1000);
  const context = await browser.createBrowserContext(); // It is not signed in.
  const stranger = await context.newPage();
  await stranger.goto(`${site}/inbox`);
  assert.equal(stranger.url(), `${site}/sign-in`);
  await browser.disconnect();
  await anchor.sessions.delete(session.id);
});

test('a session is refused when the sign-in does not work any more', async () => {
  const id = await connect('grace', 'grace-letters');
  const session = await open(id, { session: { initial_url: `${site}/settings` } });
  const browser = await chromium.connectOverCDP(session.cdp_url);
  const [page] = browser.contexts()[0].pages();
  await page.getByLabel('Current password').fill('grace-letters');
  await page.getByLabel('New password').fill('another');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.getByRole('status').waitFor();
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.waitForURL(`${site}/sign-in`);
  await browser.close();
  await anchor.sessions.delete(session.id);

  await assert.rejects(open(id), (err) => {
    assert.ok(err instanceof UnprocessableEntityError);
    assert.match(err.error.error.message, /^Identity authentication failed\. The site says: The user name or the password is wrong\.$/);
    return true;
  });
  assert.equal((await anchor.identities.retrieve(id)).status, 'failed');
});

test('what a local browser cannot do is accepted', async () => {
  const session = await open(await connect('ada', 'ada-letters'), {
    session: { proxy: { active: true }, recording: { active: false } },
    browser: { captcha_solver: { active: true }, extra_stealth: { active: true }, viewport: { width: 900, height: 700 } },
  });
  const browser = await chromium.connectOverCDP(session.cdp_url);
  const [page] = browser.contexts()[0].pages();
  assert.deepEqual(await page.evaluate(() => [innerWidth, innerHeight]), [900, 700]);
  await browser.close();
  assert.match(await (await fetch(session.live_view_url)).text(), /Captchas are not solved\./);
  await anchor.sessions.delete(session.id);
  await assert.rejects(anchor.sessions.create({ browser: { captcha_solver: { active: true } } }), APIError);
});
