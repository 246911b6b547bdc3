#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other: go test -fuzz takes one
# target of one package at a time. A failing input is kept under that package's testdata/fuzz.
set -euo pipefail
time=${1:-10s}

targets=$(grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort) || {
	echo 'no fuzz targets found' >&2
	exit 1
}
while IFS=: read -r file declaration; do
	target=${declaration#func }
	echo "== $target in ${file%/*}"
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "${file%/*}"
done <<<"$targets"
