// first-example.js README.md FOLDER: writes into FOLDER the first ```js block of the README under the file name
// that the README gives it, that name (name.txt), and the packages the README says to install (packages.txt).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [readme, folder] = process.argv.slice(2);
const text = readFileSync(readme, 'utf8');

const block = /^```js[^\n]*\n([^]*?)^```/m.exec(text);
if (block === null) throw new Error('README.md has no ```js block');
const before = text.slice(0, block.index);

// "// hello.mjs" as the block's first line, or else the last `hello.mjs` before the block.
const inComment = /^\/\/ *([\w.-]+\.mjs)\b/.exec(block[1])?.[1];
const inText = [...before.matchAll(/`([\w.-]+\.mjs)`/g)].at(-1)?.[1];
const name = inComment ?? inText;
if (name === undefined) throw new Error('README.md names no .mjs file for its first ```js block');

const install = /^\s*(?:\$ )?npm (?:install|i) ([^\n#]+)/m.exec(before);
if (install === null) throw new Error('README.md has no "npm install ..." line before its first ```js block');
const packages = install[1].trim().split(/\s+/);

writeFileSync(join(folder, name), block[1]);
writeFileSync(join(folder, 'name.txt'), name);
writeFileSync(join(folder, 'packages.txt'), `${packages.join('\n')}\n`);
