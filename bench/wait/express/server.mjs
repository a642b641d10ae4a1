// Anchor's example, as a baseline: two routes that trust all parameters of the callback.
// Do not use it.
import Anchorbrowser from 'anchorbrowser';
import express from 'express';

const { ANCHOR_APP_URL: appURL, ANCHOR_APPLICATION_ID: applicationID } = process.env;
const anchor = new Anchorbrowser(); // ANCHORBROWSER_API_KEY and ANCHORBROWSER_BASE_URL
const identities = new Map(); // by user

async function saveIdentityMapping(userID, identityID) {
  identities.set(userID, identityID);
}

const app = express();
app.use((req, res, next) => {
  req.user = { id: req.get('x-user') };
  next();
});

app.post('/connect', async (req, res) => {
  const { data } = await anchor.applications.createIdentityToken(applicationID, {
    callbackUrl: `${publicURL}/identity-callback`,
  });
  res.redirect(303, `${appURL}/identity/create?token=${encodeURIComponent(data.token)}`);
});

app.get('/identity-callback', async (req, res) => {
  const { identityId } = req.query;
  await saveIdentityMapping(req.user.id, identityId);
  await anchor.identities.update(identityId, {
    metadata: { externalUserId: req.user.id, connectedAt: new Date().toISOString() },
  });
  res.redirect(303, '/dashboard?connected=true');
});

app.get('/dashboard', (req, res) => res.type('text').send('Connected.\n'));

let publicURL;
const server = app.listen(0, '127.0.0.1', () => {
  publicURL = `http://127.0.0.1:${server.address().port}`;
  console.log(publicURL);
});
process.stdin.resume().on('end', () => process.exit()); // Ends with the program that started this.
