#!/usr/bin/env bash
# Installs tmux, in which tests look at what a real terminal shows. Needs apt, and root or sudo.
set -euo pipefail

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 "$@"; }

if command -v tmux >/dev/null; then
  echo "tmux: is installed already"
  exit 0
fi
apt_get update || echo "tmux: not every package list could be read; going on with those that could"
apt_get install --no-install-recommends tmux >/dev/null
tmux -V
