#!/usr/bin/env bash
# Installs Mesa's software Vulkan (lavapipe), so that WebGPU runs on a machine without a GPU.
# Dawn wants Mesa 24 or newer. Where the distribution's own is older (Debian 12), it comes from the
# distribution's backports, at the address that apt already uses. Needs apt, and root or sudo.
set -euo pipefail

wanted=24
packages=(mesa-vulkan-drivers libvulkan1)
extra=/etc/apt/sources.list.d/flex-backports

say() { echo "software Vulkan: $*"; }
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 "$@"; }
refresh() { apt_get update || say "not every package list could be read; going on with those that could"; }
recent() { [[ -n $1 ]] && dpkg --compare-versions "$1" ge "$wanted"; }
installed() {
  dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
}
candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }

# What serves the suite $1 in the file $2 of apt's sources, asked for $1-backports instead. Here the file
# is in the deb822 format: a stanza for other suites, such as security's, is left out.
backports_stanzas() {
  awk -v suite="$1" 'BEGIN { RS = "" }
    match($0, /(^|\n)Suites:[^\n]*/) && index(substr($0, RSTART, RLENGTH) " ", " " suite " ") {
      sub(/Suites:[^\n]*/, "Suites: " suite "-backports"); print $0 "\n"
    }' "$2"
}
# The same for a file of one-line entries: deb [options] ADDRESS SUITE COMPONENT…
backports_lines() { sed -nE "s/^(deb +(\[[^]]*\] +)?[^ ]+ +)$1 /\1$1-backports /p" "$2"; }

if ! command -v apt-get >/dev/null; then
  say "no apt here; install Mesa $wanted or newer with its Vulkan drivers, and the Vulkan loader"
  exit 1
fi
if recent "$(installed mesa-vulkan-drivers)" && [[ -n $(installed libvulkan1) ]]; then
  say "Mesa $(installed mesa-vulkan-drivers) is installed already"
  exit 0
fi

refresh
if recent "$(candidate mesa-vulkan-drivers)"; then
  apt_get install "${packages[@]}"
else
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
  say "the distribution's Mesa is $(candidate mesa-vulkan-drivers); taking it from $suite-backports"
  trap 'as_root rm -f "$extra.sources" "$extra.list"' EXIT
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [[ -f $file ]] || continue
    case $file in
      *.sources) backports_stanzas "$suite" "$file" | as_root tee -a "$extra.sources" ;;
      *.list) backports_lines "$suite" "$file" | as_root tee -a "$extra.list" ;;
    esac
  done >/dev/null
  refresh
  apt_get install -t "$suite-backports" "${packages[@]}"
fi

if ! recent "$(installed mesa-vulkan-drivers)"; then
  say "Mesa is still $(installed mesa-vulkan-drivers); Dawn wants $wanted or newer"
  exit 1
fi
say "Mesa $(installed mesa-vulkan-drivers) is installed"
