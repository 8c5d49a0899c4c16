/**
 * A thermostat with hysteresis: the heater goes on at 19 degrees and off at 21. `odeintHybrid` finds the switches, which
 * have a closed form, and so has the duty cycle.
 *
 * Run it with `npm run example thermostat`. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { duty, exactCycle, exactDuty, exactSwitches, heat, room } from './lib/thermostat.js';

const { blue, vermilion: red, orange, green, ink } = colors;
const [start, t1] = [15, 12];
const saveAt = Array.from({ length: 600 }, (_, i) => ((i + 0.5) * t1) / 600);
const solution = heat(room, start, t1, saveAt);
const exact = exactSwitches(room, start, solution.events.length);
const switches = solution.events.map(({ t, name }, i) => ({ t, name, error: Math.abs(t - exact[i]) }));

console.log(`heater on at ${room.on} °C, off at ${room.off} °C; ${room.outside} °C outside\n`);
console.log('switch      time, h   closed form        error');
for (const [i, { t, name, error }] of switches.entries()) {
  console.log(
    `${name.padEnd(8)}${t.toFixed(6).padStart(11)}${exact[i].toFixed(6).padStart(14)}${error.toExponential(1).padStart(13)}`,
  );
}
const { heating, cooling } = exactCycle(room);
console.log(`\na cycle heats for ${heating.toFixed(4)} h and cools for ${cooling.toFixed(4)} h`);

/** The same room in other weather: above 19 degrees it needs no heater, and below -4 one is not enough. */
const weather = Array.from({ length: 23 }, (_, i) => {
  const outside = -3.5 + i;
  const changed = { ...room, outside };
  return { outside, duty: duty(heat(changed, room.on, 120)), exact: exactDuty(changed) };
});
const dutyError = Math.max(...weather.map(({ duty, exact }) => Math.abs(duty - exact)));
const [computed, closed] = [duty(solution), exactDuty(room)];
console.log(
  `duty cycle: ${computed.toFixed(9)}, closed form ${closed.toFixed(9)}; ` +
    `largest error for ${weather[0].outside} to ${weather.at(-1)!.outside} °C outside: ${dutyError.toExponential(1)}`,
);

const hours = { label: 'time (h)', labelAnchor: 'center', domain: [0, t1], ticks: 12 } as const;
const margins = { marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };

/** From one switch to the next while the heater is on. */
const heated = [
  { from: 0, to: switches[0].t },
  ...switches.flatMap(({ t, name }, i) => (name === 'on' ? [{ from: t, to: switches[i + 1]?.t ?? t1 }] : [])),
];
const points = Array.from(solution.t, (t, i) => ({
  t,
  temperature: solution.y[i][0],
  heater: solution.y[i][1],
}));

function temperaturePanel(): Panel {
  const atSwitch = exact.map((t, i) => ({ t, temperature: i % 2 === 0 ? room.off : room.on }));
  return {
    ...{ ...margins, width: 1040, height: 280, title: 'Temperature', x: hours },
    y: { label: '°C', domain: [14.8, 21.4], ticks: 7, grid: true },
    marks: [
      Plot.rectX(heated, { x1: 'from', x2: 'to', fill: '#fbe3d3' }),
      Plot.ruleY([room.on, room.off], { stroke: colors.grey, strokeDasharray: '4 4' }),
      Plot.line(points, { x: 't', y: 'temperature', stroke: red, strokeWidth: 2.2 }),
      Plot.dot(atSwitch, { x: 't', y: 'temperature', r: 3.4, fill: ink, stroke: 'white' }),
    ],
  };
}

function heaterPanel(): Panel {
  return {
    ...{ ...margins, width: 1040, height: 120, title: 'Heater', x: hours },
    y: {
      label: null,
      domain: [-0.1, 1.1],
      ticks: [0, 1],
      tickFormat: (x: number) => (x === 1 ? 'on' : 'off'),
    },
    marks: [Plot.line(points, { x: 't', y: 'heater', stroke: orange, strokeWidth: 2.2 })],
  };
}

function dutyPanel(): Panel {
  const outside = Array.from({ length: 451 }, (_, i) => -3.6 + (22.5 * i) / 450);
  const curve = outside.map((x) => ({ outside: x, exact: exactDuty({ ...room, outside: x }) }));
  return {
    ...{ ...margins, width: 520, height: 280, title: 'Duty cycle in other weather' },
    x: { label: 'outside (°C)', labelAnchor: 'center', domain: [-4, 19.5], ticks: 8 },
    y: { label: 'part of the time on', domain: [0, 1], ticks: 5, grid: true },
    marks: [
      Plot.line(curve, { x: 'outside', y: 'exact', stroke: ink, strokeWidth: 1.6 }),
      Plot.dot(weather, { x: 'outside', y: 'duty', r: 4, fill: blue, stroke: 'white' }),
      Plot.ruleY([0]),
    ],
  };
}

function errorPanel(): Panel {
  const decades = [1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8];
  return {
    ...{ ...margins, width: 520, height: 280, title: 'Error of the time of each switch' },
    x: { ...hours, ticks: 6 },
    y: { type: 'log', label: 'h', domain: [1e-12, 1e-8] },
    marks: [
      Plot.gridY(decades.slice(2)),
      Plot.axisY(decades.slice(2), { tickFormat: (x: number) => x.toExponential(0) }),
      Plot.line(switches, { x: 't', y: 'error', stroke: green, strokeWidth: 1.4 }),
      Plot.dot(switches, { x: 't', y: 'error', r: 3.2, fill: green, stroke: 'white' }),
    ],
  };
}

const picture: Figure = {
  title: 'A thermostat with hysteresis',
  subtitle: `dT/dt = ${room.rate} (${room.outside} + ${room.lift} heater \u2212 T) per hour; on at ${room.on} °C, off at ${room.off} °C`,
  legend: [
    { label: 'temperature', color: red },
    { label: 'heater', color: orange },
    { label: 'heating', color: '#fbe3d3', mark: 'area' },
    { label: 'switches, closed form', color: ink, mark: 'dot' },
    { label: 'duty cycle of the solve', color: blue, mark: 'dot' },
    { label: 'duty cycle, closed form', color: ink },
  ],
  rows: [[temperaturePanel()], [heaterPanel()], [dutyPanel(), errorPanel()]],
  caption:
    'odeintHybrid on plain numbers, rtol 1e-10, eventTol 1e-9 (the default). Both sides of every jump are rows of the solution.',
};
const { png, svg } = savePlot('thermostat', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
