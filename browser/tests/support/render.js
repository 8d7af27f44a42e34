// Renders the server's own templates. They are written for askama; the few words in which nunjucks differs are put into its tongue here.

import { readFileSync } from 'node:fs';
import nunjucks from 'nunjucks';

const templates = new URL('../../../server/templates/', import.meta.url);

const translate = (source) =>
  source
    .replace(/\{% if let Some\((\w+)\) = ([\w.]+) %\}/g, '{% if $2 %}{% set $1 = $2 %}')
    .replace(/\{% else if /g, '{% elif ')
    .replace(/\{% for \((\w+), (\w+)\) in /g, '{% for $1, $2 in ')
    .replace(/\{%[^%]*%\}/g, (tag) => tag.replace(/&&/g, 'and').replace(/!(?=\w)/g, 'not ').replace(/\.is_empty\(\)/g, '.length == 0').replace(/\.is_some\(\)/g, ''));

const environment = new nunjucks.Environment(
  { getSource: (name) => ({ src: translate(readFileSync(new URL(name, templates), 'utf8')), path: name, noCache: true }) },
  { autoescape: true, throwOnUndefined: false },
);

export const render = (name, values) => environment.render(name, values);
