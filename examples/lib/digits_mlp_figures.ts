/** The picture of the example digits_mlp. */
import * as Plot from '@observablehq/plot';
import type { Digits } from './digits.js';
import type { Verdict } from './digits_mlp.js';
import { colors, type Figure, type Panel } from './plot.js';

export interface Drawn {
  losses: number[];
  result: Verdict;
  /** As they are, and as the network sees them. */
  heldBack: Digits;
  reduced: Digits;
  title: string;
  subtitle: string;
  caption: string;
}

const { blue, vermilion: red, ink } = colors;
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };
const [columns, rows] = [13, 3];

function confusionPanel({ result: { confusion } }: Drawn): Panel {
  const cells = confusion.flatMap((row, label) => row.map((n, read) => ({ label, read, n })));
  const most = Math.max(...cells.filter((c) => c.label !== c.read).map((c) => c.n));
  const fill = ({ label, read, n }: (typeof cells)[0]) =>
    label === read
      ? '#d6e6f2'
      : n === 0
        ? 'white'
        : `rgba(213, 94, 0, ${(0.15 + (0.65 * n) / most).toFixed(2)})`;
  return {
    ...{ ...margins, width: 520, height: 330, title: 'Digits, and what was read' },
    x: { label: 'read', labelAnchor: 'center', type: 'band', tickFormat: String },
    y: { label: 'digit', type: 'band', tickFormat: String },
    marks: [
      Plot.cell(cells, { x: 'read', y: 'label', fill, stroke: '#dddddd' }),
      Plot.text(
        cells.filter(({ n }) => n > 0),
        { x: 'read', y: 'label', text: 'n', fill: ink },
      ),
    ],
  };
}

function lossPanel({ losses }: Drawn): Panel {
  const span = Math.ceil(losses.length / 150);
  const points = Array.from({ length: Math.floor(losses.length / span) }, (_, i) => {
    const part = losses.slice(i * span, (i + 1) * span);
    return { x: (i + 0.5) * span, y: part.reduce((sum, x) => sum + x, 0) / span };
  });
  return {
    ...{ ...margins, width: 520, height: 330, title: `Loss on deformed digits, means of ${span} batches` },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, losses.length], ticks: 5 },
    y: { label: 'cross entropy with smoothed labels', domain: [0.4, 2], ticks: 5, grid: true },
    marks: [Plot.line(points, { x: 'x', y: 'y', stroke: blue, strokeWidth: 2 })],
  };
}

/** Each misread digit as it is, and beside it the 8 x 8 pixels that the network saw; the surest errors first. */
function wrongPanel({ result: { wrong }, heldBack, reduced }: Drawn): Panel {
  const chosen = [...wrong].sort((a, b) => b.probability - a.probability).slice(0, columns * rows);
  const pixels = chosen.flatMap(({ index }, k) => {
    const [left, top] = [(k % columns) * 2.3, Math.floor(k / columns) * 1.55];
    return [...square(heldBack, index, left, top), ...square(reduced, index, left + 1.05, top)];
  });
  const captions = chosen.map(({ label, read }, k) => ({
    ...{ x: (k % columns) * 2.3 + 1.02, y: Math.floor(k / columns) * 1.55 - 0.2 },
    text: `${label}, read ${read}`,
  }));
  const more = wrong.length > chosen.length ? `the surest ${chosen.length} of ${wrong.length}` : 'all';
  return {
    ...{ width: 1040, height: 232, marginLeft: 8, marginRight: 8, marginTop: 8, marginBottom: 4 },
    title: `Read wrongly, ${more}: the image, and the 8 x 8 pixels of its middle that the network sees`,
    x: { axis: null, domain: [0, columns * 2.3] },
    y: { axis: null, domain: [rows * 1.55 - 0.5, -0.4] },
    marks: [
      Plot.rect(pixels, { x1: 'x1', x2: 'x2', y1: 'y1', y2: 'y2', fill: 'fill' }),
      Plot.text(captions, { x: 'x', y: 'y', text: 'text', fill: red, fontSize: 12 }),
    ],
  };
}

/** One image in a square of edge 1. */
function square({ images, size }: Digits, index: number, left: number, top: number) {
  return Array.from(images.subarray(index * size ** 2, (index + 1) * size ** 2), (value, i) => {
    const level = Math.round(255 * (1 - value));
    const [x1, y1] = [left + (i % size) / size, top + Math.floor(i / size) / size];
    return { x1, x2: x1 + 1 / size, y1, y2: y1 + 1 / size, fill: `rgb(${level},${level},${level})`, value };
  }).filter(({ value }) => value > 0.02);
}

export function drawing(drawn: Drawn): Figure {
  const { title, subtitle, caption } = drawn;
  const panels = [[confusionPanel(drawn), lossPanel(drawn)], [wrongPanel(drawn)]];
  return { title, subtitle, rows: panels, caption };
}
