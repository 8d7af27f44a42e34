// What docs/connect.md shows is what is run here and in examples/, line for line.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const lines = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean);
// Apache's file has its values from outside.
const VALUES = [
  ['https://login.example.com', '${ISSUER}'], ['https://app.example.com', 'http://apache.localhost:${BASIC_PORT}'],
  ['OIDCClientID shop', 'OIDCClientID apache-basic'], ['the secret', '${SECRET}'], ['a long random text of your own', '${PASSPHRASE}'],
];

test('the snippets of docs/connect.md stand in what is run', () => {
  const page = read('docs/connect.md');
  const snippets = [...page.matchAll(/<!-- from (\S+) -->\n```\w+\n([^]*?)```/g)];
  assert.ok(snippets.length >= 8);
  for (const [, path, snippet] of snippets) {
    const wanted = path.endsWith('.conf') ? VALUES.reduce((text, [shown, run]) => text.replaceAll(shown, run), snippet) : snippet;
    const there = lines(read(path));
    for (const line of lines(wanted)) assert.ok(there.includes(line), `${path} has no line ${line}`);
  }
});
