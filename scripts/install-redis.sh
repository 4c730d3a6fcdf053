#!/usr/bin/env bash
# Installs Redis, through which tests have studies done by workers. Needs apt, and root or sudo.
set -euo pipefail

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 "$@"; }

if command -v redis-server >/dev/null; then
  echo "Redis: is installed already"
  exit 0
fi
apt_get update || echo "Redis: not every package list could be read; going on with those that could"
apt_get install --no-install-recommends redis-server >/dev/null
redis-server --version
