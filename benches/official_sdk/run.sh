#!/usr/bin/env bash
# Drives the official SDK and this library with the same rows against the same server and prints the ratios.
#
#   benches/official_sdk/run.sh FILE.ndjson [ROUNDS]
#
# FILE is what the whole job loads; any NDJSON will do. Needs a Rust toolchain, python3 with venv, openssl and the package
# index. Everything that is made lies below target/official_sdk.
set -euo pipefail
file=$(realpath "${1:?"usage: $0 FILE.ndjson [ROUNDS]"}")
rounds=${2:-3}
cd "$(dirname "$0")/../.."
work=${CARGO_TARGET_DIR:-target}/official_sdk
mkdir -p "$work"
work=$(realpath "$work")

if [ ! -x "$work/venv/bin/python" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet snowpipe-streaming==1.9.1
fi

# The SDK trusts one authority, given by SSL_CERT_FILE, and logs in with a key pair.
if [ ! -f "$work/ca.pem" ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=sink authority' \
        -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=127.0.0.1' -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
    openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 3650 \
        -extfile <(printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n') -out "$work/server.pem" 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/rsa_key.p8" 2>/dev/null
fi

ours=$(cargo bench --locked --bench official_sdk --no-run --message-format=json 2>"$work/build.log" |
    python3 -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made["target"]["name"] == "official_sdk":
        print(made["executable"])') || { cat "$work/build.log" >&2; exit 1; }

python3 benches/official_sdk/compare.py --work "$work" --ours "$ours" --file "$file" --rounds "$rounds"
