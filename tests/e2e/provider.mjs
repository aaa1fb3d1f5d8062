// The certified OpenID provider of the end-to-end tests.
//
//   node provider.mjs --port N --redirect URI [--redirect URI …] [--post-logout URI] [--back-channel URI] [--access-ttl SECONDS]
//
// Prints one line "ready ISSUER" and serves until it is ended. Beside the
// provider's own paths it answers GET /_counters (JSON). A person signs in by
// giving a name ("ann", "bob") and pressing "Continue"; that also consents.

import { createServer, request as ask } from 'node:http';
import { parseArgs } from 'node:util';
import { Provider } from 'oidc-provider';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    redirect: { type: 'string', multiple: true },
    'post-logout': { type: 'string' },
    'back-channel': { type: 'string' },
    'access-ttl': { type: 'string', default: '15' },
    'client-id': { type: 'string', default: 'vestibule' },
    'client-secret': { type: 'string' },
  },
});

const issuer = `http://127.0.0.1:${values.port}`;

const people = {
  ann: { name: 'Ann Example', groups: ['staff', 'admins'] },
  bob: { name: 'Bob Example', groups: ['staff'] },
};

const counters = {
  logins: 0, code: 0, refresh: 0, refresh_failed: 0, code_failed: 0, userinfo: 0,
  back_channel: 0, back_channel_failed: 0,
};

// Names below localhost are this machine, whatever the resolver thinks.
const fetchOnLoopback = (url, { method, headers, body }) => new Promise((resolve, reject) => {
  const { hostname, port, pathname, host } = new URL(url);
  const local = hostname.endsWith('localhost') ? '127.0.0.1' : hostname;
  const sent = ask({
    method, port, path: pathname, hostname: local,
    headers: { ...Object.fromEntries(new Headers(headers)), host },
  }, (answer) => {
    answer.resume();
    answer.on('end', () => resolve(new Response(null, { status: answer.statusCode })));
  });
  sent.on('error', reject);
  sent.end(body && String(body));
});

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: values['client-id'],
      client_secret: values['client-secret'],
      redirect_uris: values.redirect,
      post_logout_redirect_uris: values['post-logout'] ? [values['post-logout']] : [],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      ...(values['back-channel'] && {
        backchannel_logout_uri: values['back-channel'],
        backchannel_logout_session_required: true,
      }),
    },
  ],
  cookies: { keys: ['tests-only-cookie-key'] },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'groups'],
  },
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  // Refresh tokens even without prompt=consent, each good for one use.
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(values['access-ttl']),
    AuthorizationCode: 60,
    IdToken: 300,
    RefreshToken: 86400,
    Interaction: 600,
    Session: 86400,
    Grant: 86400,
  },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
  },
  fetch: fetchOnLoopback,
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (ctx, id) =>
    people[id] && {
      accountId: id,
      claims: async () => ({
        sub: id,
        email: `${id}@corp.test`,
        email_verified: true,
        preferred_username: id,
        ...people[id],
      }),
    },
});

provider.on('grant.success', (ctx) => {
  counters[ctx.oidc.params.grant_type === 'refresh_token' ? 'refresh' : 'code'] += 1;
});
provider.on('grant.error', (ctx) => {
  counters[ctx.oidc?.params?.grant_type === 'refresh_token' ? 'refresh_failed' : 'code_failed'] += 1;
});
provider.on('backchannel.success', () => { counters.back_channel += 1; });
provider.on('backchannel.error', (ctx, error) => {
  counters.back_channel_failed += 1;
  console.error('back-channel logout', error.message);
});
provider.on('server_error', (ctx, error) => console.error('server error', error));
provider.on('authorization.error', (ctx, error) => console.error('authorization error', error.message));

provider.use(async (ctx, next) => {
  if (ctx.path === '/_counters') {
    ctx.body = counters;
    return;
  }
  await next();
  if (ctx.oidc?.route === 'userinfo' && ctx.status === 200) counters.userinfo += 1;
});

const page = (uid) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Test provider</title>
<h1>Test provider</h1>
<form method="post" action="/interaction/${uid}">
<label>Name <input name="login" value="ann"></label>
<button id="continue">Continue</button>
</form></html>`;

async function grantFor(details, accountId) {
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId, clientId: details.params.client_id });
  grant.addOIDCScope('openid email profile offline_access');
  return grant.save();
}

async function interaction(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (request.method === 'POST') {
    let body = '';
    for await (const chunk of request) body += chunk;
    const accountId = new URLSearchParams(body).get('login');
    counters.logins += 1;
    const grantId = await grantFor(details, accountId);
    await provider.interactionFinished(request, response, {
      login: { accountId },
      consent: { grantId },
    });
  } else if (details.prompt.name === 'consent') {
    const grantId = await grantFor(details, details.session.accountId);
    await provider.interactionFinished(
      request, response, { consent: { grantId } }, { mergeWithLastSubmission: true },
    );
  } else {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(page(details.uid));
  }
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    answer(request, response);
    return;
  }
  interaction(request, response).catch((error) => {
    console.error('interaction failed', error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
}).listen(Number(values.port), '127.0.0.1', () => console.log(`ready ${issuer}`));
