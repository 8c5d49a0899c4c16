/** `npm run example NAME` runs examples/NAME.ts; without a name, or with one that is unknown, it lists them. */
import { readdirSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';

const here = new URL('.', import.meta.url);
const names = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'run.ts')
  .map((entry) => entry.name.slice(0, -'.ts'.length))
  .sort();

const wanted = process.argv[2];
if (wanted !== undefined && names.includes(wanted)) {
  process.argv.splice(2, 1); // an example sees its own arguments only
  await import(new URL(`${wanted}.ts`, here).href);
} else {
  if (wanted !== undefined) {
    const nearest = names.length > 0 ? ` Did you mean "${closest(wanted, names)}"?` : '';
    console.error(`There is no example "${wanted}".${nearest}\n`);
    process.exitCode = 1;
  }
  console.log(`Usage: npm run example NAME\n\n${names.map((name) => `  ${name}`).join('\n')}`);
}
