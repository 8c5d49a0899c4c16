import type { GradcheckReport, GradcheckRow } from '../src/core/gradient_report.js';
import type { InputChecks } from './gradcheck_checks.js';
import { badness, percent } from './gradcheck_compare.js';

/** The report: a table with a row per mode and input, what went wrong, and which modes can be trusted. */
export function makeReport(
  title: string,
  rows: readonly GradcheckRow[],
  inputs: readonly InputChecks[],
): GradcheckReport {
  const moved = new Map(inputs.map(({ input, moved: what }) => [input, what]));
  const header = [
    'mode',
    'input',
    'moved',
    'worst at',
    'gradient',
    'difference',
    'error',
    'noise',
    'allowed',
    '',
  ];
  const body = rows.map((row) => [
    ...[row.mode, row.input, moved.get(row.input) ?? ''],
    ...(row.failure === undefined
      ? [
          row.entry,
          ...[row.gradient, row.difference].map(long),
          ...[row.error, row.noise, row.allowed].map(short),
        ]
      : ['', '', '', '', '', '']),
    !row.passed ? 'FAILED' : row.note === undefined ? 'ok' : 'ok?',
  ]);
  const modes = [...new Set(rows.map((row) => row.mode))];
  const trusted = modes.filter((mode) => rows.every((row) => row.mode !== mode || row.passed));
  const others = modes.filter((mode) => !trusted.includes(mode));
  // What rounding hides was not judged, in any mode.
  const hidden = [...new Set(rows.filter((row) => row.note !== undefined).map((row) => row.input))];
  const but = hidden.length > 0 ? ` (not judged: ${hidden.join(', ')})` : '';
  const parts = [
    ...(trusted.length > 0 ? [`can be trusted: ${trusted.join(', ')}${but}`] : []),
    ...(others.length > 0 ? [`cannot be trusted: ${others.join(', ')}`] : []),
  ];
  const lines = [title, ...aligned([header, ...body]), ...remarks(rows), `${parts.join('; ')}.`];
  return { passed: others.length === 0, rows, table: lines.join('\n') };
}

const long = (x: number): string => String(Number(x.toPrecision(7)));
const short = (x: number): string => (x === 0 ? '0' : x.toExponential(1));

/* Text to the left, numbers to the right. */
function aligned(table: readonly string[][]): string[] {
  const numbers = new Set([4, 5, 6, 7, 8]);
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) =>
    row
      .map((cell, i) => (numbers.has(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}

/* Messages and notes, each once, with the modes or inputs they belong to. */
function remarks(rows: readonly GradcheckRow[]): string[] {
  const modes = new Set(rows.map(({ mode }) => mode)).size;
  const failures = new Map<string, GradcheckRow[]>();
  for (const row of rows) {
    if (row.failure !== undefined) failures.set(row.failure, [...(failures.get(row.failure) ?? []), row]);
  }
  const notes = new Map(rows.flatMap(({ input, note }) => (note === undefined ? [] : [[input, note]])));
  return [
    ...Array.from(failures, ([failure, failed]) => {
      const inModes = new Set(failed.map(({ mode }) => mode));
      const where = inModes.size === modes && modes > 1 ? new Set(failed.map(({ input }) => input)) : inModes;
      return `${[...where].join(', ')}: ${failure}`;
    }),
    ...Array.from(notes, ([input, note]) => `${input}: ${note}.`),
  ];
}

/** Whose derivatives are checked: tfjs's, those of the caller's vjp, or differences of plain numbers. */
export type CheckedKind = 'tensors' | 'vjp' | 'numbers';

/** The message of the error: the worst row, and what it points to. */
export function mismatchMessage(
  rows: readonly GradcheckRow[],
  continuous: readonly string[],
  kind: CheckedKind,
): string {
  const failed = rows.filter((row) => !row.passed);
  const compared = failed.filter((row) => row.failure === undefined);
  const worst = [...compared].sort((a, b) => badness(b) - badness(a))[0] as GradcheckRow | undefined;
  const first = worst
    ? `'${worst.mode}' gives ${long(worst.gradient)} for the derivative to ${worst.entry}, differences give ` +
      `${long(worst.difference)} (error ${percent(worst.error)}, allowed ${percent(worst.allowed)}). `
    : `'${failed[0].mode}' to ${failed[0].input}: ${failed[0].failure} `;
  return (
    `${failed.length} of ${rows.length} gradients are not confirmed by central differences. ${first}` +
    `${advice(compared, continuous, kind)}The table is in error.report.table; throwOnFailure: false returns it.`
  );
}

function advice(compared: readonly GradcheckRow[], continuous: readonly string[], kind: CheckedKind): string {
  if (compared.length === 0) return '';
  if (compared.every(({ mode }) => continuous.includes(mode))) {
    return (
      "Those that differentiate the steps themselves agree, so it is the backward solve that is not accurate: use adjoint: 'checkpoint' " +
      "(or 'interpolating' where 'backsolve' drifts), or tighten rtol and atol (adjointRtol, adjointAtol). "
    );
  }
  const check = {
    tensors: 'the gradient of func: custom gradients, ops whose gradient tfjs gets wrong (docs/gradients.md)',
    vjp: 'what vjp returns for it',
    numbers: 'that func is smooth',
  }[kind];
  return (
    `Check ${check}, that func has no state of its own, and that no kink (relu, abs, max) is exactly at this point: a ` +
    'difference takes the mean of its two slopes. '
  );
}
