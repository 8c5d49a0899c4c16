const said = new Set<string>();

/** Prints a warning, the first one about each subject in a program. */
export function warnOnce(subject: string, message: string): void {
  if (said.has(subject)) return;
  said.add(subject);
  console.warn(`tfjs-diffeq: ${message}`);
}
