#!/usr/bin/env bash
# Installs what evaluation needs from Debian's packages: bubblewrap and Python for the sandbox, a JDK and
# javatuples for Java. With --languages also the smaller toolchains of MultiPL-E's other languages.
# Needs apt, and root or sudo. Each language's own file says which packages it needs.
set -euo pipefail

languages=(python java)
if [[ ${1-} == --languages ]]; then
  languages+=(cpp perl ruby lua php)
elif [[ $# -gt 0 ]]; then
  echo "usage: $0 [--languages]" >&2
  exit 2
fi

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 "$@"; }
is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

if ! command -v apt-get >/dev/null; then
  echo "sandbox: no apt here; install bubblewrap, Python 3, a JDK and javatuples" >&2
  exit 1
fi
packages=(bubblewrap)
for language in "${languages[@]}"; do
  file=$(dirname "${BASH_SOURCE[0]}")/../packages/judge/src/languages/$language.ts
  read -ra needed <<<"$(sed -n "s/^  packages: '\(.*\)',$/\1/p" "$file")"
  [[ ${#needed[@]} -gt 0 ]] || { echo "sandbox: $file names no packages" >&2; exit 1; }
  packages+=("${needed[@]}")
done
missing=()
for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
if [[ ${#missing[@]} == 0 ]]; then
  echo "sandbox: everything is installed already"
  exit 0
fi
echo "sandbox: installing ${missing[*]}"
apt_get update || echo "sandbox: not every package list could be read; going on with those that could"
apt_get install --no-install-recommends "${missing[@]}" >/dev/null
