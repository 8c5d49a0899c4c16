import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { build } from 'esbuild';
import { methodNames } from 'tfjs-diffeq';

const root = fileURLToPath(new URL('..', import.meta.url));

/* What a bundler makes of a page's script, from the sources; tfjs stays outside. */
async function bundle(contents: string): Promise<{ text: string; imports: string[]; files: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    external: ['@tensorflow/*'],
    write: false,
    metafile: true,
    outfile: 'page.js',
    absWorkingDir: root,
    logLevel: 'silent',
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path));
  const [{ inputs }] = Object.values(metafile.outputs);
  const files = Object.keys(inputs).filter((path) => inputs[path].bytesInOutput > 0);
  return { text: outputFiles[0].text, imports: [...new Set(imports)], files };
}

/* A name in quotes, as a tableau has it. */
const methodsIn = (text: string): string[] =>
  methodNames.filter((name) => new RegExp(`name(:| =) "${name}"`).test(text));

describe('a bundle', () => {
  const pages: [title: string, script: string, methods: string[]][] = [
    ['of a tableau', `odeintWith(dopri5, (t, y) => y, [1], [0, 1])`, ['dopri5']],
    ['of a stepper', `odeintWith(new ExplicitRungeKutta(dopri5), (t, y) => y, [1], [0, 1])`, ['dopri5']],
  ];
  for (const [title, call, methods] of pages) {
    it(`${title} with odeintWith holds that method only`, async () => {
      const { text, imports } = await bundle(`
        import { odeintWith } from 'tfjs-diffeq';
        import { dopri5, ExplicitRungeKutta } from 'tfjs-diffeq/solvers';
        console.log(${call});`);
      expect(methodsIn(text)).to.deep.equal(methods);
      for (const other of ['tsit5', 'dopri8', 'rk4_classic']) expect(text).not.to.include(other);
      expect(imports).to.deep.equal(['@tensorflow/tfjs-core']);
      expect(text).not.to.include('node:');
    });
  }

  it('of odeint holds every method, and no adjoint', async () => {
    const { text, imports, files } = await bundle(`
      import { odeint } from 'tfjs-diffeq';
      console.log(odeint((t, y) => y, [1], [0, 1]));`);
    expect(methodsIn(text)).to.have.members([...methodNames]);
    expect(imports).to.deep.equal(['@tensorflow/tfjs-core']);
    expect(files).to.include('src/odeint_with.ts');
    expect(files.filter((path) => path.startsWith('adjoint/'))).to.deep.equal([]);
  });

  it('imports tfjs-layers for the layer only, and registers its class', async () => {
    const all = await bundle(`import * as ode from 'tfjs-diffeq'; console.log(ode);`);
    expect(all.imports).to.deep.equal(['@tensorflow/tfjs-core']);
    const { imports, text } = await bundle(`
      import { neuralODE } from 'tfjs-diffeq/layers';
      console.log(neuralODE);`);
    expect(imports).to.have.members(['@tensorflow/tfjs-core', '@tensorflow/tfjs-layers']);
    expect(text).to.include('registerClass(NeuralODE)');
  });

  it('of names alone holds no solver', async () => {
    const { text } = await bundle(`
      import { InvalidArgumentError } from 'tfjs-diffeq';
      console.log(InvalidArgumentError.name);`);
    expect(methodsIn(text)).to.deep.equal([]);
  });
});
