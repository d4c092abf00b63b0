// A real OpenID provider, oidc-provider, with its own pages for logging in: any name is a user.
//
// It is given JSON, says where it is, and then obeys lines of JSON: {"rotate": true} gives it new
// keys, {"users": {…}} new claims of its users, by their name, {"client": {…}} new fields of its client.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import Provider from "oidc-provider";

const given = JSON.parse(process.argv[2]);
let users = given.users ?? {};
let round = 0;

const server = createServer((request, response) => handle(request, response));
server.listen(given.port ?? 0, "127.0.0.1");
await new Promise((done) => server.once("listening", done));
const issuer = `http://${given.host ?? "127.0.0.1"}:${server.address().port}`;

let handle = made();
console.log(JSON.stringify({ issuer }));

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.users) users = order.users;
  Object.assign(given.client, order.client);
  if (order.rotate || order.client) handle = made();
  console.log(JSON.stringify({ done: order }));
}
server.close();
server.closeAllConnections();

function made() {
  round += 1;
  return new Provider(issuer, {
    clients: [given.client],
    clientAuthMethods: given.methods ?? ["client_secret_basic", "client_secret_post", "none"],
    scopes: ["openid", "profile", "email", "groups"],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups", "org"],
    },
    // By default claims of scopes are only told at the address for them.
    conformIdTokenClaims: given.claims_in_token !== true,
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: given.logout !== false },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...users[id] }) }),
    jwks: { keys: [key("rsa", { modulusLength: 2048 }), key("ec", { namedCurve: "P-256" })] },
    cookies: { keys: ["only for tests"] },
    pkce: { required: () => true },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
    renderError: (context, out) => {
      context.type = "json";
      context.body = out;
    },
  }).callback();
}

function key(kind, options) {
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" });
  return { ...jwk, use: "sig", kid: `${kind}-${round}` };
}
