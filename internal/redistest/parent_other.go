//go:build !linux

package redistest

import "syscall"

// DieWithParent has no equivalent here: a test process that is killed leaves its servers behind.
func DieWithParent() *syscall.SysProcAttr { return nil }
