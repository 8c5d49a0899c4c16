const said = new Set<string>();

/** Prints a warning, each text once in a program. */
export function warnOnce(message: string): void {
  if (said.has(message)) return;
  said.add(message);
  console.warn(`tfjs-diffeq: ${message}`);
}
