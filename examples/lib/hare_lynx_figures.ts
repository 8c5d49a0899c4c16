/** The pictures of the hare-lynx example, drawn from plain numbers: `savePictures(results)` writes all of them. */
import {
  blue,
  grey,
  ink,
  lossPanel,
  phasePanel,
  red,
  shade,
  timePanel,
  type Fit,
  type HareLynxResults,
  type Rates,
} from './hare_lynx_panels.js';
import { savePlot, type Figure, type LegendEntry } from './plot.js';

export type { Fit, HareLynxResults, Populations, Rates } from './hare_lynx_panels.js';

/** Writes `out/hare_lynx_{fit,phase,loss}` and the overview `out/hare_lynx`, as .svg and .png; returns the paths. */
export function savePictures(results: HareLynxResults, folder = 'out'): { svg: string; png: string }[] {
  return [
    savePlot('hare_lynx_fit', fitFigure(results), folder),
    savePlot('hare_lynx_phase', phaseFigure(results), folder),
    savePlot('hare_lynx_loss', lossFigure(results), folder),
    savePlot('hare_lynx', overviewFigure(results), folder),
  ];
}

/** Both populations over the years: the record, the fits and their forecasts. */
export function fitFigure(results: HareLynxResults): Figure {
  return {
    title: `Hare and lynx of the Hudson's Bay Company, ${span(results)}`,
    legend: fitLegend(results),
    rows: [[timePanel(results, 'hare', 900, 260)], [timePanel(results, 'lynx', 900, 260)]],
    caption,
  };
}

/** Lynx against hare, over the vector field of the fitted Lotka-Volterra model. */
export function phaseFigure(results: HareLynxResults): Figure {
  return {
    title: `Phase portrait of hare and lynx, ${span(results)}`,
    subtitle: equations(results.lotkaVolterra.rates),
    legend: fitLegend(results).filter(({ mark }) => mark !== 'area' && mark !== 'ring'),
    rows: [[phasePanel(results, 780, 520)]],
    caption: `${caption}\nArrows: direction of the fitted Lotka-Volterra model.`,
  };
}

/** How the losses fell. */
export function lossFigure(results: HareLynxResults): Figure {
  const legend = [
    { label: 'Lotka-Volterra', color: blue },
    { label: 'neural ODE', color: red },
  ];
  return { title: 'Loss while training', legend, rows: [[lossPanel(results, 720, 380)]] };
}

/** All of them in one picture. */
export function overviewFigure(results: HareLynxResults): Figure {
  const phase = { ...phasePanel(results, 430, 270), title: 'Phase portrait' };
  const loss = { ...lossPanel(results, 430, 270), title: 'Loss while training' };
  return {
    title: `Two differential equations learn the Hudson's Bay record of hare and lynx, ${span(results)}`,
    subtitle: equations(results.lotkaVolterra.rates),
    legend: fitLegend(results),
    rows: [
      [timePanel(results, 'hare', 580, 270), phase],
      [timePanel(results, 'lynx', 580, 270), loss],
    ],
    caption,
  };
}

const caption = 'Record: Elton & Nicholson 1942, Hewitt 1921.';

function fitLegend({ record, lotkaVolterra, neuralOde, naive }: HareLynxResults): LegendEntry[] {
  const years = ({ fittedTo }: Fit) => `fitted to ${record.year[0]}\u2013${fittedTo}`;
  const bothForecast = lotkaVolterra.fittedTo < record.year[record.year.length - 1];
  return [
    { label: 'record', color: ink, mark: 'dot' },
    { label: `Lotka-Volterra, ${years(lotkaVolterra)}`, color: blue },
    { label: `neural ODE, ${years(neuralOde)}`, color: red },
    { label: 'forecast', color: bothForecast ? ink : red, mark: 'dashed' },
    ...(naive ? [{ label: naive.name, color: grey, mark: 'ring' } as const] : []),
    { label: 'held back', color: shade, mark: 'area' },
  ];
}

const span = ({ record: { year } }: HareLynxResults) => `${year[0]}\u2013${year[year.length - 1]}`;

function equations({ alpha, beta, gamma, delta }: Rates): string {
  const [a, b, c, d] = [alpha, beta, gamma, delta].map((rate) => rate.toPrecision(2));
  return (
    `Lotka-Volterra: d hare/dt = ${a} hare \u2212 ${b} hare\u00b7lynx, ` +
    `d lynx/dt = \u2212${c} lynx + ${d} hare\u00b7lynx (per year, in thousand pelts)`
  );
}
