#!/usr/bin/env bash
# Packs once, and looks at what a user would get: publint, types for every kind of import, a real install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT

npm pack --loglevel=error --pack-destination "$packed" >"$packed/log" || { cat "$packed/log"; exit 1; }
tarball=$(echo "$packed"/*.tgz)
npx publint run "$tarball" --strict
npx attw "$tarball" --profile esm-only --no-definitely-typed
bash scripts/try-package.sh "$tarball"
