// What must stay true of the files themselves.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const templates = new URL('../../server/templates/', import.meta.url);
const pages = readdirSync(templates).filter((name) => name.endsWith('.html'));

test('the element is at most 5 kB gzip as it is served, at the level that servers use', () => {
  const size = gzipSync(read('wechat-login.js'), { level: 6 }).length;
  assert.ok(size <= 5000, `${size} bytes`);
});

test('the element is one module: it loads nothing else', () => {
  assert.doesNotMatch(read('wechat-login.js'), /^\s*import\s|import\(/m);
});

test('a server that renders pages may import the element', async () => {
  const { WechatLogin } = await import('../wechat-login.js');
  assert.equal(typeof WechatLogin, 'function');
});

test('no page holds a script, a style or a handler of its own, so that the CSP can forbid them', () => {
  for (const name of pages) {
    const html = readFileSync(new URL(name, templates), 'utf8');
    assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)/i, name);
  }
});

// WCAG 1.4.11, which axe does not look at.
test('the edge of a field stands out from what is on both sides of it, by 3 to 1', () => {
  const css = read('page.css');
  assert.match(css, /form\.link input \{[^}]*var\(--edge\)/);
  const light = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const luminance = (hex) => light(hex.length === 4 ? hex.replace(/[0-9a-f]/g, '$&$&') : hex).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0.05);
  for (const theme of css.match(/:root \{[^}]*\}/g)) {
    const colour = (name) => luminance(theme.match(new RegExp(`--${name}: (#[0-9a-f]+);`))[1]);
    for (const beside of ['surface', 'soft']) {
      const [one, other] = [colour('edge'), colour(beside)];
      assert.ok(Math.max(one, other) / Math.min(one, other) >= 3, `${beside} in ${theme}`);
    }
  }
});

// No address at all is the page itself.
test('pages load only what saoma serves', () => {
  for (const name of pages) {
    const html = readFileSync(new URL(name, templates), 'utf8');
    for (const [, address] of html.matchAll(/\s(?:src|href)="([^"]*)"/g)) assert.match(address, /^($|\/(?!\/)|\{\{)/, `${name}: ${address}`);
  }
  assert.doesNotMatch(read('page.css'), /@import|url\((?!"\/assets\/)/);
});

test('every part that can be styled is written down, in the manifest and in the types', () => {
  const parts = [...new Set([...read('wechat-login.js').matchAll(/part: '(\w+)'/g)].map(([, part]) => part))].sort();
  const [{ declarations }] = JSON.parse(read('custom-elements.json')).modules;
  assert.deepEqual(declarations[0].cssParts.map(({ name }) => name).sort(), parts);
  for (const part of parts) assert.ok(read('wechat-login.d.ts').includes(`\`${part}\``), part);
});

test('every custom property is written down', () => {
  const properties = [...new Set(read('wechat-login.js').match(/--saoma-\w+/g))].sort();
  const [{ declarations }] = JSON.parse(read('custom-elements.json')).modules;
  assert.deepEqual(declarations[0].cssProperties.map(({ name }) => name).sort(), properties);
});
