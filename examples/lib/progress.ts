/** A progress bar for a training: iteration, loss, time left. Where there is no terminal it prints a line now and then. */
import { SingleBar } from 'cli-progress';

export interface Progress {
  update(iteration: number, loss: number): void;
  /** Ends the bar, with a word on how the training ended, such as 'converged'. Safe to call again. */
  stop(outcome?: string): void;
  [Symbol.dispose](): void;
}

const secondsBetweenLines = 10;

/**
 * `using progress = trainingProgress('neural ODE', 300)`, or `stop()` in a `finally`: either gives the terminal back also
 * when the training throws. Drawing never throws: a closed terminal must not end a training.
 */
export function trainingProgress(name: string, iterations: number): Progress {
  const started = Date.now();
  const bar = process.stdout.isTTY && process.stderr.isTTY ? startBar(name, iterations) : undefined;
  let last = { iteration: 0, loss: NaN };
  let printed = started;
  let running = true;

  const line = (outcome = '') => {
    printed = Date.now();
    const seconds = ((printed - started) / 1000).toFixed(1);
    const count = `iteration ${last.iteration}/${iterations}`;
    console.log(`${name}: ${count}, loss ${format(last.loss)}, ${seconds} s${outcome && `, ${outcome}`}`);
  };
  const update = (iteration: number, loss: number) => {
    last = { iteration, loss };
    bar?.update(iteration, { loss: format(loss) });
    if (!bar && Date.now() - printed > secondsBetweenLines * 1000) line();
  };
  const stop = (outcome?: string) => {
    if (!running) return;
    running = false;
    bar?.stop();
    if (last.iteration > 0) line(outcome);
  };
  return { update: quietly(update), stop: quietly(stop), [Symbol.dispose]: quietly(() => stop()) };
}

function startBar(name: string, iterations: number): SingleBar | undefined {
  const format = `${name} {bar} {value}/{total} | loss {loss} | {eta_formatted} left`;
  const look = { barCompleteChar: '\u2588', barIncompleteChar: '\u2591', barsize: 28, clearOnComplete: true };
  // A training that never waits would keep cli-progress's signal handler from running: leave Ctrl-C to Node.
  const untouched = { gracefulExit: false, hideCursor: false, linewrap: true };
  const bar = new SingleBar({ ...look, ...untouched, format, etaBuffer: 30 });
  return quietly(() => {
    bar.start(iterations, 0, { loss: '' });
    return bar;
  })();
}

function quietly<A extends unknown[], R>(action: (...args: A) => R): (...args: A) => R | undefined {
  return (...args) => {
    try {
      return action(...args);
    } catch {
      return undefined;
    }
  };
}

const format = (loss: number) => (Math.abs(loss) >= 1e-4 ? loss.toFixed(5) : loss.toExponential(2));
