package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// withoutCoreDumps sees to it that the memory of this process, with the secrets in it, never becomes a file.
// A limit of 0 stops the kernel from writing one. Where core_pattern is a pipe the limit does not count,
// but a process that is not dumpable is not handed to the pipe either; nor can another process of the
// same user read its memory or attach to it. Root still can.
func withoutCoreDumps() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
