import { closest, distance } from 'fastest-levenshtein';
import { InvalidArgumentError } from './errors.js';

const names = (list: string): string[] => list.split(' ');

const common = names(
  'method rtol atol args signal maxNumSteps onStep onAccept onReject onProgress stepT jumpT inPlace',
);
const adaptive = names('firstStep minStep maxStep safety ifactor dfactor controller norm');
/* The first two turn an adaptive method into one of fixed steps; the others only mean something to fixed steps. */
const fixed = names('stepSize gridConstructor perturb interp');

/** What other libraries call our options, and what people write by heart; letters only, in lower case. */
const aliases: Record<string, string> = {
  maxsteps: 'maxNumSteps',
  mxstep: 'maxNumSteps',
  maxiter: 'maxNumSteps',
  maxiters: 'maxNumSteps',
  reltol: 'rtol',
  abstol: 'atol',
  solver: 'method',
  h: 'stepSize',
  dt: 'stepSize',
  dt0: 'firstStep',
  h0: 'firstStep',
  hmin: 'minStep',
  dtmin: 'minStep',
  hmax: 'maxStep',
  dtmax: 'maxStep',
  tcrit: 'stepT',
  tstops: 'stepT',
  callback: 'onAccept',
  adjointparams: 'params',
};

/** Options of one entry point only. */
const owners: Record<string, string> = {
  throwOnFailure: 'solve, which returns a status; call that',
  t0: 'iterate; elsewhere t is the third argument',
  t1: 'iterate; elsewhere t is the third argument',
  vjp: 'odeintVjp, on plain numbers',
  eventFn: 'odeint, odeintAdjoint and odeintEvent; elsewhere give events: [{ eventFn }]',
  events: 'solve, iterate and odeintHybrid; odeint takes eventFn',
  odeintInterface: 'odeintEvent; call that',
  direction: 'eventFn; give that too',
  eventTol: 'eventFn or events; give those too',
  eventSamples: 'eventFn or events; give those too',
  maxTime: 'eventFn; give that too',
  reverseTime: 'odeintEvent; elsewhere give decreasing times',
  quadrature: 'odeint, solve, odeintAdjoint and odeintVjp; call one of those',
  ...Object.fromEntries(
    names('adjoint checkpoints params adjointMethod adjointRtol adjointAtol adjointNorm adjointOptions').map(
      (name) => [name, 'odeintAdjoint and odeintVjp; call one of those'],
    ),
  ),
  ...Object.fromEntries(
    names('modes loss samples seed gradRtol gradAtol print').map((name) => [
      name,
      'gradcheck, which checks gradients; call that',
    ]),
  ),
};

/** What torchdiffeq has and this package has not. */
const missing: Record<string, string> = {
  maxOrder: 'Adams methods are not available',
  implicit: 'Adams methods are not available',
};

/** Option names of torchdiffeq that only differ in spelling. */
const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** What is left of a name that is looked up among aliases: letters and digits, in lower case. */
export const plainName = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** An entry of a table, never one of `Object.prototype`. */
export function lookUp<T>(table: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** The end of a message about a name that is not known. */
export const didYouMean = (meant: string | null | undefined, known: readonly string[]): string =>
  meant ? `did you mean ${meant}?` : `known are: ${known.join(', ')}.`;

/** The candidate nearest to a misspelt name, or `null` when none is near. */
export function nearest(name: string, candidates: readonly string[]): string | null {
  const lower = name.toLowerCase();
  const found = closest(lower, candidates);
  const prefix = candidates.find(
    (candidate) => lower.length >= 3 && candidate.toLowerCase().startsWith(lower),
  );
  if (distance(lower, found.toLowerCase()) <= Math.max(2, name.length / 2.5)) return found;
  return prefix ?? null;
}

/**
 * Throws for options that nobody reads.
 * @param steps Whether the solve chooses its steps.
 * @param extra Further names the entry point takes.
 */
export function checkOptionNames(
  options: object,
  steps: 'adaptive' | 'fixed',
  method: string,
  extra: readonly string[],
): void {
  const known = [...common, ...extra, ...(steps === 'fixed' ? fixed : [...adaptive, ...fixed.slice(0, 2)])];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    if (adaptive.includes(name)) {
      throw new InvalidArgumentError(
        `option ${name} has no effect on fixed steps of '${method}'; remove it, or choose an adaptive method ` +
          `such as 'dopri5' without stepSize.`,
      );
    }
    if (fixed.includes(name)) {
      throw new InvalidArgumentError(
        `option ${name} needs fixed steps, and '${method}' chooses its own; set stepSize or gridConstructor too.`,
      );
    }
    throw new InvalidArgumentError(`unknown option ${name}; ${remedy(name, known, extra)}`);
  }
}

function remedy(name: string, known: readonly string[], extra: readonly string[]): string {
  if (name === 'options') {
    return "options are flat here: the entries of torchdiffeq's dict stand beside method, as in { method: 'rk4', stepSize: 0.1 }.";
  }
  const all = [...common, ...extra, ...adaptive, ...fixed];
  const spelt = camelCase(name);
  const meant = all.includes(spelt) ? spelt : (lookUp(aliases, plainName(name)) ?? spelt);
  if (all.includes(meant)) return `did you mean ${meant}?`;
  const owner = lookUp(owners, meant);
  if (owner) return `${meant} is an option of ${owner}.`;
  const absent = lookUp(missing, meant);
  if (absent) return `${absent}.`;
  const suggestion = nearest(spelt, all);
  // With stepSize, adaptive methods take those of fixed steps too.
  const listed = [...new Set([...known, ...(known.includes('firstStep') ? fixed : [])])];
  return didYouMean(suggestion, listed);
}
