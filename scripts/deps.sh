#!/usr/bin/env bash
# Installs what the tests need and Go does not bring: redis-server, Chromium and a C compiler. Does nothing, in
# milliseconds, where they are there already. Starts no service: the tests run their own servers.
set -euo pipefail

# The names that the test of the monitor looks for.
browsers=(chromium chromium-browser google-chrome)

has() { command -v "$1" >/dev/null 2>&1; }

has_browser() {
	local name
	for name in "${browsers[@]}"; do
		if has "$name"; then return 0; fi
	done
	return 1
}

packages=()
has redis-server || packages+=(redis-server)
# The race detector needs one, and so does the redis-server whose clock can be set.
has cc || packages+=(gcc libc6-dev)
# A browser without a font shows no text, and the picture of the monitor would be empty.
has_browser || packages+=(chromium fonts-liberation)
if ((${#packages[@]} == 0)); then exit 0; fi

fail() {
	echo "make deps: missing ${packages[*]}: $1" >&2
	exit 1
}

has apt-get || fail "this system has no apt-get, so install them with its own package manager and run make again"

sudo=()
if ((EUID != 0)); then
	{ has sudo && sudo -n true 2>/dev/null; } ||
		fail "installing needs root, so run: sudo apt-get install ${packages[*]}"
	sudo=(sudo -n)
fi

# The redis-server package would start a server on port 6379. policy-rc.d is Debian's switch for
# that: 101 forbids every start. An administrator's own one is left in place.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
cleanup() { rm -f "$log"; }
trap cleanup EXIT
if [[ ! -e $policy ]]; then
	cleanup() { rm -f "$log" && "${sudo[@]}" rm -f "$policy"; }
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
	"${sudo[@]}" chmod 0755 "$policy"
fi

echo "make deps: installing ${packages[*]}" >&2
apt_get() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>"$log" 2>&1; }
if ! { apt_get update && apt_get install -y --no-install-recommends "${packages[@]}"; }; then
	tail -n 5 "$log" >&2
	fail "apt-get could not install them, for the reason above; install them by hand and run make again"
fi
