import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('types', () => {
  it('accept what test/fixtures/types.ts uses, and refuse what it expects to be refused', () => {
    const program = ts.createProgram([`${root}test/fixtures/types.ts`], {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      // Without esnext.disposable: the package brings the declarations it needs.
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
      types: [],
      paths: { 'tfjs-diffeq': ['./src/index.ts'], 'tfjs-diffeq/*': ['./*/index.ts'] },
      configFilePath: `${root}tsconfig.json`,
    });
    expect(program.getSourceFiles().map(({ fileName }) => fileName)).to.include(`${root}src/index.ts`);
    const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const line = file ? file.getLineAndCharacterOfPosition(start ?? 0).line + 1 : 0;
      return `${file?.fileName}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
    expect(problems).to.deep.equal([]);
  });
});
