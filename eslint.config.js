import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Imports point one way; the diagram is in CONTRIBUTING.md:
//
//   src/core <- solvers, events/locate, adjoint/step_adjoint <- src/odeint <- events, adjoint, layers <- src/index
//
// ESLint does not merge two settings of one rule, so each group of files states everything it must not import.

const modules = ['solvers', 'adjoint', 'events', 'optim', 'layers', 'compile', 'cli'];
const outside = ['examples', 'bench', 'test', 'scripts', 'docs', 'dist'];

/** A relative import that enters a folder at the top of the repository, except the files named. */
const folder = (name, ...except) => ({
  regex: `^\\.[./]*/${name}/` + except.map((file) => `(?!${file}(\\.js)?$)`).join(''),
  message: `This file stands below ${name}/ (see the import diagram in CONTRIBUTING.md).`,
});
/** A file of src/ itself, such as src/index.ts or src/odeint.ts, seen from another folder. */
const srcFile = (pattern) => ({
  regex: `^\\.[./]*/src/${pattern}\\.js$`,
  message: 'This file stands below it (see the import diagram in CONTRIBUTING.md).',
});
const srcIndex = {
  regex: '^\\.{1,2}/([./]*/)?(src/)?index\\.js$',
  message: 'Import the file that defines it: src/index.ts only re-exports.',
};
const anySrcFile = srcFile('[^/]+');

const coreOnly = {
  regex: '^@tensorflow/(?!tfjs-core$)',
  message: 'The library imports @tensorflow/tfjs-core only; the user picks the backend.',
};
const coreAndLayers = {
  regex: '^@tensorflow/(?!tfjs-(core|layers)$)',
  message:
    'layers/ imports @tensorflow/tfjs-core and @tensorflow/tfjs-layers only; the user picks the backend.',
};
const libraryBasics = [
  { regex: '^tfjs-diffeq(/|$)', message: 'Inside the package, import the file itself.' },
  { regex: '^node:', message: 'The library runs in the browser too.' },
];

const noBackendOnDemand = {
  selector: 'ImportExpression[source.value=/^@tensorflow.(?!tfjs-core$)/]',
  message: coreOnly.message,
};

// Mocha requires test files, and imports those that await: the library would be loaded twice.
const noTopLevelAwait = {
  selector:
    'Program > :matches(ExpressionStatement, VariableDeclaration, ExportNamedDeclaration) AwaitExpression:not(:function *)',
  message: 'Await in a before() hook: a top-level await makes mocha load the library a second time.',
};

const restrict = (files, patterns, ignores = []) => ({
  files,
  ignores,
  rules: { 'no-restricted-imports': ['error', { patterns }] },
});
const library = (files, patterns, ignores, tfjs = coreOnly) =>
  restrict(files, [tfjs, ...libraryBasics, ...outside.map((name) => folder(name)), ...patterns], ignores);
/** Every module's folder but the ones named. */
const modulesExcept = (...names) =>
  modules.filter((name) => !names.includes(name)).map((name) => folder(name));
const leavesCore = (regex) => ({ regex, message: 'src/core imports nothing outside src/core.' });

const importDirection = [
  library(['src/index.ts'], []),
  library(['src/core/*.ts'], [leavesCore('^\\.\\./'), ...modulesExcept()]),
  library(['src/core/*/**/*.ts'], [leavesCore('^\\.\\./\\.\\./'), ...modulesExcept()]),
  library(['solvers/**/*.ts'], [...modulesExcept('solvers'), anySrcFile]),
  library(
    ['events/locate*.ts', 'adjoint/step_adjoint.ts'],
    [
      ...modulesExcept('solvers'),
      anySrcFile,
      { regex: '^\\./(?!locate|step_adjoint)', message: 'This file stands below its neighbours.' },
    ],
  ),
  library(
    ['src/*.ts'],
    [...modulesExcept('solvers', 'events'), folder('events', 'locate'), srcIndex],
    ['src/index.ts'],
  ),
  library(
    ['events/**/*.ts'],
    [...modulesExcept('solvers', 'events', 'adjoint'), srcFile('index')],
    ['events/locate*.ts'],
  ),
  library(
    ['adjoint/**/*.ts'],
    [...modulesExcept('solvers', 'events', 'adjoint'), srcFile('index')],
    ['adjoint/step_adjoint.ts'],
  ),
  library(
    ['layers/**/*.ts'],
    [...modulesExcept('solvers', 'events', 'adjoint', 'layers'), srcFile('index')],
    [],
    coreAndLayers,
  ),
  library(['optim/**/*.ts'], [...modulesExcept('optim'), anySrcFile]),
  library(
    ['compile/**/*.ts'],
    [...modulesExcept('compile', 'optim', 'adjoint'), folder('adjoint', 'step_adjoint'), anySrcFile],
  ),
  restrict(
    ['examples/**/*.ts', 'bench/**/*.ts', 'test/**/*.ts', 'docs/**/*.ts'],
    [
      {
        regex: `^\\.[./]*/(${['src', ...modules, 'dist'].join('|')})(/|$)`,
        message: "Import the public entry points, 'tfjs-diffeq' or 'tfjs-diffeq/...', as a user does.",
      },
      { regex: '^tfjs-diffeq/.+/', message: 'That is not a public entry point.' },
    ],
  ),
];

export default defineConfig(
  globalIgnores(['dist/', 'docs/api/', 'coverage/', 'out/', '**/out/']),
  js.configs.recommended,
  {
    files: ['**/*.{js,cjs,mjs}'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        require: 'readonly',
        module: 'writable',
      },
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines-per-function': ['warn', { max: 60, skipBlankLines: true, skipComments: true }],
      // A state may be of any kind (AnyOptions, AnyPrepared): what is behind the front door has been checked there.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      // `tf.sum(x) as tf.Scalar` is how tfjs is written.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // An interface may be async on one backend only.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
    },
  },
  {
    files: ['src', ...modules].map((name) => `${name}/**/*.ts`),
    ignores: ['cli/**'],
    rules: { 'no-restricted-syntax': ['error', noBackendOnDemand] },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: { 'max-lines-per-function': 'off' },
  },
  {
    // chai's `expect(x).to.be.true` is an expression; wrong input is handed in on purpose.
    files: ['test/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', noTopLevelAwait],
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
  ...importDirection,
);
