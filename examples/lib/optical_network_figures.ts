/** The panels of the diffractive network's picture. */
import * as Plot from '@observablehq/plot';
import { detectors } from './optical_digits.js';
import { pixels, ramp, type Colour } from './pixels.js';
import { colors, type Panel } from './plot.js';

const light = ramp([
  [0, 0, 0],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
]);
const wheel: Colour[] = [
  [226, 217, 226],
  [107, 142, 190],
  [47, 20, 54],
  [176, 85, 72],
  [226, 217, 226],
];
const cycle = ramp(wheel);

interface Look {
  title: string;
  /** Edge of a pixel in the picture: a whole number keeps squares sharp, and the file small. */
  zoom: number;
  width: number;
  marks?: Plot.Markish[];
}

function square(values: Float32Array, color: (x: number) => Colour, look: Look): Panel {
  const { title, zoom, width, marks = [] } = look;
  const size = Math.sqrt(values.length);
  const edge = zoom * size;
  const margins = { marginLeft: 4, marginTop: 4, marginRight: width - edge - 4, marginBottom: 4 };
  const src = pixels(values, size, color, 2 * zoom); // the PNG has twice the size of the SVG
  return {
    ...{ ...margins, width, height: edge + 8, title },
    x: { axis: null, domain: [0, size] },
    y: { axis: null, domain: [size, 0] },
    marks: [
      Plot.image([size / 2], {
        x: (x: number) => x,
        y: (y: number) => y,
        src: () => src,
        width: edge,
        height: edge,
      }),
      ...marks,
    ],
  };
}

/** Bright where light is: 1 is the brightest that the colours show, and without `brightest` the image's own maximum. */
export function imagePanel(image: Float32Array, look: Look, brightest = Math.max(...image)): Panel {
  return square(image, (x) => light(x / brightest), look);
}

/** A phase is what it is up to whole turns, and so are its colours. */
export function phasePanel(phases: Float32Array, look: Look): Panel {
  const turns = (x: number) => x / (2 * Math.PI) - Math.floor(x / (2 * Math.PI));
  return square(phases, (x) => cycle(turns(x)), look);
}

/** The squares of the detectors with the digits they stand for, over an image; `bright` is the digit to mark. */
export function detectorMarks(size: number, bright: number): Plot.Markish[] {
  const { edge, corners } = detectors(size);
  const boxes = corners.map(([left, top], digit) => ({
    left,
    top,
    right: left + edge,
    bottom: top + edge,
    digit,
  }));
  return [
    Plot.rect(boxes, {
      ...{ x1: 'left', x2: 'right', y1: 'top', y2: 'bottom', fill: 'none', strokeWidth: 1.4 },
      stroke: (box: { digit: number }) => (box.digit === bright ? colors.sky : 'white'),
    }),
    Plot.text(boxes, {
      ...{ x: 'left', y: 'top', text: 'digit', dy: -7, dx: 4, fontSize: 11 },
      fill: (box: { digit: number }) => (box.digit === bright ? colors.sky : 'white'),
    }),
  ];
}

export interface Curve {
  name: string;
  errors: number[];
  stroke: string;
}

export function errorPanel(curves: Curve[], width: number): Panel {
  const decades = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
  const longest = Math.max(...curves.map(({ errors }) => errors.length));
  return {
    ...{ marginLeft: 52, marginBottom: 40, marginTop: 22, marginRight: 86, width, height: 232 },
    title: 'Mean squared error of the image',
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, longest], ticks: 4 },
    y: { type: 'log', label: 'largest value of the target = 1', domain: [1e-5, 0.12] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (x: number) => `1e${Math.round(Math.log10(x))}` }),
      ...curves.flatMap(({ name, errors, stroke }) => {
        const points = errors.map((error, i) => ({ i: i + 1, error }));
        const at = { x: 'i', y: 'error' } as const;
        return [
          Plot.line(points, { ...at, stroke, strokeWidth: 2 }),
          Plot.text(points.slice(-1), { ...at, text: () => name, dx: 5, textAnchor: 'start', fill: stroke }),
        ];
      }),
    ],
  };
}

interface Bar {
  name: string;
  /** Per cent. */
  value: number;
  fill: string;
}

export function accuracyPanel(bars: Bar[], width: number): Panel {
  return {
    ...{ marginLeft: 46, marginBottom: 44, marginTop: 22, marginRight: 12, width, height: 232 },
    title: 'Digits held back, right',
    x: { label: null, domain: bars.map(({ name }) => name), padding: 0.25 },
    y: { label: '%', domain: [80, 100], ticks: 5, grid: true },
    marks: [
      Plot.rectY(bars, { x: 'name', y1: 80, y2: 'value', fill: 'fill' }),
      Plot.text(bars, { x: 'name', y: 'value', text: ({ value }: Bar) => value.toFixed(1), dy: -8 }),
      Plot.ruleY([80]),
    ],
  };
}
