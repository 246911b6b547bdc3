//go:build !linux

package bench

import "syscall"

// dieWithParent has no equivalent here: a run that is killed leaves its servers behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
