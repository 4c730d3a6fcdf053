#!/usr/bin/env bash
# Installs Chromium, in which tests open the pages that flex writes and serves. Needs apt, and root or sudo.
set -euo pipefail

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 "$@"; }

if [[ -x /usr/bin/chromium ]]; then
  echo "Chromium: is installed already"
  exit 0
fi
apt_get update || echo "Chromium: not every package list could be read; going on with those that could"
apt_get install --no-install-recommends chromium fonts-dejavu-core >/dev/null
chromium --version
