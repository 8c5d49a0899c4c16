/**
 * Ten tablets, one of them forgotten: repeated oral doses in a two-compartment model by `odeintHybrid`, the peaks and the
 * time above a threshold by its events, all beside the exact sum of exponentials.
 *
 * Run it with `npm run example dosing`. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import {
  concentration,
  drug,
  exponentials,
  regimen,
  rootsBetweenDoses,
  superposition,
  takeDoses,
  threshold,
  timeAbove,
} from './lib/dosing.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';

const { blue, vermilion: red, green, orange, ink, grey, shade } = colors;
const [t1, interval, forgotten] = [144, 12, 72];
const saveAt = Array.from({ length: 1000 }, (_, i) => ((i + 0.5) * t1) / 1000);
const solution = takeDoses(drug, regimen, t1, saveAt);
const exact = superposition(drug, regimen);
const prescribed = { ...regimen, times: Array.from({ length: 10 }, (_, i) => interval * i) };
const withAll = takeDoses(drug, prescribed, t1, saveAt);

const timesOf = ({ events }: typeof solution, name: string) =>
  events.filter((event) => event.name === name).map(({ t }) => t);
const crossings = timesOf(solution, 'threshold');
const peaks = timesOf(solution, 'peak');
const exactCrossings = rootsBetweenDoses((t) => exact.value(t) - threshold, regimen, t1);
const exactPeaks = rootsBetweenDoses(exact.slope, regimen, t1);

const points = Array.from(solution.t, (t, i) => ({
  ...{ t, value: concentration(drug, solution.y[i]) },
  ...{ gut: solution.y[i][0], central: solution.y[i][1], peripheral: solution.y[i][2] },
}));
const errors = points.map(({ t, value }) => ({ t, error: Math.abs(value - exact.value(t)) }));
const largest = (values: number[]) => Math.max(...values.map(Math.abs)).toExponential(1);
const between = (a: number[], b: number[]) => {
  if (a.length !== b.length) throw new Error(`${a.length} events, and ${b.length} in the closed form`);
  return largest(a.map((t, i) => t - b[i]));
};

const rates = exponentials(drug).map(({ rate }) => rate.toFixed(4));
console.log(`rates of the three exponentials: alpha ${rates[0]}, beta ${rates[1]}, ka ${rates[2]} per hour`);
console.log(
  `largest error of ${points.length} concentrations: ${largest(errors.map(({ error }) => error))} mg/l\n`,
);
console.log(`${peaks.length} peaks, largest error of their times:          ${between(peaks, exactPeaks)} h`);
console.log(
  `${crossings.length} crossings of ${threshold} mg/l, largest error:      ${between(crossings, exactCrossings)} h`,
);
const [above, exactAbove] = [timeAbove(crossings, t1), timeAbove(exactCrossings, t1)];
console.log(`time above the threshold: ${above.toFixed(6)} h, exact ${exactAbove.toFixed(6)} h`);

/** Hours above the threshold in each interval between doses. */
const perInterval = (all: number[]) =>
  Array.from({ length: 12 }, (_, i) => {
    const [from, to] = [interval * i, interval * (i + 1)];
    // After an even number of crossings the concentration is below the threshold.
    const before = all.filter((t) => t <= from).length;
    if (before % 2 === 1) throw new Error('an interval begins above the threshold');
    return {
      from,
      to,
      hours: timeAbove(
        all.filter((t) => t > from && t <= to),
        to,
      ),
    };
  });
const intervals = perInterval(crossings);
const full = perInterval(timesOf(withAll, 'threshold'));
console.log('\nhours above it in each interval of 12 h: with the dose forgotten, with all doses');
for (const [i, { from, to, hours }] of intervals.entries())
  console.log(
    `  ${String(from).padStart(3)}-${String(to).padEnd(3)} h ${hours.toFixed(2).padStart(8)} ${full[i].hours.toFixed(2).padStart(8)}`,
  );

const doseTimes = Array.from({ length: 13 }, (_, i) => interval * i);
const time = { label: 'time (h)', labelAnchor: 'center', domain: [0, t1], ticks: doseTimes } as const;
const margins = { marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };

function concentrationPanel(): Panel {
  const at = { x: 't', y: 'value' } as const;
  const all = Array.from(withAll.t, (t, i) => ({ t, value: concentration(drug, withAll.y[i]) }));
  const spans = crossings.flatMap((t, i) => (i % 2 === 0 ? [{ from: t, to: crossings[i + 1] ?? t1 }] : []));
  return {
    ...{ ...margins, width: 1040, height: 300, title: 'Concentration in the central compartment', x: time },
    y: { label: 'mg/l', domain: [0, 1.9], ticks: 5, grid: true },
    marks: [
      Plot.rectX(spans, { x1: 'from', x2: 'to', fill: shade }),
      Plot.ruleY([0]),
      Plot.ruleY([threshold], { stroke: grey, strokeDasharray: '4 4' }),
      Plot.line(
        all.filter(({ t }) => t >= forgotten),
        { ...at, stroke: grey, strokeWidth: 1.2 },
      ),
      Plot.line(points, { ...at, stroke: blue, strokeWidth: 2 }),
      Plot.dot(exactPeaks, { x: (t: number) => t, y: exact.value, r: 3.2, fill: ink, stroke: 'white' }),
      Plot.dot(exactCrossings, {
        x: (t: number) => t,
        y: () => threshold,
        r: 3.2,
        fill: ink,
        stroke: 'white',
      }),
      Plot.text([forgotten], {
        ...{ x: [forgotten], y: [1.76], text: ['dose\nforgotten'], fill: red, dx: 14, textAnchor: 'start' },
      }),
      Plot.ruleX([forgotten], { stroke: red, strokeDasharray: '4 4' }),
    ],
  };
}

function amountsPanel(): Panel {
  const lines = { gut: orange, central: blue, peripheral: green };
  return {
    ...{ ...margins, width: 520, height: 270, title: 'Amounts: both sides of every dose' },
    x: { ...time, domain: [0, 48], ticks: doseTimes.slice(0, 5) },
    y: { label: 'mg', domain: [0, 105], ticks: 5, grid: true },
    marks: Object.entries(lines).map(([y, stroke]) =>
      Plot.line(
        points.filter(({ t }) => t < 48),
        { ...{ x: 't', y, stroke, strokeWidth: 2 } },
      ),
    ),
  };
}

function barsPanel(): Panel {
  const bars = intervals.slice(0, 10).map((bar, i) => ({ ...bar, full: full[i].hours }));
  return {
    ...{ ...margins, width: 520, height: 270, title: 'Time above the threshold' },
    x: { ...time, domain: [0, 120], ticks: doseTimes.slice(0, 11) },
    y: { label: 'h of each 12 h', domain: [0, 5], ticks: 5, grid: true },
    marks: [
      Plot.rectY(bars, { x1: 'from', x2: 'to', y: 'hours', fill: blue, inset: 2 }),
      Plot.ruleY([0]),
      Plot.dot(bars, {
        x: ({ from, to }) => (from + to) / 2,
        y: 'full',
        r: 3.6,
        fill: 'white',
        stroke: grey,
        strokeWidth: 1.5,
      }),
    ],
  };
}

const picture: Figure = {
  title: 'Ten tablets, one of them forgotten: a two-compartment model',
  subtitle: `80 mg every 12 h; clearance ${drug.clearance} l/h, exchange ${drug.exchange} l/h, volumes ${drug.central} l and ${drug.peripheral} l, absorption ${drug.absorption} per hour`,
  legend: [
    { label: 'central', color: blue },
    { label: 'gut', color: orange },
    { label: 'peripheral', color: green },
    { label: `above ${threshold} mg/l`, color: shade, mark: 'area' },
    { label: 'peaks and crossings, exact', color: ink, mark: 'dot' },
    { label: 'had no dose been forgotten', color: grey },
    { label: 'the same, time above', color: grey, mark: 'ring' },
  ],
  rows: [[concentrationPanel()], [amountsPanel(), barsPanel()]],
  caption:
    'odeintHybrid on plain numbers: doses by discreteTimes, peaks and crossings by events. Exact: superposition of exponentials.\n' +
    'Parameters: medians of the priors of Margossian, Zhang & Gillespie 2022.',
};
const { png, svg } = savePlot('dosing', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
