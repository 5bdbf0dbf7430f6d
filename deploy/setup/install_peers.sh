#!/usr/bin/env bash
# Installs the programs that the tests talk to. Never fails: tests that miss a program skip and name it.
set -uo pipefail
packages=(orthanc orthanc-dicomweb dcmtk dicom3tools chromium libgdcm-dev g++ strace systemd)

command -v kubectl >/dev/null || packages+=(kubernetes-client)

absent=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || absent+=("$package")
done
[ ${#absent[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
echo "Installing what the tests talk to: ${absent[*]}"
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    "${as_root[@]}" apt-get update -qq
    for package in "${absent[@]}"; do
        DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "could not install $package: the tests that need it will skip"
    done
else
    echo "no apt-get or no right to use it: tests that need ${absent[*]} will skip"
fi
