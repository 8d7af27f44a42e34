// Where tickets live: in this process, as a server alone keeps them, or in Redis, as two servers share them. Every method
// may be awaited.

import { Redis } from "ioredis";

/** Tickets in this process. */
class Memory {
    #tickets = new Map();
    #scenes = new Map();
    #codes = new Map();
    #names = new Map();

    constructor() {
        setInterval(() => {
            const now = Date.now();
            for (const ticket of this.#tickets.values()) if (ticket.expires <= now) this.remove(ticket);
        }, 5_000).unref();
    }

    put(ticket, picture) {
        this.#tickets.set(ticket.id, { ticket, picture });
        this.#scenes.set(ticket.scene, ticket.id);
    }
    byId(id) {
        return this.#tickets.get(id)?.ticket;
    }
    byScene(scene) {
        return this.byId(this.#scenes.get(scene));
    }
    /** What stands in the ticket is what is kept. */
    save() {}
    /** Tells the page's server that there is news. */
    nudge(ticket) {
        this.onNews(ticket.id);
    }
    remove(ticket) {
        this.#tickets.delete(ticket.id);
        this.#scenes.delete(ticket.scene);
    }
    /** The picture is shown once; then the page has it. */
    takePicture(id) {
        const held = this.#tickets.get(id);
        const picture = held?.picture;
        if (held) held.picture = undefined;
        return picture;
    }
    putCode(code, ticket) {
        this.#codes.set(code, ticket);
    }
    takeCode(code) {
        const ticket = this.#codes.get(code);
        this.#codes.delete(code);
        return ticket;
    }
    /** The lasting name of something, made when it is first asked for. */
    nameOf(what, fresh) {
        const name = this.#names.get(what);
        if (!name) this.#names.set(what, fresh);
        return name ?? fresh;
    }
}

/** Tickets in Redis; each names the server that holds its page, on whose channel news of it goes. */
class Shared {
    #redis;
    #node;

    constructor(url, node) {
        this.#redis = new Redis(url);
        this.#node = node;
        const news = new Redis(url);
        news.on("message", (_channel, id) => this.onNews(id));
        news.subscribe(`news:${node}`);
    }

    async put(ticket, picture) {
        ticket.node = this.#node;
        const life = ticket.expires - Date.now();
        await this.#redis
            .multi()
            .set(`ticket:${ticket.id}`, JSON.stringify(ticket), "PX", life)
            .set(`scene:${ticket.scene}`, ticket.id, "PX", life)
            .set(`picture:${ticket.id}`, picture, "PX", life)
            .exec();
    }
    async byId(id) {
        const text = await this.#redis.get(`ticket:${id}`);
        return text ? JSON.parse(text) : undefined;
    }
    async byScene(scene) {
        const id = await this.#redis.get(`scene:${scene}`);
        return id ? this.byId(id) : undefined;
    }
    async save(ticket) {
        await this.#redis.set(`ticket:${ticket.id}`, JSON.stringify(ticket), "KEEPTTL");
    }
    async nudge(ticket) {
        await this.#redis.publish(`news:${ticket.node}`, ticket.id);
    }
    async remove(ticket) {
        await this.#redis.del(`ticket:${ticket.id}`, `scene:${ticket.scene}`);
    }
    async takePicture(id) {
        return (await this.#redis.getdelBuffer(`picture:${id}`)) ?? undefined;
    }
    async putCode(code, ticket) {
        await this.#redis.set(`code:${code}`, ticket.id, "PX", 60_000);
    }
    async takeCode(code) {
        const id = await this.#redis.getdel(`code:${code}`);
        return id ? this.byId(id) : undefined;
    }
    async nameOf(what, fresh) {
        await this.#redis.hsetnx("names", what, fresh);
        return this.#redis.hget("names", what);
    }
}

export const tickets = process.env.REDIS ? new Shared(process.env.REDIS, process.env.PORT) : new Memory();
