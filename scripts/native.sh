#!/usr/bin/env bash
# Makes the native backend (@tensorflow/tfjs-node) available to the tests, if this machine can have it.
# Never fails: without it the tests run on cpu and wasm, and say so.
#
# TFJS_NODE_INSTALLER  an executable that is called with the package's root and installs tfjs-node there;
#                      without it, one named install-tfjs-node.sh in a folder "native" beside this checkout
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=4.22.0

say() { printf 'native backend: %s\n' "$*"; }
loads() { (cd "$1" && TF_CPP_MIN_LOG_LEVEL=3 node -e "require('@tensorflow/tfjs-node')") >/dev/null 2>&1; }
# limited SECONDS COMMAND...
limited() { if command -v timeout >/dev/null; then timeout "$@"; else "${@:2}"; fi; }

if loads .; then
  say 'already installed'
  exit 0
fi

installer=${TFJS_NODE_INSTALLER:-}
if [ -z "$installer" ]; then
  for candidate in ../*/native/install-tfjs-node.sh; do
    if [ -x "$candidate" ]; then installer=$candidate && break; fi
  done
fi

if [ -n "$installer" ]; then
  if limited 300 "$installer" . && loads .; then
    say 'installed'
  else
    say 'its installer failed; going on without it'
  fi
  exit 0
fi

# Its install step downloads TensorFlow and may be refused or hang, so it is tried outside the checkout first.
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
printf '{"private":true,"allowScripts":{"@tensorflow/tfjs-node@%s":true}}\n' "$version" >"$trial/package.json"
say "trying npm install @tensorflow/tfjs-node@$version (at most 120 s)"
if (cd "$trial" && limited 120 npm install "@tensorflow/tfjs-node@$version" >/dev/null 2>&1) &&
  loads "$trial"; then
  mkdir -p node_modules/@tensorflow
  # Its own dependencies are nested, except the @tensorflow packages: there must be one tfjs-core.
  target=node_modules/@tensorflow/tfjs-node
  rm -rf "$target"
  cp -R "$trial/node_modules/@tensorflow/tfjs-node" "$target"
  mkdir -p "$target/node_modules"
  for dependency in "$trial"/node_modules/*; do
    name=$(basename "$dependency")
    if [ "$name" != @tensorflow ] && [ ! -e "$target/node_modules/$name" ]; then
      cp -R "$dependency" "$target/node_modules/$name"
    fi
  done
  if loads .; then
    say 'installed'
  else
    rm -rf "$target"
    say 'installed, but it does not load here; going on without it'
  fi
else
  say 'not available on this machine; the tests run on cpu and wasm'
fi
