//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// withoutCoreDumps stops the kernel from writing the memory of this process, with the secrets in it, to a
// file.
func withoutCoreDumps() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
