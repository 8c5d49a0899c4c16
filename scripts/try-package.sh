#!/usr/bin/env bash
# try-package.sh [TARBALL]: installs the packed package in empty projects and uses it as a new user does.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf 'try-package: %s\n' "$*"; }
die() {
  say "error: $*" >&2
  exit 1
}
install() { npm install --no-audit --no-fund --loglevel=error "$@" >/dev/null; }

if [ $# -gt 0 ]; then
  tarball=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
else
  (cd "$root" && npm pack --silent --pack-destination "$work" >/dev/null)
  tarball=$(echo "$work"/*.tgz)
fi

# Every subpath of "exports" that is a module, as 'tfjs-diffeq', 'tfjs-diffeq/solvers', ...
modules=$(cd "$root" && node -p "
  const { name, exports } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
  Object.keys(exports).filter((key) => !key.endsWith('.json')).map((key) => name + key.slice(1)).join(' ')")

# Those that need a peer nobody has to install: tried once @tensorflow/tfjs, which brings it, is there.
optional='tfjs-diffeq/layers'
required=$(tr ' ' '\n' <<<"$modules" | grep -vxF "$optional")

try_module() {
  echo "import * as m from '$1'; if (Object.keys(m).length === 0) throw new Error('$1 exports nothing');" >import.mjs
  node import.mjs || die "import '$1' fails"
  echo "const m = require('$1'); if (Object.keys(m).length === 0) throw new Error('$1 exports nothing');" >require.cjs
  node require.cjs || die "require('$1') fails"
}

say 'a JavaScript project'
mkdir "$work/javascript" && cd "$work/javascript"
npm init -y >/dev/null
install "$tarball"
foreign=$(find node_modules -path '*/@tensorflow/*' -prune -name 'tfjs*' ! -name tfjs-core)
[ -z "$foreign" ] || die "installing this package alone also installs $foreign"
[ -d node_modules/@tensorflow/tfjs-core ] || die 'the peer @tensorflow/tfjs-core is not installed'

for module in $required; do try_module "$module"; done
node -e "require('tfjs-diffeq/package.json')" || die "require('tfjs-diffeq/package.json') fails"
say "import and require work:" $required

say 'the first example of README.md'
node "$root/scripts/first-example.js" "$root/README.md" .
# The packages that the README says to install; ours comes from the tarball.
install $(sed "s#^tfjs-diffeq\$#$tarball#" packages.txt)
example=$(cat name.txt)
say "node $example"
node "$example" || die "$example, as printed in README.md, fails"
for module in $optional; do try_module "$module"; done
say "with @tensorflow/tfjs import and require work: $optional"

say 'a TypeScript project'
mkdir "$work/typescript" && cd "$work/typescript"
echo '{ "private": true, "type": "module" }' >package.json
install "$tarball" @tensorflow/tfjs-layers
cat >tsconfig.json <<'EOF'
{
  "compilerOptions": {
    "target": "ES2022",
    "module": "NodeNext",
    "strict": true,
    "skipLibCheck": true,
    "noEmit": true,
    "types": []
  },
  "include": ["*.mts", "*.cts"]
}
EOF
{
  echo "import { odeint } from 'tfjs-diffeq';"
  for module in $modules; do echo "export * as m${RANDOM}${RANDOM} from '$module';"; done
  echo "const ys = odeint((_t, y) => Float64Array.of(-y[0]), [1], [0, 1]);"
  echo "export const last: number = ys[1][0];"
  echo "// @ts-expect-error: the third argument is a grid of times"
  echo "odeint((_t, y) => y, [1], 'soon');"
} >use.mts
"$root/node_modules/.bin/tsc" -p . || die 'a small .mts does not type-check'
say 'ok'
