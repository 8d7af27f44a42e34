// What people build today: express, ws, jsonwebtoken; tickets in memory, or with ioredis in Redis. The same steps, URLs and JSON as saoma's, so that
// the same load generator drives both. It does less: no limits, no log, no audit, nothing durable, one site.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import express from "express";
import jwt from "jsonwebtoken";
import { Pool } from "undici";
import { WebSocketServer } from "ws";
import { tickets } from "./tickets.js";

const port = Number(process.env.PORT);
const issuer = `http://127.0.0.1:${port}`;
const site = { id: "shop", redirect: "http://127.0.0.1:9999/callback", origin: "http://127.0.0.1:9999" };
const LIFE = 600_000;

const hash = (text) => createHash("sha256").update(text).digest("base64url");
const fresh = () => randomBytes(16).toString("base64url");

// Signing key, loaded as a real server loads it.
const keyFile = process.env.KEY;
if (!existsSync(keyFile)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
}
const privateKey = createPrivateKey(readFileSync(keyFile, "utf8"));
const jwk = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" };

// WeChat, with codes fetched ahead.
const wechat = new Pool(process.env.WECHAT, { connections: 16 });
const ask = async (options) => (await wechat.request(options)).body;
let accessToken;
async function token() {
    accessToken ??= ask({
        method: "POST",
        path: "/cgi-bin/stable_token",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ grant_type: "client_credential", appid: "wxbench", secret: "bench" }),
    })
        .then((body) => body.json())
        .then((said) => said.access_token);
    return accessToken;
}
async function mint() {
    const scene = randomBytes(16).toString("base64url");
    const body = await ask({
        method: "POST",
        path: `/wxa/getwxacodeunlimit?access_token=${await token()}`,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ scene, page: "pages/login/login" }),
    });
    return { scene, picture: Buffer.from(await body.arrayBuffer()) };
}
const pool = [];
let minting = 0;
function refill() {
    while (pool.length + minting < Number(process.env.POOL) && minting < 16) {
        minting += 1;
        mint().then(
            (code) => {
                minting -= 1;
                pool.push(code);
                refill();
            },
            () => (minting -= 1),
        );
    }
}
refill();

const personOf = (openid) => tickets.nameOf(openid, fresh());
const subOf = (person) => tickets.nameOf(`${site.id}:${person}`, fresh());

// The pages that wait here.
const pages = new Map();

function state(ticket) {
    const left = Math.max(0, Math.ceil((ticket.expires - Date.now()) / 1000));
    return JSON.stringify({ state: left ? ticket.state : "expired", expires_in: left });
}
tickets.onNews = async (id) => {
    const ticket = await tickets.byId(id);
    const page = pages.get(id);
    if (!ticket || !page) return;
    page.send(state(ticket));
    if (ticket.state === "approved") page.close(1000);
};

const app = express();
app.disable("x-powered-by");
app.disable("etag");
const byId = (id) => tickets.byId(id);
const byScene = (scene) => tickets.byScene(scene);
const json = express.json({ limit: "64kb" });
const living = (find) => async (request, response, next) => {
    const ticket = await find(request.params.name);
    if (!ticket || ticket.expires <= Date.now()) return response.status(404).json({ code: "no_such_ticket" });
    request.ticket = ticket;
    next();
};

app.post("/api/tickets", json, async (request, response) => {
    const { client_id, redirect_uri, state, nonce, code_challenge, code_challenge_method } = request.body;
    if (request.headers.origin !== site.origin) return response.status(403).json({ code: "origin_not_allowed" });
    if (!client_id?.startsWith(site.id) || redirect_uri !== site.redirect)
        return response.status(400).json({ code: "redirect_uri_not_registered" });
    if (code_challenge_method !== "S256" || code_challenge?.length !== 43)
        return response.status(400).json({ code: "invalid_request" });
    const code = pool.shift() ?? (await mint());
    refill();
    const [id, key] = [fresh(), fresh()];
    const ticket = {
        id: hash(id), key: hash(key), scene: code.scene, state: "waiting",
        expires: Date.now() + LIFE, request: { client_id, redirect_uri, state, nonce, code_challenge },
        agent: request.headers["user-agent"], address: request.headers["x-forwarded-for"],
    };
    await tickets.put(ticket, code.picture);
    const path = `/api/tickets/${id}`;
    response.set("access-control-allow-origin", site.origin).set("cache-control", "no-store").status(201).json({
        ticket: id, key, expires_in: LIFE / 1000, code_url: `${path}/code`, ws_url: `${path}/ws`,
        events_url: `${path}/events`, poll_url: path,
    });
});

const hashed = (request, response, next) => {
    request.params.name = hash(request.params.id);
    next();
};

app.get("/api/tickets/:id/code", hashed, living(byId), async (request, response) => {
    const picture = await tickets.takePicture(request.ticket.id);
    if (!picture) return response.status(404).end();
    response.set("cache-control", "no-store").type("image/jpeg").send(picture);
});

app.post("/api/phone/tickets/:name/scan", json, living(byScene), async (request, response) => {
    const ticket = request.ticket;
    const query = new URLSearchParams({
        appid: "wxbench", secret: "bench", js_code: request.body.js_code, grant_type: "authorization_code",
    });
    const session = await (await ask({ method: "GET", path: `/sns/jscode2session?${query}` })).json();
    if (ticket.state !== "waiting") return response.status(409).json({ code: "taken_by_another_phone" });
    const token = fresh();
    Object.assign(ticket, { state: "scanned", openid: session.openid, token: hash(token) });
    await tickets.save(ticket);
    await tickets.nudge(ticket);
    response.json({
        scene: ticket.scene, token, site: { name: "Shop", host: "127.0.0.1" }, page: { host: "127.0.0.1" },
        browser: { name: "Chrome", os: "Windows 10" }, kind: "page", age: 0, expires_in: LIFE / 1000, risk: "low",
        why: [], ask: "tap", scopes: [], person: null,
    });
});

app.post("/api/phone/tickets/:name/approve", json, living(byScene), async (request, response) => {
    const ticket = request.ticket;
    const token = hash(request.headers.authorization?.slice("Bearer ".length) ?? "");
    if (ticket.state !== "scanned" || !timingSafeEqual(Buffer.from(token), Buffer.from(ticket.token)))
        return response.status(401).json({ code: "unauthorized" });
    ticket.state = "approved";
    ticket.person = await personOf(ticket.openid);
    await tickets.save(ticket);
    await tickets.nudge(ticket);
    response.json({ state: "approved" });
});

app.post("/api/tickets/:id/claim", json, hashed, living(byId), async (request, response) => {
    const ticket = request.ticket;
    if (hash(request.body.key) !== ticket.key) return response.status(404).json({ code: "no_such_ticket" });
    if (ticket.state !== "approved") return response.status(409).json({ code: "not_decided" });
    const code = fresh();
    await tickets.putCode(hash(code), ticket);
    const params = { code, state: ticket.request.state, iss: issuer };
    response.set("access-control-allow-origin", site.origin).json({
        redirect_to: `${site.redirect}?${new URLSearchParams(params)}`, params,
    });
});

app.post("/oauth2/token", express.urlencoded({ extended: false }), async (request, response) => {
    const { code, client_id, redirect_uri, code_verifier } = request.body;
    const ticket = await tickets.takeCode(hash(code ?? ""));
    if (!ticket || ticket.request.client_id !== client_id || ticket.request.redirect_uri !== redirect_uri
        || hash(code_verifier) !== ticket.request.code_challenge)
        return response.status(400).json({ error: "invalid_grant" });
    await tickets.remove(ticket);
    const access = fresh();
    const at_hash = createHash("sha256").update(access).digest().subarray(0, 16).toString("base64url");
    const id_token = jwt.sign(
        { sub: await subOf(ticket.person), nonce: ticket.request.nonce, at_hash, auth_time: Math.floor(Date.now() / 1000) },
        privateKey,
        { algorithm: "ES256", keyid: "1", issuer, audience: client_id, expiresIn: 600 },
    );
    response.set("cache-control", "no-store").json({
        access_token: access, token_type: "Bearer", expires_in: 3600, scope: "openid", id_token,
    });
});

app.get("/oauth2/jwks", (_request, response) => response.json({ keys: [jwk] }));

const server = createServer(app);
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1024 });
server.on("upgrade", async (request, socket, head) => {
    const id = request.url.match(/^\/api\/tickets\/([\w-]+)\/ws$/)?.[1];
    const ticket = id && request.headers.origin === site.origin && (await tickets.byId(hash(id)));
    if (!ticket) return socket.destroy();
    sockets.handleUpgrade(request, socket, head, (page) => {
        pages.get(ticket.id)?.close(4001);
        pages.set(ticket.id, page);
        page.on("close", () => {
            if (pages.get(ticket.id) === page) pages.delete(ticket.id);
        });
        page.on("error", () => {});
        page.send(state(ticket));
    });
});
server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1", 4096);

process.on("SIGTERM", () => process.exit(0));
