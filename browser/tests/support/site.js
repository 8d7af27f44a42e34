// A site of somebody else's, on another origin, whose pages a test writes.

import { createServer } from 'node:http';

export async function startSite() {
  const site = { pages: {}, posts: [], headers: {} };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, site.origin);
    let text = '';
    for await (const chunk of request) text += chunk;
    if (request.method === 'POST') site.posts.push({ path: url.pathname, fields: Object.fromEntries(new URLSearchParams(text)) });
    const page = site.pages[url.pathname];
    response.writeHead(page === undefined ? 404 : 200, { 'content-type': 'text/html; charset=utf-8', ...site.headers });
    response.end(page ?? '');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  site.origin = `http://blog.localhost:${server.address().port}`;
  site.close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return site;
}
