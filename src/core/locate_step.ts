/** Index of the step that holds `t`, by bisection over steps in the order of travel. */
export function stepAt(steps: readonly { readonly t1: number }[], t: number, direction: 1 | -1): number {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((t - steps[middle].t1) * direction <= 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
