// The pages of the console, and the way in by a link.

/** Comes in with a one-time link, as who has the machine does, and waits until the clock is known. */
export async function comeIn(page, world) {
  await page.goto(world.link());
  await page.locator('form button').click();
  await page.waitForURL('**/console');
  await page.reload(); // The first page has told the clock.
}

/** Every page, by the name its picture gets; `person` is the path of somebody's page. */
export const pages = (person) => ({
  overview: '/console',
  'overview-24h': '/console?range=24h',
  'overview-1y': '/console?range=1y',
  sites: '/console/sites',
  'site-new': '/console/sites/new',
  'site-preset': '/console/sites/new/logto',
  site: '/console/sites/git',
  'site-settled': '/console/sites/blog',
  try: '/console/sites/blog/try',
  people: '/console/people',
  'people-none': '/console/people?q=nobody-at-all',
  person,
  audit: '/console/audit',
  'audit-filtered': '/console/audit?what=ticket.&site=photos',
  keys: '/console/keys',
  settings: '/console/settings',
});

/** Adds a known application, and stands on the page that says what to paste where. */
export async function addKnown(page, world, app, id) {
  await page.goto(`${world.console}/console/sites/new/${app}`);
  await page.locator('#url').fill('https://app.example.com');
  await page.locator('#id').fill(id);
  await page.locator('form.fields button').click();
  await page.getByRole('status').waitFor();
}

/** The page of the first owner. */
export async function somebody(page, world) {
  await page.goto(`${world.console}/console/people?who=owners`);
  return new URL(await page.locator('.list tbody a').first().getAttribute('href'), world.console).pathname;
}
