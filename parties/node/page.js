// Serves the page and the library as it was published: nothing else is behind it.

import express from 'express';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
express()
  .get('/oidc-client-ts.js', (request, response) => response.sendFile(here('node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js')))
  .use(express.static(here('page')))
  .listen(process.env.PORT, '127.0.0.1');
