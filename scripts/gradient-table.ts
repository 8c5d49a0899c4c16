/**
 * Writes the table of derivatives into docs/gradients.md: `npx tsx scripts/gradient-table.ts`. With the name of a
 * backend it prints that backend's table instead.
 */
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { format, resolveConfig } from 'prettier';
import { repairGradients, restoreStockGradients } from 'tfjs-diffeq';
import { gradientCases, type GradientCase } from './gradient-cases.js';
import { references, verdicts, type Verdict } from './gradient-check.js';

const target = new URL('../docs/gradients.md', import.meta.url);
const marks = ['<!-- table: begin -->', '<!-- table: end -->'];

/** How an op was repaired, by the beginning of its name; the first that fits. */
const repairs: [RegExp, string][] = [
  [/^(exp|tanh|sigmoid|softmax|elu)$/, 'output computed again from the saved input'],
  [/^(expm1|softplus|selu|erf|logSigmoid|logSumExp|losses.sigmoid)/, 'through `exp` and `sigmoid`'],
  [/^(logSoftmax|losses.softmaxCrossEntropy)/, 'saved output linked to the logits; gradient of the labels'],
  [/^pow/, 'output computed again; finite where the base is 0'],
  [/^(norm|euclideanNorm|moments|batchNorm|rsqrt)/, 'through `pow`, comparisons'],
  [/^cast/, 'casting to integers has derivative 0'],
  [/^floorDiv/, 'derivative 0, as of `floor`'],
  [/^(maximum|minimum)/, 'sums over broadcast axes; comparisons'],
  [/^squaredDifference/, 'sums over broadcast axes'],
  [/^(prod|cumprod)/, 'gradient of `cumprod` without division; negative axes'],
  [/^cumsum/, 'stray transpose taken out'],
  [/^(mirrorPad)/, 'what the mirror repeats is added'],
  [/^(stridedSlice|depthToSpace|image.flip|diag|sparseToDense|topk)/, 'gradient added'],
  [/^(gatherND|scatterND|tensorScatterUpdate)/, 'gradient added (`scatterND` and `gatherND`)'],
  [/^gather/, 'by `scatterND`; any `batchDims`; zero for the indices'],
  [/^einsum/, 'gradient added'],
  [/^matMul/, 'sums over broadcast batches'],
  [/^tile/, 'any rank'],
  [/^linalg.bandPart/, '`unstack` into one'],
  [/^(conv|fused.(conv|depth)|depthwise|separable)/, 'gradients of the gradient kernels'],
  [/^(avgPool|pool)/, 'divides by what is inside; gradient of the gradient kernel'],
  [/^maxPool/, 'scatters to the maxima when it is differentiated'],
  [/^localResponse/, 'plain ops when it is differentiated'],
  [/^image.resize.*halfPixel/, 'by matrices'],
  [/^image.resize/, 'gradient of the gradient kernel'],
  [/./, 'comparisons and logical ops have gradient 0'],
];

const words = (verdict: Verdict): string =>
  verdict === 'wrong' ? '**wrong**' : verdict.startsWith('throws') ? 'throws' : verdict === 'ok' ? 'ok' : '';

interface Row {
  op: string;
  stock: Verdict[];
  here: Verdict[];
}

function measure(test: GradientCase): Row {
  repairGradients();
  const expected = references(test, 3);
  const here = verdicts(test, expected);
  restoreStockGradients();
  return { op: test.op, here, stock: verdicts(test, expected) };
}

const right = (verdict: Verdict): boolean => verdict === 'ok';

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ op, stock, here }) => {
    const cells = stock.flatMap((before, k) => [words(before), words(here[k])]);
    const changed = stock.some((before, k) => before !== here[k]);
    const how = changed ? (repairs.find(([name]) => name.test(op))?.[1] ?? '') : '';
    return `| ${[op, ...cells, how].join(' | ')} |`;
  });
  const heads = ['1st: tfjs', '1st: here', '2nd: tfjs', '2nd: here', '3rd: tfjs', '3rd: here'];
  return [`| op | ${heads.join(' | ')} | repaired by |`, `|---|${'---|'.repeat(7)}`, ...lines].join('\n');
}

function report(rows: readonly Row[], backend: string): string {
  const fine = rows.filter(({ stock, here }) => stock.every(right) && here.every(right));
  const repaired = rows.filter((row) => !fine.includes(row) && row.here.every(right));
  const left = rows.filter(({ here }) => !here.every(right));
  const reasons = left.map(({ op, here }) => {
    const verdict = here.find((one) => !right(one)) ?? 'ok';
    return `- ${op}: ${verdict === 'no reference' ? 'the op itself fails' : verdict}`;
  });
  return [
    `Measured on the \`${backend}\` backend of tfjs ${tf.version.tfjs}: ${rows.length} ops and variants, of which`,
    `${fine.length} were right before, ${repaired.length} are right after the repair, and ${left.length} are not.`,
    `\n### Repaired\n\n${table(repaired)}`,
    `\n### Not right to the third order\n\n${table(left)}\n\n${reasons.join('\n')}`,
    `\n### Right in tfjs already\n\n${fine.map(({ op }) => `\`${op}\``).join(', ')}.\n`,
  ].join('\n');
}

async function main(backend?: string): Promise<void> {
  tf.env().set('PROD', true);
  if (backend === 'tensorflow') createRequire(import.meta.url)('@tensorflow/tfjs-node');
  await tf.setBackend(backend ?? 'cpu');
  const text = report(gradientCases.map(measure), tf.getBackend());
  if (backend !== undefined) {
    console.log(text);
    return;
  }
  const page = readFileSync(target, 'utf8');
  const [before, after] = [page.split(marks[0])[0], page.split(marks[1])[1]];
  const next = `${before}${marks[0]}\n\n${text}\n${marks[1]}${after}`;
  const style = await resolveConfig(target);
  writeFileSync(target, await format(next, { ...style, parser: 'markdown' }));
}

await main(process.argv[2]);
