// Anchor's SDK against the fake, configured only by the environment.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';

import Anchorbrowser, { APIError, AuthenticationError, BadRequestError, NotFoundError } from 'anchorbrowser';

const { ANCHORBROWSER_API_KEY: key, ANCHOR_APP_URL: appURL, ANCHOR_APPLICATION_ID: applicationID } = process.env;
const anchor = new Anchorbrowser(); // reads ANCHORBROWSER_BASE_URL and ANCHORBROWSER_API_KEY
const unknown = '00000000-0000-4000-8000-000000000000';
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// isRecent checks that a time of the API is in RFC 3339 and close to now.
function isRecent(time) {
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
}

// connect creates an identity as a user does, and returns the callback URL.
async function connect(token, account) {
  const answer = await fetch(`${appURL}/identity/create`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ token, account, outcome: 'approve' }),
  });
  assert.equal(answer.status, 303, await answer.text());
  return new URL(answer.headers.get('location'));
}

async function newIdentity(account) {
  const { data } = await anchor.applications.createIdentityToken(applicationID, { callbackUrl: 'https://app.example/callback' });
  return (await connect(data.token, account)).searchParams.get('identity_id');
}

test('an identity token', async () => {
  const { data } = await anchor.applications.createIdentityToken(applicationID, { callbackUrl: 'https://app.example/callback/STATE' });
  assert.deepEqual(Object.keys(data).sort(), ['expires_at', 'token', 'token_hash']);
  assert.equal(data.token_hash, createHash('sha256').update(data.token).digest('hex'));
  const minutes = (Date.parse(data.expires_at) - Date.now()) / 60_000;
  assert.ok(minutes > 14 && minutes <= 15.1, data.expires_at);

  const callback = await connect(data.token, 'Ada');
  assert.equal(callback.origin + callback.pathname, 'https://app.example/callback/STATE');
  assert.equal(callback.searchParams.get('status'), 'success');
  assert.match(callback.searchParams.get('identity_id'), uuid);

  await assert.rejects(anchor.applications.createIdentityToken(applicationID, { callbackUrl: 'http://app.example/callback' }), BadRequestError);
  await assert.rejects(anchor.applications.createIdentityToken(unknown, { callbackUrl: 'https://app.example/callback' }), NotFoundError);
});

test('an identity is read, updated and deleted', async () => {
  const id = await newIdentity('Grace');
  const identity = await anchor.identities.retrieve(id);
  isRecent(identity.created_at);
  isRecent(identity.updated_at);
  assert.deepEqual(identity, {
    id,
    name: 'Grace',
    source: 'https://example.com',
    status: 'validated',
    metadata: {},
    created_at: identity.created_at,
    updated_at: identity.updated_at,
  });

  const metadata = { externalUserId: 'user-1', plan: 'pro', large: Number.MAX_SAFE_INTEGER, nested: { a: [1, null] } };
  const updated = await anchor.identities.update(id, { name: 'Grace H.', metadata });
  isRecent(updated.updated_at);
  assert.deepEqual(updated, { id, name: 'Grace H.', metadata, updated_at: updated.updated_at });
  assert.deepEqual((await anchor.identities.retrieve(id)).metadata, metadata);
  await anchor.identities.update(id, { name: 'Grace' });
  assert.deepEqual((await anchor.identities.retrieve(id)).metadata, metadata, 'what is not sent stays');

  assert.equal(typeof (await anchor.identities.delete(id)).message, 'string');
  await assert.rejects(anchor.identities.retrieve(id), NotFoundError);
  await assert.rejects(anchor.identities.update(id, { name: 'x' }), NotFoundError);
  await assert.rejects(anchor.identities.delete(id), NotFoundError);
});

test('the identities of an application', async () => {
  const application = await anchor.applications.create({ source: 'https://list.example', name: 'List' });
  const ids = [];
  for (const name of ['Ann', 'Anna', 'Bob']) {
    const { data } = await anchor.applications.createIdentityToken(application.id, { callbackUrl: 'https://app.example/callback' });
    const id = (await connect(data.token, name)).searchParams.get('identity_id');
    await anchor.identities.update(id, { metadata: { externalUserId: name, plan: name === 'Bob' ? 'pro' : 'free' } });
    ids.push(id);
  }
  const list = async (query) => (await anchor.applications.listIdentities(application.id, query)).identities;
  const all = await list();
  assert.deepEqual(all.map((item) => item.id).sort(), [...ids].sort());
  for (const item of all) {
    assert.deepEqual(Object.keys(item).sort(), ['auth_flow', 'created_at', 'id', 'name', 'status', 'updated_at']);
    assert.equal(item.status, 'validated');
  }
  assert.deepEqual((await list({ search: 'ann' })).map((item) => item.name).sort(), ['Ann', 'Anna']);
  assert.deepEqual((await list({ metadata: JSON.stringify({ plan: 'pro' }) })).map((item) => item.name), ['Bob']);
  assert.deepEqual(await list({ metadata: JSON.stringify({ plan: 'none' }) }), []);
  assert.equal((await anchor.applications.retrieve(application.id)).identity_count, 3);
});

test('applications', async () => {
  const created = await anchor.applications.create({ source: 'https://shop.example', name: 'Shop', description: 'A shop' });
  isRecent(created.created_at);
  assert.match(created.id, uuid);
  assert.deepEqual(created, {
    id: created.id,
    name: 'Shop',
    url: 'https://shop.example',
    description: 'A shop',
    created_at: created.created_at,
  });
  const found = await anchor.applications.retrieve(created.id);
  isRecent(found.updated_at);
  assert.deepEqual(found, { ...created, identity_count: 0, auth_methods: ['username_password'], updated_at: found.updated_at });
  const listed = (await anchor.applications.list()).applications.map((application) => application.id);
  assert.ok(listed.includes(created.id) && listed.includes(applicationID));
  assert.deepEqual((await anchor.applications.list({ search: 'shop' })).applications, [found]);
  await assert.rejects(anchor.applications.retrieve(unknown), NotFoundError);

  const flow = await anchor.applications.authFlows.create(created.id, {
    name: 'One-time code',
    methods: ['authenticator', 'custom'],
    custom_fields: [{ name: 'tenant' }],
  });
  assert.deepEqual(flow.methods, ['authenticator', 'custom']);
  const flows = (await anchor.applications.authFlows.list(created.id)).auth_flows;
  assert.equal(flows.length, 2);
  assert.deepEqual(flows[1], flow);
  await assert.rejects(anchor.applications.authFlows.create(created.id, { name: 'None', methods: [] }), BadRequestError);
});

test('a session that is signed in with an identity', async () => {
  const id = await newIdentity('Ada');
  const request = {
    identities: [{ id }],
    session: { proxy: { active: true } },
    browser: { captcha_solver: { active: true }, extra_stealth: { active: true } },
  };
  const { data } = await anchor.sessions.create(request);
  assert.match(data.id, uuid);
  assert.equal(new URL(data.cdp_url).protocol, 'ws:');
  assert.equal(new URL(data.live_view_url).origin, appURL);

  const session = (await anchor.sessions.retrieve(data.id)).data;
  isRecent(session.created_at);
  assert.equal(session.session_id, data.id);
  assert.equal(session.status, 'running');
  assert.deepEqual(session.configuration, request);

  assert.deepEqual(await anchor.sessions.delete(data.id), { data: { status: 'success' } });
  assert.equal((await anchor.sessions.retrieve(data.id)).data.status, 'ended');
  await assert.rejects(anchor.sessions.delete(data.id), AuthenticationError);

  await assert.rejects(anchor.sessions.create({ ...request, session: {} }), BadRequestError);
  await assert.rejects(anchor.sessions.create({ identities: [{ id: unknown }] }), APIError);
});

test('the wrong key', async () => {
  const stranger = new Anchorbrowser({ apiKey: `${key}x` });
  await assert.rejects(stranger.applications.list(), (err) => {
    assert.ok(err instanceof AuthenticationError);
    assert.equal(err.status, 401);
    assert.equal(err.error.error.code, 401);
    assert.ok(!err.message.includes(key));
    return true;
  });
});
