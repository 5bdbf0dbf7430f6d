#!/usr/bin/env bash
# Makes the secrets that compose.yaml names, once; existing ones stay. The folder is for its owner only; the files in it
# are readable, because Compose mounts each into a container whose user is another one.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)/secrets
chmod 700 "$folder"

secret() { # NAME VALUE
    if [ ! -e "$folder/$1" ]; then
        printf '%s' "$2" >"$folder/$1"
        chmod 444 "$folder/$1"
        echo "made $folder/$1"
    fi
}

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

secret superuser_password "$(random)"
secret database_password "$(random)"
secret bonecraft_database_url "postgresql://bonecraft:$(cat "$folder/database_password")@database/bonecraft"
secret admin_password "$(random)"
