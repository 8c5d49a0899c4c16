/** Pictures without a browser: Observable Plot draws into linkedom's document, resvg turns the SVG into a PNG. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as Plot from '@observablehq/plot';
import { Resvg, type ResvgRenderOptions } from '@resvg/resvg-js';
import { parseHTML } from 'linkedom';

/** Okabe & Ito's palette: told apart with any common colour blindness. */
export const colors = {
  ...{ blue: '#0072b2', vermilion: '#d55e00', green: '#009e73', orange: '#e69f00', sky: '#56b4e9' },
  ...{ purple: '#cc79a7', ink: '#222222', grey: '#707070', shade: '#eeeeee' },
};

/** A plot with a heading of its own; `width` and `height` are Plot's. */
export type Panel = Omit<Plot.PlotOptions, 'title' | 'subtitle' | 'caption' | 'document'> & {
  title?: string;
};

export interface LegendEntry {
  label: string;
  color: string;
  mark?: 'line' | 'dashed' | 'dot' | 'ring' | 'area';
}

/** Rows of panels under one title and one legend. A line break in a text starts a new line. */
export interface Figure {
  title?: string;
  subtitle?: string;
  legend?: LegendEntry[];
  rows: Panel[][];
  caption?: string;
}

// Arimo has the metrics of Arial, so a viewer's Arial or Liberation Sans puts the SVG's text where the PNG has it.
const fontFamily = 'Arimo, Arial, Helvetica, sans-serif';
const font = fontOptions();
const padding = 16;
const open = `<svg xmlns="http://www.w3.org/2000/svg" font-family="${fontFamily}" fill="${colors.ink}"`;

/** Draws the figure and returns a stand-alone SVG. */
export function figure({ title, subtitle, legend = [], rows, caption }: Figure): string {
  const width = Math.max(...rows.map((row) => row.reduce((sum, panel) => sum + (panel.width ?? 640), 0)));
  const parts: string[] = [];
  let y = padding;
  const write = (text: string | undefined, size: number, attributes: string) => {
    for (const line of text?.split('\n') ?? []) {
      parts.push(label(line, padding, y + size, size, attributes));
      y += size * 1.4;
    }
  };
  write(title, 19, 'font-weight="bold"');
  write(subtitle, 13.5, `fill="${colors.grey}"`);
  if (legend.length > 0) y = drawLegend(legend, width, y + 8, parts) + 4;
  for (const row of rows) {
    let [x, bottom] = [padding, y];
    for (const panel of row) {
      const { svg, width, height } = drawPanel(panel);
      const top = panel.title === undefined ? y : y + 26;
      parts.push(label(panel.title ?? '', x + 4, y + 20, 15, 'font-weight="bold"'));
      parts.push(`<g transform="translate(${x}, ${top})">${svg}</g>`);
      [x, bottom] = [x + width, Math.max(bottom, top + height)];
    }
    y = bottom + 8;
  }
  write(caption, 12, `fill="${colors.grey}"`);
  const [w, h] = [Math.ceil(width + 2 * padding), Math.ceil(y + padding - 4)];
  const page = `${open} width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">`;
  return `${page}<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`;
}

/** Writes `out/<name>.svg` and `out/<name>.png` (twice the size, on white) and returns their paths. */
export function savePlot(name: string, plot: Figure | Panel, folder = 'out'): { svg: string; png: string } {
  const drawing = figure('rows' in plot ? plot : { rows: [[plot]] });
  const png = new Resvg(drawing, { fitTo: { mode: 'zoom', value: 2 }, background: 'white', font });
  const paths = { svg: join(folder, `${name}.svg`), png: join(folder, `${name}.png`) };
  mkdirSync(dirname(paths.svg), { recursive: true });
  writeFileSync(paths.svg, drawing);
  writeFileSync(paths.png, png.render().asPng());
  return paths;
}

/** A fresh machine may have no font at all, and text would vanish: an npm package brings one. */
function fontOptions(): ResvgRenderOptions['font'] {
  try {
    const home = dirname(createRequire(import.meta.url).resolve('@expo-google-fonts/arimo/package.json'));
    const fontFiles = ['400Regular', '700Bold'].map((face) => join(home, face, `Arimo_${face}.ttf`));
    return { fontFiles, loadSystemFonts: false, defaultFontFamily: 'Arimo' };
  } catch {
    return {}; // the system's fonts then
  }
}

function drawPanel({ title: _, ...options }: Panel): { svg: string; width: number; height: number } {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const style = { fontFamily, fontSize: '12.5px', color: colors.ink, overflow: 'visible' };
  const root = Plot.plot({ ...options, style, document });
  root.querySelectorAll('style').forEach((node) => node.remove());
  // resvg knows neither CSS variables nor the colour that an HTML page would pass down
  const svg = root.outerHTML.replace(/var\(--[\w-]+\)/g, 'white').replace(/currentColor/g, colors.ink);
  return { svg, width: Number(root.getAttribute('width')), height: Number(root.getAttribute('height')) };
}

function drawLegend(legend: LegendEntry[], width: number, top: number, parts: string[]): number {
  let [x, y] = [padding, top];
  for (const { label: text, color, mark = 'line' } of legend) {
    const measured = new Resvg(`${open} width="9" height="9">${label(text, 0, 0, 13.5)}</svg>`, { font });
    const advance = 34 + (measured.getBBox()?.width ?? 0);
    if (x > padding && x + advance > width + padding) [x, y] = [padding, y + 22];
    parts.push(legendMark(mark, color, x, y + 9), label(text, x + 34, y + 13.5, 13.5));
    x += advance + 20;
  }
  return y + 22;
}

function legendMark(mark: string, color: string, x: number, y: number): string {
  if (mark === 'area') return `<rect x="${x}" y="${y - 7}" width="26" height="14" fill="${color}"/>`;
  const circle = `<circle cx="${x + 13}" cy="${y}" r="4"`;
  if (mark === 'dot') return `${circle} fill="${color}"/>`;
  if (mark === 'ring') return `${circle} fill="white" stroke="${color}" stroke-width="1.5"/>`;
  const dash = mark === 'dashed' ? ' stroke-dasharray="7 4"' : '';
  return `<path d="M${x},${y}h26" stroke="${color}" stroke-width="2.5"${dash}/>`;
}

function label(text: string, x: number, y: number, size: number, attributes = ''): string {
  const safe = text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  return `<text x="${x}" y="${y.toFixed(1)}" font-size="${size}" ${attributes}>${safe}</text>`;
}
