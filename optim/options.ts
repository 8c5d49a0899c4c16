import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { didYouMean, lookUp, nearest, plainName } from '../src/core/option_names.js';

/* What other libraries call an option, without underscores. */
const aliases: Record<string, string> = {
  eps: 'epsilon',
  betas: 'beta1 and beta2',
  alpha: 'decay',
  rho: 'decay',
  initialaccumulatorvalue: 'initialAccumulator',
  historysize: 'memory',
  maxiter: 'maxIterations',
  radius: 'trustRadius',
  tol: 'gtol',
  tolerancegrad: 'gtol',
  tolerancechange: 'ftol',
};

/**
 * Throws for an option that nobody would read.
 * @param owner For the message: `adam`, `bfgs`.
 */
export function checkOptions(options: unknown, owner: string, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgumentError(`options of ${owner} are ${describe(options)}; expected a record.`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const plain = plainName(name);
    const meant = known.find((option) => plainName(option) === plain) ?? lookUp(aliases, plain);
    const usable = meant?.split(' and ').every((option) => known.includes(option))
      ? meant
      : nearest(name, known);
    throw new InvalidArgumentError(`unknown option ${name} of ${owner}; ${didYouMean(usable, known)}`);
  }
}
