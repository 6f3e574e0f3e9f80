#!/bin/sh
# Publishes one JSON value to a channel: examples/publish.sh CHANNEL JSON
set -eu
curl --fail-with-body --silent --show-error \
    --header 'Content-Type: application/json' \
    --data "$2" \
    "${WIDECAST_URL:-http://127.0.0.1:8080}/channels/$1/messages"
