//go:build !unix

package main

// withoutCoreDumps has nothing to turn off: no file is written here unless an administrator asks for it.
func withoutCoreDumps() error { return nil }
