/**
 * `npm run bench` runs every benchmark, `npm run bench NAME` one of them. They run compiled, on the built package: a
 * loader such as tsx rewrites our code, and slows it down, but not that of the packages we compare with.
 */
import { cpus } from 'node:os';
import { lorenz } from './lorenz.js';
import { tensorStep } from './tensor_step.js';

const benchmarks: Record<string, () => void | Promise<void>> = { lorenz, 'tensor-step': tensorStep };

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(benchmarks, name));
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}"; known are: ${Object.keys(benchmarks).join(', ')}.`);
  process.exit(1);
}
console.log(`Node ${process.version}, ${cpus()[0].model}, ${cpus().length} cores`);
for (const [name, run] of Object.entries(benchmarks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}`);
  await run();
}
